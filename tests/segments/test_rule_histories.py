"""What rules find among real customers: every kind of thing they can name, and any history against brute force.

Histories are made by the services, in one transaction that is given up at the end.
"""

import asyncio
from datetime import date, timedelta
from types import SimpleNamespace
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import ARRAY, Uuid, any_, literal, select

from crm_api.attributes.models import AttributeDefinitionCreate
from crm_api.attributes.service import AttributeService
from crm_api.complaints.models import ComplaintCreate
from crm_api.complaints.service import ComplaintService
from crm_api.core.clock import FixedClock
from crm_api.core.ids import new_id
from crm_api.core.money import PositiveMoney
from crm_api.core.rules import AsOf, bucket_of
from crm_api.customers.models import CustomerCreate
from crm_api.customers.service import CustomerService
from crm_api.customers.tables import customers
from crm_api.db.pool import Database
from crm_api.events.models import EventBatch
from crm_api.events.service import EventService
from crm_api.merges.service import MergeService
from crm_api.orders.models import OrderUpsert, RefundCreate
from crm_api.orders.service import OrderService
from crm_api.segments.repository.catalogue import customer_rules
from crm_api.segments.repository.catalogue.standing import segments_named
from crm_api.settings import Settings
from tests.db.test_rules_sql import BASE, WINDOWS, Brute
from tests.support.api import make_tenant

pytestmark = pytest.mark.database

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = AsOf(BASE, SHANGHAI)  # 2026-03-30 09:30
JUST_AFTER = AsOf(BASE + timedelta(seconds=1), SHANGHAI)
DAY = timedelta(days=1)


class GiveUp(Exception):
    """Ends a transaction that shall leave nothing."""


@pytest.fixture(scope="module")
def shop(database_server):
    with database_server.migrated() as url, asyncio.Runner() as runner:
        config = Settings(database_url=url)
        tenant = runner.run(make_tenant(config))
        database = runner.run(Database.open(config))
        database.clock = FixedClock(BASE)
        yield SimpleNamespace(runner=runner, database=database, actor=tenant.actor)
        runner.run(database.close())


def during(shop, work):
    """Run work(unit) and forget all it did."""

    async def given_up(unit):
        await work(unit)
        raise GiveUp

    with pytest.raises(GiveUp):
        shop.runner.run(shop.database.run(shop.actor, given_up))


async def found(unit, tree, among, as_of=NOW):
    """Return which of these customers a rule selects."""
    rules = await customer_rules(unit, tree)
    c = customers.alias()
    statement = select(c.c.id).where(
        rules.predicate(rules.check(tree, "", unit.actor), c, as_of, unit.tenant_id),
        c.c.deleted_at.is_(None),
        c.c.id == any_(literal(list(among), ARRAY(Uuid))),
    )
    return {row["id"] for row in await unit.fetch_all(statement)}


async def bought(unit, customer_id, number, at, amount=10_000, **more):
    data = {
        "status": "paid",
        "total": {"amount": amount, "currency": "CNY"},
        "placed_at": at,
        "customer_id": customer_id,
        **more,
    }
    return (await OrderService(unit).upsert("till", number, OrderUpsert.model_validate(data))).order_id


async def did(unit, customer_id, kind, at):
    event = {
        "id": str(new_id()),
        "type": kind,
        "occurred_at": at.isoformat(),
        "customer": {"customer_id": str(customer_id)},
    }
    stored = await EventService(unit).ingest(EventBatch.model_validate({"events": [event]}))
    assert stored.accepted == 1, stored


SEGMENT, OTHER = UUID(int=7), UUID(int=8)
PREPARED = """
INSERT INTO segments (tenant_id, id, name, rule) VALUES ($1, $3, 'a', '{}'), ($1, $4, 'b', '{}');
INSERT INTO segment_members (tenant_id, segment_id, customer_id) VALUES ($1, $3, $2);
INSERT INTO scoring_runs (tenant_id, id, as_of) VALUES ($1, $3, now());
INSERT INTO customer_scores (tenant_id, customer_id, run_id, lifecycle, frequency, r, f, m, scored_at)
VALUES ($1, $2, $3, 'repeat', 2, 5, 4, 5, now());
UPDATE contact_points SET verified_at = now() WHERE tenant_id = $1 AND customer_id = $2;
UPDATE customers SET created_at = '2026-03-30T01:30:00Z' WHERE tenant_id = $1;
"""

