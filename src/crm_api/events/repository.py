"""Access to events and to who identified themselves where."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import ARRAY, Text, Uuid, any_, cast, exists, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from crm_api.customers.repository import CUSTOMER
from crm_api.db import timeline
from crm_api.db.ownership import Merged
from crm_api.db.projections import (
    Projection,
    asc,
    at_least,
    below,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    one,
    ref,
    sql,
)
from crm_api.db.repository import Repository
from crm_api.db.uow import UnitOfWork
from crm_api.events.models import (
    DEFAULT_RETENTION_DAYS,
    Event,
    Identification,
    IdentificationState,
    Mark,
    ViewedProduct,
)
from crm_api.events.rules import lock_of
from crm_api.events.tables import event_settings, events, identifications

EVENT = Projection(
    "Event",
    table=events,
    model=Event,
    scope="events:read",
    description="Something a visitor did.",
    fields={
        **columns(
            "id",
            "type",
            "occurred_at",
            "received_at",
            "device_id",
            "session_id",
            "sku",
            "url",
            "dwell_ms",
            "properties",
        ),
        "event_id": sql(lambda t: func.coalesce(t.c.event_id, cast(t.c.id, Text))),
        "customer_id": ref("customer_id", "Customer"),
    },
    relations={
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who did it."),
        "product": one("Product", on=lambda p, c: c.c.sku == p.c.sku, description="What it was about."),
    },
    orders={"newest": [desc("occurred_at")], "oldest": [asc("occurred_at")]},
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "device_id": eq("device_id"),
        "session_id": eq("session_id"),
        "type": eq("type"),
        "sku": eq("sku"),
        "occurred_after": at_least("occurred_at", description="From this instant on."),
        "occurred_before": below("occurred_at", description="Before this instant."),
    },
)

IDENTIFICATION = Projection(
    "Identification",
    table=identifications,
    model=Identification,
    scope="events:read",
    description="A moment at which somebody identified themselves on a device, or signed out.",
    fields={
        **columns("id", "device_id", "at", "state", "attributed", "version", "created_at", "updated_at"),
        "customer_id": ref("customer_id", "Customer"),
    },
    relations={"customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who.")},
    orders={"newest": [desc("id")], "at": [asc("at")]},
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "device_id": eq("device_id"),
        "state": eq("state", IdentificationState),
    },
)

extend(
    CUSTOMER,
    relations={
        "events": many(
            "Event", on=lambda p, c: c.c.customer_id == p.c.id, description="What they looked at and did, newest first."
        ),
        "identifications": many(
            "Identification",
            on=lambda p, c: c.c.customer_id == p.c.id,
            description="The devices they identified themselves on.",
        ),
    },
)

timeline.register(
    timeline.Source(
        kind="event",
        scope="events:read",
        rows=events,
        tenant=events.c.tenant_id,
        customer=events.c.customer_id,
        at=events.c.occurred_at,
        id=events.c.id,
        title=events.c.type,
        data={name: events.c[name] for name in ("type", "sku", "url", "dwell_ms", "device_id", "session_id")},
    )
)

STORED: Final = (
    "id",
    "event_id",
    "type",
    "occurred_at",
    "device_id",
    "customer_id",
    "stated",
    "session_id",
    "sku",
    "url",
    "dwell_ms",
    "properties",
)
"""What of an event is written, in the order of the arrays."""

_KINDS: Final = [
    "uuid",
    "text",
    "text",
    "timestamptz",
    "text",
    "uuid",
    "boolean",
    "text",
    "text",
    "text",
    "integer",
    "text",
]
_GIVEN: Final = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(_KINDS, 2))
_INSERT: Final = (
    f"INSERT INTO events (tenant_id, {', '.join(STORED)}) "  # noqa: S608 - names of our own table
    f"SELECT $1, {', '.join(f'g.{name}' for name in STORED[:-1])}, g.properties::jsonb "
    f"FROM unnest({_GIVEN}) AS g ({', '.join(STORED)}) "
    "ON CONFLICT DO NOTHING"
)
# One look per id: of a thousand at once the planner, before it has statistics of a new month, thinks it cheaper to walk
# all of the tenant's events by another index (measured: 14 µs an event more for every 150,000 events).
_KNOWN: Final = """
SELECT g.id FROM unnest($2::uuid[]) AS g (id)
CROSS JOIN LATERAL (SELECT FROM events e WHERE e.tenant_id = $1 AND e.id = g.id LIMIT 1) AS k
"""
_REMOVE: Final = """
WITH gone AS (DELETE FROM events WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) RETURNING customer_id)
SELECT count(*) AS events, array_agg(DISTINCT customer_id) FILTER (WHERE customer_id IS NOT NULL) AS customers FROM gone
"""
# Planned anew each time: a plan made while a month was empty is the wrong one when it has grown.
_FRESH_PLANS: Final = "SET LOCAL plan_cache_mode = force_custom_plan"
_HOLD: Final = "SELECT pg_advisory_xact_lock($1)"

# Who was merged into another is that other now.
_LIVING: Final = """
SELECT c.id, w.id AS customer_id
FROM customers c JOIN customers w ON w.tenant_id = c.tenant_id AND w.id = coalesce(c.merged_into_id, c.id)
WHERE c.tenant_id = $1 AND c.id = ANY ($2::uuid[]) AND w.deleted_at IS NULL
"""
_BY_IDENTITY: Final = """
SELECT external_id, customer_id FROM customer_identities
WHERE tenant_id = $1 AND platform = $2 AND external_id = ANY ($3::text[])
"""
_BY_CONTACT: Final = """
SELECT p.customer_id, p.verified_at IS NOT NULL AS verified
FROM contact_points p JOIN customers c ON c.tenant_id = p.tenant_id AND c.id = p.customer_id
WHERE p.tenant_id = $1 AND p.kind = $2 AND p.value = $3 AND c.deleted_at IS NULL
ORDER BY verified DESC LIMIT 2
"""

# For each device the marks between the first and the last of its events, and the one on either side.
_MARKS: Final = """
SELECT d.device_id, m.at, m.customer_id
FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) AS d (device_id, low, high)
CROSS JOIN LATERAL (
  (SELECT i.at, i.customer_id FROM identifications i
   WHERE i.tenant_id = $1 AND i.device_id = d.device_id AND i.at <= d.low ORDER BY i.at DESC LIMIT 1)
  UNION ALL
  (SELECT i.at, i.customer_id FROM identifications i
   WHERE i.tenant_id = $1 AND i.device_id = d.device_id AND i.at > d.low AND i.at <= d.high)
  UNION ALL
  (SELECT i.at, i.customer_id FROM identifications i
   WHERE i.tenant_id = $1 AND i.device_id = d.device_id AND i.at > d.high ORDER BY i.at LIMIT 1)
) AS m
ORDER BY d.device_id, m.at
"""
_AROUND: Final = """
SELECT (SELECT max(at) FROM identifications WHERE tenant_id = $1 AND device_id = $2 AND at < $3) AS low,
       (SELECT min(at) FROM identifications WHERE tenant_id = $1 AND device_id = $2 AND at > $3) AS high
