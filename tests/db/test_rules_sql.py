"""Compiled rules against a brute-force evaluator, on random trees and random small histories.

The evaluator below reads the raw JSON and shares no code with the product: it is the language's second opinion.
"""

import asyncio
import hashlib
import operator
import os
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    Uuid,
    bindparam,
    insert,
    literal,
    select,
    true,
    union_all,
)
from sqlalchemy.schema import CreateTable

from crm_api.core.rules import Aggregate, AsOf, Op, RuleCollection, RuleField, RuleType
from crm_api.db.compile import DIALECT, compile_many, compile_statement
from crm_api.db.rule_values import bucket
from crm_api.db.rules import Side, SqlCollection, SqlField, SqlRules

pytestmark = pytest.mark.database

# Tables of our own: the language knows no domain.

SCHEMA = MetaData(schema="rules_test")
INSTANT = DateTime(timezone=True)


def table(name, *columns):
    return Table(name, SCHEMA, Column("tenant_id", Uuid, primary_key=True), *columns)


customers = table(
    "customers",
    Column("id", Uuid, primary_key=True),
    Column("city", Text),
    Column("points", Integer),
    Column("score", Numeric),
    Column("spend_amount", BigInteger),
    Column("currency", Text),
    Column("birthday", Date),
    Column("seen_at", INSTANT),
    Column("vip", Boolean),
    Column("owner_id", Uuid),
    Column("labels", ARRAY(Text)),
)
tags = table("tags", Column("customer_id", Uuid, primary_key=True), Column("tag", Text, primary_key=True))
scores = table(
    "scores",
    Column("customer_id", Uuid, primary_key=True),
    Column("cell", Text),
    Column("level", Integer),
    Column("worth_amount", BigInteger),
    Column("currency", Text),
)
orders = table(
    "orders",
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid),
    Column("status", Text),
    Column("total_amount", BigInteger),
    Column("refunded_amount", BigInteger),
    Column("currency", Text),
    Column("items", Integer),
    Column("weight", Numeric),
    Column("channel", Text),
    Column("placed_at", INSTANT),
)
lines = table(
    "lines",
    Column("id", Uuid, primary_key=True),
    Column("order_id", Uuid),
    Column("product", Text),
    Column("quantity", Integer),
)
visits = table(
    "visits",
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Uuid),
    Column("page", Text),
    Column("seconds", Integer),
    Column("placed_at", INSTANT),
)
labels = table("order_labels", Column("order_id", Uuid, primary_key=True), Column("label", Text, primary_key=True))
TABLES = (customers, tags, scores, orders, visits, lines, labels)

OF_CUSTOMER = lambda c, other: other.c.customer_id == c.c.id  # noqa: E731
OF_ORDER = lambda o, other: other.c.order_id == o.c.id  # noqa: E731


def column(name, kind, at=None, **more):
    return SqlField(RuleField(name, kind, name, **more), lambda row: row.c[at or name])


def money(name, side=None, shown="", **more):
    field = RuleField(shown or name, RuleType.MONEY, name)
    return SqlField(field, lambda row: row.c[f"{name}_amount"], currency=lambda row: row.c.currency, side=side, **more)


LINES = SqlCollection(
    RuleCollection("lines", "Lines"),
    lines,
    OF_ORDER,
    column("product", RuleType.TEXT),
    column("quantity", RuleType.INTEGER),
)
ORDERS = SqlCollection(
    RuleCollection("orders", "Orders", time="placed_at"),
    orders,
    OF_CUSTOMER,
    column("status", RuleType.CHOICE, choices=("paid", "refunded", "open")),
    column("items", RuleType.INTEGER),
    column("weight", RuleType.NUMBER),
    column("channel", RuleType.TEXT),
    column("placed_at", RuleType.INSTANT),
    money("total"),
    money("refunded"),
    SqlField(RuleField("labels", RuleType.MULTI, "Labels"), lambda row: row.c.label, side=Side(labels, OF_ORDER)),
    LINES,
)
VISITS = SqlCollection(
    RuleCollection("visits", "Visits", time="placed_at"),
    visits,
    OF_CUSTOMER,
    column("page", RuleType.TEXT),
    column("seconds", RuleType.INTEGER),
    column("placed_at", RuleType.INSTANT),
)
RULES = SqlRules()
RULES.register(
    column("city", RuleType.TEXT),
    column("points", RuleType.INTEGER),
    column("score", RuleType.NUMBER),
    money("spend"),
    column("birthday", RuleType.DATE),
    column("seen_at", RuleType.INSTANT),
    column("vip", RuleType.BOOLEAN),
    column("owner_id", RuleType.UUID),
    column("labels", RuleType.MULTI),
    SqlField(RuleField("tags", RuleType.MULTI, "Tags"), lambda row: row.c.tag, side=Side(tags, OF_CUSTOMER)),
    SqlField(
        RuleField("cell", RuleType.CHOICE, "RFM cell", choices=("A", "B")),
        lambda row: row.c.cell,
        side=Side(scores, OF_CUSTOMER),
    ),
    SqlField(RuleField("level", RuleType.INTEGER, "Level"), lambda row: row.c.level, side=Side(scores, OF_CUSTOMER)),
    money("worth", Side(scores, OF_CUSTOMER)),
    SqlField(
        RuleField("level_or_0", RuleType.INTEGER, "Level"),
        lambda row: row.c.level,
        side=Side(scores, OF_CUSTOMER),
        default=0,
    ),
    money("worth", Side(scores, OF_CUSTOMER), "worth_or_0", default=0),
    SqlField(
        RuleField("city_code", RuleType.TEXT, "Own test", operators=(Op.EQ, Op.EXISTS, Op.MISSING)),
        lambda row: row.c.city,
        test=lambda row, op, value, _as_of: row.c.city.is_not(None) if op is Op.EXISTS else row.c.city == value,
    ),
    ORDERS,
    VISITS,
)

