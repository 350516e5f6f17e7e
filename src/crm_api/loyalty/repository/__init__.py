"""Access to the points ledger."""

from crm_api.loyalty.repository.accruals import AccrualRepository
from crm_api.loyalty.repository.booking import BookingRepository
from crm_api.loyalty.repository.holds import HoldRepository
from crm_api.loyalty.repository.merging import MergeRepository
from crm_api.loyalty.repository.programmes import ProgrammeRepository
from crm_api.loyalty.repository.projections import HOLD, LOT, LOYALTY_ACCOUNT, LOYALTY_ENTRY, PROGRAMME, REVIEW, WALLET
from crm_api.loyalty.repository.proof import drift
from crm_api.loyalty.repository.reviews import ReviewRepository
from crm_api.loyalty.repository.transactions import Opening, TransactionRepository
from crm_api.loyalty.repository.wallets import WalletRepository

__all__ = [
    "HOLD",
    "LOT",
    "LOYALTY_ACCOUNT",
    "LOYALTY_ENTRY",
    "PROGRAMME",
    "REVIEW",
    "WALLET",
    "AccrualRepository",
    "BookingRepository",
    "HoldRepository",
    "MergeRepository",
    "Opening",
    "ProgrammeRepository",
    "ReviewRepository",
    "TransactionRepository",
    "WalletRepository",
    "drift",
]
