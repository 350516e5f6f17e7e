"""What of clean-ups an erasure must reach: the samples show contact points."""

from crm_api.db.ownership import Erased, EraseHook, on_erase
from crm_api.db.uow import UnitOfWork
from crm_api.quality.repository import CleanupRepository


async def _erase(unit: UnitOfWork, erased: Erased) -> int:
    return await CleanupRepository(unit).forget_samples([str(each) for each in erased.customer_ids])


on_erase(EraseHook("quality_cleanups", _erase))
