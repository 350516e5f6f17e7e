"""Access to exports, their files, and the lists they are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, Float, FromClause, and_, case, cast, delete, func, select, update

from crm_api.core.paging import PageRequest
from crm_api.core.rules import AsOf
from crm_api.customers.repository import CUSTOMER
from crm_api.db.plans import read_list, rest_list
from crm_api.db.projections import Projection, column, columns, eq, sql, struct
from crm_api.db.runs import RunRepository
from crm_api.db.uow import UnitOfWork
from crm_api.exports.models import Export, ExportFormat, ExportState
from crm_api.exports.tables import export_blocks, exports
from crm_api.segments.repository import Chosen, SegmentRepository, list_customers
from crm_api.segments.repository.catalogue import customer_rules


def _rate(t: FromClause) -> ColumnElement[Any]:
    rate = func.round(t.c.rows / func.nullif(t.c.busy_seconds, 0))
    return case((t.c.rows > 0, cast(rate, Float)))


def _remaining(t: FromClause) -> ColumnElement[Any]:
    """Rows still to come at the rate of those that are written."""
    seconds = t.c.busy_seconds * (t.c.total - t.c.rows) / func.nullif(t.c.rows, 0)
    return case((and_(t.c.rows > 0, t.c.finished_at.is_(None)), cast(func.ceil(func.greatest(seconds, 0)), Float)))


EXPORT = Projection(
    "Export",
    table=exports,
    model=Export,
    scope="exports:read",
    description="A list on its way into a file: what is asked for, how far it is, and how long the file is kept.",
    fields={
        **columns(
            "id",
            "resource",
            "filters",
            "rule",
            "fields",
            "format",
            "bom",
            "headers",
            "time_zone",
            "masked",
            "state",
            "total",
            "rows",
            "size_bytes",
            "sha256",
            "as_of",
            "started_at",
            "finished_at",
            "expires_at",
            "link_expires_at",
            "version",
            "created_at",
            "updated_at",
        ),
        "order": column("sort"),
        "rows_per_second": sql(_rate),
        "seconds_remaining": sql(_remaining),
        "error": struct({"code": column("error_code"), "message": column("error")}),
    },
    filters={
        "state": eq("state", ExportState),
        "resource": eq("resource"),
        "format": eq("format", ExportFormat),
    },
)


# -- what is exported --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listing:
    """A list, as it is to be read.

    Attributes:
        of: what is listed.
        filters: name → value, checked.
        order: name of an order; None for the default.
        fields: of the resource.
        rule: whom of the customers; None for all.

    """

    of: Projection
    filters: Mapping[str, Any]
    order: str | None
    fields: Sequence[str]
    rule: Chosen | None = None

    async def check(self, unit: UnitOfWork) -> None:
        """Raise Forbidden or Invalid as reading the list would."""
        scopes, page = unit.actor.scopes, PageRequest()
        bound = rest_list(self.of, scopes, page, order=self.order, filters=self.filters, fields=self.fields)
        for check in bound.plan.checks:
            await check(unit, bound.variables)

    async def page(self, unit: UnitOfWork, limit: int, after: str | None) -> bytes:
        """Return the body of one page; the first one counts all rows."""
        page = PageRequest(limit, after, count=after is None)
        how: dict[str, Any] = {"order": self.order, "filters": self.filters, "fields": self.fields}
        if self.rule is not None:
            return await list_customers(unit, page, rule=self.rule, **how)
        return await read_list(unit, self.of, page, **how)


async def chosen(unit: UnitOfWork, tree: Any) -> Chosen:
    """Check a rule for the unit's actor, who must be allowed to know all that it names.

    Raises:
        Invalid: it is wrong.
        Forbidden: it names what the actor may not see.

    """
    known = await customer_rules(unit, tree)
    as_of = AsOf(unit.now(), await SegmentRepository(unit).zone())
    return Chosen(known, known.check(tree, "/rule", unit.actor), as_of)


def takes_rules(of: Projection) -> bool:
    """Tell whether rules speak about these resources."""
    return of is CUSTOMER


# -- exports -----------------------------------------------------------------------------------------------------------


class ExportRepository(RunRepository):
    """Exports and their files."""

    table = exports

    async def claim(self, row_id: UUID, runner_id: UUID, lease: float) -> asyncpg.Record | None:
        """Take an unfinished export that nobody is working on, from its beginning; None when there is none (now)."""
        row = await super().claim(row_id, runner_id, lease)
        if row is None:
            return None
        await self.drop_file(row_id)
        return await self.change(row_id, {"rows": 0, "busy_seconds": 0})

    async def finish(self, row_id: UUID, values: Mapping[str, Any], runner_id: UUID | None = None) -> bool:
        """End an unfinished export (of this runner, when one is named); False when it has ended already."""
        changed = await super().finish(row_id, values, runner_id)
        if changed and values["state"] != "completed":
            await self.drop_file(row_id)
        return changed

    async def remove(self, export_id: UUID) -> None:
        """Delete an export and its file."""
        await self.unit.execute(delete(exports).where(self.by_id(export_id)))

    async def store_block(self, export_id: UUID, position: int, data: bytes) -> None:
        """Store a block of the file."""
        await self.insert({"export_id": export_id, "position": position, "data": data}, export_blocks)

    async def block(self, export_id: UUID, position: int) -> bytes | None:
        """Return the block that begins at this byte, or None when it is gone."""
        t = export_blocks
        data: bytes | None = await self.unit.fetch_value(
            select(t.c.data).where(self.mine(t), t.c.export_id == export_id, t.c.position == position)
        )
        return data

    async def drop_file(self, export_id: UUID) -> None:
        """Delete what there is of the file."""
        t = export_blocks
        await self.unit.execute(delete(t).where(self.mine(t), t.c.export_id == export_id))

    async def expire(self, now: datetime) -> list[UUID]:
        """Delete the files whose time is over; returns whose they were."""
        t = exports
        rows = await self.unit.fetch_all(
            update(t)
            .where(self.mine(), t.c.state == "completed", t.c.expires_at <= now)
            .values(state="expired", link_hash=None, version=t.c.version + 1, updated_at=func.now())
            .returning(t.c.id)
        )
        for row in rows:
            await self.drop_file(row["id"])
        return [row["id"] for row in rows]


# -- over all tenants, for the schedules and for links -----------------------------------------------------------------

_STRANDED: Final = """
SELECT tenant_id, id FROM exports
WHERE state IN ('queued', 'running')
  AND greatest(updated_at, lease_until) < now()
    - CASE WHEN state = 'running' THEN interval '2 minutes' ELSE interval '1 hour' END
"""
_EXPIRED: Final = "SELECT DISTINCT tenant_id FROM exports WHERE state = 'completed' AND expires_at <= $1"
_LINKED: Final = "SELECT tenant_id, link_hash, link_expires_at FROM exports WHERE id = $1 AND link_hash IS NOT NULL"


async def stranded(connection: Any) -> list[tuple[UUID, UUID]]:
    """Return (tenant, export) of all exports nobody has worked on for too long."""
    return [(row[0], row[1]) for row in await connection.fetch(_STRANDED)]


async def tenants_with_expired(connection: Any, now: datetime) -> list[UUID]:
    """Return the tenants that have files whose time is over."""
    return [row[0] for row in await connection.fetch(_EXPIRED, now)]


async def linked(connection: Any, export_id: UUID) -> list[asyncpg.Record]:
    """Return tenant, hash and end of the links to exports with this id."""
    found: list[asyncpg.Record] = await connection.fetch(_LINKED, export_id)
    return found
