#!/usr/bin/env python3
"""Holds the documents against the tree: relative links lead to files and headings that exist, and
tests that docs/attacks.md names are there."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def tracked(*patterns):
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    told = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return [ROOT / line for line in told.stdout.splitlines() if (ROOT / line).is_file()]


def without_code(text):
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path):
    """The headings of a document, as GitHub names them."""
    found = set()
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    for heading in re.findall(r"^#+ +(.+?)\s*$", text, flags=re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", heading).replace(" ", "-"))
    return found


def broken_links():
    for document in tracked("*.md"):
        text = without_code(document.read_text())
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            path = (document.parent / file).resolve() if file else document
            where = document.relative_to(ROOT)
            if not path.exists():
                yield f"{where}: {target} leads nowhere"
            elif anchor and path.suffix == ".md" and anchor not in anchors(path):
                yield f"{where}: {target} names no heading"


def missing_tests():
    sources = "\n".join(path.read_text() for path in tracked("src/*.rs", "tests/*.rs"))
    there = set(re.findall(r"\bfn ([a-z0-9_]+)", sources))
    for line in (ROOT / "docs/attacks.md").read_text().splitlines():
        cells = line.split(" | ")
        if line.startswith("| ") and len(cells) == 4:
            for name in re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", cells[3]):
                if name not in there:
                    yield f"docs/attacks.md: there is no test {name}"


def main():
    wrong = [*broken_links(), *missing_tests()]
    for line in wrong:
        print(line, file=sys.stderr)
    if not wrong:
        print("links and names of tests in the documents: good")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
