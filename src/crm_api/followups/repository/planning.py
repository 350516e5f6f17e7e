"""Whom a plan is for, what is known of them, and the tasks that follow: a few statements for many customers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy import select

from crm_api.customers.tables import customers
from crm_api.db.bulk import checks_planned_once
from crm_api.db.repository import Repository
from crm_api.followups.tables import follow_ups
from crm_api.neglect.repository import NEGLECTED_CUSTOMER, silent_since

# The rows of customers are held FOR SHARE: no owner changes between being read here and the task's commit, so that a
# handover either is seen, or sees the task.
_MEMBERS: Final = """
SELECT c.id, c.owner_id, m.entered_at AS joined_at
FROM segment_members m JOIN customers c ON c.tenant_id = $1 AND c.id = m.customer_id
WHERE m.tenant_id = $1 AND m.segment_id = $2 AND m.customer_id > $3 AND c.deleted_at IS NULL
ORDER BY m.customer_id LIMIT $4 FOR SHARE OF c
"""
_EVERYBODY: Final = """
SELECT c.id, c.owner_id, c.created_at AS joined_at
FROM customers c
WHERE c.tenant_id = $1 AND $2::uuid IS NULL AND c.id > $3 AND c.deleted_at IS NULL
ORDER BY c.id LIMIT $4 FOR SHARE OF c
"""

_FACTS: Final = """
SELECT p.id, s.id AS owner_id,
  (SELECT min(k.days) FROM unnest($3::text[], $4::text[], $5::int[]) AS k (dimension, class, days)
   LEFT JOIN customer_scores sc ON sc.tenant_id = $1 AND sc.customer_id = p.id
   LEFT JOIN customer_tiers t ON t.tenant_id = $1 AND t.customer_id = p.id AND t.main
   WHERE k.dimension = 'all' OR k.class = CASE k.dimension
     WHEN 'tier' THEN t.code WHEN 'frequency' THEN sc.frequency_class WHEN 'amount' THEN sc.amount_class
     WHEN 'loyalty' THEN sc.loyalty_class WHEN 'value' THEN sc.value_class WHEN 'activity' THEN sc.activity_class
     WHEN 'grade' THEN sc.grade WHEN 'lifecycle' THEN sc.lifecycle WHEN 'value_potential' THEN sc.value_potential
     END) AS every_days,
  l.slot AS last_slot, l.closed_at,
  CASE WHEN $6 THEN (SELECT max(i.occurred_at) FROM interactions i
    WHERE i.tenant_id = $1 AND i.customer_id = p.id AND i.occurred_at <= $8) END AS contacted_at,
  ARRAY(SELECT DISTINCT k.kind FROM contact_points k WHERE k.tenant_id = $1 AND k.customer_id = p.id) AS kinds,
  CASE WHEN $7 THEN (SELECT i.channel FROM interactions i
    WHERE i.tenant_id = $1 AND i.customer_id = p.id AND i.direction = 'inbound'
      AND i.occurred_at <= $8 AND i.occurred_at > $8 - interval '365 days'
    GROUP BY i.channel ORDER BY count(*) DESC, max(i.occurred_at) DESC, i.channel LIMIT 1) END AS preferred
FROM unnest($9::uuid[], $10::uuid[]) AS p (id, owner_id)
LEFT JOIN staff s ON s.tenant_id = $1 AND s.id = p.owner_id AND s.active
LEFT JOIN LATERAL (
  SELECT f.slot, f.closed_at FROM follow_ups f
  WHERE f.tenant_id = $1 AND f.plan_id = $2 AND f.customer_id = p.id AND f.slot IS NOT NULL
  ORDER BY f.slot DESC LIMIT 1
) l ON true
WHERE $11 OR NOT EXISTS (
  SELECT FROM follow_ups o
  WHERE o.tenant_id = $1 AND o.plan_id = $2 AND o.customer_id = p.id AND o.state = 'open')
