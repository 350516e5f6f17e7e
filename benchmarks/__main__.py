"""``python -m benchmarks [name …]``: run the benchmarks named, or all."""

import argparse
import os
import platform
import signal
import sys
from importlib import import_module

from benchmarks.data import CUSTOMERS

NAMES = (
    "rest",
    "graphql",
    "isolation",
    "search",
    "duplicates",
    "imports",
    "events",
    "patterns",
    "classes",
    "segments",
    "clusters",
    "vouchers",
    "ledger",
)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--customers", type=int, default=CUSTOMERS, help="size of the shop")
    parser.add_argument("--requests", type=int, default=10_000, help="requests of the cheapest measurement")
    given = parser.parse_args()
    unknown = set(given.names) - set(NAMES)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    # An ordinary exit, so that the servers we started end with us.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    load = os.getloadavg()[0]
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, load {load:.1f}, Python {platform.python_version()}")
    for name in given.names or NAMES:
        print(f"\n## {name}", flush=True)
        import_module(f"benchmarks.{name}").run(given.customers, given.requests)


if __name__ == "__main__":
    main()
