"""What a ledger amounts to: whatever the order of its entries, and whatever was said for any channel."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_api.consent import rules
from crm_api.consent.rules import Entry

START = datetime(2026, 1, 1, tzinfo=UTC)
PURPOSES = ("marketing", "personalization")
CHANNELS = ("any", "sms", "email")


@st.composite
def ledgers(draw):
    """Draw entries, several at the same instant; ids are unique and not in the order of time."""
    size = draw(st.integers(0, 8))
    ids = draw(st.permutations(range(size)))
    return [
        Entry(
            UUID(int=number),
            draw(st.sampled_from(PURPOSES)),
            draw(st.sampled_from(CHANNELS)),
            draw(st.sampled_from(("granted", "withdrawn"))),
            START + timedelta(hours=draw(st.integers(0, 3))),
        )
        for number in ids
    ]


def told(entries, purpose, channel):
    """Decide by going through time: another way to say the same as the rules."""
    by_name = general = None
    for entry in sorted(entries, key=lambda each: (each.at, each.id)):
        if entry.purpose != purpose:
            continue
        if entry.channel == channel:
            by_name = entry.action
        elif entry.channel == "any":
            general = entry.action
            if entry.action == "withdrawn":
                by_name = "withdrawn" if by_name == "withdrawn" else None
    word = by_name or general
    return rules.basis_of(purpose) == "objection" if word is None else word == "granted"


@given(ledgers(), st.randoms())
def test_the_order_of_storing_does_not_matter(entries, random):
    shuffled = list(entries)
    random.shuffle(shuffled)
    assert rules.replay(entries) == rules.replay(shuffled)


@given(ledgers())
def test_a_ledger_decides_as_going_through_time_does(entries):
    standing = rules.replay(entries)
    for purpose in PURPOSES:
        for channel in ("sms", "email", "call"):
            assert rules.decide(standing, purpose, channel).allowed == told(entries, purpose, channel)


@given(ledgers())
def test_after_a_general_withdrawal_nothing_is_allowed(entries):
    last = Entry(UUID(int=99), "marketing", "any", "withdrawn", START + timedelta(days=1))
    standing = rules.replay([*entries, last])
    assert not any(rules.decide(standing, "marketing", channel).allowed for channel in rules.SEND_CHANNELS)


def entry(number, channel, action, purpose="marketing"):
    return Entry(UUID(int=number), purpose, channel, action, START + timedelta(minutes=number))


@pytest.mark.parametrize(
    ("entries", "allowed", "reason"),
    [
        ((), False, "no_consent"),
        ((entry(1, "any", "granted"),), True, "granted"),
        ((entry(1, "email", "granted"),), False, "no_consent"),
        ((entry(1, "sms", "granted"), entry(2, "any", "withdrawn")), False, "withdrawn"),
        ((entry(1, "any", "withdrawn"), entry(2, "sms", "granted")), True, "granted"),
        ((entry(1, "sms", "withdrawn"), entry(2, "any", "granted")), False, "withdrawn"),
        ((entry(1, "sms", "withdrawn"), entry(2, "any", "granted"), entry(3, "sms", "granted")), True, "granted"),
    ],
)
def test_a_channel_and_any(entries, allowed, reason):
    verdict = rules.decide(rules.replay(entries), "marketing", "sms")
    assert (verdict.allowed, verdict.reason) == (allowed, reason)


def test_what_silence_means():
    silence = {purpose: rules.decide({}, purpose, "sms").allowed for purpose in rules.BASIS}
    assert silence == {
        "marketing": False,
        "service": False,
        "personalization": True,
        "analytics": False,
        "third_party": False,
        "guardian": False,
        "transactional": True,
    }
    assert not rules.decide({}, "newsletter", "sms").allowed


def test_nothing_said_changes_transactional():
    standing = rules.replay([entry(1, "any", "withdrawn", "transactional")])
    assert rules.decide(standing, "transactional", "sms").reason == "not_needed"


def test_the_documentation_lists_all_that_needs_no_consent():
    page = (Path(__file__).parents[2] / "docs" / "domains" / "consent.md").read_text(encoding="utf-8")
    words = " ".join(page.split())
    assert [each for each in rules.TRANSACTIONAL if each not in words] == []
    assert [each for each in rules.BASIS if f"`{each}`" not in words] == []
    assert [each for each in rules.SEND_CHANNELS if f"`{each}`" not in words] == []
