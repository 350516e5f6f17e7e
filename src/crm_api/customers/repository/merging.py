"""What a merge does to a customer's own tables beyond giving rows to the winner."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from crm_api.customers.tables import contact_points
from crm_api.db.repository import Repository

# Of each kind one point is tried first: the winner's, else the first loser's.
_DEMOTE: Final = """
UPDATE contact_points p SET is_primary = false
WHERE p.tenant_id = $1 AND p.customer_id = ANY ($3::uuid[]) AND p.is_primary
  AND EXISTS (
    SELECT FROM contact_points rival
    WHERE rival.tenant_id = $1 AND rival.kind = p.kind AND rival.is_primary
      AND (rival.customer_id = $2
           OR (rival.customer_id = ANY ($3::uuid[]) AND rival.customer_id < p.customer_id))
  )
RETURNING p.id
"""
# Not where somebody has named another one since.
_PROMOTE: Final = """
UPDATE contact_points p SET is_primary = true
WHERE p.tenant_id = $1 AND p.id = ANY ($2::uuid[])
  AND NOT EXISTS (
    SELECT FROM contact_points rival
    WHERE rival.tenant_id = $1 AND rival.customer_id = p.customer_id AND rival.kind = p.kind AND rival.is_primary
      AND rival.id <> ALL ($2::uuid[])
  )
"""


class PrimaryContactRepository(Repository):
    """Which contact point of a kind is tried first, when customers become one."""

    table = contact_points

    async def demote(self, winner_id: UUID, loser_ids: Sequence[UUID]) -> list[UUID]:
        """Leave one first of each kind, before the points become one customer's; returns those that were."""
        rows = await self.unit.connection.fetch(_DEMOTE, self.unit.tenant_id, winner_id, list(loser_ids))
        return sorted(row["id"] for row in rows)

    async def promote(self, ids: Sequence[UUID]) -> None:
        """Undo ``demote``."""
        await self.unit.connection.execute(_PROMOTE, self.unit.tenant_id, list(ids))
