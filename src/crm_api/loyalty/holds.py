"""Points set aside for something that is not certain yet: hold, then post (spend) or void, or let it time out."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from crm_api.core.errors import Conflict, InsufficientBalance, Invalid, NotFound
from crm_api.loyalty.ledger import WRITE, Ledger, like, nothing_to_spend
from crm_api.loyalty.lots import Hold, Note, Transaction
from crm_api.loyalty.programmes import Programme
from crm_api.loyalty.repository import HoldRepository, ReviewRepository
from crm_api.loyalty.rules import Wallet

_TRIES: Final = 5
"""How often a hold is looked for again whose customer was just merged or un-merged."""

LONGEST: Final = timedelta(days=366)
"""How far ahead a hold may end."""


class HoldService(Ledger):
    """Holds: every operation locks the wallet, and lets holds that are over time out before anything else."""

    async def hold(
        self,
        customer_id: UUID,
        points: int,
        *,
        key: str | None = None,
        until: datetime | None = None,
        reason: str | None = None,
        programme_id: UUID | None = None,
        owner_id: UUID | None = None,
    ) -> UUID:
        """Set points aside; returns the hold's id, which is the transaction's too.

        Held points are not spent by others and do not end. The hold ends when it is posted or voided, or by itself.

        Args:
            customer_id: whose.
            points: how many, at least 1.
            key: the same key has its effect once and returns the same hold again.
            until: when it times out; after the programme's ``hold_minutes`` if None.
            reason: for the customer and for the record.
            programme_id: the default programme if None.
            owner_id: what alone decides on the hold, such as a redemption of a reward; None is whoever asks.

        Raises:
            NotFound: no such customer, or programme.
            InsufficientBalance: fewer points are available.
            Invalid: it would end in the past, or later than in a year.
            Conflict: the key was used for something else.

        """
        self.unit.actor.require(WRITE)
        wallet = await self._wallet(customer_id, programme_id)
        if wallet is None:
            raise nothing_to_spend(points)
        programme = await self.programme(programme_id)
        note = Note(key=key, reason=reason)

        def work(now: datetime) -> Transaction:
            return wallet.hold(points, _end(until, programme, now), now, note, owner_id)

        try:
            return await self._once(wallet, note, like("hold", None, available_change=-points), work)
        except InsufficientBalance:
            await self._require_still(customer_id)
            raise

    async def post_hold(
        self, hold_id: UUID, points: int | None = None, *, key: str | None = None, owner_id: UUID | None = None
    ) -> UUID:
        """Spend what is held, or ``points`` of it and let the others go; returns the transaction's id.

        Raises:
            NotFound: no such hold.
            Conflict: it is not open any more (``hold_closed``), holds fewer points (``exceeds_hold``), or somebody
                else decides on it (``hold_owned``): ``owner_id`` is not the hold's.

        """
        self.unit.actor.require(WRITE)
        wallet, hold = await self._locked(hold_id, owner_id)
        wanted = hold.points if points is None else points
        note = Note(key=key)

        def work(now: datetime) -> Transaction:
            _require_open(hold)
            if wanted > hold.points:
                raise _exceeds("hold", wanted, hold.points)
            return wallet.post(hold, wanted, now, note)

        return await self._once(wallet, note, like("post", -wanted, hold_id=hold.id), work)

    async def void_hold(
        self, hold_id: UUID, *, key: str | None = None, reason: str | None = None, owner_id: UUID | None = None
    ) -> UUID:
        """Let go what is held; returns the transaction's id. Raises as `post_hold`."""
        self.unit.actor.require(WRITE)
        wallet, hold = await self._locked(hold_id, owner_id)
        note = Note(key=key, reason=reason)

        def work(now: datetime) -> Transaction:
            _require_open(hold)
            return wallet.void(hold, now, note)

        return await self._once(wallet, note, like("void", None, hold_id=hold.id), work)

    async def reverse_hold(
        self,
        hold_id: UUID,
        points: int | None = None,
        *,
        key: str | None = None,
        reason: str | None = None,
        owner_id: UUID | None = None,
    ) -> UUID:
        """Give back what a hold has spent, or ``points`` of it; returns the transaction's id.

        The points go back to the lots they came from, those that end last first.

        Raises:
            NotFound: no such hold.
            Conflict: nothing of it is spent (``hold_not_posted``), or less (``exceeds_posted``), all was given back
                before (``already_reversed``), or somebody else decides on it (``hold_owned``).

        """
        self.unit.actor.require(WRITE)
        wallet, hold = await self._locked(hold_id, owner_id)
        left = hold.posted - hold.reversed
        wanted = left if points is None else points
        note = Note(key=key, reason=reason)
        programme = await self.programme(wallet.programme_id)
        gone = await self._load([part.lot_id for part in hold.parts], wallet)
        await ReviewRepository(self.unit).load_let_go([wallet])

        def work(now: datetime) -> Transaction:
            _require_posted(hold, wanted, left)
            return wallet.reverse(hold, wanted, now, note, gone, programme)

        return await self._once(wallet, note, like("restore", points, hold_id=hold.id), work)

    async def _locked(self, hold_id: UUID, owner_id: UUID | None) -> tuple[Wallet, Hold]:
        """Lock the wallet that a hold lies in, which a merge may be changing."""
        for _ in range(_TRIES):
            hold = await HoldRepository(self.unit).hold(hold_id)
            if hold is None:
                break
            _require_owner(hold, owner_id)
            [wallet] = await self.wallets.lock_wallets([hold.wallet_id])
            now_there = await HoldRepository(self.unit).hold(hold_id)
            if now_there is not None and now_there.wallet_id == wallet.id:
                return wallet, wallet.holds.get(hold_id, now_there)
        raise NotFound("There is no such hold", zh="没有此冻结记录")