NAMED = [
    # another segment
    (f"segment:{SEGMENT}", "ann"),
    (f"segments contains any ({SEGMENT}, {OTHER})", "ann"),
    (f"segments contains all ({SEGMENT}, {OTHER})", ""),
    (f"not segment:{SEGMENT}", "bob eve"),
    # contact point
    ("contact_points.count(where kind = mobile and verified = true) >= 1", "ann"),
    ("contact_points.count(where kind = mobile and not verified = true) >= 1", "bob"),
    ("contact_points.count = 0", "eve"),
    # complaints
    ("open_complaint = true", "bob"),
    ("open_complaint = false", "ann eve"),
    ("not open_complaint = true", "ann eve"),
    ("open_complaint exists", "ann bob eve"),
    ("complaints.count(last 30d, where kind = praise) = 1", "eve"),
    ('complaints.last(severity, where open = true) = "S1"', "bob"),
    # the RFM cell
    ('rfm_cell in ("555", "545")', "ann"),
    ("rfm_recency = 5 and rfm_frequency >= 4", "ann"),
    # order lines
    ('orders.count(where lines.count(where sku = "milk" and quantity >= 2) >= 1) >= 1', "ann"),
    # sequences of events and orders
    ("sequence(events(where type = product_view) then orders, within 7d)", "ann"),
    ("sequence(events then orders, within 2d)", ""),
    ("sequence(events then orders, last 30d)", ""),
    ("sequence(orders then events)", "bob"),
    ("not sequence(events then orders)", "bob eve"),
    # anniversaries: ann bought first on 2025-04-01, bob on 2026-03-29: his is a year from then
    ("anniversaries.first_order within 7d", "ann"),
    ("anniversaries.first_order = 2026-04-01", "ann"),
    ("anniversaries.first_order = 2027-03-29", "bob"),
    ("anniversaries.first_order missing", "eve"),
    ("anniversaries.created = 2027-03-30", "ann bob eve"),  # entered today
    ("anniversaries.attributes.wedding between today and 400d ahead", "ann bob"),
    ("anniversaries.attributes.wedding = 2027-02-28", "ann"),  # 29 February
    ("anniversaries.attributes.wedding = 2026-03-30", "bob"),  # today
    ("not anniversaries.attributes.wedding exists", "eve"),
]


def test_every_kind_of_thing_that_rules_name(shop):
    async def work(unit):
        wedding = {"entity": "customer", "key": "wedding", "type": "date", "label": {"en": "Wedding", "zh": "结婚"}}
        await AttributeService(unit).create(AttributeDefinitionCreate.model_validate(wedding))
        phones = {"ann": "13812345670", "bob": "13812345671"}
        days = {"ann": "2024-02-29", "bob": "2020-03-30"}
        ids = {}
        for name in ("ann", "bob", "eve"):
            data = {"name": name, "attributes": {"wedding": days[name]} if name in days else {}}
            data["contact_points"] = [{"kind": "mobile", "value": phones[name]}] if name in phones else []
            ids[name] = await CustomerService(unit).create(CustomerCreate.model_validate(data))
        ann, bob, eve = ids.values()
        line = {"sku": "milk", "title": "Milk", "quantity": 2, "unit_price": {"amount": 5000, "currency": "CNY"}}
        first = BASE - 363 * DAY  # 2025-04-01 in the shop
        await did(unit, ann, "product_view", first - 2 * DAY)
        await bought(unit, ann, "1", first, lines=[line])
        await bought(unit, bob, "2", BASE - DAY)
        await did(unit, bob, "page_view", BASE - DAY + timedelta(seconds=1))
        for who, kind, severity in ((bob, "complaint", "S1"), (eve, "praise", "S4")):
            case = {"customer_id": who, "kind": kind, "channel": "call", "severity": severity, "subject": "x"}
            await ComplaintService(unit).open(ComplaintCreate.model_validate(case))
        text = PREPARED
        for number, value in enumerate((unit.tenant_id, ann, SEGMENT, OTHER), 1):
            text = text.replace(f"${number}", f"'{value}'")
        await unit.connection.execute(text)
        for text, names in NAMED:
            who = await found(unit, text, ids.values(), JUST_AFTER)
            assert {name for name, key in ids.items() if key in who} == set(names.split()), text
        for number in (3, 7):
            tree = f"bucket(spring, 10) < {number}"
            assert await found(unit, tree, ids.values()) == {
                key for key in ids.values() if bucket_of("spring", key, 10) < number
            }
        rule = (await customer_rules(unit)).check(
            f"not segment:{SEGMENT} or segments contains any ({OTHER}, {SEGMENT})"
        )
        assert segments_named(rule) == {SEGMENT, OTHER}

    during(shop, work)


