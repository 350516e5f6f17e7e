"""Access to what customers think of how their cases went."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import ARRAY, Uuid, any_, literal, select
from sqlalchemy.dialects.postgresql import insert

from crm_api.closing.tables import complaint_ratings
from crm_api.db.compile import compile_statement
from crm_api.db.repository import Repository

_DUE = """
SELECT id FROM complaint_ratings
WHERE tenant_id = $1 AND state = 'planned' AND ask_at <= $2 ORDER BY ask_at, id LIMIT $3 FOR UPDATE SKIP LOCKED
"""
_EXPIRE = """
UPDATE complaint_ratings r SET state = 'expired', version = r.version + 1, updated_at = now()
FROM (
  SELECT id FROM complaint_ratings
  WHERE tenant_id = $1 AND state = 'asked' AND expires_at <= $2 ORDER BY expires_at, id LIMIT $3 FOR UPDATE SKIP LOCKED
) due
WHERE r.tenant_id = $1 AND r.id = due.id
RETURNING r.id, r.complaint_id, r.customer_id
"""
_SATISFACTION = """
SELECT staff_id, count(*)::int AS answers, round(avg(csat), 2)::float8 AS csat, round(avg(ces), 2)::float8 AS ces,
  count(*) FILTER (WHERE low)::int AS low
FROM complaint_ratings
WHERE tenant_id = $1 AND staff_id = ANY ($2::uuid[]) AND answered_at >= $3 AND answered_at < $4
GROUP BY staff_id
"""


class RatingRepository(Repository):
    """Ratings."""

    table = complaint_ratings

    async def of(self, complaint_id: UUID) -> asyncpg.Record | None:
        """Return the rating of a case, held until the unit ends; None when there is none yet."""
        return await self.unit.fetch_one(
            select(complaint_ratings)
            .where(self.mine(), complaint_ratings.c.complaint_id == complaint_id)
            .with_for_update(key_share=True)
        )

    async def plan(self, rating_id: UUID, case: Mapping[str, Any], ask_at: datetime) -> None:
        """Plan to ask about a case. One that was planned is put off; one that was asked stays as it is."""
        row = {
            "tenant_id": self.unit.tenant_id,
            "id": rating_id,
            "complaint_id": case["id"],
            "customer_id": case["customer_id"],
            "staff_id": case["assignee_id"],
            "state": "planned",
            "ask_at": ask_at,
        }
        planned = complaint_ratings.c.state == "planned"
        await self.unit.execute(
            insert(complaint_ratings)
            .values(row)
            .on_conflict_do_update(index_elements=["tenant_id", "complaint_id"], set_={"ask_at": ask_at}, where=planned)
        )

    async def due(self, now: datetime, limit: int) -> list[UUID]:
        """Return ratings that should be asked by now, held; those that another worker holds are its own."""
        rows = await self.unit.connection.fetch(_DUE, self.unit.tenant_id, now, limit)
        return [row["id"] for row in rows]

    async def expire(self, now: datetime, limit: int) -> list[asyncpg.Record]:
        """Close what can be answered no more; returns them."""
        return await self.unit.connection.fetch(_EXPIRE, self.unit.tenant_id, now, limit)

    async def sent_as(self, message_ids: Sequence[UUID]) -> list[asyncpg.Record]:
        """Return the questions that left as these messages."""
        t = complaint_ratings
        return await self.unit.fetch_all(
            select(t)
            .where(self.mine(), t.c.message_id == any_(literal(list(message_ids), ARRAY(Uuid))))
            .order_by(t.c.id)
            .with_for_update(key_share=True)
        )

    async def satisfaction(self, staff_ids: Sequence[UUID], since: datetime, until: datetime) -> list[asyncpg.Record]:
        """Return how content customers were, by who handled their cases."""
        return await self.unit.connection.fetch(_SATISFACTION, self.unit.tenant_id, list(staff_ids), since, until)


async def find_rating(connection: Any, rating_id: UUID) -> list[asyncpg.Record]:
    """Return ratings with this id on a system connection: no tenant is known yet."""
    statement = select(complaint_ratings).where(complaint_ratings.c.id == rating_id)
    text, values = compile_statement(statement)
    found: list[asyncpg.Record] = await connection.fetch(text, *values)
    return found