"""
_GIVE: Final = """
WITH due AS MATERIALIZED (
  SELECT id, occurred_at, customer_id FROM events
  WHERE tenant_id = $1 AND device_id = $2 AND NOT stated AND customer_id IS DISTINCT FROM $5
    AND occurred_at >= coalesce($3, '-infinity'::timestamptz) AND occurred_at < coalesce($4, 'infinity'::timestamptz)
  LIMIT $6
), given AS (
  UPDATE events e SET customer_id = $5 FROM due
  WHERE e.tenant_id = $1 AND e.id = due.id AND e.occurred_at = due.occurred_at
)
SELECT count(*) AS events, array_agg(DISTINCT customer_id) FILTER (WHERE customer_id IS NOT NULL) AS losing FROM due
"""
_EXPIRED: Final = """
WITH old AS MATERIALIZED (
  SELECT id, occurred_at FROM events WHERE tenant_id = $1 AND occurred_at < $2 ORDER BY occurred_at LIMIT $3
), gone AS (
  DELETE FROM events e USING old WHERE e.tenant_id = $1 AND e.id = old.id AND e.occurred_at = old.occurred_at
  RETURNING e.customer_id
)
SELECT count(*) AS events, array_agg(DISTINCT customer_id) FILTER (WHERE customer_id IS NOT NULL) AS customers FROM gone
"""

# Strength of interest: a cart counts five looks. Bought means: an order since the look began that was not cancelled.
_VIEWED: Final = """
WITH viewed AS (
  SELECT e.sku, count(*) FILTER (WHERE e.type <> 'cart_remove')::int AS views,
         count(*) FILTER (WHERE e.type = 'cart_add')::int AS cart_adds,
         coalesce(sum(e.dwell_ms), 0)::bigint AS dwell_ms, max(e.occurred_at) AS last_viewed_at
  FROM events e
  WHERE e.tenant_id = $1 AND e.customer_id = $2 AND e.occurred_at >= $3 AND e.sku IS NOT NULL
  GROUP BY e.sku
)
SELECT v.sku, p.id AS product_id, p.name, p.category, v.views, v.cart_adds, v.dwell_ms, v.last_viewed_at
FROM viewed v LEFT JOIN products p ON p.tenant_id = $1 AND p.sku = v.sku
WHERE NOT EXISTS (
  SELECT FROM orders o JOIN order_lines l ON l.tenant_id = o.tenant_id AND l.order_id = o.id
  WHERE o.tenant_id = $1 AND o.customer_id = $2 AND o.placed_at >= $3 AND o.status <> 'cancelled'
    AND (l.sku = v.sku OR l.product_id = p.id)
)
ORDER BY v.views + 5 * v.cart_adds DESC, v.last_viewed_at DESC, v.sku
LIMIT $4
"""

Span = tuple[str, datetime, datetime]
"""A device, and the times of its first and last event."""


async def hold_still(unit: UnitOfWork, _merge: Merged | None = None) -> None:
    """Keep events out until the unit ends, and wait for batches under way: a merge is about to move rows."""
    await unit.connection.execute(_HOLD, lock_of(unit.tenant_id))


async def _begin(unit: UnitOfWork, buckets: Iterable[int]) -> None:
    """Share the tenant's lock and these, one after the other, so that nobody waits in a circle; one round trip."""
    locks = ",".join(map(str, (lock_of(unit.tenant_id), *buckets)))
    taken = f"SELECT pg_advisory_xact_lock_shared(k) FROM unnest('{{{locks}}}'::bigint[]) AS k"  # noqa: S608 - numbers
    await unit.connection.execute(f"{_FRESH_PLANS}; {taken}")
    unit.plans_for_arrays = True


