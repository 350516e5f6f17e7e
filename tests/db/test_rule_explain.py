"""Explanations and funnels against the predicate and the brute-force evaluator, on random rules and histories."""

import json
from datetime import timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from sqlalchemy import select

from crm_api.core.rules import All, AnyOf, AsOf, Not
from crm_api.core.rules.buckets import bucket_of
from crm_api.db.compile import compile_statement
from crm_api.db.rule_explain import RuleFunnel, RuleProbe
from tests.db import test_rules_sql as zoo
from tests.db.test_rules_sql import BASE, HISTORIES, NOWS, RULES, TREES, US, ZONES, brute, order, person, world

__all__ = ["world"]

pytestmark = pytest.mark.database

NOW = AsOf(BASE, ZoneInfo("Asia/Shanghai"))


def record(row):
    """Return a record as the product's connections do: jsonb becomes values."""
    return {name: json.loads(value) if isinstance(value, str) else value for name, value in row.items()}


def explained(world, tree, as_of=NOW):
    """Return what every part finds, by customer."""
    probe, c = RuleProbe(RULES, RULES.check(tree), as_of), zoo.customers.alias()
    rows = world.fetch(select(c.c.id.label("customer"), *probe.columns(c, US)).where(c.c.tenant_id == US))
    return {row["customer"]: probe.read(record(row)) for row in rows}


def told(world, tree, *people):
    """Return {pointer: explained} of the first of some people."""
    seen = []
    world.check(list(people), lambda _p: seen.append(explained(world, tree)[UUID(int=1)]))
    return {each.part.node.pointer: each for each in seen[0]}


def recombined(parts, number=0):
    """Return what the leaves' verdicts make of a part."""
    node = parts[number].part.node
    inside = [
        recombined(parts, n) for n, each in enumerate(parts) if each.part.parent == number and not each.part.around
    ]
    match node:
        case All():
            return all(inside)
        case AnyOf():
            return any(inside)
        case Not():
            return not inside[0]
    return parts[number].holds


def asked(parts, each):
    """Return what a part asks as a rule: of a step, whether the steps so far came in order."""
    if each.part.taken is None:
        return each.part.raw
    whole = parts[each.part.parent].part.raw
    return {**whole, "sequence": whole["sequence"][: len(each.part.taken.steps)]}


@zoo.thorough(40)
@given(tree=TREES, history=HISTORIES, now=NOWS, zone=ZONES)
def test_the_root_is_the_predicate_and_the_leaves_make_the_root(world, tree, history, now, zone):
    as_of = AsOf(now, zone)

    def work(people):
        members, judge = world.members(tree, as_of), zoo.Brute(now, zone)
        for customer, parts in explained(world, tree, as_of).items():
            (them,) = (each for each in people if each["id"] == customer)
            assert parts[0].holds == (customer in members), tree
            assert recombined(parts) == parts[0].holds
            for each in parts:
                assert (each.holds is None) == bool(each.part.around)
                if each.holds is not None:
                    assert each.holds == judge.holds(asked(parts, each), them)

    world.check(history, work)


@zoo.thorough(25)
@given(tree=TREES, history=HISTORIES)
def test_funnels_count_what_each_leaf_and_each_step_selects(world, tree, history):
    funnel, c = RuleFunnel(RULES, RULES.check(tree), NOW), zoo.customers.alias()

    def work(people):
        (row,) = world.fetch(funnel.statement(c, US))
        counts = funnel.read(row)
        assert (counts.total, counts.selected) == (len(people), len(brute(tree, people, NOW)))
        for part, number in counts.leaves:
            assert number == len(brute(part.raw, people, NOW))
        for at, (_part, number) in enumerate(counts.steps):
            assert number == len(brute({"all": tree["all"][: at + 1]}, people, NOW))
        assert len(counts.steps) == len(tree.get("all", []))

    world.check(history, work)


