"""What both sides get, and how it is taken back: one referral at a time, each side under a key of its own."""

from typing import Final
from uuid import UUID

from crm_api.core.errors import Conflict
from crm_api.db.uow import UnitOfWork
from crm_api.loyalty.service import LoyaltyService, Source
from crm_api.referrals.models import Case, ReferralBooking, ReferralPromise
from crm_api.referrals.rules import key
from crm_api.vouchers.models import VoucherUpdate
from crm_api.vouchers.service import VoucherService

SOURCE: Final = "referral"
_GONE: Final = "already_reversed"


class RewardDesk:
    """Books the rewards of a referral that is locked.

    Points first, in the order of the customers' ids, which is the order in which the ledger locks their wallets; then
    vouchers, in the order of their campaigns, which count what they gave. So two referrals booked at once wait for each
    other and never in a circle.
    """

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit

    async def give(self, referral_id: UUID, case: Case) -> dict[str, ReferralBooking]:
        """Give both sides what they were promised; returns side → what it got."""
        promised = {"referrer": case.terms.referrer_reward, "friend": case.terms.friend_reward}
        due = [(side, reward) for side, reward in promised.items() if reward is not None]
        got = {}
        for side, reward in sorted(due, key=lambda each: _place(case, *each)):
            once = key(referral_id, side, case.attempt)
            got[side] = await self._give(_customer(case, side), reward, once, referral_id)
        return got

    async def _give(self, customer_id: UUID, reward: ReferralPromise, once: str, referral_id: UUID) -> ReferralBooking:
        if reward.voucher_campaign_id is not None:
            vouchers = VoucherService(self.unit)
            return ReferralBooking(voucher_id=await vouchers.issue(reward.voucher_campaign_id, customer_id, key=once))
        points = reward.points or 0
        source = Source(SOURCE, referral_id)
        return ReferralBooking(
            points=points,
            transaction_id=await LoyaltyService(self.unit).grant(customer_id, points, key=once, source=source),
        )

    async def take_back(self, referral_id: UUID, case: Case) -> None:
        """Take back what both sides got; what was taken back before stays so, a voucher that was used stays used."""
        got = {"referrer": case.referrer_booked, "friend": case.friend_booked}
        for side in sorted(got, key=lambda side: _customer(case, side)):
            booked = got[side]
            if booked is not None:
                await self._take_back(booked, f"{key(referral_id, side, case.attempt)}:back")

    async def _take_back(self, booked: ReferralBooking, once: str) -> None:
        if booked.voucher_id is not None:
            await VoucherService(self.unit).change(booked.voucher_id, VoucherUpdate(state="void"))
        if booked.transaction_id is not None:
            try:
                await LoyaltyService(self.unit).take_back(booked.transaction_id, key=once)
            except Conflict as conflict:
                if conflict.code != _GONE:
                    raise


def _customer(case: Case, side: str) -> UUID:
    return case.referrer_id if side == "referrer" else case.friend_id


def _place(case: Case, side: str, reward: ReferralPromise) -> tuple[bool, UUID]:
    """Return where a reward stands in the order in which rewards are booked."""
    campaign = reward.voucher_campaign_id
    return (False, _customer(case, side)) if campaign is None else (True, campaign)