class EventRepository(Repository):
    """Events."""

    table = events

    async def hold(self, devices: Iterable[str]) -> None:
        """Keep merges and identifications on these devices waiting until the unit ends; other batches go on."""
        await _begin(self.unit, sorted({lock_of(self.unit.tenant_id, device) for device in devices}))

    async def living(self, ids: Iterable[UUID]) -> dict[UUID, UUID]:
        """Return those of the customers who are there, each with the id they have now: merged ones have another's."""
        wanted = list(ids)
        if not wanted:
            return {}
        rows = await self.unit.connection.fetch(_LIVING, self.unit.tenant_id, wanted)
        return {row["id"]: row["customer_id"] for row in rows}

    async def by_identities(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], UUID]:
        """Return (platform, external id) → customer."""
        by_platform: dict[str, list[str]] = {}
        for platform, external_id in pairs:
            by_platform.setdefault(platform, []).append(external_id)
        found: dict[tuple[str, str], UUID] = {}
        for platform, external_ids in by_platform.items():
            rows = await self.unit.connection.fetch(_BY_IDENTITY, self.unit.tenant_id, platform, external_ids)
            found |= {(platform, row["external_id"]): row["customer_id"] for row in rows}
        return found

    async def by_contact(self, kind: str, value: str) -> list[tuple[UUID, bool]]:
        """Return up to two living customers with a contact point, and whether it is verified, those first."""
        rows = await self.unit.connection.fetch(_BY_CONTACT, self.unit.tenant_id, kind, value)
        return [(row["customer_id"], row["verified"]) for row in rows]

    async def marks(self, spans: Sequence[Span]) -> dict[str, list[Mark]]:
        """Return what decides whose the events of these spans are, by time."""
        found: dict[str, list[Mark]] = {}
        if spans:
            columns_ = [list(column) for column in zip(*spans, strict=True)]
            for row in await self.unit.connection.fetch(_MARKS, self.unit.tenant_id, *columns_):
                found.setdefault(row["device_id"], []).append(Mark(row["at"], row["customer_id"]))
        return found

    async def known(self, ids: Sequence[UUID]) -> set[UUID]:
        """Return those of the ids that are stored already, at whatever time."""
        return {row["id"] for row in await self.unit.connection.fetch(_KNOWN, self.unit.tenant_id, ids)}

    async def add(self, rows: Sequence[Sequence[Any]]) -> int:
        """Insert events (`STORED`, sorted by id); returns how many a rival had not stored just now."""
        if not rows:
            return 0
        tag = await self.unit.connection.execute(_INSERT, self.unit.tenant_id, *zip(*rows, strict=True))
        return int(tag.rpartition(" ")[2])

    async def remove_many(self, ids: Sequence[UUID]) -> tuple[int, list[UUID]]:
        """Delete events; returns how many there were, and whose."""
        row = await self.unit.connection.fetchrow(_REMOVE, self.unit.tenant_id, ids)
        return (0, []) if row is None else (row["events"], row["customers"] or [])

    async def delete_before(self, moment: datetime, limit: int) -> tuple[int, list[UUID]]:
        """Delete the oldest events before a moment, at most so many; returns how many, and whose."""
        row = await self.unit.connection.fetchrow(_EXPIRED, self.unit.tenant_id, moment, limit)
        return (0, []) if row is None else (row["events"], row["customers"] or [])

    async def viewed_not_bought(self, customer_id: UUID, since: datetime, limit: int) -> list[ViewedProduct]:
        """Return what the customer looked at since a moment and did not buy, strongest interest first."""
        rows = await self.unit.connection.fetch(_VIEWED, self.unit.tenant_id, customer_id, since, limit)
        return [ViewedProduct.model_validate(dict(row)) for row in rows]

    async def customer_exists(self, customer_id: UUID) -> bool:
        """Return whether the caller sees this customer."""
        t = CUSTOMER.table.alias()
        there = [t.c.tenant_id == self.unit.tenant_id, t.c.id == customer_id]
        if CUSTOMER.where is not None:
            there.append(CUSTOMER.where(t))
        return bool(await self.unit.fetch_value(select(exists().where(*there))))

    async def retention_days(self) -> int:
        """Return how long the tenant keeps events."""
        found = await self.unit.fetch_value(select(event_settings.c.retention_days).where(self.mine(event_settings)))
        return DEFAULT_RETENTION_DAYS if found is None else int(found)

    async def set_retention_days(self, days: int) -> None:
        """Store how long the tenant keeps events."""
        statement = insert(event_settings).values(tenant_id=self.unit.tenant_id, retention_days=days)
        await self.unit.execute(
            statement.on_conflict_do_update(index_elements=["tenant_id"], set_={"retention_days": days})
        )


