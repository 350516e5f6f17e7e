"""Lint the SQL of every migration with squawk.

Alembic renders each revision offline into a file of its own, so that squawk knows which tables are new in it (an index
on a table made in the same transaction locks nobody out) and names the migration in what it finds.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from crm_api.db.migrate import configuration

ROOT = Path(__file__).resolve().parent.parent
SESSION = "SET lock_timeout = '5s';\nSET statement_timeout = 0;\n"
"""What the runner (`crm_api.db.migrate`) sets on the session before any migration."""
BOOKKEEPING = re.compile(r"CREATE TABLE alembic_version \(.*?\);\n", re.DOTALL)
"""Alembic's own table, whose columns are not ours to choose."""


def render(folder: Path) -> list[Path]:
    """Write one SQL file for each revision, oldest first."""
    files = []
    for script in reversed(list(ScriptDirectory.from_config(configuration()).walk_revisions())):
        buffer = io.StringIO()
        config = configuration()
        config.output_buffer = buffer
        command.upgrade(config, f"{script.down_revision or 'base'}:{script.revision}", sql=True)
        path = folder / f"{Path(script.path).stem}.sql"
        path.write_text(SESSION + BOOKKEEPING.sub("", buffer.getvalue()), encoding="utf-8")
        files.append(path)
    return files


def main() -> int:
    """Exit with squawk's status."""
    with tempfile.TemporaryDirectory(prefix="crm-migrations-") as name:
        files = render(Path(name))
        if not files:
            print("No migrations found.", file=sys.stderr)
            return 1
        squawk = Path(sys.executable).parent / "squawk"
        done = subprocess.run(
            [str(squawk), "--config", str(ROOT / ".squawk.toml"), *(path.name for path in files)], cwd=name, check=False
        )
    if done.returncode == 0:
        print(f"{len(files)} migrations linted.")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
