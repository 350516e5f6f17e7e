"""Erasure, statement by statement."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import Column, any_, delete, func, null, select, update

from crm_api.customers.tables import customers
from crm_api.db.ownership import Owned
from crm_api.db.repository import Repository
from crm_api.db.schema import APPEND_ONLY
from crm_api.db.system_role import as_system
from crm_api.privacy import rules
from crm_api.privacy.repository.holdings import Holdings
from crm_api.privacy.tables import erasures

OPEN = ("waiting", "running", "failed")

_GONE: Final = orjson.dumps(
    {
        "type": "urn:crm-api:problem:erased",
        "title": "The customer was erased",
        "status": 410,
        "detail": "This request had its effect; its answer was erased with the customer it was about.",
        "code": "erased",
        "errors": [],
    }
)
"""What a repeated keyed request about an erased customer gets: no second effect, no data."""

_GONE_HEADERS: Final = {"content-type": "application/problem+json"}

_AUDIT = """
UPDATE audit_log SET before = NULL, after = NULL
WHERE tenant_id = $1 AND subject_id = ANY ($2::uuid[]) AND (before IS NOT NULL OR after IS NOT NULL)
"""

# What every subscriber has passed; younger messages still have work to do, and the sweep takes them a day later.
_MESSAGES = """
UPDATE outbox SET payload = '{}'
WHERE tenant_id = $1 AND payload <> '{}' AND (xid < $3::text::xid8 OR occurred_at < $4)
  AND (subject_id = ANY ($2::uuid[]) OR payload ->> 'customer_id' = ANY ($2::uuid[]::text[]))
"""
_FAILURES = """
UPDATE outbox_failures SET error = '' FROM outbox o
WHERE outbox_failures.tenant_id = $1 AND o.tenant_id = $1 AND o.id = outbox_failures.message_id AND error <> ''
  AND o.subject_id = ANY ($2::uuid[])
"""
_PASSED = "SELECT coalesce(min(xid), '0'::xid8)::text FROM outbox_cursors"

# Each stored answer is read once, however many ids are looked for. `escape` leaves ASCII as it is.
_ANSWERS = r"""
UPDATE idempotency_keys SET status = 410, headers = $5, body = $6
WHERE tenant_id = $1 AND body IS NOT NULL AND body <> $6 AND (
  EXISTS (
    SELECT FROM regexp_matches(encode(body, 'escape'), $2, 'g') AS found (id)
    WHERE found.id[1]::uuid = ANY ($3::uuid[])
  )
  OR EXISTS (SELECT FROM unnest($4::bytea[]) AS trace WHERE position(trace IN body) > 0)
)
"""
_UUID = "([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"

_DUE = """
SELECT tenant_id, id, state = 'completed' AS sweep FROM erasures
WHERE (state = 'waiting' AND due_at <= $1)
   OR (state IN ('running', 'failed') AND updated_at <= $2)
   OR (state = 'completed' AND swept_at IS NULL AND finished_at <= $3)