class IdentificationRepository(Repository):
    """Who identified themselves where."""

    table = identifications

    async def hold_device(self, device_id: str) -> None:
        """Wait for batches with events of the device, and keep others out until the unit ends."""
        connection, tenant_id = self.unit.connection, self.unit.tenant_id
        await _begin(self.unit, [])
        await connection.execute(_HOLD, lock_of(tenant_id, device_id))

    async def at(self, device_id: str, at: datetime) -> asyncpg.Record | None:
        """Return what is known of a device at exactly this moment."""
        t = identifications
        return await self.unit.fetch_one(select(t).where(self.mine(), t.c.device_id == device_id, t.c.at == at))

    async def of_customers(self, customer_ids: Sequence[UUID]) -> list[UUID]:
        """Return the identifications of these customers."""
        t = identifications
        rows = await self.unit.fetch_all(
            select(t.c.id).where(self.mine(), t.c.customer_id == any_(literal(customer_ids, ARRAY(Uuid()))))
        )
        return [row["id"] for row in rows]

    async def around(self, device_id: str, at: datetime) -> tuple[datetime | None, datetime | None]:
        """Return the times of the marks before and after a moment."""
        row = await self.unit.connection.fetchrow(_AROUND, self.unit.tenant_id, device_id, at)
        assert row is not None  # noqa: S101 - a select without FROM yields a row
        return row["low"], row["high"]

    async def give(
        self,
        device_id: str,
        span: tuple[datetime | None, datetime | None],
        customer_id: UUID | None,
        limit: int,
    ) -> tuple[int, set[UUID]]:
        """Give events of a span that do not say themselves whose they are to a customer, at most so many.

        Returns:
            How many changed hands, and who lost some.

        """
        row = await self.unit.connection.fetchrow(_GIVE, self.unit.tenant_id, device_id, *span, customer_id, limit)
        assert row is not None  # noqa: S101 - an aggregate always yields a row
        return row["events"], set(row["losing"] or ())


# -- partitions, under the system role ---------------------------------------------------------------------------------


async def missing_months(connection: Any, ahead: int) -> list[Any]:
    """Return the months that need a partition: those to come, and those with events in the default one."""
    return [row[0] for row in await connection.fetch("SELECT crm_events_missing_months($1)", ahead)]


async def make_partition(connection: Any, month: Any) -> bool:
    """Make a month's partition and move what waited for it; False when it is there."""
    made: bool = await connection.fetchval("SELECT crm_events_make_partition($1)", month)
    return made


async def drop_expired_partitions(connection: Any) -> int:
    """Drop partitions whose every event is older than what any tenant keeps; returns how many."""
    dropped: int = await connection.fetchval("SELECT crm_events_drop_expired()")
    return dropped


def properties_text(properties: Mapping[str, Any]) -> str:
    """Return an event's properties as they travel to the database."""
    return orjson.dumps(properties).decode()