def _end(until: datetime | None, programme: Programme, now: datetime) -> datetime:
    """Return when a hold times out."""
    if until is None:
        return now + timedelta(minutes=programme.hold_minutes)
    if until <= now:
        raise Invalid.field("/until", "in_the_past", "A hold ends in the future", "冻结的截止时间必须在未来")
    if until > now + LONGEST:
        raise Invalid.field(
            "/until", "too_far", "A hold ends within 366 days: renew it then", "冻结最长 366 天：到期请重新冻结"
        )
    return until


def _require_owner(hold: Hold, owner_id: UUID | None) -> None:
    if hold.owner_id != owner_id:
        raise Conflict(
            f"The hold is the redemption's of a reward: confirm or cancel that, {hold.owner_id}",
            zh=f"该冻结属于奖品兑换 {hold.owner_id}：请确认或取消该兑换",
            code="hold_owned",
            extra={"owner_id": str(hold.owner_id)},
        )


def _require_open(hold: Hold) -> None:
    if hold.state != "open":
        raise Conflict(
            f"The hold is not open any more: it is {hold.state}. Hold the points anew",
            zh=f"该冻结已结束（{hold.state}）：请重新冻结积分",
            code="hold_closed",
            extra={"state": hold.state},
        )


def _require_posted(hold: Hold, wanted: int, left: int) -> None:
    if hold.posted == 0:
        raise Conflict(
            f"Nothing of the hold was spent: it is {hold.state}. An open hold is voided, not reversed",
            zh=f"该冻结未被消费（{hold.state}），无可退回：未结束的冻结请取消",
            code="hold_not_posted",
            extra={"state": hold.state},
        )
    if left == 0:
        raise Conflict(
            "All that it spent was given back before", zh="该冻结消费的积分已全部退回", code="already_reversed"
        )
    if wanted > left:
        raise _exceeds("posted", wanted, left)


def _exceeds(what: str, wanted: int, there: int) -> Conflict:
    return Conflict(
        f"{wanted} points are wanted, the hold has {there}",
        zh=f"需要 {wanted} 积分，该冻结仅有 {there} 积分",
        code=f"exceeds_{what}",
        extra={"available": there, "requested": wanted},
    )