# -- any history -------------------------------------------------------------------------------------------------------

PEOPLE = st.integers(0, 2)
TIMES = st.builds(
    lambda days, hours, tick: BASE - timedelta(days=days, hours=hours, microseconds=tick),
    st.sampled_from([0, 1, 2, 30, 90]),
    st.sampled_from([0, 0, 1, 24]),
    st.sampled_from([0, 0, 1]),
)
STEPS = st.one_of(
    st.tuples(st.just("order"), PEOPLE, TIMES, st.sampled_from([100, 5000, 20_000])),
    st.tuples(st.just("refund"), st.integers(0, 5), st.sampled_from([1, 50])),
    st.tuples(st.just("event"), PEOPLE, TIMES, st.sampled_from(["page_view", "cart_add"])),
    st.tuples(st.just("merge"), PEOPLE, PEOPLE),
)
BARS = st.sampled_from(["gte", "lt", "eq"])
COUNTS = st.builds(lambda op, value: {"op": op, "value": value}, BARS, st.integers(0, 3))
SUMS = st.builds(
    lambda op, value: {"op": op, "value": {"amount": value, "currency": "CNY"}},
    BARS,
    st.sampled_from([0, 100, 2500, 5000, 25_100]),
)
WHERE = {
    "orders": SUMS.map(lambda test: {"field": "total", **test}),
    "events": st.sampled_from(["page_view", "cart_add"]).map(lambda kind: {"field": "type", "op": "eq", "value": kind}),
}
OPTIONAL = {"window": WINDOWS}


def some_of(collection, **others):
    return st.fixed_dictionaries({"of": st.just(collection)}, optional={"where": WHERE[collection], **others})


LEAVES = st.one_of(
    *(
        st.builds(lambda rows, test: {"aggregate": "count", **rows, **test}, some_of(of, **OPTIONAL), COUNTS)
        for of in WHERE
    ),
    st.builds(
        lambda name, rows, test: {"aggregate": "sum", **rows, "of": f"orders.{name}", **test},
        st.sampled_from(["total", "paid", "refunded"]),
        some_of("orders", **OPTIONAL),
        SUMS,
    ),
    WINDOWS.map(lambda window: {"aggregate": "max", "of": "orders.placed_at", "op": "within", "value": window}),
    st.fixed_dictionaries(
        {"sequence": st.lists(st.one_of(*map(some_of, WHERE)), min_size=2, max_size=3)},
        optional={"within": st.sampled_from([{"days": 1}, {"hours": 25}, {"days": 40}]), **OPTIONAL},
    ),
    COUNTS.map(lambda test: {"field": "order_count", **test}),
    st.sampled_from(["上海", "杭州"]).map(lambda city: {"field": "city", "op": "eq", "value": city}),
    st.integers(0, 3).map(lambda number: {"bucket": {"salt": "s", "of": 4}, "op": "eq", "value": number}),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=4,
)


