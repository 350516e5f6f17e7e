"""Fifty losers at once: as many statements as for one, whatever they own."""

import pytest

from crm_api.core.ids import new_id
from crm_api.customers.models import ContactPointInput, CustomerCreate, IdentityInput
from crm_api.customers.service import CustomerService
from crm_api.earning.jobs import follow_orders
from crm_api.merges.service import MergeService
from crm_api.orders.models import OrderRow
from crm_api.orders.service import OrderService
from tests.loyalty.shop import START, paid
from tests.merges import books

pytestmark = pytest.mark.asyncio


async def person(database, actor, name, orders):
    """Make a customer with tags, contacts, orders and points."""
    data = CustomerCreate(
        name=name,
        tags=["all", name],
        identities=[IdentityInput(platform="taobao", external_id=name)],
        contact_points=[ContactPointInput(kind="mobile", value=f"138{abs(hash(name)) % 10**8:08}", is_primary=True)],
    )
    customer_id = await database.run(actor, lambda unit: CustomerService(unit).create(data))
    rows = [
        OrderRow("taobao", f"{name}-{number}", name, placed_at=START, status="paid", total_amount=1_000, currency="CNY")
        for number in range(orders)
    ]
    news = [paid(actor.tenant_id, customer_id, new_id(), 1_000, at=START) for _ in range(orders)]
    verdicts = await database.run(actor, lambda unit: OrderService(unit).upsert_many(rows))
    assert {each.verdict for each in verdicts} == {"created"}
    await database.run(actor, lambda unit: follow_orders(unit, news))
    return customer_id


async def counted(database, actor, work):
    """Return what the work returns, and how many statements it took."""
    sent = []
    async with database.write(actor) as unit:
        with unit.connection.query_logger(sent.append):
            made = await work(unit)
    return made, len(sent)


async def test_statements_are_bounded_by_tables(database, tenant):
    actor = tenant.actor
    small = [await person(database, actor, f"s{number}", 1) for number in range(2)]
    big = [await person(database, actor, f"b{number}", 3) for number in range(51)]

    few, one_loser = await counted(database, actor, lambda unit: MergeService(unit).merge(small[0], small[1:]))
    many, fifty_losers = await counted(database, actor, lambda unit: MergeService(unit).merge(big[0], big[1:]))
    assert fifty_losers == one_loser
    assert one_loser <= 55
    await books.check(database, actor)

    _, undoing_one = await counted(database, actor, lambda unit: MergeService(unit).undo(few))
    _, undoing_fifty = await counted(database, actor, lambda unit: MergeService(unit).undo(many))
    assert undoing_fifty == undoing_one
    await books.check(database, actor)