# The second opinion. A customer is a plain dictionary; orders, lines and labels lie inside.

SIMPLE = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


class Brute:
    """Evaluates raw JSON over one customer."""

    def __init__(self, as_of, zone):
        self.now = as_of
        self.zone = zone

    def holds(self, node, thing):  # noqa: PLR0911 - one line a kind of node
        match node:
            case {"all": parts}:
                return all(self.holds(part, thing) for part in parts)
            case {"any": parts}:
                return any(self.holds(part, thing) for part in parts)
            case {"not": part}:
                return not self.holds(part, thing)
            case {"aggregate": _}:
                return self.aggregate(node, thing)
            case {"bucket": {"salt": salt, "of": of}}:
                digest = hashlib.sha256(f"{salt}:{thing['id']}".encode()).hexdigest()
                return self.test(int(digest[:8], 16) % of, node["op"], node["value"])
            case {"sequence": steps}:
                return self.follows(node, thing, steps, None, None)
            case {"field": "worth_or_0", "value": value}:
                asked = (value[0] if isinstance(value, list) else value)["currency"]
                amount, currency = thing["worth_or_0"]
                return self.test((amount if currency == asked else 0, asked), node["op"], value)
            case {"field": name}:
                return self.test(thing.get(name), node["op"], node.get("value"))
        raise AssertionError(node)

    def follows(self, node, thing, steps, first, last):
        """Look for rows of the steps that are left, after an instant."""
        if not steps:
            return True
        end = datetime.max.replace(tzinfo=UTC)
        if first is not None and "within" in node:
            end = first + timedelta(**node["within"])
        return any(
            self.follows(node, thing, steps[1:], first or row["placed_at"], row["placed_at"])
            for row in thing[steps[0]["of"]]
            if row["placed_at"] is not None
            and (last is None or row["placed_at"] > last)
            and row["placed_at"] < end
            and ("window" not in node or self.inside(row["placed_at"], node["window"]))
            and ("where" not in steps[0] or self.holds(steps[0]["where"], row))
        )

    def aggregate(self, node, thing):
        collection, _, measured = node["of"].partition(".")
        rows = [
            row for row in thing[collection] if "window" not in node or self.inside(row["placed_at"], node["window"])
        ]
        rows = [row for row in rows if "where" not in node or self.holds(node["where"], row)]
        values = [row.get(measured) for row in rows]
        match node["aggregate"]:
            case "count":
                figure = len(rows)
            case "first" | "last":
                dated = sorted(
                    (row for row in rows if row["placed_at"]), key=lambda row: (row["placed_at"], row["id"].bytes)
                )
                row = None if not dated else dated[0 if node["aggregate"] == "first" else -1]
                figure = row and row.get(measured)
            case kind:
                figure = self.figure(kind, values, node)
        return self.test(figure, node["op"], node.get("value"))

    def figure(self, kind, values, node):
        """Compute sum, avg, min or max; of money only over amounts in the currency asked for."""
        asked = node.get("value")
        first = asked[0] if isinstance(asked, list) and asked else asked
        currency = first.get("currency") if isinstance(first, dict) else None
        if currency:
            values = [value[0] for value in values if value and value[1] == currency]
        values = [value[0] if isinstance(value, tuple) else value for value in values if value is not None]
        if not values:
            figure = 0 if kind == "sum" else None
        elif kind == "avg":
            figure = sum(Fraction(value) for value in values) / len(values)
        else:
            figure = {"sum": sum, "min": min, "max": max}[kind](values)
        return (figure, currency) if currency and figure is not None else figure

    def test(self, found, op, value):  # noqa: PLR0911 - one line an operator
        missing = found is None or found == []
        if op in ("exists", "missing"):
            return missing == (op == "missing")
        if missing:
            return False
        if isinstance(found, list):
            wanted = value if isinstance(value, list) else [value]
            return (any if op == "contains_any" else all)(item in found for item in wanted)
        if op == "within":
            return self.inside(found, value)
        if op == "contains":
            return value.lower() in found.lower()
        if op == "starts_with":
            return found.lower().startswith(value.lower())
        return self.compare(found, op, value)

    def compare(self, found, op, value):
        if op in ("in", "not_in"):
            return (found in [self.read(item, found) for item in value]) == (op == "in")
        if op == "between":
            low, high = (self.read(item, found) for item in value)
            return self.compare_to(found, "gte", low) and self.compare_to(found, "lte", high)
        return self.compare_to(found, op, self.read(value, found))

    @staticmethod
    def compare_to(found, op, value):
        if isinstance(found, tuple):  # money
            return found[1] == value[1] and SIMPLE[op](found[0], value[0])
        return SIMPLE[op](found, value)

    def read(self, value, like):
        if isinstance(like, tuple):
            return value["amount"], value["currency"]
        if isinstance(like, datetime):
            return self.instant(value)
        if isinstance(like, date):
            return self.day(value)
        if isinstance(like, UUID):
            return UUID(value)
        return Fraction(str(value)) if isinstance(value, float) else value

    def inside(self, instant, window):
        match window:
            case {"last_days": days}:
                window = {"from": {"days_ago": days}, "to": {"days_ago": 0}}
            case {"last_hours": hours}:
                window = {"from": {"hours_ago": hours}, "to": {"hours_ago": 0}}
        if instant is None:
            return False
        after = "from" not in window or instant >= self.instant(window["from"])
        return after and ("to" not in window or instant < self.instant(window["to"]))

    def instant(self, value):
        match value:
            case {"hours_ago": hours}:
                return self.now - timedelta(hours=hours)
            case {"days_ago": 0}:
                return self.now
            case {"days_ago": days}:
                local = self.now.astimezone(self.zone).replace(tzinfo=None) - timedelta(days=days)
                return local.replace(tzinfo=self.zone).astimezone(UTC)
            case str() if len(value) == 10:
                return datetime.combine(date.fromisoformat(value), time(), self.zone).astimezone(UTC)
        return datetime.fromisoformat(value)

    def day(self, value):
        if isinstance(value, dict):
            shift = value.get("days_ago", 0) - value.get("days_ahead", 0)
            return self.now.astimezone(self.zone).date() - timedelta(days=shift)
        return date.fromisoformat(value)


