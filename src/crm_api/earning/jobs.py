"""Points follow what happens: orders, events, new customers, birthdays."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from crm_api.accounts.service import for_each_tenant
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.core.rules import AsOf
from crm_api.core.work import Schedule, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.earning import subjects
from crm_api.earning.booking import CHUNK, EarningService, days_to_see
from crm_api.earning.engine import book_of
from crm_api.earning.repository import OccasionRepository
from crm_api.loyalty.service import ORDER_NEWS, LoyaltyService, news_of

_EVENTS = frozenset({"events.recorded", "device.attributed"})


async def follow_orders(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Grant and take back points as orders are paid, refunded and cancelled.

    One subscriber for all, so that one cursor orders them. They come by their transactions' ids, which is nearly
    but not always how they happened (see the relay): the accrual keeps what it was told, and any order ends alike.
    """
    await EarningService(unit).take_in([each for each in map(news_of, messages) if each is not None])


async def follow_completions(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Grant what rules give when an order is completed; what is stored of the order now says whether it is."""
    told = {
        each.subject_id for each in messages if each.type != "order.updated" or "previous_customer_id" in each.payload
    }
    if told:
        await EarningService(unit).complete(told)


async def follow_events(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Grant what rules give for events; a message tells whose, so those not decided about yet are looked up."""
    customers = {UUID(each) for message in messages for each in message.payload["customer_ids"]}
    if customers:
        await EarningService(unit).events(customers)


async def follow_sign_ups(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Grant what rules give for becoming known."""
    await EarningService(unit).sign_ups({message.subject_id: message.occurred_at for message in messages})


# -- birthdays ---------------------------------------------------------------------------------------------------------


async def birthdays(database: Database) -> None:
    """Grant what rules give for today's birthdays, tenant by tenant; two workers at once do no harm."""
    await for_each_tenant(database, "earning.birthdays", lambda actor: birthdays_of(database, actor.tenant_id))


async def birthdays_of(database: Database, tenant_id: UUID) -> None:
    """See to a tenant's birthdays since the last day that was seen to; killed, it goes on where it stood.

    Days are the programme's. Somebody without a rule costs one look at the rules.
    """
    actor = Actor.system(tenant_id, "earning.birthdays")
    for day, at in await database.run(actor, _due):
        after: UUID | None = UUID(int=0)
        while after is not None:
            cursor = after

            async def work(unit: UnitOfWork, day: date = day, at: datetime = at, cursor: UUID = cursor) -> UUID | None:
                return await _chunk(unit, day, at, cursor)

            after = await database.run(actor, work)

        async def done(unit: UnitOfWork, day: date = day) -> None:
            await OccasionRepository(unit).note_day(day)

        await database.run(actor, done)


async def _due(unit: UnitOfWork) -> list[tuple[date, datetime]]:
    """Return the days to see to, each with its beginning; none without a rule."""
    if not (await book_of(unit, "birthday")).versions:
        return []
    zone = ZoneInfo((await LoyaltyService(unit).programme()).time_zone)
    days = days_to_see(await OccasionRepository(unit).last_day(), unit.now().astimezone(zone).date())
    return [(day, datetime.combine(day, time(), zone)) for day in days]


async def _chunk(unit: UnitOfWork, day: date, at: datetime, after: UUID) -> UUID | None:
    """See to some of a day's birthdays; returns where to go on, None at the end."""
    found = await OccasionRepository(unit).born_on(AsOf(at, ZoneInfo(str(at.tzinfo))), after, CHUNK)
    people = {customer_id: subjects.birthday_year(day, lunar=lunar) for customer_id, lunar in found}
    # As late as it may be on that day: a rule made during the day holds for it.
    await EarningService(unit).birthdays(people, min(unit.now(), at + timedelta(hours=23)))
    return found[-1][0] if len(found) == CHUNK else None


SUBSCRIBERS = (
    # The ledger's own name: its place in the outbox goes on.
    Subscriber("loyalty", ORDER_NEWS, follow_orders),
    Subscriber("earning.completions", ORDER_NEWS, follow_completions),
    Subscriber("earning.events", _EVENTS, follow_events),
    Subscriber("earning.sign_ups", frozenset({"customer.created"}), follow_sign_ups),
)
SCHEDULES = (Schedule("earning.birthdays", "17 * * * *", birthdays),)
