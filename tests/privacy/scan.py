"""Looking for marks in the whole database, whatever column they lie in."""

import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import LargeBinary

from crm_api.db.schema import metadata

MARK = re.compile(r"MARK<([^<>]+)>")


def mark(place: str) -> str:
    """Return a text that says where it was put."""
    return f"MARK<{place}>"


async def places(owner: Any, *traces: str) -> set[tuple[str, str]]:
    """Return (table, mark) of all marks and traces that lie anywhere, jobs of the queue included."""
    found = set()
    tables = [table.name for table in metadata.sorted_tables] + ["pgqueuer", "pgqueuer_log"]
    for name in tables:
        for text in await _rows(owner, name):
            found |= {(name, seen) for seen in MARK.findall(text)}
            found |= {(name, trace) for trace in traces if trace in text}
    return found


async def _rows(owner: Any, name: str) -> Iterable[str]:
    table = metadata.tables.get(name)
    columns = [] if table is None else [each.name for each in table.c if isinstance(each.type, LargeBinary)]
    binary = ["payload"] if name == "pgqueuer" else columns
    shown = ", ".join(["t::text", *(f"coalesce(encode({each}, 'escape'), '')" for each in binary)])
    rows = await owner.fetch(f"SELECT {shown} FROM {name} t")
    return [" ".join(row) for row in rows]
