"""Check that requirements/*.txt still fit pyproject.toml, without a resolver or a network.

Each direct requirement must be pinned, with hashes, to versions its specifier allows; every file must pin a package the
same way; no file may name an address. `make lock` mends what this finds.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)(?P<marker> ; .*?)?(?P<hashed> \\)?$")
Pins = dict[str, set[str]]


def read_pins(path: Path, problems: list[str]) -> Pins:
    """Return name → pinned versions (a universal lock may pin one per Python version)."""
    pins: Pins = defaultdict(set)
    for line in path.read_text(encoding="utf-8").splitlines():
        if "://" in line:
            problems.append(f"{path.name} names an address: {line.strip()}")
        if match := PIN.match(line):
            pins[canonicalize_name(match["name"])].add(match["version"])
            if not match["hashed"]:
                problems.append(f"{path.name}: {match['name']} has no hash")
    return pins


def unmet(requirements: list[str], pins: Pins) -> list[str]:
    """Return the requirements that no pin, or a pin outside the specifier, answers."""
    parsed = [Requirement(text) for text in requirements]
    return [
        str(requirement)
        for requirement in parsed
        if not (versions := pins.get(canonicalize_name(requirement.name)))
        or not all(requirement.specifier.contains(version, prereleases=True) for version in versions)
    ]


def main() -> int:
    """Print what does not fit; exit 1 when anything does not."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, groups = declared["project"], declared["dependency-groups"]
    runtime = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    wanted = {
        "runtime.txt": runtime,
        "build.txt": groups["build"],
        "dev.txt": [*runtime, *groups["build"], *groups["dev"]],
    }
    problems: list[str] = []
    pins = {name: read_pins(ROOT / "requirements" / name, problems) for name in wanted}
    for name, requirements in wanted.items():
        problems += [f"{name} does not meet {text}" for text in unmet(requirements, pins[name])]
        problems += [
            f"{name} pins {package} at {sorted(versions)}, dev.txt at {sorted(pins['dev.txt'].get(package, ()))}"
            for package, versions in pins[name].items()
            if versions != pins["dev.txt"].get(package)
        ]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(
        "Locks do not fit: run `make lock`."
        if problems
        else f"Locks fit: {len(pins['dev.txt'])} packages pinned by hash."
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
