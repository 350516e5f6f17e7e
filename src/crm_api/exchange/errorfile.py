"""The error file: what was refused, in its own columns, with the reasons beside it.

It can be corrected and sent again as it is: its header is the file's own, the two columns of ours in front mean nothing
to an import. Cells that a spreadsheet would take for a formula get an apostrophe in front, which an import takes away
again, so that nothing is changed by the way through a spreadsheet.
"""

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from crm_api.core.actor import Actor
from crm_api.db.pool import Database
from crm_api.exchange.cells import guarded
from crm_api.exchange.repository import ImportRepository

PAGE: Final = 1_000
BOM: Final = "\ufeff"
"""Without it Excel takes UTF-8 for the machine's own encoding."""

LINE_COLUMN: Final = "crm_line"
REASON_COLUMN: Final = "crm_errors"


async def error_lines(
    database: Database, actor: Actor, import_id: UUID, header: Sequence[str], columns: Mapping[str, str]
) -> AsyncIterator[bytes]:
    """Yield the file page by page, each read in a unit of its own: a slow reader holds no connection.

    Args:
        database: where to read.
        actor: who asks.
        import_id: the import.
        header: of its file.
        columns: header of the file → our column; reasons name a column as the file does.

    """
    theirs = {ours: name for name, ours in columns.items()}
    yield (BOM + _text([[LINE_COLUMN, REASON_COLUMN, *map(guarded, header)]])).encode()
    after = 0
    while True:
        async with database.read(actor) as unit:
            rows = await ImportRepository(unit).failures(import_id, after, PAGE)
        if not rows:
            return
        after = rows[-1]["row"]
        yield _text([_cells(dict(row), len(header), theirs) for row in rows]).encode("utf-8", "replace")


def _cells(row: Mapping[str, Any], width: int, theirs: Mapping[str, str]) -> list[str]:
    cells: list[str] = row["cells"] or [""] * width
    return [str(row["line"]), guarded(_reasons(row["errors"] or [], theirs)), *map(guarded, cells)]


def _reasons(errors: Sequence[Mapping[str, Any]], theirs: Mapping[str, str]) -> str:
    return "; ".join(_reason(each["message"], each["column"], theirs) for each in errors)


def _reason(message: str, column: str | None, theirs: Mapping[str, str]) -> str:
    return f"{theirs.get(column, column)}: {message}" if column else message


def _text(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
