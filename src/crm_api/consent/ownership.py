"""What becomes of consent in a merge, an export and an erasure."""

from crm_api.consent.repository import ConsentRepository
from crm_api.consent.tables import consent_states, consents
from crm_api.db.ownership import Merged, MergeHook, Owned, on_merge, own
from crm_api.db.uow import UnitOfWork

own(
    Owned(consents, erase="blank", blank={"proof": None}),
    Owned(consent_states, on_merge="stay", why="made anew from the ledger", export=False, erase="delete"),
)


async def _rebuild(unit: UnitOfWork, merged: Merged) -> None:
    await ConsentRepository(unit).rebuild([merged.winner_id, *merged.loser_ids])


on_merge(MergeHook("consent", merged=_rebuild, undone=_rebuild))