# Random rules. Few values, so that rules and histories meet; times on a grid, so that edges are hit exactly.

BASE = datetime(2026, 3, 30, 1, 30, tzinfo=UTC)
TEXTS = ["Han", "han%", "杭州", "_", "a\\b", ""]
CITIES = st.sampled_from(TEXTS)
PARTS = ["h", "HAN", "%", "_", "州", "\\", "n%"]
NEEDLES = st.sampled_from(PARTS)
TAGS = st.sampled_from(["vip", "new", "wholesale"])
SMALL = st.integers(-1, 4)
DECIMALS = st.sampled_from([0, 0.1, 0.3, 1, 1.5, 2])
AMOUNTS = st.sampled_from([0, 100, 150, 200, 500])
CURRENCIES = st.sampled_from(["CNY", "CNY", "USD"])
OWNERS = st.sampled_from([UUID(int=1), UUID(int=2)])
TIMES = st.builds(
    lambda days, hours, micro: BASE - timedelta(days=days, hours=hours, microseconds=micro),
    st.sampled_from([-1, 0, 1, 2, 30, 90]),
    st.sampled_from([0, 0, 1, 2]),
    st.sampled_from([0, 0, 1, -1]),
)
BIRTHDAYS = st.sampled_from([date(2026, 3, 29), date(2026, 3, 30), date(2024, 2, 29), date(1990, 1, 1)])
MONEY = st.builds(lambda amount, currency: {"amount": amount, "currency": currency}, AMOUNTS, CURRENCIES)
DAYS = st.one_of(BIRTHDAYS.map(date.isoformat), st.sampled_from([{"days_ago": 0}, {"days_ago": 1}, {"days_ahead": 1}]))
MOMENTS = st.one_of(
    TIMES.map(datetime.isoformat),
    st.sampled_from(["2026-03-29", "2026-03-30"]),
    st.sampled_from([{"days_ago": 0}, {"days_ago": 1}, {"days_ago": 2}, {"days_ago": 30}, {"hours_ago": 24}]),
)
WINDOWS = st.one_of(
    st.sampled_from([{"last_days": days} for days in (1, 2, 30, 90)]),
    st.sampled_from([{"last_hours": hours} for hours in (1, 24, 48)]),
    st.builds(lambda edge: {"from": edge}, MOMENTS),
    st.builds(lambda edge: {"to": edge}, MOMENTS),
    st.just({"from": {"days_ago": 30}, "to": {"days_ago": 1}}),
    st.just({"from": "2026-03-29", "to": "2026-03-30"}),
)
VALUES = {
    RuleType.TEXT: CITIES,
    RuleType.INTEGER: SMALL,
    RuleType.NUMBER: DECIMALS,
    RuleType.MONEY: MONEY,
    RuleType.DATE: DAYS,
    RuleType.INSTANT: MOMENTS,
    RuleType.BOOLEAN: st.booleans(),
    RuleType.UUID: OWNERS.map(str),
    RuleType.MULTI: TAGS,
}


@st.composite
def verdicts(draw, field):
    """Draw operator and value that fit the field."""
    op = draw(st.sampled_from([op.value for op in field.operators]))
    single = st.sampled_from(field.choices) if field.choices else VALUES[field.type]
    match op:
        case "exists" | "missing":
            return {"op": op}
        case "in" | "not_in" | "contains_any" | "contains_all":
            value = draw(st.lists(single, min_size=1, max_size=2))
        case "between":
            value = draw(between(field, single))
        case "within":
            value = draw(WINDOWS)
        case "contains" | "starts_with" if field.type is RuleType.TEXT:
            value = draw(NEEDLES)
        case _:
            value = draw(single)
    return {"op": op, "value": value}