ORDER BY p.id
"""

_COLUMNS: Final = {
    "id": "uuid",
    "customer_id": "uuid",
    "key": "text",
    "slot": "date",
    "state": "text",
    "due_on": "date",
    "due_from": "timestamptz",
    "due_at": "timestamptz",
    "channel": "text",
    "assignee_id": "uuid",
    "follows_owner": "boolean",
    "complaint_id": "uuid",
    "closed_at": "timestamptz",
}
_NAMES: Final = ", ".join(f'"{name}"' for name in _COLUMNS)
_INSERT: Final = (
    f"INSERT INTO follow_ups (tenant_id, plan_id, plan_number, source, subject, instructions, {_NAMES}) "  # noqa: S608 - our names
    f"SELECT $1, $2, $3, $4, $5, $6, {_NAMES} FROM unnest("
    + ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(_COLUMNS.values(), 7))
    + f") AS given ({_NAMES}) ORDER BY customer_id "
    "ON CONFLICT (tenant_id, customer_id, key) DO NOTHING RETURNING id, customer_id, assignee_id, due_at, state"
)


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of a customer a plan may make a task for.

    Attributes:
        row: ``id``, ``owner_id`` (if active), ``every_days``, ``last_slot``, ``closed_at``, ``contacted_at``,
            ``kinds`` of contact points, ``preferred`` channel.
        joined_at: when they joined those the plan is for.

    """

    row: asyncpg.Record
    joined_at: datetime


class PlanningRepository(Repository):
    """What making tasks takes."""

    table = follow_ups

    async def members(self, segment_id: UUID | None, after: UUID, limit: int) -> list[asyncpg.Record]:
        """Return some of those a plan is for, by id, and hold them: nobody's owner changes until the unit ends."""
        sql = _EVERYBODY if segment_id is None else _MEMBERS
        return await self.unit.connection.fetch(sql, self.unit.tenant_id, segment_id, after, limit)

    async def hold(self, customer_ids: Sequence[UUID], segment_id: UUID | None) -> list[asyncpg.Record]:
        """Return and hold those of these customers that a plan is for."""
        sql = (
            "SELECT c.id, c.owner_id, c.created_at AS joined_at FROM customers c "
            "WHERE c.tenant_id = $1 AND c.id = ANY ($2::uuid[]) AND c.deleted_at IS NULL "
            "AND ($3::uuid IS NULL OR EXISTS (SELECT FROM segment_members m "
            "WHERE m.tenant_id = $1 AND m.segment_id = $3 AND m.customer_id = c.id)) ORDER BY c.id FOR SHARE OF c"
        )
        return await self.unit.connection.fetch(sql, self.unit.tenant_id, customer_ids, segment_id)

    async def customers_of_cases(self, complaint_ids: Sequence[UUID]) -> dict[UUID, UUID]:
        """Return whose these cases are now."""
        sql = "SELECT id, customer_id FROM complaints WHERE tenant_id = $1 AND id = ANY ($2::uuid[])"
        rows = await self.unit.connection.fetch(sql, self.unit.tenant_id, complaint_ids)
        return {row["id"]: row["customer_id"] for row in rows}

    async def facts(self, plan: asyncpg.Record, people: Sequence[asyncpg.Record], now: datetime) -> list[Fact]:
        """Return what is known of those of these people who have no open task of the plan, by id.

        Each low rating has a task of its own: for such a plan all of these people.
        """
        cadences: Sequence[Mapping[str, Any]] = plan["cadences"]
        rows = await self.unit.connection.fetch(
            _FACTS,
            self.unit.tenant_id,
            plan["id"],
            [each["dimension"] for each in cadences],
            [each["class_name"] for each in cadences],
            [each["every_days"] for each in cadences],
            plan["counts_contacts"],
            plan["by_preference"],
            now,
            [each["id"] for each in people],
            [each["owner_id"] for each in people],
            plan["trigger"] == "low_rating",
        )
        joined = {each["id"]: each["joined_at"] for each in people}
        return [Fact(row, joined[row["id"]]) for row in rows]

    async def add(self, plan: asyncpg.Record, source: str, tasks: Sequence[Mapping[str, Any]]) -> list[asyncpg.Record]:
        """Insert tasks, each a mapping of the columns above; returns those that were not there."""
        if not tasks:
            return []
        values = [[each[name] for each in tasks] for name in _COLUMNS]
        async with checks_planned_once(self.unit):
            said = (plan["id"], plan["number"], source, plan["subject"], plan["script"])
            return await self.unit.connection.fetch(_INSERT, self.unit.tenant_id, *said, *values)

    async def neglected(self, now: datetime, limit: int, after: UUID) -> list[tuple[UUID, datetime]]:
        """Return customers nobody has spoken with in time, by id, and since when they have heard nothing."""
        assert NEGLECTED_CUSTOMER.where is not None  # noqa: S101 - neglect is what it says
        statement = (
            select(customers.c.id, silent_since(customers).label("since"))
            .where(self.mine(customers), customers.c.id > after, NEGLECTED_CUSTOMER.where(customers))
            .order_by(customers.c.id)
            .limit(limit)
        )
        rows = await self.unit.fetch_all(statement, {"tenant_id": self.unit.tenant_id, "now": now})
        return [(row["id"], row["since"]) for row in rows]
