"""What of subject exports and erasures becomes of a merge, an export and an erasure themselves."""

from crm_api.db.ownership import Merged, MergeHook, Owned, on_merge, own
from crm_api.db.uow import UnitOfWork
from crm_api.privacy.service import ErasureService
from crm_api.privacy.tables import erasures, subject_export_blocks, subject_exports

_HISTORY = "what was asked for about the old id"

own(
    Owned(subject_exports, on_merge="stay", why=_HISTORY),
    Owned(subject_export_blocks, through=("export_id", subject_exports), export=False, erase="delete"),
    Owned(erasures, on_merge="stay", why="open ones forbid the merge, others are history"),
)


async def _refuse(unit: UnitOfWork, merged: Merged) -> None:
    await ErasureService(unit).refuse_while_pending([merged.winner_id, *merged.loser_ids])


on_merge(MergeHook("privacy", lock=_refuse, undone=_refuse))
