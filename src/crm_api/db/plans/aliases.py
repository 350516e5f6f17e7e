"""Old ids: rows whose place another row has taken, such as customers that were merged."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, select

from crm_api.db.projections import TENANT, projections
from crm_api.db.uow import UnitOfWork


async def successors(unit: UnitOfWork, ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Return old id → the id that answers for it now, for those of ``ids`` that are old."""
    found: dict[UUID, UUID] = {}
    if not ids:
        return found
    given = bindparam("ids", type_=ARRAY(Uuid()))
    for table, column in {each.successor for each in projections() if each.successor is not None}:
        t = table.alias("t")
        rows = await unit.fetch_all(
            select(t.c.id, t.c[column]).where(t.c.tenant_id == TENANT, t.c.id == any_(given), t.c[column].is_not(None)),
            {"tenant_id": unit.tenant_id, "ids": list(ids)},
        )
        found |= {row["id"]: row[column] for row in rows}
    return found
