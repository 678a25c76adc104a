#!/usr/bin/env python3
"""Holds the dependencies against deny.toml: licences, bans, duplicate versions, sources.

A part of what `cargo deny check licenses bans sources` does, for machines without cargo-deny: it
trusts the licence that a package declares and does not read licence files. Needs Python 3.11.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def host():
    told = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True, cwd=ROOT)
    return re.search(r"^host: (\S+)$", told.stdout, re.M)[1]


def metadata(target):
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    command += ["--filter-platform", target]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return json.loads(told.stdout)


def built(target):
    """What is really compiled, as `(name, version)`. The metadata also lists optional packages that
    are named by a feature of somebody (`ring?/std`) and enabled by nobody."""
    command = ["cargo", "tree", "--locked", "--target", target, "--edges", "normal,build,dev"]
    command += ["--prefix", "none", "--format", "{p}"]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    lines = [line.split() for line in told.stdout.splitlines() if line]
    return {(words[0], words[1].removeprefix("v")) for words in lines}


def satisfied(expression, allowed):
    """Whether an SPDX expression can be met with these licences. `AND` binds tighter than `OR`."""
    # Before SPDX, `/` stood for OR.
    words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    at = 0

    def peek():
        return words[at] if at < len(words) else None

    def take():
        nonlocal at
        at += 1
        return words[at - 1]

    def either():
        met = both()
        while peek() == "OR":
            take()
            met = both() or met
        return met

    def both():
        met = one()
        while peek() == "AND":
            take()
            met = one() and met
        return met

    def one():
        if peek() == "(":
            take()
            met = either()
            if take() != ")":
                raise ValueError("unbalanced")
            return met
        licence = take()
        if peek() == "WITH":
            take()
            licence = f"{licence} WITH {take()}"
        return licence in allowed

    met = either()
    if at != len(words):
        raise ValueError("more than one expression")
    return met


def matches(spec, name, version):
    """Whether `name` or `name@1.2` names this package; `1.2` stands for every 1.2.x."""
    named, _, wanted = spec.partition("@")
    return named == name and (not wanted or f"{version}.".startswith(f"{wanted}."))


def main():
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    allowed = set(rules["licenses"]["allow"])
    registries = {f"registry+{url}" for url in rules["sources"]["allow-registry"]}
    target = host()
    known = metadata(target)
    reached = {node["id"] for node in known["resolve"]["nodes"]}
    compiled = built(target)
    packages = [
        package
        for package in known["packages"]
        if package["id"] in reached and (package["name"], package["version"]) in compiled
    ]
    wrong = []
    versions = defaultdict(set)
    for package in packages:
        name, version, licence = package["name"], package["version"], package["license"]
        label = f"{name} {version}"
        versions[name].add(version)
        try:
            if not licence or not satisfied(licence, allowed):
                wrong.append(f"{label}: the licence {licence!r} is not allowed")
        except (ValueError, IndexError):
            wrong.append(f"{label}: the licence {licence!r} cannot be read")
        if package["source"] is None:
            for dependency in package["dependencies"]:
                if dependency["req"] == "*" and dependency.get("path") is None:
                    wrong.append(f"{label}: asks for any version of {dependency['name']}")
        elif package["source"] not in registries:
            wrong.append(f"{label}: comes from {package['source']}")
        for ban in rules["bans"]["deny"]:
            if matches(ban["crate"], name, version):
                wrong.append(f"{label}: is banned ({ban['reason']})")
    skips = rules["bans"]["skip"]
    for name, found in versions.items():
        counted = {v for v in found if not any(matches(s["crate"], name, v) for s in skips)}
        if len(counted) > 1:
            wrong.append(f"{name}: several versions, {', '.join(sorted(counted))}")
    for skip in skips:
        if not any(matches(skip["crate"], p["name"], p["version"]) for p in known["packages"]):
            wrong.append(f"deny.toml: nothing is {skip['crate']} any more")
    for line in sorted(wrong):
        print(line, file=sys.stderr)
    if wrong:
        return 1
    print(f"{len(packages)} packages: licences, bans, versions and sources as deny.toml has them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
