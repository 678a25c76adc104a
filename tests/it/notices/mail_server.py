"""A mail server for tests: aiosmtpd, which writes down what it takes and misbehaves when told to.

The one argument is a JSON object: host, port, log (a file that gets a line for each mail), mode (a
file that says what to do with the next mail), and perhaps certificate, key, implicit (TLS from the
first byte on), user, password.
"""

import asyncio
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

OPTIONS = json.loads(sys.argv[1])


def write_down(what):
    with open(OPTIONS["log"], "a", encoding="utf-8") as log:
        log.write(json.dumps(what) + "\n")
        log.flush()
        os.fsync(log.fileno())


class Handler:
    async def handle_DATA(self, server, session, envelope):
        with open(OPTIONS["mode"], encoding="utf-8") as mode:
            mode = mode.read().strip()
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "data": envelope.content.decode("utf-8", "replace"),
            "tls": session.ssl is not None or bool(OPTIONS.get("implicit")),
            "user": session.auth_data,
            "mode": mode,
        }
        write_down(mail)
        if mode == "hang":
            await asyncio.sleep(3600)
        if mode == "later":
            return "451 4.3.0 try again later"
        if mode.startswith("say "):
            return mode.removeprefix("say ")
        return "250 2.0.0 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = (
        isinstance(data, LoginPassword)
        and data.login.decode() == OPTIONS["user"]
        and data.password.decode() == OPTIONS["password"]
    )
    return AuthResult(success=good, auth_data=OPTIONS["user"] if good else None)


def context():
    if "certificate" not in OPTIONS:
        return None
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(OPTIONS["certificate"], OPTIONS["key"])
    return tls


async def main():
    tls = context()
    implicit = tls if OPTIONS.get("implicit") else None
    starttls = None if implicit else tls
    asks = "user" in OPTIONS

    def protocol():
        return SMTP(
            Handler(),
            enable_SMTPUTF8=True,
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=authenticate if asks else None,
            auth_required=asks,
            auth_require_tls=tls is not None and implicit is None,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, OPTIONS["host"], OPTIONS["port"], ssl=implicit)
    print("listening", flush=True)
    await server.serve_forever()


asyncio.run(main())
