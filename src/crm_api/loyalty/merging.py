"""Points of customers who become one, and two again.

The losers' lots come into the winner's wallet as they are: same ids, same expiry, same order, pending ones pending. A
transaction on either side says how many points went (account ``merged``: zero over both). Debt comes along, and is set
off against what is available as any debt is; that is a transaction of its own, so that an undo can take it back.
Holds come along with the points they hold.

When the merge is undone, set-offs are taken back, into lots that went back with another merge too: nobody else's points
stay spent on a debt. Each loser gets back their lots with what is left of them, and their holds. So points spent
since fall on the lots they were spent from, in the order all points are spent; a hold made since stays with the winner,
with the points it holds; the sum over all sides stays what it was.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from crm_api.db.ownership import Merged
from crm_api.db.uow import UnitOfWork
from crm_api.loyalty.lots import HandOver
from crm_api.loyalty.programmes import Kind
from crm_api.loyalty.repository import MergeRepository
from crm_api.loyalty.rules import Wallet, hand_over
from crm_api.loyalty.service import LoyaltyService

Group = tuple[UUID, Kind]
"""Programme and kind of a wallet: only wallets of the same become one."""

Groups = Mapping[Group, dict[UUID, Wallet]]
"""Programme and kind → customer → wallet."""


class PointsMerge(LoyaltyService):
    """What the ledger does in a merge and its undo."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        super().__init__(unit)
        self.merges = MergeRepository(unit)

    async def lock(self, merged: Merged) -> None:
        """Lock what orders earned and then the wallets, in the order everybody keeps.

        An undo may give points back to wallets of others: those that lots of a set-off are in by now.
        """
        await self.merges.lock_accruals(merged.sides)
        owners = await self.merges.owners([lot for lots in _set_off(merged).values() for lot in lots])
        await self.wallets.lock_wallets_of(sorted({*merged.sides, *owners}))

    async def merge(self, merged: Merged) -> dict[str, Any]:
        """Bring the losers' points and debt into the winner's wallet; returns what the undo needs."""
        groups = await self._groups(merged)
        theirs = [wallet.id for _, wallet in _losers(groups, merged)]
        lots_of, holds_of = await self.merges.lots_in(theirs), await self.merges.holds_in(theirs)
        notes: dict[str, list[dict[str, Any]]] = {"wallets": [], "set_off": []}
        for group, wallets in groups.items():
            losers = [wallets[each] for each in merged.loser_ids if each in wallets]
            if losers:
                winner = await self._wallet_of(group, wallets, merged.winner_id)
                for loser in losers:
                    note = self._bring(loser, winner, merged)
                    note["lots"] = [str(lot) for lot in lots_of.get(loser.id, ())]
                    note["holds"] = [str(hold) for hold in holds_of.get(loser.id, ())]
                    notes["wallets"].append(note)
                booked = winner.set_off("merge", self.unit.now())
                if booked is not None:
                    movements = {str(lot): -points for lot, points in booked.movements.items()}
                    notes["set_off"].append({"wallet": str(winner.id), "lots": movements})
        await self._book([wallet for wallets in groups.values() for wallet in wallets.values()])
        await self.merges.move_lots({UUID(lot): UUID(each["to"]) for each in notes["wallets"] for lot in each["lots"]})
        await self.merges.move_holds(
            {UUID(hold): UUID(each["to"]) for each in notes["wallets"] for hold in each["holds"]}
        )
        await self.merges.rewire_accruals(merged.sides)
        return {name: told for name, told in notes.items() if told}

    def _bring(self, loser: Wallet, winner: Wallet, merged: Merged) -> dict[str, Any]:
        note = {"from": str(loser.id), "to": str(winner.id), "debt": loser.debt, "held": loser.held}
        if loser.available or loser.pending or loser.debt or loser.held:
            lots = [lot for lot in loser.lots.values() if lot.remaining or lot.held]
            key = f"merge:{merged.id}:{loser.id}"
            what = HandOver("merge", lots, loser.debt, list(loser.holds.values()), key)
            hand_over(loser, winner, what, self.unit.now())
        return note

    async def unmerge(self, merged: Merged) -> dict[str, Any]:
        """Give the losers back what is left of their points; returns what each got."""
        now, set_off = self.unit.now(), _set_off(merged)
        groups = await self._groups(merged, [lot for lots in set_off.values() for lot in lots])
        by_id = {wallet.id: wallet for wallets in groups.values() for wallet in wallets.values()}
        await self._reach(by_id, [lot for lots in set_off.values() for lot in lots])
        for wallet_id, lots in set_off.items():
            _take_back_set_off(by_id[wallet_id], by_id.values(), lots, now)
        going = await self._going_back(merged, groups, by_id)
        points = []
        for loser_id, returning in going.items():
            for to, each in returning.items():
                points.append(self._return(loser_id, by_id, to, each, merged))
        for wallet in by_id.values():
            wallet.set_off("unmerge", now)
            wallet.settle(now)
        await self._book(list(by_id.values()))
        await self.merges.move_lots(
            {lot: to for returning in going.values() for to, each in returning.items() for lot in each.lots}
        )
        await self.merges.move_holds(
            {hold: to for returning in going.values() for to, each in returning.items() for hold in each.holds}
        )
        await self.merges.rewire_accruals(merged.sides)
        return {"points": points}

    async def _reach(self, by_id: dict[UUID, Wallet], lots: list[UUID]) -> None:
        """Add the wallets of others that these lots are in by now."""
        missing = lots
        while missing := [lot for lot in missing if not any(lot in each.lots for each in by_id.values())]:
            # Again, if one has changed hands since it was looked for.
            holders = sorted({lot.wallet_id for lot in (await self.wallets.lots(missing)).values()})
            for wallet in await self.wallets.lock_wallets(holders, missing):
                wallet.settle(self.unit.now())
                by_id[wallet.id] = wallet

    async def _going_back(
        self, merged: Merged, groups: Groups, by_id: dict[UUID, Wallet]
    ) -> dict[UUID, dict[UUID, "_Return"]]:
        """Return loser → wallet → what goes back there: what came from it, and what their orders earned since."""
        going: dict[UUID, dict[UUID, _Return]] = defaultdict(dict)
        for note in merged.notes.get("wallets", ()):
            wallet = by_id[UUID(note["from"])]
            lots, holds = ([UUID(each) for each in note.get(name, ())] for name in ("lots", "holds"))
            going[wallet.customer_id][wallet.id] = _Return(UUID(note["to"]), lots, note["debt"], holds)
        for row in await self.merges.lots_of_orders(merged.winner_id, merged.loser_ids):
            group = row["programme_id"], row["kind"]
            wallet = await self._wallet_of(group, groups[group], row["customer_id"])
            by_id[wallet.id] = wallet
            returning = going[row["customer_id"]].setdefault(wallet.id, _Return(row["wallet_id"], [], 0, []))
            if row["lot_id"] not in returning.lots:
                returning.lots.append(row["lot_id"])
        return going

    def _return(
        self, loser_id: UUID, by_id: Mapping[UUID, Wallet], to: UUID, what: "_Return", merged: Merged
    ) -> dict[str, Any]:
        giver, loser = by_id[what.giver], by_id[to]
        giver.part(loser, what.lots, what.holds)
        holds = [giver.holds[hold] for hold in what.holds if hold in giver.holds]
        open_lots = [giver.lots[lot] for lot in what.lots if lot in giver.lots]
        lots = [lot for lot in open_lots if lot.remaining or lot.held]
        debt = min(what.debt, giver.debt)
        told = {
            "customer_id": str(loser_id),
            "available": sum(lot.remaining for lot in lots if lot.state == "available"),
            "pending": sum(lot.remaining for lot in lots if lot.state == "pending"),
            "debt": debt,
        }
        if told["available"] or told["pending"] or debt or holds:
            key = f"unmerge:{merged.id}:{to}"
            hand_over(giver, loser, HandOver("unmerge", lots, debt, holds, key), self.unit.now())
        return told

    async def _groups(self, merged: Merged, also: list[UUID] | None = None) -> Groups:
        """Return the wallets of all sides, held, with their open lots and ``also`` these, and brought up to date."""
        groups: dict[Group, dict[UUID, Wallet]] = defaultdict(dict)
        for group, wallet in await self.wallets.lock_wallets_of(merged.sides):
            groups[group][wallet.customer_id] = wallet
        wallets = [wallet for each in groups.values() for wallet in each.values()]
        if wallets:
            await self.wallets.load_lots(wallets, also or ())
        for wallet in wallets:
            wallet.settle(self.unit.now())
        return groups

    async def _wallet_of(self, group: Group, wallets: dict[UUID, Wallet], customer_id: UUID) -> Wallet:
        if customer_id not in wallets:
            wallets[customer_id] = await self.wallets.add_wallet(*group, customer_id)
        return wallets[customer_id]


