"""Looking for marks in the whole database, whatever column they lie in."""

import re
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import LargeBinary

from crm_api.db.schema import metadata
from tests.support.rows import tenant_tables

MARK = re.compile(r"MARK<([^<>]+)>")


def mark(place: str) -> str:
    """Return a text that says where it was put."""
    return f"MARK<{place}>"


async def places(owner: Any, tenant_id: UUID, *traces: str) -> set[tuple[str, str]]:
    """Return (table, mark) of all marks and traces that lie anywhere in what is a tenant's, queued jobs included."""
    found = set()
    for name in [*(table.name for table in tenant_tables()), "pgqueuer"]:
        for text in await _rows(owner, tenant_id, name):
            found |= {(name, seen) for seen in MARK.findall(text)}
            found |= {(name, trace) for trace in traces if trace in text}
    return found


async def _rows(owner: Any, tenant_id: UUID, name: str) -> Iterable[str]:
    if name == "pgqueuer":
        binary, where = ["payload"], "encode(payload, 'escape') LIKE '%' || $1::uuid::text || '%'"
    else:
        binary = [each.name for each in metadata.tables[name].c if isinstance(each.type, LargeBinary)]
        where = "t.tenant_id = $1"
    shown = ", ".join(["t::text", *(f"coalesce(encode({each}, 'escape'), '')" for each in binary)])
    rows = await owner.fetch(f"SELECT {shown} FROM {name} t WHERE {where}", tenant_id)
    return [" ".join(row) for row in rows]
