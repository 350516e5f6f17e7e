"""What becomes of patterns in a merge, an export and an erasure."""

from crm_api.db.ownership import Merged, MergeHook, Notes, Owned, on_merge, own
from crm_api.db.uow import UnitOfWork
from crm_api.patterns.service import PatternService
from crm_api.patterns.tables import customer_favourites, customer_interests, customer_patterns

_DERIVED = "made anew from the orders and events"

own(
    Owned(customer_patterns, on_merge="stay", why=_DERIVED, erase="delete"),
    Owned(customer_favourites, on_merge="stay", why=_DERIVED, erase="delete"),
    Owned(customer_interests, on_merge="stay", why=_DERIVED, erase="delete"),
)


async def _unite(unit: UnitOfWork, merged: Merged) -> Notes | None:
    await PatternService(unit).unite(merged.winner_id, merged.loser_ids)
    return None


async def _part(unit: UnitOfWork, merged: Merged) -> Notes | None:
    await PatternService(unit).refresh(merged.sides)
    return None


on_merge(MergeHook("patterns", merged=_unite, undone=_part))
