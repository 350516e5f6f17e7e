"""Steps, parts of a proposal and limits of approval: no database."""

from itertools import product
from pathlib import Path
from typing import get_args
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_api.compensations.models import CompensationCreate, CompensationState
from crm_api.compensations.rules import (
    GRANTED,
    PENDING,
    STEPS,
    Limit,
    Person,
    Step,
    Worth,
    faults,
    is_somebody_else,
    may_approve,
    mermaid,
    next_state,
    steps_from,
    steps_to_ask,
)

STATES, ALL_STEPS = get_args(CompensationState), get_args(Step)
DOCS = Path(__file__).parents[2] / "docs" / "domains" / "compensations.md"
ANN, BOB, KEY, OTHER = uuid4(), uuid4(), uuid4(), uuid4()


def money(amount, kind="refund", currency="CNY"):
    return Worth(kind, amount, currency)


def test_the_listed_steps_are_all_there_are():
    assert {pair for pair in product(STATES, ALL_STEPS) if next_state(*pair)} == STEPS.keys()
    assert {state for state in STATES if not steps_from(state)} == {"rejected", "cancelled", "reversed"}


def test_the_documents_show_the_table():
    assert f"```mermaid\n{mermaid()}```" in DOCS.read_text(encoding="utf-8")


@given(st.lists(st.sampled_from(ALL_STEPS), max_size=40))
def test_whatever_is_tried_it_is_settled_at_most_once_and_ended_for_good(tried):
    state, done, approved = "proposed", [], False
    for step in tried:
        after = next_state(state, step)
        if after is not None:
            assert state not in {"rejected", "cancelled", "reversed"}
            state = after
            done.append(step)
            approved = approved or step == "approve"
    assert done.count("settle") <= 1
    assert done.count("reverse") <= done.count("settle")
    assert approved or state in {"proposed", "rejected", "cancelled"}
    assert (state in PENDING) == any(step in {"approve", "settle", "retry"} for step in steps_from(state))
    assert (state in GRANTED) == (approved and state not in {"cancelled", "reversed"})


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"kind": "refund"}, {("/amount", "required")}),
        ({"kind": "refund", "amount": {"amount": 0, "currency": "CNY"}}, {("/amount/amount", "out_of_range")}),
        (
            {"kind": "points", "amount": {"amount": 1, "currency": "CNY"}},
            {("/points", "required"), ("/amount", "unexpected")},
        ),
        ({"kind": "replacement", "amount": {"amount": 1, "currency": "CNY"}}, {("/sku", "required")}),
        ({"kind": "voucher", "quantity": 2}, {("/campaign_id", "required"), ("/quantity", "unexpected")}),
        ({"kind": "apology", "points": 1}, {("/points", "unexpected")}),
        ({"kind": "apology"}, set()),
        ({"kind": "service", "sku": "SPA", "amount": {"amount": 1, "currency": "CNY"}}, set()),
    ],
)
def test_what_belongs_to_which_kind(body, found):
    assert {(each.pointer, each.code) for each in faults(CompensationCreate.model_validate(body))} == found


people = st.builds(Person, st.sampled_from([KEY, OTHER]), st.sampled_from([None, ANN, BOB]))


def test_what_the_worker_does_is_not_offered():
    assert steps_to_ask("approved", "points") == ["cancel"]
    assert steps_to_ask("approved", "refund") == ["settle", "cancel"]
    assert steps_to_ask("failed", "voucher") == ["retry", "cancel"]


@given(people, people)
def test_nobody_is_somebody_else_than_themselves(one, other):
    assert not is_somebody_else(one, one)
    assert is_somebody_else(one, other) == is_somebody_else(other, one)
    # A key that named nobody may be the same person as one that named somebody.
    assert not (one.key_id == other.key_id and None in (one.staff_id, other.staff_id) and is_somebody_else(one, other))


AGENT = Person(KEY, ANN, "客服", can_approve=True)
SAID = Person(KEY, ANN, "客服")
ALONE = Person(KEY)


@pytest.mark.parametrize(
    ("person", "limits", "this", "others", "allowed"),
    [
        (ALONE, [], money(1), [], False),
        (ALONE, [], Worth("apology"), [], True),
        (Person(KEY, is_owner=True), [], money(10**9), [], True),
        (Person(KEY, ANN, is_owner=True), [], money(1), [], False),
        (AGENT, [Limit(role="客服", amount=100, currency="CNY")], money(100), [], True),
        (AGENT, [Limit(role="客服", amount=100, currency="CNY")], money(101), [], False),
        (AGENT, [Limit(role="店长", amount=100, currency="CNY")], money(1), [], False),
        (AGENT, [Limit(staff_id=ANN, points=5)], Worth("points", points=5), [], True),
        (AGENT, [Limit(staff_id=ANN, points=5)], money(1), [], False),
        (AGENT, [Limit(amount=100, currency="USD")], money(1), [], False),
        (AGENT, [Limit(unlimited=True)], money(10**12), [money(10**12)], True),
        # What the case was granted already counts, in its own measure and, for a limit of one kind, of that kind.
        (ALONE, [Limit(amount=100, currency="CNY")], money(60), [money(41)], False),
        (ALONE, [Limit(amount=100, currency="CNY")], money(60), [money(40), Worth("points", points=9)], True),
        (ALONE, [Limit(amount=100, currency="CNY")], money(60), [money(99, currency="USD")], True),
        (ALONE, [Limit(kind="refund", amount=100, currency="CNY")], money(60), [money(99, "service")], True),
        (ALONE, [Limit(kind="service", amount=100, currency="CNY")], money(60), [], False),
        # Any one limit will do, but a limit of the key bounds everybody who acts through it.
        (AGENT, [Limit(points=1), Limit(staff_id=ANN, amount=9, currency="CNY")], money(9), [], True),
        (
            AGENT,
            [Limit(staff_id=ANN, unlimited=True), Limit(key_id=KEY, amount=9, currency="CNY")],
            money(10),
            [],
            False,
        ),
        (AGENT, [Limit(staff_id=ANN, unlimited=True), Limit(key_id=KEY, amount=9, currency="CNY")], money(9), [], True),
        (AGENT, [Limit(key_id=KEY, unlimited=True)], money(1), [], False),
        (ALONE, [Limit(key_id=KEY, amount=9, currency="CNY")], money(9), [], True),
        (ALONE, [Limit(staff_id=ANN, unlimited=True)], money(1), [], False),
        # A name alone lifts no limit: the key must have one of its own, or the scope to approve.
        (SAID, [Limit(staff_id=ANN, unlimited=True), Limit(role="客服", unlimited=True)], money(1), [], False),
        (SAID, [Limit(amount=9, currency="CNY")], money(9), [], True),
        (SAID, [Limit(staff_id=ANN, unlimited=True), Limit(key_id=KEY, amount=9, currency="CNY")], money(9), [], True),
        (
            SAID,
            [Limit(staff_id=ANN, unlimited=True), Limit(key_id=KEY, amount=9, currency="CNY")],
            money(10),
            [],
            False,
        ),
    ],
)
def test_who_may_approve_what(person, limits, this, others, allowed):
    assert may_approve(person, limits, this, others) is allowed
