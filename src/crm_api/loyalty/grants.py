"""Points that other domains give, take back and let go to somebody else."""

from datetime import datetime
from typing import Final
from uuid import UUID

from crm_api.core.errors import Conflict, Invalid, NotFound
from crm_api.loyalty.ledger import WRITE, Ledger, like
from crm_api.loyalty.lots import LotTimes, Note, Source, Transaction
from crm_api.loyalty.programmes import MAX_GRANT, Kind, Programme
from crm_api.loyalty.rules import Wallet, transfer

_TRIES: Final = 5
"""How often a grant is looked for again whose customer was just merged or un-merged."""


class GrantService(Ledger):
    """Grants with a source, their release and their undoing, and transfers between customers."""

    async def grant(  # noqa: PLR0913 - all but two by keyword
        self,
        customer_id: UUID,
        points: int,
        *,
        key: str,
        source: Source,
        reason: str | None = None,
        kind: Kind = "spendable",
        programme_id: UUID | None = None,
        earned_at: datetime | None = None,
        pending: bool | datetime = False,
        expires_at: datetime | None = None,
        order_id: UUID | None = None,
        priority: int = 0,
    ) -> UUID:
        """Give points; returns the transaction's id, by which they can be released and taken back.

        Args:
            customer_id: whose.
            points: how many, 1 to 10^12.
            key: unique in the tenant; the same key has its effect once and returns the same transaction again.
            source: what they are for.
            reason: for the customer and for the record.
            kind: points to spend, or points that make tiers.
            programme_id: the default programme if None.
            earned_at: when they were earned; now if None.
            pending: False: usable at once. A moment: from then on. True: when `release` says so.
            expires_at: when they end; as the programme says if None. Qualifying points do not end by themselves.
            order_id: the order they came with.
            priority: lower is spent first; 0 is usual.

        Raises:
            NotFound: no such customer, or programme.
            Conflict: ``no_programme``, or the key was used for something else (``key_reused``).
            Invalid: not 1 to 10^12 points.

        """
        self.unit.actor.require(WRITE)
        if not 1 <= points <= MAX_GRANT:
            raise Invalid.field(
                "/points", "out_of_range", "A grant has 1 to 10^12 points", "一次发放须为 1 到 10^12 积分"
            )
        programme = await self.programme(programme_id)
        await self._require_still(customer_id)
        wallet = await self._new_wallet(programme, customer_id, kind)
        note = Note(key=key, reason=reason, order_id=order_id, source=source)

        def work(now: datetime) -> Transaction:
            times = _times(programme, kind, earned_at or now, pending, expires_at)
            wallet.earn(points, times, now, note, "grant", priority)
            return wallet.booked[-1]

        return await self._once(wallet, note, like("grant", points), work)

    async def release(self, grant_id: UUID, *, at: datetime | None = None) -> None:
        """Let a grant that waits become usable at a moment, now if None or past; one that does not wait stays as it is.

        Raises:
            NotFound: no such grant.

        """
        self.unit.actor.require(WRITE)
        wallet = await self._holder(grant_id)
        now = self.unit.now()
        wallet.settle(now)
        wallet.clear(grant_id, at or now, await self.programme(wallet.programme_id), now)
        wallet.settle(now)
        await self._book([wallet])

    async def take_back(
        self, grant_id: UUID, points: int | None = None, *, key: str, reason: str | None = None
    ) -> UUID:
        """Undo a grant, or ``points`` of it; returns the transaction's id.

        First from the grant's own points, then from other available ones; what is not there any more becomes debt, is
        let go or waits for somebody to decide, as the programme's refund policy says.

        Args:
            grant_id: what `grant` returned.
            points: how many; None for all that were not taken back before.
            key: the same key has its effect once.
            reason: for the customer and for the record.

        Raises:
            NotFound: no such grant.
            Conflict: all of it was taken back before (``already_reversed``), or fewer points are left of it
                (``exceeds_grant``); the key was used for something else.

        """
        self.unit.actor.require(WRITE)
        wallet = await self._holder(grant_id)
        programme = await self.programme(wallet.programme_id)
        note = Note(key=key, reason=reason, order_id=wallet.lots[grant_id].order_id)

        def work(now: datetime) -> Transaction:
            lot = wallet.lots[grant_id]
            wanted = _left(lot.granted - lot.reversed, points)
            return wallet.take_back(grant_id, wanted, now, note, programme.refund_policy)

        # Of qualifying points it is not kept how many were not there any more.
        sized = points is not None and wallet.kind == "spendable"
        same = like("reverse", None, lot_id=grant_id, **({"taken": points} if sized else {}))
        return await self._once(wallet, note, same, work)

    async def transfer(
        self,
        from_customer: UUID,
        to_customer: UUID,
        points: int,
        *,
        key: str | None = None,
        reason: str | None = None,
        programme_id: UUID | None = None,
    ) -> UUID:
        """Let points go to another customer, where they end when they would have; returns the giver's transaction.

        Args:
            from_customer: who gives.
            to_customer: who gets.
            points: how many, at least 1.
            key: the same key has its effect once.
            reason: for both customers and for the record.
            programme_id: the default programme if None.

        Raises:
            NotFound: no such customer.
            Invalid: both are the same.
            InsufficientBalance: fewer points are available.
            Conflict: the key was used for something else.

        """
        self.unit.actor.require(WRITE)
        programme = await self.programme(programme_id)
        for customer_id in (from_customer, to_customer):
            await self._require_still(customer_id)
        if from_customer == to_customer:
            raise Invalid.field(
                "/to_customer_id", "same_customer", "Points go to somebody else", "积分只能转给其他客户"
            )
        wallets = await self.wallets.open_wallets(programme.id, [from_customer, to_customer])
        await self.wallets.load_lots(wallets.values())
        giver, taker = wallets[from_customer], wallets[to_customer]
        note = Note(key=key, reason=reason)

        def work(now: datetime) -> Transaction:
            taker.settle(now)
            transfer(giver, taker, points, now, note)
            taker.settle(now)
            return next(each for each in reversed(giver.booked) if each.type == "transfer")

        return await self._once(giver, note, like("transfer", -points), work, also=[taker])

    async def _holder(self, grant_id: UUID) -> Wallet:
        """Lock the wallet that a grant's points lie in, which a merge may be changing."""
        for _ in range(_TRIES):
            lot = (await self.wallets.lots([grant_id])).get(grant_id)
            if lot is None:
                break
            [wallet] = await self.wallets.lock_wallets([lot.wallet_id], [grant_id])
            if grant_id in wallet.lots:
                return wallet
        raise NotFound("There is no such grant of points", zh="没有此积分发放记录")


def _times(
    programme: Programme, kind: Kind, earned_at: datetime, pending: bool | datetime, expires_at: datetime | None
) -> LotTimes:
    available_at = pending if isinstance(pending, datetime) else None if pending else earned_at
    if expires_at is None and kind == "spendable" and available_at is not None:
        expires_at = programme.expires_at(available_at)
    return LotTimes(earned_at, available_at, expires_at)


def _left(left: int, points: int | None) -> int:
    """Return how many points of a grant to take back, of those that are left of it."""
    if left == 0:
        raise Conflict("All of the grant was taken back before", zh="该笔积分已全部收回", code="already_reversed")
    if points is None:
        return left
    if points < 1:
        raise Invalid.field("/points", "out_of_range", "Take back at least 1 point", "至少收回 1 积分")
    if points > left:
        raise Conflict(
            f"{points} points are wanted back, the grant has {left}",
            zh=f"需收回 {points} 积分，该笔积分仅余 {left}",
            code="exceeds_grant",
            extra={"available": left, "requested": points},
        )
    return points
