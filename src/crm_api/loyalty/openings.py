"""Opening balances: the points customers bring along from an earlier system.

One per customer and programme: an ``adjust`` of the ledger with the key ``opening:<wallet>:<n>``. The same balance
again changes nothing, another one is refused; what a merged customer brought along is one of who they became.
Taking one back appends a transaction with the key ``opening-undone:<transaction>``; after that the wallet may be opened
anew, as number n + 1.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from crm_api.core.errors import FieldError
from crm_api.core.undo import DONE, GONE, Entry, Undone
from crm_api.db.uow import UnitOfWork
from crm_api.loyalty.lots import Lot, LotTimes, Note
from crm_api.loyalty.models import OpeningRow, OpeningVerdict
from crm_api.loyalty.programmes import Programme
from crm_api.loyalty.repository import Opening, TransactionRepository, WalletRepository
from crm_api.loyalty.rules import Wallet


class BulkOpenings:
    """One call of ``LoyaltyService.open_many``."""

    def __init__(self, unit: UnitOfWork, programme: Programme) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.programme = programme
        self.now = unit.now()
        self.wallets: dict[UUID, Wallet] = {}
        self.openings: dict[UUID, list[Opening]] = {}

    async def run(self, rows: Sequence[OpeningRow]) -> list[OpeningVerdict]:
        """Book in memory; returns one verdict per row. ``wallets`` are to be written then."""
        repository = WalletRepository(self.unit)
        self.wallets = await repository.open_wallets(self.programme.id, {row.customer_id for row in rows})
        await repository.load_lots(self.wallets.values())
        self.openings = await TransactionRepository(self.unit).openings([wallet.id for wallet in self.wallets.values()])
        return [self._take(row) for row in rows]

    def _take(self, row: OpeningRow) -> OpeningVerdict:
        wallet = self.wallets[row.customer_id]
        earlier = self.openings.setdefault(wallet.id, [])
        standing = [each for each in earlier if not each.undone]
        if standing:
            same = next((each for each in standing if each.points == row.points), None)
            return OpeningVerdict(same.id, "unchanged") if same else OpeningVerdict(None, "failed", (_DIFFERS,))
        wallet.settle(self.now)
        plan = self.programme
        ends = plan.end_of(row.expires_on) if row.expires_on else plan.expires_at(self.now)
        times = LotTimes(self.now, self.now, ends)
        own = f"opening:{wallet.id}:"
        key = f"{own}{sum(each.key.startswith(own) for each in earlier) + 1}"
        booked = wallet.adjust(row.points, times, self.now, Note(key=key, reason=row.reason))
        earlier.append(Opening(booked.id, wallet.id, row.points, key, undone=False))
        return OpeningVerdict(booked.id, "created")


class UndoOpenings:
    """One call of ``LoyaltyService.undo_openings``."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.now = unit.now()
        self.wallets: Mapping[UUID, Wallet] = {}

    async def run(self, entries: Sequence[Entry]) -> list[Undone]:
        """Book in memory; returns one verdict per entry. ``wallets`` are to be written then."""
        repository = WalletRepository(self.unit)
        lots = await repository.lots([entry.resource_id for entry in entries])
        holders: set[UUID] = set()
        while missing := {lot.wallet_id for lot in lots.values()} - holders:
            # Again, if a merge has moved one before its wallet was locked.
            holders |= missing
            locked = await repository.lock_wallets(sorted(holders))
            self.wallets = {wallet.id: wallet for wallet in locked}
            lots = await repository.lots(list(lots))
        openings = await TransactionRepository(self.unit).openings(list(self.wallets))
        standing = {each.id: each for found in openings.values() for each in found if not each.undone}
        for wallet in self.wallets.values():
            wallet.settle(self.now)
        return [self._take(entry, lots, standing) for entry in entries]

    def _take(self, entry: Entry, lots: Mapping[UUID, Lot], standing: Mapping[UUID, Opening]) -> Undone:
        opening = standing.get(entry.resource_id)
        if opening is None:
            return DONE if entry.resource_id in lots else Undone((GONE,))
        wallet = self.wallets[opening.wallet_id]
        lot = wallet.lots.get(opening.id)
        if lot is None or lot.remaining != opening.points:
            return Undone((_USED,))
        wallet.take_back(lot.id, opening.points, self.now, Note(key=f"opening-undone:{opening.id}"))
        return DONE


_DIFFERS: Final = FieldError(
    "/points",
    "opening_differs",
    "The customer has an opening balance of another size: adjust it by hand",
    "该客户已有不同数额的期初积分：请手动调整",
)
_USED: Final = FieldError(
    "/points",
    "points_used",
    "Some of these points have been spent or have expired since",
    "这些积分已被使用或已过期",
)
