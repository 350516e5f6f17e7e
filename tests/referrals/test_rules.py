"""The state machine by itself: facts in, events out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_api.core.errors import Conflict
from crm_api.referrals import decisions, rules
from crm_api.referrals.checks import (
    ALPHABET,
    Evidence,
    Limits,
    address_key,
    check,
    digest,
    new_code,
    period_start,
    phone_key,
)
from crm_api.referrals.decisions import Facts, Purchase
from crm_api.referrals.models import ReferralBooking, ReferralChecks, ReferralTerms, ReferralTransition, StoredFinding
from crm_api.referrals.words import CHECKS, ENDS, found

NOW = datetime(2026, 1, 1, 4, tzinfo=UTC)
A, B, C, ORDER = (UUID(int=number) for number in (1, 2, 3, 9))
TERMS = ReferralTerms(
    minimum_amount=100_00,
    currency="CNY",
    qualifying_order="first",
    window_days=7,
    window_from="paid",
    claim_days=90,
    referrer_reward=None,
    friend_reward=None,
)


def begun(**terms):
    promised = TERMS.model_copy(update=terms)
    return rules.apply(None, rules.signed_up(C, A, B, promised, NOW, NOW))


def bought(paid=150_00, refunded=0, **changes):
    values = {"status": "paid", "currency": "CNY", "placed_at": NOW, "paid_at": NOW, "completed_at": None, **changes}
    return Purchase(id=ORDER, paid_amount=paid, refunded_amount=refunded, **values)


def after(case, facts):
    for event in decisions.follow(case, facts):
        case = rules.apply(case, event)
    return case


def pending(**terms):
    return after(begun(**terms), Facts(NOW, candidate=bought()))


WINDOW_OVER = NOW + timedelta(days=7)


def judged(case=None, *codes, order=None, answer="flag"):
    findings = [StoredFinding(code=code, answer=answer) for code in codes]
    return after(case or pending(), Facts(WINDOW_OVER, order=order or bought(), findings=findings))


class TestWay:
    def test_a_paid_order_begins_the_window(self):
        case = pending()
        assert (case.state, case.order_id, case.due_at) == ("pending", ORDER, WINDOW_OVER)

    def test_the_window_may_wait_for_completion(self):
        case = pending(window_from="completed")
        assert (case.state, case.due_at) == ("qualified", None)
        done = NOW + timedelta(days=3)
        case = after(case, Facts(done, order=bought(completed_at=done, status="completed")))
        assert (case.state, case.due_at) == ("pending", done + timedelta(days=7))

    @pytest.mark.parametrize(
        ("facts", "reason"),
        [
            (Facts(NOW, candidate=bought(99_99)), "below_minimum"),
            (Facts(NOW, candidate=bought(currency="EUR")), "below_minimum"),
            (Facts(NOW, gone=True), "customer_gone"),
            (Facts(NOW, friend_merged=True), "already_referred"),
            (Facts(NOW + timedelta(days=90)), "expired"),
            (Facts(NOW + timedelta(days=99), candidate=bought(placed_at=NOW + timedelta(days=91))), "expired"),
        ],
    )
    def test_a_sign_up_ends(self, facts, reason):
        assert after(begun(), facts).void_reason == reason

    def test_a_sign_up_is_voided_by_what_was_found_then(self):
        found_then = [StoredFinding(code="existing_customer", answer="void")]
        case = begun().model_copy(update={"findings": found_then})
        assert after(case, Facts(NOW, candidate=bought())).void_reason == "existing_customer"
        assert after(case.model_copy(update={"waived": ["existing_customer"]}), Facts(NOW)).state == "signed_up"

    @pytest.mark.parametrize(
        ("order", "reason"),
        [
            (None, "order_withdrawn"),
            (bought(status="cancelled"), "order_cancelled"),
            (bought(refunded=50_01), "order_refunded"),
            (bought(status="refunded", refunded=150_00), "order_refunded"),
            (bought(status="pending_payment"), "order_withdrawn"),
            (bought(refunded=50_00), None),
        ],
    )
    def test_an_order_falls(self, order, reason):
        rewarded = rules.apply(judged(), rules.rewarded(judged(), ReferralBooking(points=1), None, WINDOW_OVER))
        cases = [pending(), judged(None, "cycle"), judged(), rewarded]
        assert [each.state for each in cases] == ["pending", "flagged", "approved", "rewarded"]
        for case in cases:
            now = after(case, Facts(WINDOW_OVER - timedelta(seconds=1), order=order))
            assert (now.state, now.void_reason) == (case.state if reason is None else "voided", reason)
            assert (rules.booking(now) == "claw_back") == (case.state == "rewarded" and reason is not None)

    def test_one_person_on_both_sides(self):
        case = pending().model_copy(update={"referrer_id": B})
        case = after(case, Facts(NOW, order=bought()))
        assert case.void_reason == "self"
        revived = after(case.model_copy(update={"referrer_id": A}), Facts(NOW, order=bought()))
        assert revived.state == "flagged"

    def test_nobody_judges_before_the_window_is_over(self):
        case = pending()
        assert after(case, Facts(WINDOW_OVER - timedelta(seconds=1), order=bought(), findings=[])) == case

    def test_findings_decide(self):
        assert judged().state == "approved"
        assert judged(None, "shared_phone", "cycle").state == "flagged"
        assert judged(None, "velocity", answer="void").void_reason == "velocity"
        waived = pending().model_copy(update={"waived": ["cycle"]})
        assert judged(waived, "cycle").state == "approved"


GONE = Facts(NOW, order=bought(), gone=True)


class TestPeople:
    def decide(self, case, action, facts=None):
        facts = facts or Facts(WINDOW_OVER, order=bought())
        return rules.apply(case, decisions.decided(case, ReferralTransition(action=action, reason="x"), facts))

    def test_approve_void_reopen(self):
        case = self.decide(judged(None, "shared_phone"), "approve")
        assert (case.state, case.attempt) == ("approved", 1)
        case = self.decide(case, "void")
        assert case.void_reason == "rejected"
        assert self.decide(case, "reopen").state == "flagged"
        again = self.decide(self.decide(begun(), "void"), "reopen", Facts(NOW))
        assert (again.state, again.due_at) == ("signed_up", NOW + timedelta(days=90))
        late = Facts(NOW + timedelta(days=90))
        again = self.decide(after(begun(), late), "reopen", late)
        assert (again.state, again.due_at) == ("signed_up", None)

    def test_a_reopened_check_is_waived(self):
        case = self.decide(judged(None, "velocity", answer="void"), "reopen")
        assert (case.state, case.waived) == ("flagged", ["velocity"])

    @pytest.mark.parametrize(
        ("case", "action", "facts", "code", "error"),
        [
            (pending(), "approve", None, "transition_not_allowed", "transition_not_allowed"),
            (pending(), "reopen", None, "transition_not_allowed", "transition_not_allowed"),
            (judged(None, "cycle"), "approve", Facts(NOW), "transition_guard", "order_withdrawn"),
            (judged(None, "cycle"), "approve", GONE, "transition_guard", "customer_gone"),
            (after(begun(), Facts(NOW, candidate=bought(1))), "reopen", Facts(NOW, candidate=bought(1)),
             "transition_guard", "below_minimum"),
        ],
    )  # fmt: skip
    def test_what_would_not_stand_is_refused(self, case, action, facts, code, error):
        with pytest.raises(Conflict) as refused:
            self.decide(case, action, facts)
        assert (refused.value.code, refused.value.errors[0].code) == (code, error)

    def test_not_while_rewards_are_on_their_way_back(self):
        case = rules.apply(judged(), rules.rewarded(judged(), ReferralBooking(points=1), None, WINDOW_OVER))
        case = self.decide(case, "void")
        assert rules.booking(case) == "claw_back"
        with pytest.raises(Conflict) as refused:
            self.decide(case, "reopen")
        assert refused.value.errors[0].code == "not_clawed_back"
        case = rules.apply(case, rules.clawed_back(case, WINDOW_OVER))
        again = self.decide(self.decide(case, "reopen"), "approve")
        assert (again.attempt, again.clawed_back_at, rules.booking(again)) == (2, None, "reward")
        assert rules.key(C, "friend", 1) != rules.key(C, "friend", 2)


class TestLog:
    @settings(max_examples=25, deadline=None)
    @given(st.data())
    def test_replay_gives_the_row_whatever_happens(self, data):
        """Any facts, in any order: the log adds up to the row, every step is in the table, looking again is idle."""
        event = rules.signed_up(C, A, B, TERMS, NOW, NOW)
        case, log = rules.apply(None, event), [event]
        orders = st.sampled_from([None, bought(), bought(1), bought(status="cancelled"), bought(refunded=150_00)])
        for _ in range(data.draw(st.integers(1, 6))):
            now = NOW + timedelta(days=data.draw(st.integers(0, 99)))
            order = data.draw(orders)
            codes = data.draw(st.lists(st.sampled_from(["cycle", "velocity"]), max_size=2))
            answer = data.draw(st.sampled_from(["flag", "void"]))
            facts = Facts(
                now,
                gone=data.draw(st.sampled_from([False, False, False, True])),
                friend_merged=data.draw(st.sampled_from([False, False, False, True])),
                candidate=order if case.order_id is None else None,
                order=order if case.order_id is not None else None,
                findings=[StoredFinding(code=code, answer=answer) for code in codes],
            )
            moves = list(decisions.follow(case, facts))
            action = data.draw(st.sampled_from([None, "approve", "void", "reopen"]))
            for event in moves:
                case = rules.apply(case, event)
            if not moves and action is not None:
                try:
                    moves = [decisions.decided(case, ReferralTransition(action=action, reason="x"), facts)]
                except Conflict:
                    moves = []
                for event in moves:
                    case = rules.apply(case, event)
            log += moves
        table = {(each.action, each.source, each.target) for each in rules.TRANSITIONS}
        assert {(each.action, each.source, each.target) for each in log[1:]} <= table
        assert rules.replay(log) == case
        assert (case.state == "voided") == (case.void_reason is not None)

    def test_an_event_that_does_not_follow_is_refused(self):
        [event, *_] = decisions.follow(begun(), Facts(NOW, candidate=bought()))
        with pytest.raises(ValueError, match="does not follow"):
            rules.apply(pending(), event)
        with pytest.raises(ValueError, match="begins with an event"):
            rules.replay([])

    def test_the_drawing_in_the_documents_is_the_table(self):
        text = (Path(__file__).parents[2] / "docs/domains/referrals.md").read_text(encoding="utf-8")
        assert rules.mermaid() in text


class TestChecks:
    LIMITS = Limits(ReferralChecks().model_dump(), velocity_limit=2, cap_count=3)

    def test_nothing_is_found_against_strangers(self):
        traits = {B: frozenset({("shared_phone", "1")}), A: frozenset({("shared_phone", "2")})}
        assert check(B, Evidence(traits, sign_ups=2, approvals=2), self.LIMITS) == []

    def test_everything_is_found(self):
        names = ("shared_phone", "shared_account", "shared_address", "shared_device", "shared_payment_account")
        alike = frozenset((name, "x") for name in names)
        evidence = Evidence(
            {B: alike, A: alike, C: alike}, bought_by=C, sign_ups=3, circle=3, approvals=3, blacklisted=A
        )
        found_now = check(B, evidence, self.LIMITS)
        assert {each.code for each in found_now} == {*CHECKS} - {"self"}
        assert {each.customer_id for each in found_now if each.code in names} == {A}
        assert [(each.code, each.seen) for each in found_now if each.seen] == [
            ("velocity", 3),
            ("cycle", 3),
            ("cap", 3),
        ]
        off = replace(self.LIMITS, checks=dict.fromkeys(self.LIMITS.checks, "off"))
        assert check(B, evidence, off) == []

    def test_every_reason_has_words(self):
        for code in CHECKS:
            en, zh = found({"code": code, "customer_id": A, "seen": 7})
            assert en.isascii()
            assert not zh.isascii()
        assert all(en.isascii() and not zh.isascii() for en, zh in ENDS.values())

    @pytest.mark.parametrize(
        ("parts", "key"),
        [
            (("上海市", "徐汇区", "漕溪北路 88 号"), "上海市徐汇区漕溪北路88号"),
            ((None, "上海市徐汇区", "漕溪北路88号"), "上海市徐汇区漕溪北路88号"),
            (("Shanghai", "North Caoxi Rd., No. 88"), "shanghainorthcaoxirdno88"),
            (("上海市", "徐汇区"), None),
        ],
    )
    def test_addresses(self, parts, key):
        assert address_key(*parts) == key

    def test_phones_devices_codes(self):
        assert {phone_key(each) for each in ("+8613812345678", "138-1234-5678", "0086 138 1234 5678")} == {
            "13812345678"
        }
        assert digest(A, "device", "x") != digest(B, "device", "x") != digest(B, "payment_account", "x")
        code = new_code()
        assert len(code) == 8
        assert set(code) <= set(ALPHABET)

    def test_periods_begin_at_midnight_of_the_shop(self):
        at = datetime(2026, 1, 31, 20, tzinfo=UTC)  # Sunday, 1 February, 4:00 in Shanghai
        starts = {period: period_start(at, period, "Asia/Shanghai") for period in ("day", "week", "month", "year")}
        assert {name: start.strftime("%m-%d %H") for name, start in starts.items()} == {
            "day": "02-01 00",
            "week": "01-26 00",
            "month": "02-01 00",
            "year": "01-01 00",
        }
        assert period_start(at, "life", "Asia/Shanghai") is None
