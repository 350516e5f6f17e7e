"""What the journal of merges says of an erased customer on other sides than their own.

A merge writes what it took from a loser into the winner's side, into the winner's audit entry and, when it is undone
and somebody had changed a field meanwhile, into its report. The winner may live on: after an undo they are two again.
"""

from typing import Final

from crm_api.db.ownership import Erased
from crm_api.db.system_role import as_system
from crm_api.db.uow import UnitOfWork

_MERGES: Final = "SELECT merge_id FROM merge_sides WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])"

# A merge that still holds is one whose sides are all erased together; of an undone one nobody reads the sides again.
_SIDES: Final = f"""
UPDATE merge_sides SET before = NULL, changes = NULL
WHERE tenant_id = $1 AND merge_id IN ({_MERGES}) AND (before IS NOT NULL OR changes IS NOT NULL)
"""  # noqa: S608 - constants
# A winner merged again before the undo was noted there with what had come from the loser. That there was a profile is
# all an undo asks of it; what it restores stands in `changes`, which the first undo has mended.
_LATER: Final = f"""
UPDATE merge_sides SET before = '{{}}'
WHERE tenant_id = $1 AND merge_id NOT IN ({_MERGES}) AND before <> '{{}}'
  AND customer_id IN (SELECT customer_id FROM merge_sides WHERE tenant_id = $1 AND merge_id IN ({_MERGES}))
"""  # noqa: S608 - constants
_REPORTS: Final = f"""
UPDATE merges SET report = jsonb_set(report, '{{fields_kept}}', '[]')
WHERE tenant_id = $1 AND id IN ({_MERGES}) AND report -> 'fields_kept' <> '[]'
"""  # noqa: S608 - constants
_CONCERNED: Final = f"SELECT id, winner_id FROM merges WHERE tenant_id = $1 AND id IN ({_MERGES})"  # noqa: S608
_AUDIT: Final = """
UPDATE audit_log SET before = NULL, after = (after - 'fields') #- '{report,fields_kept}'
WHERE tenant_id = $1 AND subject_id = ANY ($2::uuid[]) AND operation IN ('customer.merged', 'customer.unmerged')
  AND after ->> 'merge_id' = ANY ($3::uuid[]::text[])
  AND (before IS NOT NULL OR after ? 'fields' OR after -> 'report' ? 'fields_kept')
"""


async def erase_notes(unit: UnitOfWork, erased: Erased) -> int:
    """Forget what merges say of these customers beside their own sides; returns how many rows that were."""
    connection, about = unit.connection, (unit.tenant_id, erased.customer_ids)
    concerned = await connection.fetch(_CONCERNED, *about)
    done = [await connection.execute(statement, *about) for statement in (_LATER, _REPORTS, _SIDES)]
    winners, merges = {row["winner_id"] for row in concerned}, [row["id"] for row in concerned]
    async with as_system(unit):
        done.append(await connection.execute(_AUDIT, unit.tenant_id, winners, merges))
    return sum(int(status.rpartition(" ")[2]) for status in done)
