"""Checks the dependency tree against `.cargo/deny.toml` without a network: licences, bans, second versions, sources, and
that no crate wants a newer Rust than the workspace names.

cargo-deny does the same and more, but is a program of some two hundred crates to build first. Known weaknesses are not
checked here: their database does not travel with the tree. Reads the manifests of workspaces; without one, the root's.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def satisfied(expression, allowed):
    """Whether one may follow an SPDX expression by following only allowed licences."""
    # `MIT/Apache-2.0` is how crates said OR before SPDX, `GPL-3.0+` how SPDX said `-or-later`.
    tokens = re.findall(r"[()]|[^\s()/]+|/", expression)
    tokens = ["OR" if token == "/" else re.sub(r"\+$", "-or-later", token) for token in tokens]

    def choice():
        holds = both()
        while tokens[:1] == ["OR"]:
            tokens.pop(0)
            holds = both() or holds
        return holds

    def both():
        holds = single()
        while tokens[:1] == ["AND"]:
            tokens.pop(0)
            holds = single() and holds
        return holds

    def single():
        token = tokens.pop(0)
        if token == "(":
            holds = choice()
            if tokens.pop(0) != ")":
                raise ValueError(f"not an SPDX expression: {expression}")
            return holds
        if tokens[:1] == ["WITH"]:
            tokens.pop(0)
            token += f" WITH {tokens.pop(0)}"
        return token in allowed

    holds = choice()
    if tokens:
        raise ValueError(f"not an SPDX expression: {expression}")
    return holds


def release(version):
    """`1.92` and `1.92.0` as numbers that compare; what names none runs anywhere."""
    return [int(part) for part in f"{version or '0'}.0.0".split(".")[:3]]


def least_rust(metadata):
    """The Rust version that the workspace's own crates name."""
    return next(package["rust_version"] for package in metadata["packages"] if package["source"] is None)


def default_registry(metadata):
    """Where cargo takes a crate from when the workspace's own manifests name no registry for it."""
    wanted = [w for package in metadata["packages"] if package["source"] is None for w in package["dependencies"]]
    return {w["source"] for w in wanted if w.get("registry") is None and (w.get("source") or "").startswith("registry+")}


def judge(metadatas, rules):
    """What is wrong with the trees of these workspaces, a line each."""
    faults, needed = [], set()
    licences, bans = rules["licenses"], rules["bans"]
    allowed = set(licences["allow"])
    exceptions = {entry["crate"]: set(entry["allow"]) for entry in licences.get("exceptions", [])}
    denied = {entry["crate"]: entry["reason"] for entry in bans.get("deny", [])}
    skipped = {entry["crate"] for entry in bans.get("skip", [])}
    for metadata in metadatas:
        versions, known_sources = defaultdict(set), {None} | default_registry(metadata)
        for package in metadata["packages"]:
            name, version = package["name"], package["version"]
            versions[name].add(version)
            try:
                plain = satisfied(package["license"] or "", allowed)
                if not plain and name in exceptions:
                    needed.add(name)
                    plain = satisfied(package["license"], allowed | exceptions[name])
            except (ValueError, IndexError):
                plain = False
            if not plain:
                faults.append(f"{name} {version}: licence `{package['license']}` is not allowed")
            if name in denied:
                faults.append(f"{name} {version} is banned: {denied[name]}")
            if package["source"] not in known_sources:
                faults.append(f"{name} {version} comes from {package['source']}, which is no known registry")
            if release(package["rust_version"]) > release(least_rust(metadata)):
                faults.append(f"{name} {version} wants Rust {package['rust_version']}, the workspace names an older one")
            for wanted in package["dependencies"]:
                if package["source"] is None and wanted["req"] == "*" and "path" not in wanted:
                    faults.append(f"{name} takes any version of {wanted['name']}")
        for name, found in sorted(versions.items()):
            known = {version for version in found if f"{name}@{version}" in skipped}
            if len(found) > 1:
                needed |= {f"{name}@{version}" for version in known}
            if len(found - known) > 1:
                faults.append(f"{name} stands in the tree as {', '.join(sorted(found))}")
    for unneeded in sorted((skipped | set(exceptions)) - needed):
        faults.append(f"{unneeded} in deny.toml is needed no longer: delete the line")
    return faults


def cargo(manifest, *arguments):
    command = ["cargo", *arguments, "--locked", "--all-features", "--manifest-path", ROOT / manifest]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def packages(manifest):
    """The packages that some target, feature or test of a workspace is built with."""
    metadata = json.loads(cargo(manifest, "metadata", "--format-version", "1"))
    # The metadata hold optional crates as well that no feature turns on.
    edges = ["--target", "all", "--edges", "normal,build,dev"]
    lines = cargo(manifest, "tree", "--workspace", *edges, "--prefix", "none", "--format", "{p}").splitlines()
    built = {tuple(line.split(" ")[:2]) for line in lines if line}
    metadata["packages"] = [p for p in metadata["packages"] if (p["name"], f"v{p['version']}") in built]
    if len(metadata["packages"]) < 2:
        sys.exit(f"{manifest}: cargo names no packages")
    return metadata


def main():
    rules = tomllib.loads((ROOT / ".cargo/deny.toml").read_text())
    metadatas = [packages(manifest) for manifest in sys.argv[1:] or ["Cargo.toml"]]
    faults = judge(metadatas, rules)
    print("\n".join(faults), end="\n" if faults else "")
    if faults:
        sys.exit(1)
    print(f"{sum(len(m['packages']) for m in metadatas)} packages: licences, bans, second versions, sources and Rust versions hold")
    print("NOT CHECKED: known weaknesses. Where their database is at hand: cargo deny check --config .cargo/deny.toml advisories")


if __name__ == "__main__":
    main()