def between(field, single):
    match field.type:
        case RuleType.MONEY:
            return st.builds(
                lambda ends, currency: [{"amount": end, "currency": currency} for end in sorted(ends)],
                st.lists(AMOUNTS, min_size=2, max_size=2),
                CURRENCIES,
            )
        case RuleType.DATE:
            return st.sampled_from([["2024-02-29", {"days_ago": 1}], [{"days_ago": 1}, {"days_ahead": 1}]])
    return st.lists(single, min_size=2, max_size=2).map(sorted)


def field_leaves(rules):
    return st.one_of(
        st.builds(lambda test, name=name: {"field": name, **test}, verdicts(sql.field))
        for name, sql in rules.fields.items()
    )


def leaves(rules, depth):
    figures = (figures_of(sql, depth) for sql in rules.collections.values())
    # Only customers have buckets, and only they have rows in order.
    own = (buckets(), sequences(depth)) if rules is RULES else ()
    return st.one_of(field_leaves(rules), *figures, *own)


@st.composite
def buckets(draw):
    of = draw(st.integers(2, 5))
    split = {"salt": draw(st.sampled_from(["spring", "秋"])), "of": of}
    value = st.integers(0, of - 1)
    op = draw(st.sampled_from([*SIMPLE, "in", "not_in", "between"]))
    if op not in SIMPLE:
        return {"bucket": split, "op": op, "value": sorted(draw(st.tuples(value, value)))}
    return {"bucket": split, "op": op, "value": draw(value)}


@st.composite
def sequences(draw, depth):
    steps = []
    for of in draw(st.lists(st.sampled_from(["orders", "visits"]), min_size=2, max_size=3)):
        steps.append({"of": of})
        if depth and draw(st.booleans()):
            steps[-1]["where"] = draw(trees(RULES.collections[of].rules, depth - 1))
    node = {"sequence": steps}
    if draw(st.booleans()):
        node["within"] = draw(st.sampled_from([{"hours": 1}, {"days": 1}, {"hours": 25}, {"days": 30}]))
    if draw(st.booleans()):
        node["window"] = draw(WINDOWS)
    return node


@st.composite
def figures_of(draw, sql, depth, kinds=("count", "sum", "avg", "min", "max", "first", "last")):
    """Draw an aggregate over the collection."""
    numeric = (RuleType.INTEGER, RuleType.NUMBER, RuleType.MONEY)
    kind = draw(st.sampled_from(kinds if sql.collection.time else kinds[:5]))
    allowed = {
        "min": (*numeric, RuleType.INSTANT),
        "max": (*numeric, RuleType.INSTANT),
        "first": (*VALUES, RuleType.CHOICE),
        "last": (*VALUES, RuleType.CHOICE),
    }.get(kind, numeric)
    fields = [f.field for f in sql.rules.fields.values() if f.field.type in allowed and f.field.type != RuleType.MULTI]
    measured = draw(st.sampled_from(fields))
    node = {"aggregate": kind, "of": sql.collection.name}
    if kind == "count":
        numbers = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "not_in", "between")
        node |= draw(verdicts(RuleField("n", RuleType.INTEGER, "n", operators=tuple(Op(op) for op in numbers))))
    else:
        of_type = RuleType.NUMBER if (kind, measured.type) == ("avg", RuleType.INTEGER) else measured.type
        shown = RuleField("x", of_type, "x", choices=measured.choices)
        if kind == "sum":
            operators = tuple(op for op in shown.operators if op not in (Op.EXISTS, Op.MISSING))
            shown = RuleField("x", of_type, "x", operators=operators)
        node["of"] += f".{measured.name}"
        node |= draw(verdicts(shown))
    if sql.collection.time and draw(st.booleans()):
        node["window"] = draw(WINDOWS)
    if depth and draw(st.booleans()):
        node["where"] = draw(trees(sql.rules, depth - 1))
    return node


def trees(rules, depth=2):
    return st.recursive(
        leaves(rules, depth),
        lambda inner: st.one_of(
            st.builds(lambda parts: {"all": parts}, st.lists(inner, max_size=3)),
            st.builds(lambda parts: {"any": parts}, st.lists(inner, max_size=3)),
            st.builds(lambda part: {"not": part}, inner),
        ),
        max_leaves=4,
    )


def levels(node):
    match node:
        case {"all": parts} | {"any": parts}:
            return 1 + max(map(levels, parts), default=0)
        case {"not": part} | {"where": part}:
            return 1 + levels(part)
    return 1


TREES = trees(RULES).filter(lambda tree: levels(tree) <= 7)  # the laws wrap them in a few levels more


def maybe(strategy):
    return st.one_of(st.none(), strategy)


def amount():
    return maybe(st.tuples(AMOUNTS, CURRENCIES))


