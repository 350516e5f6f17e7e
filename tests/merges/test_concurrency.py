"""Merges among writers who do not wait: real connections, nothing lost, nobody sees a deadlock."""

import asyncio
import contextlib
import itertools
from datetime import UTC, datetime

import asyncpg
import pytest

from crm_api.core.errors import Conflict, InsufficientBalance, NotFound
from crm_api.core.ids import new_id
from crm_api.customers.models import CustomerCreate, IdentityInput
from crm_api.customers.service import CustomerService
from crm_api.earning.jobs import follow_orders
from crm_api.interactions.models import InteractionCreate
from crm_api.interactions.service import InteractionService
from crm_api.loyalty.models import AdjustmentCreate, RedemptionCreate
from crm_api.loyalty.service import LoyaltyService
from crm_api.merges.service import MergeService
from crm_api.orders.models import OrderUpsert
from crm_api.orders.service import OrderService
from tests.loyalty.shop import paid
from tests.merges import books
from tests.support.api import client_of

pytestmark = pytest.mark.asyncio

NOON = datetime(2026, 1, 5, 4, tzinfo=UTC)


class Street:
    """Customers, each known by an outside id, and everybody who writes about them."""

    def __init__(self, database, actor):
        self.database, self.actor = database, actor
        self.numbers = itertools.count(1)
        self.orders = 0
        self.spent = 0

    async def run(self, work):
        return await self.database.run(self.actor, work)

    async def customer(self, name, points=0):
        identity = IdentityInput(platform="taobao", external_id=name)
        data = CustomerCreate(name=name, identities=[identity])
        customer_id = await self.run(lambda unit: CustomerService(unit).create(data))
        if points:
            gift = AdjustmentCreate(points=points, reason="gift")
            await self.run(lambda unit: LoyaltyService(unit).adjust(customer_id, gift))
        return customer_id

    async def merge(self, winner, *losers):
        return await self.run(lambda unit: MergeService(unit).merge(winner, losers))

    async def undo(self, merge_id):
        await self.run(lambda unit: MergeService(unit).undo(merge_id))

    async def order(self, buyer):
        """A webhook: names the buyer by the platform's id; the points follow later, by a message."""
        number = f"o{next(self.numbers)}"
        data = OrderUpsert.model_validate(
            {
                "status": "paid",
                "total": {"amount": 10_00, "currency": "CNY"},
                "placed_at": NOON,
                "customer": {"external_id": buyer},
            }
        )
        await self.run(lambda unit: OrderService(unit).upsert("taobao", number, data))
        self.orders += 1

    async def earn(self, customer_id):
        """News of a payment that names who the buyer was when it happened."""
        message = paid(self.actor.tenant_id, customer_id, new_id(), 10_00, at=NOON)
        await self.run(lambda unit: follow_orders(unit, [message]))

    async def spend(self, customer_id):
        try:
            await self.run(
                lambda unit: LoyaltyService(unit).redeem(customer_id, RedemptionCreate(points=1, reason="x"))
            )
            self.spent += 1
        except (NotFound, InsufficientBalance):
            pass  # over REST the first is asked again under the new id

    async def talk(self, customer_id):
        data = InteractionCreate(customer_id=customer_id, channel="call", direction="inbound", occurred_at=NOON)
        with contextlib.suppress(NotFound):
            await self.run(lambda unit: InteractionService(unit).log(data))


@pytest.fixture
def street(database, tenant):
    return Street(database, tenant.actor)


async def unless_refused(work, code):
    """Return what the work returns, None when it is refused with this code."""
    try:
        return await work
    except Conflict as error:
        if error.code != code:
            raise
        return None


async def test_chains_in_parallel(street, database, tenant):
    """A becomes B while B becomes C: whoever is first, everything is C's in the end."""
    for _ in range(8):
        names = [f"{letter}{next(street.numbers)}" for letter in "abc"]
        a, b, c = [await street.customer(name, points=10) for name in names]
        await asyncio.gather(*(street.order(name) for name in names))
        await asyncio.gather(street.merge(b, a), street.merge(c, b))
        async with database.read(tenant.actor) as unit:
            rows = await unit.connection.fetch(
                "SELECT id, merged_into_id FROM customers WHERE id = ANY ($1)", [a, b, c]
            )
            owners = await unit.connection.fetch(
                "SELECT DISTINCT customer_id FROM orders WHERE customer_id = ANY ($1)", [a, b, c]
            )
        assert {row["id"]: row["merged_into_id"] for row in rows} == {a: c, b: c, c: None}
        assert [row["customer_id"] for row in owners] == [c]
    await books.check(database, tenant.actor)


async def test_two_winners_one_loser(street, database, tenant):
    """One of them gets the loser; the other is told who."""
    for _ in range(8):
        a, b, c = [await street.customer(f"{letter}{next(street.numbers)}", points=5) for letter in "abc"]
        made = await asyncio.gather(
            unless_refused(street.merge(a, c), "already_merged"),
            unless_refused(street.merge(b, c), "already_merged"),
        )
        assert sum(each is not None for each in made) == 1
    await books.check(database, tenant.actor)


async def test_each_into_the_other(street, database, tenant):
    for _ in range(8):
        a, b = [await street.customer(f"{letter}{next(street.numbers)}", points=5) for letter in "ab"]
        made = await asyncio.gather(street.merge(a, b), street.merge(b, a), return_exceptions=True)
        assert sum(not isinstance(each, Exception) for each in made) == 1
        (error,) = [each for each in made if isinstance(each, Exception)]
        assert getattr(error, "code", "") in {"already_merged", "invalid"}, error
    await books.check(database, tenant.actor)


