"""Giving many customers other owners at once."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from crm_api.customers.tables import customers
from crm_api.db.repository import Repository

_LOCK = """
SELECT id FROM customers WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) ORDER BY id FOR NO KEY UPDATE
"""
_SAY = "SELECT set_config('app.ownership', $1, true)"
_HAND_OVER = """
UPDATE customers AS c SET owner_id = g.taker, version = c.version + 1, updated_at = now()
FROM unnest($2::uuid[], $3::uuid[], $4::uuid[]) AS g (id, giver, taker)
WHERE c.tenant_id = $1 AND c.id = g.id AND c.id = ANY ($2::uuid[]) AND c.deleted_at IS NULL
  AND c.owner_id IS NOT DISTINCT FROM g.giver AND c.owner_id IS DISTINCT FROM g.taker
RETURNING c.id
"""

Handover = tuple[UUID, UUID | None, UUID | None]
"""Customer, who has them, who gets them."""


class OwnerRepository(Repository):
    """Owners of customers."""

    table = customers

    async def hand_over(self, rows: Sequence[Handover], told: Mapping[str, Any]) -> set[UUID]:
        """Give customers to others; returns those who still had the owner named.

        Rows are locked in the order of ids, as all writers of many customers do.

        Args:
            rows: each customer once.
            told: ``cause``, ``by_id``, ``note``, ``at``: what the trigger of ``customers`` writes into the history.

        """
        ids, givers, takers = (list(each) for each in zip(*rows, strict=True))
        connection, tenant = self.unit.connection, self.unit.tenant_id
        await connection.fetch(_LOCK, tenant, ids)
        await connection.execute(_SAY, orjson.dumps(told).decode())
        done = await connection.fetch(_HAND_OVER, tenant, ids, givers, takers)
        await connection.execute(_SAY, "")
        return {row["id"] for row in done}
