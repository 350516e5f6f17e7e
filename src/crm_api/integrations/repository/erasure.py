"""What deliveries say of a customer who is erased: no column leads there, so they are sought."""

from typing import Final

from crm_api.db.ownership import Erased
from crm_api.db.uow import UnitOfWork

# A processed delivery names what came of it. One that was not processed is known only by what it says.
_ERASE: Final = """
UPDATE inbound_deliveries SET body = '{}', headers = '{}', error = NULL
WHERE tenant_id = $1 AND body <> '{}' AND (
  EXISTS (SELECT FROM jsonb_each_text(result) AS made WHERE made.value = ANY ($2::uuid[]::text[]))
  OR (state <> 'processed' AND EXISTS (SELECT FROM unnest($3::bytea[]) AS trace WHERE position(trace IN body) > 0))
)
"""


async def erase_deliveries(unit: UnitOfWork, erased: Erased) -> int:
    """Overwrite the bodies and headers of deliveries about these customers; returns how many."""
    ids = [*erased.customer_ids, *erased.row_ids]
    status = await unit.connection.execute(_ERASE, unit.tenant_id, ids, erased.traces)
    return int(status.rpartition(" ")[2])
