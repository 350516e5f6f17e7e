"""What households say of an erased customer: their names when nobody else is left, and what the log says of them."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from crm_api.db.ownership import Erased
from crm_api.db.uow import UnitOfWork

_ERASE: Final = """
UPDATE households h SET name = ''
WHERE h.tenant_id = $1 AND h.name <> ''
  AND EXISTS (
    SELECT FROM household_members m
    WHERE m.tenant_id = $1 AND m.household_id = h.id AND m.customer_id = ANY ($2::uuid[])
  )
  AND NOT EXISTS (
    SELECT FROM household_members m
    WHERE m.tenant_id = $1 AND m.household_id = h.id AND m.customer_id <> ALL ($2::uuid[])
  )
"""

_HOUSEHOLDS: Final = """
SELECT DISTINCT household_id FROM household_members
WHERE tenant_id = $1 AND (customer_id = ANY ($2::uuid[]) OR guardian_id = ANY ($2::uuid[]))
"""


async def households_of(unit: UnitOfWork, customer_ids: Sequence[UUID]) -> list[UUID]:
    """Return the households they belong to: what the audit log says of these names their children."""
    rows = await unit.connection.fetch(_HOUSEHOLDS, unit.tenant_id, customer_ids)
    return [row["household_id"] for row in rows]


async def erase_names(unit: UnitOfWork, erased: Erased) -> int:
    """Clear the names of households in which no other customer is; returns how many."""
    status = await unit.connection.execute(_ERASE, unit.tenant_id, erased.customer_ids)
    return int(status.rpartition(" ")[2])