async def test_writers_do_not_stop(street, database, tenant):
    """Orders, points and talks go on while their customers are merged and taken apart."""
    names = ["a", "b", "c", "d"]
    ids = [await street.customer(name, points=50) for name in names]
    done = asyncio.Event()

    async def write(work, things):
        for thing in itertools.cycle(things):
            if done.is_set():
                return
            await work(thing)

    async def merge_about():
        a, b, c, d = ids
        for _ in range(6):
            first = await street.merge(a, b)
            second = await street.merge(c, a, d)
            await street.undo(second)
            await street.undo(first)
        done.set()

    await asyncio.wait_for(
        asyncio.gather(
            merge_about(),
            write(street.order, names),
            write(street.order, names[::-1]),
            write(street.earn, ids),
            write(street.spend, ids),
            write(street.talk, ids),
        ),
        120,
    )
    await books.check(database, tenant.actor)
    async with database.read(tenant.actor) as unit:
        assert await unit.connection.fetchval("SELECT count(*) FROM orders") == street.orders
    assert street.orders > 0
    assert street.spent > 0


async def test_over_rest_nobody_notices(street, app, database, tenant):
    """Callers who name the loser all along get what they want: before, while and after it is merged."""
    winner, loser = await street.customer("w", points=500), await street.customer("l", points=500)
    answers = []
    async with client_of(app, tenant.key) as client:

        async def call(number):
            path = f"/v1/loyalty/accounts/{loser}"
            calls = [
                client.post(f"{path}/redemptions", json={"points": 1, "reason": "x"}),
                client.post(
                    "/v1/interactions", json={"customer_id": str(loser), "channel": "call", "direction": "inbound"}
                ),
                client.patch(f"/v1/customers/{loser}", json={"city": f"c{number}"}),
                client.get(f"/v1/customers/{loser}"),
                client.put(
                    f"/v1/orders/shop/r{number}",
                    json={
                        "customer_id": str(loser),
                        "status": "paid",
                        "total": {"amount": 100, "currency": "CNY"},
                        "placed_at": "2026-01-05T03:00:00Z",
                    },
                ),
            ]
            answers.extend(await asyncio.gather(*calls))

        async def merge():
            await asyncio.sleep(0.05)
            answer = await client.post(
                "/v1/customers/merge", json={"winner_id": str(winner), "loser_ids": [str(loser)]}
            )
            assert answer.status_code == 201, answer.text

        await asyncio.gather(merge(), *(call(number) for number in range(12)))
    assert {answer.status_code for answer in answers} <= {200, 201}, [a.text for a in answers if a.status_code > 201]
    await books.check(database, tenant.actor)
    async with database.read(tenant.actor) as unit:
        assert await unit.connection.fetchval("SELECT count(*) FROM orders WHERE customer_id = $1", winner) == 12
        points = await unit.connection.fetchval("SELECT available FROM loyalty_wallets WHERE customer_id = $1", winner)
    assert points == 1000 - 12


class TestLateWriters:
    """A writer looked up a customer, and then somebody merges it."""

    async def test_one_who_has_not_written_yet_loses_the_race(self, street, database, tenant):
        winner, loser = await street.customer("w"), await street.customer("l", points=10)
        talk = InteractionCreate(customer_id=loser, channel="call", direction="inbound", occurred_at=NOON)
        async with database.write(tenant.actor) as unit:
            await CustomerService(unit).require_living(loser)
            await street.merge(winner, loser)
            with pytest.raises(asyncpg.SerializationError, match="was merged"):
                await InteractionService(unit).repository.insert({"id": new_id(), **talk.model_dump()})
            await unit.connection.execute("ROLLBACK; BEGIN")
        await books.check(database, tenant.actor)

    async def test_one_who_has_written_is_waited_for(self, street, database, tenant):
        winner, loser = await street.customer("w"), await street.customer("l")
        talk = InteractionCreate(customer_id=loser, channel="call", direction="inbound", occurred_at=NOON)
        async with database.write(tenant.actor) as unit:
            written = await InteractionService(unit).log(talk)
            merging = asyncio.create_task(street.merge(winner, loser))
            await asyncio.sleep(0.2)
            assert not merging.done()
        await merging
        async with database.read(tenant.actor) as unit:
            owner = await unit.connection.fetchval("SELECT customer_id FROM interactions WHERE id = $1", written)
        assert owner == winner

    async def test_points_are_not_booked_on_a_wallet_left_behind(self, street, database, tenant):
        winner, loser = await street.customer("w"), await street.customer("l", points=10)
        async with database.write(tenant.actor) as unit:
            await street.merge(winner, loser)
            with pytest.raises(asyncpg.SerializationError, match="was merged"):
                await unit.connection.execute(
                    "UPDATE loyalty_wallets SET available = available + 1 WHERE customer_id = $1", loser
                )
            await unit.connection.execute("ROLLBACK; BEGIN")
        await books.check(database, tenant.actor)

    async def test_a_worker_killed_in_the_middle_leaves_nothing(self, street, database, tenant):
        """One transaction: whoever dies before its end has done nothing."""
        winner, loser = await street.customer("w", points=5), await street.customer("l", points=10)
        before = await books.digest(database, tenant.actor)
        with contextlib.suppress(Exception):
            async with database.write(tenant.actor) as unit:
                await MergeService(unit).merge(winner, [loser])
                await unit.flush()
                pid = await unit.connection.fetchval("SELECT pg_backend_pid()")
                killer = await asyncpg.connect(database.settings.database_url)
                await killer.execute("SELECT pg_terminate_backend($1)", pid)
                await killer.close()
                await unit.connection.execute("SELECT 1")
        assert await books.digest(database, tenant.actor) == before
