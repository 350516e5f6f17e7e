"""What becomes of points in a merge, an export and an erasure."""

from crm_api.db.ownership import Merged, MergeHook, Notes, Owned, on_merge, own
from crm_api.db.uow import UnitOfWork
from crm_api.loyalty.merging import PointsMerge
from crm_api.loyalty.tables import (
    loyalty_accruals,
    loyalty_entries,
    loyalty_hold_parts,
    loyalty_holds,
    loyalty_lot_movements,
    loyalty_lots,
    loyalty_reviews,
    loyalty_transactions,
    loyalty_wallets,
)

own(
    Owned(loyalty_wallets, on_merge="stay", why="points move by a transaction of the ledger"),
    Owned(loyalty_accruals, follows=("order_id", "orders")),
    Owned(loyalty_lots, on_merge="hook", through=("wallet_id", loyalty_wallets)),
    Owned(loyalty_transactions, through=("wallet_id", loyalty_wallets), erase="blank", blank={"reason": None}),
    Owned(
        loyalty_holds, on_merge="hook", through=("wallet_id", loyalty_wallets), erase="blank", blank={"reason": None}
    ),
    Owned(loyalty_hold_parts, through=("hold_id", loyalty_holds), export=False),
    Owned(
        loyalty_reviews, on_merge="hook", through=("wallet_id", loyalty_wallets), erase="blank", blank={"note": None}
    ),
    Owned(loyalty_entries, through=("transaction_id", loyalty_transactions), export=False),
    Owned(loyalty_lot_movements, through=("transaction_id", loyalty_transactions), export=False),
)


async def _lock(unit: UnitOfWork, merged: Merged) -> Notes | None:
    await PointsMerge(unit).lock(merged)
    return None


async def _merge(unit: UnitOfWork, merged: Merged) -> Notes | None:
    return await PointsMerge(unit).merge(merged)


async def _unmerge(unit: UnitOfWork, merged: Merged) -> Notes | None:
    return await PointsMerge(unit).unmerge(merged)


on_merge(MergeHook("loyalty", lock=_lock, merged=_merge, undone=_unmerge))