VISIT = st.fixed_dictionaries({"page": maybe(CITIES), "seconds": maybe(SMALL), "placed_at": maybe(TIMES)})
LINE = st.fixed_dictionaries({"product": maybe(CITIES), "quantity": maybe(SMALL)})
ORDER = st.fixed_dictionaries(
    {
        "status": maybe(st.sampled_from(["paid", "refunded", "open"])),
        "currency": CURRENCIES,
        "total_amount": maybe(AMOUNTS),
        "refunded_amount": maybe(AMOUNTS),
        "items": maybe(SMALL),
        "weight": maybe(DECIMALS),
        "channel": maybe(CITIES),
        "placed_at": maybe(TIMES),
        "labels": st.lists(TAGS, unique=True, max_size=2),
        "lines": st.lists(LINE, max_size=2),
    }
)
CUSTOMER = st.fixed_dictionaries(
    {
        "city": maybe(CITIES),
        "points": maybe(SMALL),
        "score": maybe(DECIMALS),
        "currency": maybe(CURRENCIES),
        "spend_amount": maybe(AMOUNTS),
        "birthday": maybe(BIRTHDAYS),
        "seen_at": maybe(TIMES),
        "vip": maybe(st.booleans()),
        "owner_id": maybe(OWNERS),
        "labels": maybe(st.lists(TAGS, unique=True, max_size=2)),
        "tags": st.lists(TAGS, unique=True, max_size=3),
        "scored": maybe(
            st.fixed_dictionaries(
                {
                    "cell": maybe(st.sampled_from(["A", "B"])),
                    "level": maybe(SMALL),
                    "worth_amount": maybe(AMOUNTS),
                    "currency": CURRENCIES,
                }
            )
        ),
        "orders": st.lists(ORDER, max_size=4),
        "visits": st.lists(VISIT, max_size=3),
    }
)
HISTORIES = st.lists(CUSTOMER, min_size=1, max_size=4)
CROWDS = st.lists(CUSTOMER, min_size=5, max_size=5)
ZONES = st.sampled_from([ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")])  # Berlin changed its clocks on March 29
NOWS = st.sampled_from([BASE, BASE - timedelta(days=1), BASE - timedelta(hours=1)])

US, THEM = UUID(int=100), UUID(int=200)


def coin(amount, currency):
    return None if amount is None or currency is None else (amount, currency)


def exact(value):
    return Decimal(str(value)) if isinstance(value, float | int) and not isinstance(value, bool) else value


class World:
    """One database connection and a history inside a transaction that is always rolled back."""

    def __init__(self, runner, connection):
        self.runner = runner
        self.connection = connection

    def check(self, history, work):
        """Store the history, run ``work(members)`` over it, and forget everything."""
        transaction = self.connection.transaction()
        self.runner.run(transaction.start())
        try:
            people = self.store(US, history)
            self.store(THEM, [*reversed(history)])  # the same ids at another tenant, with other people's rows
            work(people)
        finally:
            self.runner.run(transaction.rollback())

    def store(self, tenant, history):
        rows = {each: [] for each in TABLES}
        people = []
        for number, person in enumerate(history, 1):
            people.append(self.person(rows, tenant, UUID(int=number), person))
        for each, batch in rows.items():
            if batch:
                sql, values = compile_many(insert(each), batch)
                self.runner.run(self.connection.executemany(sql, values))
        return people

    def person(self, rows, tenant, key, person):
        own = {name: person[name] for name in customers.c.keys() if name in person}  # noqa: SIM118 - columns, not a dict
        rows[customers].append({**own, "tenant_id": tenant, "id": key, "score": exact(person["score"])})
        rows[tags] += [{"tenant_id": tenant, "customer_id": key, "tag": tag} for tag in person["tags"]]
        scored = person["scored"] or {}
        if scored:
            rows[scores].append({"tenant_id": tenant, "customer_id": key, **scored})
        bought = [
            self.order(rows, tenant, key, UUID(int=key.int * 100 + number), order)
            for number, order in enumerate(person["orders"])
        ]
        seen = [{**visit, "id": UUID(int=key.int * 100 + number)} for number, visit in enumerate(person["visits"])]
        rows[visits] += [{**visit, "tenant_id": tenant, "customer_id": key} for visit in seen]
        return {
            **person,
            "id": key,
            "score": None if person["score"] is None else Fraction(str(person["score"])),
            "spend": coin(person["spend_amount"], person["currency"]),
            "cell": scored.get("cell"),
            "level": scored.get("level"),
            "worth": coin(scored.get("worth_amount"), scored.get("currency")),
            "level_or_0": scored.get("level") or 0,
            "worth_or_0": coin(scored.get("worth_amount"), scored.get("currency")) or (0, ""),
            "city_code": person["city"],
            "orders": bought,
            "visits": seen,
        }

    def order(self, rows, tenant, customer, key, order):
        own = {name: value for name, value in order.items() if name not in ("labels", "lines")}
        own |= {"tenant_id": tenant, "id": key, "customer_id": customer, "weight": exact(order["weight"])}
        rows[orders].append(own)
        rows[labels] += [{"tenant_id": tenant, "order_id": key, "label": label} for label in order["labels"]]
        rows[lines] += [
            {**line, "tenant_id": tenant, "order_id": key, "id": UUID(int=key.int * 100 + number)}
            for number, line in enumerate(order["lines"])
        ]
        return {
            **order,
            "id": key,
            "weight": None if order["weight"] is None else Fraction(str(order["weight"])),
            "total": coin(order["total_amount"], order["currency"]),
            "refunded": coin(order["refunded_amount"], order["currency"]),
        }

    def members(self, tree, as_of, *, tenant=US):
        """Return who the compiled rule selects."""
        return self.members_each([tree], as_of, tenant=tenant)[0]

    def members_each(self, trees, as_of, *, tenant=US):
        """Return who each compiled rule selects, in one round trip."""
        selects = []
        for number, tree in enumerate(trees):
            row = customers.alias()
            predicate = RULES.predicate(RULES.check(tree), row, as_of, tenant)
            selects.append(select(literal(number), row.c.id).where(predicate))
        found = [set() for _ in trees]
        for number, member in self.fetch(union_all(*selects)):
            found[number].add(member)
        return found

    def fetch(self, query, params=None):
        sql, values = compile_statement(query, params)
        return self.runner.run(self.connection.fetch(sql, *values))


@pytest.fixture(scope="module")
def world(database_server):
    with database_server.database() as url, asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(url))
        runner.run(connection.execute("CREATE SCHEMA rules_test"))
        for each in TABLES:
            runner.run(connection.execute(str(CreateTable(each).compile(dialect=DIALECT))))
        runner.run(connection.execute("CREATE INDEX ON rules_test.orders (tenant_id, customer_id, placed_at)"))
        runner.run(connection.execute("CREATE INDEX ON rules_test.customers (tenant_id, city)"))
        yield World(runner, connection)
        runner.run(connection.close())


def brute(tree, people, as_of):
    judge = Brute(as_of.instant, as_of.zone)
    return {person["id"] for person in people if judge.holds(tree, person)}


def thorough(examples):
    """Run the same examples every time; ``RULES_EXAMPLES=20`` looks twenty times as long, at fresh ones."""
    more = int(os.environ.get("RULES_EXAMPLES", "0"))
    return settings(
        max_examples=examples * max(more, 1),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=not more,
        database=None,
    )


class TestAgainstBruteForce:
    @thorough(100)
    @given(tree=TREES, history=HISTORIES, now=NOWS, zone=ZONES)
    def test_random_trees_over_random_histories(self, world, tree, history, now, zone):
        as_of = AsOf(now, zone)

        def work(people):
            assert world.members(tree, as_of) == brute(tree, people, as_of), (tree, people)

        world.check(history, work)

    @pytest.mark.parametrize(
        "kind", ["field", "count", "sum", "avg", "min", "max", "first", "last", "bucket", "sequence"]
    )
    def test_every_kind_of_leaf_and_its_negation(self, world, kind):
        others = {"field": field_leaves(RULES), "bucket": buckets(), "sequence": sequences(1)}
        leaf = figures_of(ORDERS, 1, (kind,)) if kind in set(Aggregate) else others[kind]

        @thorough({"field": 60, "bucket": 10, "sequence": 15}.get(kind, 25))  # there are many fields to meet
        @given(leaves=st.lists(leaf, min_size=6, max_size=6), history=CROWDS, now=NOWS, zone=ZONES)
        def agrees(leaves, history, now, zone):
            as_of = AsOf(now, zone)
            both = [tree for leaf in leaves for tree in (leaf, {"not": leaf})]

            def work(people):
                for tree, found in zip(both, world.members_each(both, as_of), strict=True):
                    assert found == brute(tree, people, as_of), (tree, people)

            world.check(history, work)

        agrees()

    def test_every_part_against_every_text(self, world):
        """LIKE's own signs stand for themselves."""
        as_of = AsOf(BASE, ZoneInfo("UTC"))
        tried = [{"field": "city", "op": op, "value": part} for op in ("contains", "starts_with") for part in PARTS]

        def work(people):
            for tree, found in zip(tried, world.members_each(tried, as_of), strict=True):
                assert found == brute(tree, people, as_of), tree

        world.check([person(city=text) for text in [*TEXTS, None, "x_y"]], work)

    def test_every_count_against_every_bar(self, world):
        as_of = AsOf(BASE, ZoneInfo("Asia/Shanghai"))
        bars = [
            {"aggregate": "count", "of": "orders", "op": op, "value": value}
            for op in SIMPLE
            for value in (-1, 0, 1, 2, 3)
        ]
        both = [tree for bar in bars for tree in (bar, {"not": bar})]

        def work(people):
            for tree, found in zip(both, world.members_each(both, as_of), strict=True):
                assert found == brute(tree, people, as_of), tree

        world.check([person(orders=[order()] * number) for number in range(4)], work)


class TestSequences:
    """Strictly later, in ``[first, first + within)``, exact to the microsecond."""

    NOW = AsOf(BASE, ZoneInfo("Europe/Berlin"))  # the clocks changed the day before: a day of a span is 24 hours still
    DAY, TICK = timedelta(days=1), timedelta(microseconds=1)

    @pytest.mark.parametrize(
        ("gap", "holds"),
        [(timedelta(0), False), (TICK, True), (DAY - TICK, True), (DAY, False), (-TICK, False)],
        ids=["same", "just after", "just inside", "too late", "before"],
    )
    def test_edges(self, world, gap, holds):
        seen = BASE - timedelta(days=1, hours=12)
        tree = {"sequence": [{"of": "visits"}, {"of": "orders"}], "within": {"days": 1}}
        history = [person(visits=[visit(placed_at=seen)], orders=[order(placed_at=seen + gap)])]

        def work(people):
            assert bool(world.members(tree, self.NOW)) is holds
            assert bool(world.members({"not": tree}, self.NOW)) is not holds

        world.check(history, work)

    def test_another_first_row_may_do_where_the_earliest_does_not(self, world):
        days = [BASE - timedelta(days=number) for number in (30, 2, 1)]
        tree = {"sequence": [{"of": "orders"}, {"of": "orders"}], "within": {"days": 2}}

        def work(_people):
            assert world.members(tree, self.NOW)
            assert not world.members({**tree, "within": {"days": 1}}, self.NOW)
            assert not world.members({**tree, "sequence": [{"of": "orders"}] * 3}, self.NOW)

        world.check([person(orders=[order(placed_at=at) for at in days])], work)

    def test_no_combination_of_rows_is_tried(self, world):
        """Four steps of 300 rows and a last that never comes: 300 to the fourth power would take hours."""
        times = [BASE - timedelta(minutes=number) for number in range(1, 301)]
        never = {"of": "visits", "where": {"field": "page", "op": "eq", "value": "never"}}
        tree = {"sequence": [*[{"of": "visits"}] * 4, never], "within": {"days": 30}}

        def work(_people):
            world.runner.run(world.connection.execute("SET LOCAL statement_timeout = '20s'"))
            assert not world.members(tree, self.NOW)
            assert not world.members({"sequence": tree["sequence"]}, self.NOW)

        world.check([person(visits=[visit(placed_at=at) for at in times])], work)

    def test_buckets_are_the_documented_ones(self, world):
        somebody = UUID("0198a5b0-0000-7000-8000-000000000001")
        (found,) = world.fetch(select(bucket(literal(somebody, Uuid), "spring", 100)))
        assert found[0] == 75


class TestLaws:
    NOW = AsOf(BASE, ZoneInfo("Asia/Shanghai"))

    @thorough(40)
    @given(tree=TREES, history=HISTORIES)
    def test_not_is_the_exact_complement(self, world, tree, history):
        def work(people):
            inside, outside = world.members(tree, self.NOW), world.members({"not": tree}, self.NOW)
            assert not inside & outside
            assert inside | outside == {person["id"] for person in people}
            assert world.members({"not": {"not": tree}}, self.NOW) == inside

        world.check(history, work)

    @thorough(40)
    @given(first=TREES, second=TREES, history=HISTORIES)
    def test_de_morgan(self, world, first, second, history):
        pairs = [("all", "any"), ("any", "all")]

        def work(_people):
            for outer, inner in pairs:
                apart = {inner: [{"not": first}, {"not": second}]}
                assert world.members({"not": {outer: [first, second]}}, self.NOW) == world.members(apart, self.NOW)

        world.check(history, work)

    @thorough(40)
    @given(first=TREES, second=TREES, history=HISTORIES)
    def test_more_conditions_never_add_and_more_choices_never_remove(self, world, first, second, history):
        def work(_people):
            alone = world.members(first, self.NOW)
            assert world.members({"all": [first, second]}, self.NOW) <= alone
            assert alone <= world.members({"any": [first, second]}, self.NOW)

        world.check(history, work)

    @thorough(40)
    @given(history=HISTORIES, short=st.integers(1, 100), longer=st.integers(0, 100), least=st.integers(1, 3))
    def test_a_longer_window_and_a_lower_bar_never_remove(self, world, history, short, longer, least):
        def bought(days, times):
            return {"aggregate": "count", "of": "orders", "window": {"last_days": days}, "op": "gte", "value": times}

        def work(_people):
            strict = world.members(bought(short, least), self.NOW)
            assert strict <= world.members(bought(short + longer, least), self.NOW)
            assert strict <= world.members(bought(short, least - 1), self.NOW)

        world.check(history, work)


class TestWindows:
    NOW = AsOf(BASE, ZoneInfo("Asia/Shanghai"))

    @pytest.mark.parametrize(
        ("placed_at", "inside"),
        [
            (BASE - timedelta(days=30), True),
            (BASE - timedelta(days=30, microseconds=1), False),
            (BASE - timedelta(microseconds=1), True),
            (BASE, False),
        ],
    )
    def test_are_half_open(self, world, placed_at, inside):
        tree = {"aggregate": "count", "of": "orders", "window": {"last_days": 30}, "op": "eq", "value": 1}
        assert bool(self.select(world, tree, [placed_at])) is inside

    def test_a_late_event_counts_as_soon_as_it_is_there(self, world):
        tree = {"aggregate": "count", "of": "orders", "window": {"last_days": 30}, "op": "gte", "value": 2}
        on_time, late = BASE - timedelta(days=1), BASE - timedelta(days=29)
        assert not self.select(world, tree, [on_time])
        assert self.select(world, tree, [on_time, late])

    def select(self, world, tree, times):
        found = []
        world.check(
            [person(orders=[order(placed_at=at) for at in times])],
            lambda _p: found.append(world.members(tree, self.NOW)),
        )
        return found[0]


def order(**changes):
    empty = dict.fromkeys(("status", "total_amount", "refunded_amount", "items", "weight", "channel", "placed_at"))
    return {**empty, "currency": "CNY", "labels": [], "lines": [], **changes}


def visit(**changes):
    return {"page": None, "seconds": None, **changes}


def person(**changes):
    names = ("city", "points", "score", "currency", "spend_amount", "birthday", "seen_at", "vip", "owner_id", "labels")
    return {**dict.fromkeys(names), "tags": [], "scored": None, "orders": [], "visits": [], **changes}


BIG = {
    "all": [
        {"field": "city", "op": "eq", "value": "'; DROP TABLE customers; --"},
        {"field": "tags", "op": "contains_any", "value": ["vip", "new"]},
        {"aggregate": "count", "of": "orders", "window": {"last_days": 90}, "op": "gte", "value": 3},
        {
            "not": {
                "aggregate": "count",
                "of": "orders",
                "where": {"aggregate": "count", "of": "lines", "op": "gte", "value": 1},
                "op": "gte",
                "value": 1,
            }
        },
    ]
}


class TestStatement:
    """The shape of the SQL: parameters only, the tenant everywhere, indexes usable."""

    NOW = AsOf(BASE, ZoneInfo("Asia/Shanghai"))

    def sql(self, tree, tenant=US, params=None):
        row = customers.alias("c")
        query = select(row.c.id).where(RULES.predicate(RULES.check(tree), row, self.NOW, tenant))
        return compile_statement(query, params)

    def test_values_are_parameters(self):
        sql, values = self.sql(BIG)
        assert "'" not in sql
        assert "DROP" not in sql
        assert "'; DROP TABLE customers; --" in values

    def test_one_shape_is_one_text(self):
        other = {
            "all": [
                *BIG["all"][:1],
                {"field": "tags", "op": "contains_any", "value": ["x"] * 5},
                *BIG["all"][2:],
            ]
        }
        assert self.sql(BIG)[0] == self.sql(other)[0]

    def test_every_table_is_held_to_the_tenant(self):
        sql, _values = self.sql(BIG)
        assert sql.count("rules_test.") == sql.count("tenant_id =") == 5

    def test_the_tenant_may_be_a_parameter_of_the_statement(self):
        tenant = bindparam("tenant_id", type_=Uuid())
        sql, values = self.sql(BIG, tenant, {"tenant_id": US})
        assert values.count(US) == 1
        assert sql.count("tenant_id = $1") == 5

    def test_rules_of_the_other_tenant_see_the_other_rows(self, world):
        tree = {"field": "city", "op": "eq", "value": "杭州"}

        def work(_people):
            assert world.members(tree, self.NOW) == {UUID(int=1)}
            assert world.members(tree, self.NOW, tenant=THEM) == {UUID(int=2)}

        world.check([person(city="杭州"), person(city="Han")], work)

    def test_predicate_can_be_a_column_when_made_definite(self, world):
        def work(_people):
            row = customers.alias()
            predicate = RULES.predicate(RULES.check({"field": "city", "op": "eq", "value": "x"}), row, self.NOW, US)
            (found,) = world.fetch(select(predicate.is_(true())).where(row.c.tenant_id == US))
            assert found[0] is False

        world.check([person()], work)

    @pytest.mark.parametrize(
        ("tree", "wanted"),
        [
            ({"field": "city", "op": "eq", "value": "c7"}, "customers_tenant_id_city_idx"),
            (
                {"aggregate": "count", "of": "orders", "window": {"last_days": 90}, "op": "gte", "value": 2},
                "orders_tenant_id_customer_id_placed_at_idx",
            ),
            (
                {"aggregate": "last", "of": "orders.channel", "op": "eq", "value": "x"},
                "orders_tenant_id_customer_id_placed_at_idx",
            ),
            ({"not": {"field": "tags", "op": "contains", "value": "vip"}}, "Anti Join"),
            ({"field": "tags", "op": "contains", "value": "vip"}, "Hash Join"),
        ],
    )
    def test_plans_use_indexes_and_joins(self, many, tree, wanted):
        sql, values = self.sql(tree)
        plan = "\n".join(row[0] for row in many.runner.run(many.connection.fetch(f"EXPLAIN {sql}", *values)))
        assert wanted in plan


MANY = """
INSERT INTO rules_test.customers (tenant_id, id, city)
SELECT tenant, lpad(to_hex(n), 32, '0')::uuid, 'c' || n % 500 FROM generate_series(1, 5000) n;
INSERT INTO rules_test.tags SELECT tenant, lpad(to_hex(n), 32, '0')::uuid, 'vip' FROM generate_series(1, 5000, 7) n;
INSERT INTO rules_test.orders (tenant_id, id, customer_id, channel, placed_at)
SELECT tenant, lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n % 5000), 32, '0')::uuid, 'x',
       '2026-03-30'::timestamptz - n * interval '1 hour'
FROM generate_series(1, 20000) n;
ANALYZE rules_test.customers, rules_test.tags, rules_test.orders;
""".replace("tenant,", f"'{US}',")


@pytest.fixture(scope="class")
def many(world):
    """Enough rows for the planner to have a choice."""
    transaction = world.connection.transaction()
    world.runner.run(transaction.start())
    world.runner.run(world.connection.execute(MANY))
    yield world
    world.runner.run(transaction.rollback())