def test_every_table_is_held_to_the_tenant_and_every_value_is_a_parameter():
    tree = {
        "all": [zoo.BIG, {"sequence": [{"of": "orders"}, {"of": "orders"}]}, {"field": "worth_or_0", "op": "exists"}]
    }
    rule, row = RULES.check(tree), zoo.customers.alias("c")
    probe, funnel = RuleProbe(RULES, rule, NOW), RuleFunnel(RULES, rule, NOW)
    alone = select(*probe.columns(row, US)).where(row.c.tenant_id == US)
    for statement in (alone, funnel.statement(row, US)):
        sql, values = compile_statement(statement)
        assert sql.count("rules_test.") == sql.count("tenant_id =") > 5
        assert "DROP" not in sql
        assert "'; DROP TABLE customers; --" in values


class TestFound:
    """What is shown is what the leaf compared."""

    def test_aggregates_tell_figure_rows_times_and_window(self, world):
        day = timedelta(days=1)
        bought = [
            order(status="paid", total_amount=500, items=2, placed_at=BASE - 3 * day),
            order(status="paid", total_amount=200, items=4, placed_at=BASE - 40 * day),
            order(status="open", total_amount=900, items=9, placed_at=BASE - 1 * day),
            order(status="paid", total_amount=70, currency="USD", items=1, placed_at=BASE - 2 * day),
        ]
        window, paid = {"last_days": 30}, {"field": "status", "op": "eq", "value": "paid"}
        tree = {
            "all": [
                {"aggregate": "count", "of": "orders", "window": window, "where": paid, "op": "gte", "value": 3},
                {
                    "aggregate": "sum",
                    "of": "orders.total",
                    "op": "gte",
                    "value": {"amount": 1000, "currency": "CNY"},
                    "where": {"any": [paid, {"field": "items", "op": "gt", "value": 8}]},
                },
                {"aggregate": "avg", "of": "orders.items", "op": "gt", "value": 4},
                {"aggregate": "last", "of": "orders.total", "op": "exists"},
                {"aggregate": "max", "of": "orders.placed_at", "op": "lt", "value": {"days_ago": 60}},
                {"aggregate": "sum", "of": "orders.total", "op": "eq", "value": {"amount": 0, "currency": "JPY"}},
            ]
        }
        found = told(world, tree, person(orders=bought))
        count = found["/all/0"]
        assert (count.found, count.rows, count.holds) == (2, 2, False)
        assert (count.first_at, count.last_at) == ("2026-03-27T01:30:00+00:00", "2026-03-28T01:30:00+00:00")
        assert (found["/all/0/where"].rows, found["/all/0/where"].looked_at) == (2, 3)
        total = found["/all/1"]
        assert (total.found, total.rows, total.holds) == ({"amount": 1600, "currency": "CNY"}, 4, True)
        assert [found[f"/all/1/where{at}"].rows for at in ("", "/any/0", "/any/1")] == [4, 3, 1]
        assert found["/all/2"].found == 4
        assert found["/all/3"].found == {"amount": 900, "currency": "CNY"}
        assert found["/all/4"].found == "2026-03-29T01:30:00+00:00"
        assert found["/all/5"].found == {"amount": 0, "currency": "JPY"}
        probe = RuleProbe(RULES, RULES.check(tree), NOW)
        assert probe.window(probe.parts[1]) == {"from": "2026-02-28T01:30:00+00:00", "to": "2026-03-30T01:30:00+00:00"}
        by_pointer = {part.node.pointer: probe.asked(part) for part in probe.parts}
        assert by_pointer["/all/1"] == {"amount": 1000, "currency": "CNY"}
        assert by_pointer["/all/4"] == "2026-01-29T01:30:00+00:00"
        assert (by_pointer[""], by_pointer["/all/3"]) == (None, None)

    def test_parts_inside_inner_collections_count_their_rows(self, world):
        dear = {"field": "quantity", "op": "gte", "value": 2}
        tree = {
            "aggregate": "count",
            "of": "orders",
            "where": {"aggregate": "count", "of": "lines", "where": dear, "op": "gte", "value": 1},
            "op": "gte",
            "value": 1,
        }
        lines = [{"product": "a", "quantity": number} for number in (1, 2, 3)]
        found = told(world, tree, person(orders=[order(lines=lines), order(lines=lines[:1]), order()]))
        assert (found[""].found, found["/where"].rows, found["/where"].looked_at) == (1, 1, 3)
        assert (found["/where/where"].rows, found["/where/where"].looked_at) == (2, 4)

    def test_fields_of_every_kind(self, world):
        leaves = {
            "city": ({"op": "eq", "value": "Han"}, "杭州"),
            "spend": ({"op": "gt", "value": {"amount": 1, "currency": "USD"}}, {"amount": 150, "currency": "CNY"}),
            "seen_at": ({"op": "within", "value": {"last_days": 7}}, "2026-03-29T01:30:00+00:00"),
            "birthday": ({"op": "exists"}, "2024-02-29"),
            "owner_id": ({"op": "missing"}, str(UUID(int=2))),
            "labels": ({"op": "contains", "value": "new"}, ["new", "vip"]),
            "tags": ({"op": "contains_any", "value": ["vip"]}, ["vip", "wholesale"]),
            "cell": ({"op": "eq", "value": "A"}, None),
            "level_or_0": ({"op": "gte", "value": 1}, 0),
            "worth_or_0": ({"op": "gte", "value": {"amount": 1, "currency": "CNY"}}, {"amount": 0, "currency": "CNY"}),
            "points": ({"op": "missing"}, None),
        }
        known = person(
            city="杭州",
            spend_amount=150,
            currency="CNY",
            seen_at=BASE - timedelta(days=1),
            birthday=zoo.date(2024, 2, 29),
            owner_id=UUID(int=2),
            labels=["vip", "new"],
            tags=["vip", "wholesale"],
        )
        tree = {"any": [{"field": name, **test} for name, (test, _value) in leaves.items()]}
        found = told(world, tree, known)
        assert [found[f"/any/{n}"].found for n in range(len(leaves))] == [value for _test, value in leaves.values()]

    def test_sequences_tell_how_far_somebody_came_and_buckets_which(self, world):
        day, paid = timedelta(days=1), {"field": "status", "op": "eq", "value": "paid"}
        steps = [{"of": "orders", "where": paid}, {"of": "orders"}, {"of": "orders", "where": {"not": paid}}]
        bought = [
            order(status="open", placed_at=BASE - 9 * day),
            order(status="paid", placed_at=BASE - 5 * day),
            order(status="paid", placed_at=BASE - 2 * day),
        ]
        spring = {"salt": "spring", "of": 10}
        tree = {"any": [{"sequence": steps, "within": {"days": 7}}, {"bucket": spring, "op": "gte", "value": 0}]}
        found = told(world, tree, person(orders=bought))
        whole, one, two, three = (found[f"/any/0{at}"] for at in ("", "/sequence/0", "/sequence/1", "/sequence/2"))
        assert (whole.holds, whole.found) == (False, 2)
        assert [(each.holds, each.rows) for each in (one, two, three)] == [(True, 2), (True, 3), (False, 1)]
        assert one.first_at == "2026-03-25T01:30:00+00:00"
        assert (found["/any/0/sequence/2/where"].rows, found["/any/0/sequence/2/where"].looked_at) == (1, 3)
        assert found["/any/1"].found == bucket_of("spring", UUID(int=1), 10)

    def test_of_many_members_those_asked_for_are_shown(self, world):
        tags = [f"t{number:03}" for number in range(150)]
        found = told(world, {"field": "tags", "op": "contains", "value": "t149"}, person(tags=tags))
        assert len(found[""].found) == 100
        assert found[""].found[-1] == "t149"

    def test_no_leaf_at_all(self, world):
        assert told(world, {"all": []}, person())[""].holds is True
