"""Build the wheel with the locked backend and run crm-api from it, away from the source tree.

The package is unpacked into an empty folder and put in front of the environment's libraries, so that a file the
wheel forgot (a migration, a page's script, a message catalogue) cannot be found in the checkout by accident.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROBE = """
import sys
import crm_api
from pathlib import Path
assert Path(crm_api.__file__).is_relative_to(sys.argv[1]), crm_api.__file__
from crm_api.cli import main
sys.argv = ["crm-api", "--help"]
main()
"""


def build(folder: Path) -> Path:
    """Build the wheel without an isolated environment: nothing is fetched."""
    arguments = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *arguments], check=True)
    return next(folder.glob("crm_api-*.whl"))


def missing_files(wheel: Path) -> list[str]:
    """Return files of the source tree, and migrations, that the wheel does not hold."""
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    sources = {
        **{path: path.relative_to(ROOT / "src") for path in (ROOT / "src" / "crm_api").rglob("*")},
        **{
            path: Path("crm_api/_migrations") / path.relative_to(ROOT / "migrations")
            for path in (ROOT / "migrations").rglob("*")
        },
    }
    return sorted(
        target.as_posix()
        for path, target in sources.items()
        if path.is_file() and "__pycache__" not in path.parts and target.as_posix() not in packed
    )


def main() -> int:
    """Exit 0 when the wheel is whole and its command line starts."""
    with tempfile.TemporaryDirectory(prefix="crm-wheel-") as name:
        folder = Path(name).resolve()
        wheel = build(folder)
        if missing := missing_files(wheel):
            print("Not in the wheel:", *missing, sep="\n  ", file=sys.stderr)
            return 1
        unpacked = folder / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)
            size, files = wheel.stat().st_size, len(archive.namelist())
        environment = {**os.environ, "PYTHONPATH": str(unpacked), "CRM_HOME": str(folder / "home")}
        subprocess.run(
            [sys.executable, "-c", PROBE, str(unpacked)],
            check=True,
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        print(f"{wheel.name}: {files} files, {size / 1024:.0f} KiB; crm-api --help runs from it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
