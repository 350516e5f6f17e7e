"""Birthday vouchers: every day, for the birthdays that lie so many days ahead; once a year for each customer."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from crm_api.core.actor import Actor
from crm_api.core.errors import Invalid
from crm_api.core.rules import AsOf
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.vouchers.repository import CampaignRepository
from crm_api.vouchers.service import BATCH, VoucherService

CATCH_UP: Final = timedelta(days=7)
"""How far back days are seen to when no worker ran; a present that comes later would only remind of being forgotten."""

NOON: Final = time(12)


class BirthdayVoucherService:
    """Birthday vouchers of a tenant."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.campaigns = CampaignRepository(unit)

    async def due(self) -> list[UUID]:
        """Return the campaigns that give vouchers for birthdays."""
        return await self.campaigns.with_birthdays()

    async def step(self, campaign_id: UUID) -> bool:
        """See to the next few customers of the earliest day that is not done; returns whether there may be more.

        Days are the tenant's. Who has a voucher for the year's birthday already is not asked for again, so it does not
        matter where an earlier attempt ended. The year is that of the day on which the birthday is kept: a lunar
        birthday that falls into one year twice is given to once.
        """
        campaign = await self.campaigns.find(campaign_id, lock=True)
        if campaign is None or campaign["state"] != "active" or campaign["birthday_days_before"] is None:
            return False
        zone = await self.campaigns.zone()
        now = self.unit.now()
        if campaign["ends_at"] is not None and campaign["ends_at"] <= now:
            return False
        today = now.astimezone(zone).date()
        seen_on = _next_day(campaign["birthdays_done_on"], today)
        if seen_on > today:
            return False
        day = seen_on + timedelta(days=campaign["birthday_days_before"])
        occasion = f"birthday:{day.year}"
        as_of = AsOf(_noon(seen_on, zone), zone)
        try:
            customers = await self.campaigns.having_birthday(campaign, day, as_of, occasion, BATCH)
        except Invalid:
            return False  # a rule that names what is gone; validation says so, and the campaign can be corrected
        if customers:
            await VoucherService(self.unit).issue_for_occasion(campaign_id, customers, occasion)
            return True
        await self.campaigns.note_birthdays(campaign_id, seen_on)
        return seen_on < today


def _next_day(done_on: date | None, today: date) -> date:
    earliest = today - CATCH_UP
    return earliest if done_on is None else max(done_on + timedelta(days=1), earliest)


def _noon(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, NOON, zone).astimezone(UTC)


async def give_birthday_vouchers(database: Database, tenant_id: UUID) -> None:
    """See to all of a tenant's birthdays that are due, a few customers per transaction."""
    actor = Actor.system(tenant_id, "vouchers.birthdays")

    async def due(unit: UnitOfWork) -> list[UUID]:
        return await BirthdayVoucherService(unit).due()

    for campaign_id in await database.run(actor, due):

        async def step(unit: UnitOfWork, campaign_id: UUID = campaign_id) -> bool:
            return await BirthdayVoucherService(unit).step(campaign_id)

        while await database.run(actor, step):
            continue