class History:
    """Does what happens in the shop, and keeps books of its own."""

    def __init__(self, unit):
        self.unit = unit
        self.people, self.became, self.orders = [], [], []

    async def open(self):
        for number, city in enumerate(("上海", None, "杭州")):
            key = await CustomerService(self.unit).create(CustomerCreate(name=f"n{number}", city=city))
            self.people.append({"id": key, "city": city, "orders": [], "events": []})
            self.became.append(number)

    def who(self, number):
        return self.people[self.became[number]]

    async def order(self, number, at, amount):
        person = self.who(number)
        money = (amount, "CNY")
        row = {"total": money, "paid": money, "refunded": (0, "CNY"), "placed_at": at}
        row["id"] = await bought(self.unit, person["id"], str(len(self.orders)), at, amount)
        person["orders"].append(row)
        self.orders.append(row)

    async def refund(self, number, share):
        if number < len(self.orders):
            row = self.orders[number]
            back = row["total"][0] * share // 100
            if row["refunded"][0] == 0:
                money = PositiveMoney(amount=back, currency="CNY")
                await OrderService(self.unit).refund(row["id"], RefundCreate(amount=money))
                row["refunded"] = (back, "CNY")

    async def event(self, number, at, kind):
        """Events come in whatever order: most of them late."""
        person = self.who(number)
        await did(self.unit, person["id"], kind, at)
        person["events"].append({"type": kind, "placed_at": at, "occurred_at": at})

    async def merge(self, winner, loser):
        ours, theirs = self.who(winner), self.who(loser)
        if ours is not theirs:
            await MergeService(self.unit).merge(ours["id"], [theirs["id"]], {})
            ours["city"] = ours["city"] or theirs["city"]
            for rows in ("orders", "events"):
                ours[rows] += theirs[rows]
            gone = self.people.index(theirs)
            self.became = [self.people.index(ours) if each == gone else each for each in self.became]

    def living(self):
        return [{**self.people[each], "order_count": len(self.people[each]["orders"])} for each in set(self.became)]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(
    steps=st.lists(STEPS, min_size=3, max_size=10),
    trees=st.lists(TREES, min_size=6, max_size=6),
    later=st.sampled_from([timedelta(0), timedelta(hours=1), DAY]),
)
def test_any_rule_after_any_history(shop, steps, trees, later):
    as_of = AsOf(BASE + later, SHANGHAI)

    async def work(unit):
        history = History(unit)
        await history.open()
        for name, *arguments in steps:
            await getattr(history, name)(*arguments)
        ids = [person["id"] for person in history.people]
        judge = Brute(as_of.instant, as_of.zone)
        for tree in trees:
            inside = {person["id"] for person in history.living() if judge.holds(tree, person)}
            assert await found(unit, tree, ids, as_of) == inside, tree
            everyone = {person["id"] for person in history.living()}
            assert await found(unit, {"not": tree}, ids, as_of) == everyone - inside, tree
        both, apart = {"all": trees[:2]}, {"any": [{"not": tree} for tree in trees[:2]]}
        assert await found(unit, {"not": both}, ids, as_of) == await found(unit, apart, ids, as_of)

    during(shop, work)


def test_dates_are_the_days_of_the_tenants_zone(shop):
    """A first purchase at 23:30 UTC on 31 March is one of 1 April in Shanghai, and 1 April is 31 March's end in UTC."""

    async def work(unit):
        key = await CustomerService(unit).create(CustomerCreate(name="late"))
        await bought(unit, key, "1", BASE.replace(year=2025, month=3, day=30, hour=23))
        for zone, day in ((SHANGHAI, date(2026, 3, 31)), (ZoneInfo("UTC"), date(2026, 3, 30))):
            tree = f"anniversaries.first_order = {day}"
            assert await found(unit, tree, [key], AsOf(BASE, zone)) == {key}

    during(shop, work)
