"""What both sides get, and how it is taken back: one referral at a time, each side under a key of its own."""

from typing import Final
from uuid import UUID

from crm_api.core.errors import Conflict
from crm_api.db.uow import UnitOfWork
from crm_api.loyalty.service import LoyaltyService, Source
from crm_api.referrals.models import Booked, Case, ShownReward
from crm_api.referrals.rules import key

SOURCE: Final = "referral"
_GONE: Final = "already_reversed"


class RewardDesk:
    """Books the rewards of a referral that is locked.

    Customers are taken in the order of their ids, which is the order in which the ledger locks their wallets: two
    referrals of the same people, booked at once, wait for each other and not in a circle.
    """

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit

    async def give(self, referral_id: UUID, case: Case) -> dict[str, Booked | None]:
        """Give both sides what they were promised; returns side → what it got."""
        promised = {"referrer": case.terms.referrer_reward, "friend": case.terms.friend_reward}
        got: dict[str, Booked | None] = dict.fromkeys(promised)
        for side in _in_order(case):
            reward = promised[side]
            if reward is not None:
                once = key(referral_id, side, case.attempt)
                got[side] = await self._give(_customer(case, side), reward, once, referral_id)
        return got

    async def _give(self, customer_id: UUID, reward: ShownReward, once: str, referral_id: UUID) -> Booked:
        assert reward.points is not None  # noqa: S101
        transaction_id = await LoyaltyService(self.unit).grant(
            customer_id, reward.points, key=once, source=Source(SOURCE, referral_id)
        )
        return Booked(points=reward.points, transaction_id=transaction_id)

    async def take_back(self, referral_id: UUID, case: Case) -> None:
        """Take back what both sides got; what was taken back before stays so."""
        got = {"referrer": case.referrer_booked, "friend": case.friend_booked}
        for side in _in_order(case):
            booked = got[side]
            if booked is not None:
                await self._take_back(booked, f"{key(referral_id, side, case.attempt)}:back")

    async def _take_back(self, booked: Booked, once: str) -> None:
        if booked.transaction_id is not None:
            try:
                await LoyaltyService(self.unit).take_back(booked.transaction_id, key=once)
            except Conflict as conflict:
                if conflict.code != _GONE:
                    raise


def _customer(case: Case, side: str) -> UUID:
    return case.referrer_id if side == "referrer" else case.friend_id


def _in_order(case: Case) -> list[str]:
    return sorted(("referrer", "friend"), key=lambda side: _customer(case, side))
