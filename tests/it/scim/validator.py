"""Lets scim2-tester judge a SCIM service: one line of JSON for each check.

The address and the token come on standard input, so that no list of processes shows the token.
"""

import json
import random
import sys

import scim2_tester.filling
from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import check_server

# No schema can say that a text has to be an e-mail address, or which roles there are, so the
# validator cannot know.
ROLES = ["org_member", "org_admin"]
generate = scim2_tester.filling.generate_random_value


def fitting(context, path, *arguments, **named):
    value = generate(context, path, *arguments, **named)
    binding = path.resolve()
    if value is None or binding is None or binding.target_model is None:
        return value
    place = (binding.target_model.__name__.lower(), binding.target_field_name)
    if place[1] == "user_name":
        return f"{value}@example.com"
    if place == ("roles", "value"):
        return random.choice(ROLES)
    return value


def know_what_fits():
    for name, module in list(sys.modules.items()):
        if name.startswith("scim2_tester") and getattr(module, "generate_random_value", 0) is generate:
            module.generate_random_value = fitting


def main():
    know_what_fits()
    base, token = sys.stdin.read().split()
    headers = {"Authorization": f"Bearer {token}"}
    with Client(base_url=base, headers=headers, trust_env=False, timeout=30) as http:
        for result in check_server(SyncSCIMClient(http)):
            print(json.dumps({
                "check": result.title,
                "status": result.status.name,
                "reason": result.reason,
                "data": repr(result.data)[:300],
            }))


if __name__ == "__main__":
    main()
