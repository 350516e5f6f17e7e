"""What becomes of points in a merge, an export and an erasure."""

from crm_api.db.ownership import Owned, own
from crm_api.loyalty.tables import (
    loyalty_accruals,
    loyalty_entries,
    loyalty_lot_movements,
    loyalty_lots,
    loyalty_transactions,
    loyalty_wallets,
)

own(
    Owned(loyalty_wallets, on_merge="stay", why="points move by a transaction of the ledger"),
    Owned(loyalty_accruals),
    Owned(loyalty_lots, through=("wallet_id", loyalty_wallets)),
    Owned(loyalty_transactions, through=("wallet_id", loyalty_wallets)),
    Owned(loyalty_entries, through=("transaction_id", loyalty_transactions), export=False),
    Owned(loyalty_lot_movements, through=("transaction_id", loyalty_transactions), export=False),
)
