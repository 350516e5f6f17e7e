"""What imports remember of a customer who is erased: journals for the undo, and the cells of rows that failed."""

from typing import Final

from crm_api.db.ownership import Erased
from crm_api.db.uow import UnitOfWork

# Without its resource a row is passed over by an undo: what it made of an erased customer is not taken back.
_ROWS: Final = """
WITH rows AS (
  UPDATE import_rows SET resource_id = NULL, journal = NULL, errors = NULL, undo_errors = NULL
  WHERE tenant_id = $1 AND resource_id = ANY ($2::uuid[])
  RETURNING import_id, row
), cells AS (
  DELETE FROM import_cells c USING rows
  WHERE c.tenant_id = $1 AND c.import_id = rows.import_id AND c.row = rows.row
)
SELECT count(*) FROM rows
"""
# A row that failed belongs to nobody; it is known by what stands in its cells.
_CELLS: Final = """
DELETE FROM import_cells
WHERE tenant_id = $1
  AND EXISTS (SELECT FROM unnest($2::bytea[]) AS trace WHERE position(trace IN convert_to(cells::text, 'UTF8')) > 0)
"""


async def erase_rows(unit: UnitOfWork, erased: Erased) -> int:
    """Forget what imported rows said of these customers; returns how many rows that were."""
    ids = [*erased.customer_ids, *erased.row_ids]
    rows = await unit.connection.fetchval(_ROWS, unit.tenant_id, ids)
    status = await unit.connection.execute(_CELLS, unit.tenant_id, erased.traces)
    return int(rows) + int(status.rpartition(" ")[2])