ORDER BY due_at LIMIT 1000
"""

STRANDED_AFTER = timedelta(minutes=15)
"""How long after its last step an erasure is taken for forgotten, and queued again."""


async def due(connection: Any, now: datetime) -> list[tuple[UUID, UUID, bool]]:
    """Return (tenant, erasure, whether only the sweep is left) of all that somebody should work on."""
    rows = await connection.fetch(_DUE, now, now - STRANDED_AFTER, now - rules.SWEEP_AFTER)
    return [(row[0], row[1], row[2]) for row in rows]


class ErasureRepository(Repository):
    """Erasures of the tenant, and what they do."""

    table = erasures

    # -- the erasure's own row -------------------------------------------------------------------------------------

    async def hold(self, erasure_id: UUID) -> asyncpg.Record | None:
        """Return the erasure's row, held: of two runs one waits for the other's step."""
        return await self.find(erasure_id, lock=True)

    async def open_of(self, customer_ids: Sequence[UUID]) -> UUID | None:
        """Return the open erasure of any of these customers."""
        e = erasures
        found: UUID | None = await self.unit.fetch_value(
            select(e.c.id).where(
                self.mine(),
                e.c.customer_id == any_(list(customer_ids)),  # type: ignore[arg-type]
                e.c.state.in_(OPEN),
            )
        )
        return found

    async def note(self, erasure_id: UUID, values: Mapping[str, Any]) -> None:
        """Store what has changed about an erasure."""
        await self.change(erasure_id, values)

    async def subject(self, customer_id: UUID) -> asyncpg.Record | None:
        """Return the customer's row, deleted or not, held against other writers."""
        c = customers
        return await self.unit.fetch_one(select(c).where(self.by_id(customer_id, c)).with_for_update(key_share=True))

    # -- steps -----------------------------------------------------------------------------------------------------

    async def hide(self, customer_ids: Sequence[UUID]) -> list[UUID]:
        """Take the customers out of every list; returns those who were still there."""
        c = customers
        there = await self.unit.fetch_all(
            select(c.c.id)
            .where(self.mine(c), c.c.id == any_(list(customer_ids)), c.c.deleted_at.is_(None))  # type: ignore[arg-type]
            .with_for_update()
        )
        now = self.unit.now()
        await self.unit.execute(
            update(c)
            .where(self.mine(c), c.c.id == any_(list(customer_ids)))  # type: ignore[arg-type]
            .values(deleted_at=func.coalesce(c.c.deleted_at, now), erased_at=func.coalesce(c.c.erased_at, now))
        )
        return [row["id"] for row in there]

    async def audit_log(self, ids: Sequence[UUID]) -> int:
        """Clear what audit entries about these subjects say; who did what and when stays."""
        async with as_system(self.unit):
            return _count(await self.unit.connection.execute(_AUDIT, self.unit.tenant_id, ids))

    async def outbox(self, ids: Sequence[UUID], before: datetime) -> int:
        """Clear messages about these subjects that all subscribers have passed, or that are older than ``before``."""
        connection, tenant_id = self.unit.connection, self.unit.tenant_id
        async with as_system(self.unit):
            passed = await connection.fetchval(_PASSED)
        done = _count(await connection.execute(_FAILURES, tenant_id, ids))
        return done + _count(await connection.execute(_MESSAGES, tenant_id, ids, passed, before))

    async def answers(self, ids: Sequence[UUID], traces: Sequence[bytes]) -> int:
        """Overwrite stored answers to keyed requests that name any of these; the keys stay used."""
        status = await self.unit.connection.execute(
            _ANSWERS, self.unit.tenant_id, _UUID, ids, traces, _GONE_HEADERS, _GONE
        )
        return _count(status)

    async def erase(self, owned: Owned, customer_ids: Sequence[UUID]) -> int:
        """Delete or overwrite the customers' rows in a table, as its domain declared; returns how many."""
        table = owned.table
        where = await Holdings(self.unit).predicate(owned, customer_ids)
        statement = delete(table) if owned.erase == "delete" else update(table).values(dict(owned.blank))
        if not table.info.get(APPEND_ONLY):
            return await self.unit.execute(statement.where(where))
        async with as_system(self.unit):
            return await self.unit.execute(statement.where(where))

    async def blank_customers(self, customer_ids: Sequence[UUID]) -> int:
        """Clear the customers' own rows: every column but those of `rules.KEPT_COLUMNS`."""
        c = customers
        cleared = {column.name: _cleared(column) for column in c.c if column.name not in rules.KEPT_COLUMNS}
        statement = (
            update(c)
            .where(self.mine(c), c.c.id == any_(list(customer_ids)))  # type: ignore[arg-type]
            .values(**cleared, version=c.c.version + 1, updated_at=func.now())
        )
        return await self.unit.execute(statement)


def _cleared(column: Column[Any]) -> Any:
    """Return what stands in a column afterwards."""
    if column.name == "name":
        return rules.ERASED_NAME
    if column.nullable:
        return null()
    default: Any = column.server_default
    return default.arg


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
