"""What becomes of pairs and what is compared when customers are merged, exported or erased."""

from crm_api.db.ownership import Merged, MergeHook, Notes, Owned, on_merge, own
from crm_api.db.uow import UnitOfWork
from crm_api.duplicates.service import CandidateService
from crm_api.duplicates.tables import duplicate_candidates, duplicate_features, duplicate_keys

_DERIVED = "made anew from the rows by the next search"
_HISTORY = "a pair is about two ids, whoever they became; it holds weights, no values"

own(
    Owned(duplicate_features, on_merge="stay", why=_DERIVED, erase="delete", export=False),
    Owned(duplicate_keys, on_merge="stay", why=_DERIVED, erase="delete", export=False),
    *(
        Owned(
            duplicate_candidates,
            column=column,
            on_merge="stay",
            why=_HISTORY,
            # Its fingerprint is a hash of what was compared.
            erase="delete",
            export=False,
        )
        for column in ("first_id", "second_id")
    ),
)


async def _merged(unit: UnitOfWork, merged: Merged) -> Notes | None:
    await CandidateService(unit).forget(merged.loser_ids)
    return None


async def _undone(unit: UnitOfWork, merged: Merged) -> Notes | None:
    await CandidateService(unit).merge_undone(merged)
    return None


on_merge(MergeHook("duplicates", merged=_merged, undone=_undone))