class _Return:
    """What goes back into a wallet."""

    def __init__(self, giver: UUID, lots: list[UUID], debt: int, holds: list[UUID]) -> None:
        self.giver = giver
        self.lots = lots
        self.debt = debt
        self.holds = holds


def _set_off(merged: Merged) -> dict[UUID, dict[UUID, int]]:
    """Return wallet → lot → points of it that repaid debt when the wallets became one."""
    return {
        UUID(each["wallet"]): {UUID(lot): points for lot, points in each["lots"].items()}
        for each in merged.notes.get("set_off", ())
    }


def _take_back_set_off(debtor: Wallet, wallets: Iterable[Wallet], lots: Mapping[UUID, int], now: datetime) -> None:
    """Let a debt be owed again, and the points that repaid it be in their lots again, whichever wallet has them."""
    here = {lot: points for lot, points in lots.items() if lot in debtor.lots}
    debtor.owe_again(here, sum(lots.values()) - sum(here.values()), now)
    for wallet in wallets:
        theirs = {lot: points for lot, points in lots.items() if lot in wallet.lots and wallet is not debtor}
        if theirs:
            wallet.get_again(theirs, now)


def _losers(groups: Groups, merged: Merged) -> list[tuple[UUID, Wallet]]:
    return [
        (customer_id, wallet)
        for wallets in groups.values()
        for customer_id, wallet in wallets.items()
        if customer_id in merged.loser_ids
    ]
