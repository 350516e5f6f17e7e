"""Tiers follow what happens, and time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from crm_api.accounts.service import for_each_tenant
from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.core.work import Job, Schedule, Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.tiers.following import BATCH, Following
from crm_api.tiers.models import LogCause
from crm_api.tiers.replays import ReplayService, run_replay
from crm_api.tiers.repository import SchemeRepository
from crm_api.tiers.service import JOB

ORDERS: Final = frozenset(
    f"order.{each}" for each in ("created", "paid", "updated", "refunded", "cancelled", "withdrawn")
)
POINTS: Final = frozenset(
    f"points.{each}" for each in ("granted", "reversed", "adjusted", "transferred", "merged", "unmerged")
)
VISITS: Final = frozenset({"interaction.logged", "interaction.updated", "interaction.removed"})
MERGES: Final = frozenset({"customer.merged", "customer.unmerged"})
PRESENCE: Final = frozenset({"customer.created", "customer.deleted", "customer.erased"})

PROGRAMMES: Final = frozenset({"loyalty_programme.updated"})

_COUNTED: Final[Mapping[str, frozenset[str]]] = {
    "qualifying_points": POINTS,
    "net_spend": ORDERS,
    "paid_orders": ORDERS,
    "visits": ORDERS | VISITS,
}
"""What each metric listens to."""

TYPES: Final = ORDERS | POINTS | VISITS | MERGES | PRESENCE | PROGRAMMES


def customers_of(message: Message) -> Iterator[UUID]:
    """Yield the customers that a message is about."""
    if message.type in POINTS | PRESENCE:
        yield message.subject_id
    payload: Mapping[str, Any] = message.payload
    # An order may change hands.
    for each in (payload.get("customer_id"), payload.get("previous_customer_id"), *(payload.get("customer_ids") or ())):
        if each is not None:
            yield UUID(str(each))


async def follow(unit: UnitOfWork, messages: Sequence[Message]) -> None:
    """Look again at the customers something happened to that their tier may hang on."""
    schemes = await SchemeRepository(unit).schemes()
    heard = MERGES | PRESENCE
    heard = heard.union(*(_COUNTED[metric] for scheme in schemes for metric in scheme.metrics))
    causes: dict[UUID, LogCause] = {}
    for message in messages:
        if message.type in heard:
            because: LogCause = "merge" if message.type in MERGES else "activity"
            causes.update(dict.fromkeys(customers_of(message), because))
    if any(message.type in PROGRAMMES for message in messages):
        await Following(unit).appoint(schemes)
    following = Following(unit)
    for because in ("merge", "activity"):
        await following.look([each for each, cause in causes.items() if cause == because], because, schemes)


async def follow_time(database: Database) -> None:
    """Look at everybody whose tier may have changed by time alone, and tell of falls to come."""

    async def work(actor: Actor) -> None:
        while await database.run(actor, lambda unit: Following(unit).follow_time()) >= BATCH:
            pass

    await for_each_tenant(database, "tiers.time", work)


async def replay(database: Database, payload: Mapping[str, Any]) -> None:
    """Work everybody's tier out anew."""
    await run_replay(database, UUID(payload["tenant_id"]), UUID(payload["replay_id"]))


async def give_up_replay(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say on the replay that nobody will go on with it."""

    async def work(unit: UnitOfWork) -> None:
        await ReplayService(unit).give_up(UUID(payload["replay_id"]), reason)

    await database.run(Actor.system(UUID(payload["tenant_id"])), work)


SUBSCRIBERS = (Subscriber("tiers", TYPES, follow),)
JOBS = (Job(JOB, replay, give_up_replay),)
SCHEDULES = (Schedule("tiers.time", "*/5 * * * *", follow_time),)
"""Terms end at midnights of the programmes' zones; overrides at any minute."""
