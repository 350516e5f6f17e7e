"""What makes a level: pure."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_api.churn.peers import Peers, gather, group_of
from crm_api.churn.rules import DEFAULTS, Measures, find
from crm_api.churn.verdicts import is_alert, judge
from crm_api.churn.words import said
from crm_api.core.errors import Invalid

NOBODY = Peers({})
QUIET = Measures(
    UUID(int=1),
    "all",
    purchases=6,
    silence=5,
    cycle=21.0,
    gaps=5,
    contacts=0,
    contacts_before=0,
    complaints=0,
    complaints_before=0,
    looks=0,
    looks_before=0,
    rating=None,
    rating_before=None,
    known_days=300.0,
)


def what(indicator, **changes):
    found = find(replace(QUIET, **changes), DEFAULTS, None, None)[indicator]
    return found.missing or (found.value, found.baseline, round(found.own, 4))


class TestIndicators:
    @pytest.mark.parametrize(
        ("indicator", "changes", "found"),
        [
            ("purchases", {"silence": 31}, (31, 21.0, 0.0)),
            ("purchases", {"silence": 74}, (74, 21.0, 0.8095)),
            ("purchases", {"silence": 84}, (84, 21.0, 1.0)),
            ("purchases", {"silence": 14, "cycle": 1.0}, (14, 1.0, 0.0)),
            ("purchases", {"silence": 15, "cycle": 0.5}, (15, 1.0, 1.0)),
            ("purchases", {"gaps": 1}, "no_cycle"),
            ("purchases", {"silence": None}, "none_recorded"),
            ("interactions", {}, "none_recorded"),
            ("interactions", {"contacts": 1, "contacts_before": 20}, (1, 4.0, 0.6429)),
            ("interactions", {"contacts": 3, "contacts_before": 20}, (3, 4.0, 0.0)),
            ("interactions", {"contacts": 0, "contacts_before": 9}, "too_seldom"),
            ("interactions", {"contacts": 0, "contacts_before": 9, "known_days": 59.0}, "too_new"),
            ("browsing", {"looks_before": 10, "known_days": 120.0}, (0, 5.0, 1.0)),
            ("complaints", {"complaints": 1}, (1, 0.0, 0.5)),
            ("complaints", {"complaints": 1, "complaints_before": 5}, (1, 1.0, 0.0)),
            ("complaints", {"complaints": 2, "known_days": 0.0}, (2, 0.0, 1.0)),
            ("satisfaction", {"rating_before": 0.9}, "none_recorded"),
            ("satisfaction", {"rating": 0.4}, "too_new"),
            ("satisfaction", {"rating": 0.7, "rating_before": 0.9}, (3.5, 4.5, 0.5)),
        ],
    )
    def test_against_ones_own_past(self, indicator, changes, found):
        shown = what(indicator, **changes)
        assert shown == (found if isinstance(found, str) else pytest.approx(found))

    def test_peers_lend_what_somebody_new_has_not(self):
        found = find(replace(QUIET, gaps=1, silence=60, rating=0.4), DEFAULTS, 20.0, 0.8)
        assert (found["purchases"].baseline, found["purchases"].basis) == (20.0, "peers")
        assert (found["satisfaction"].baseline, found["satisfaction"].basis) == (4.0, "peers")


class TestScore:
    def test_in_words(self):
        verdict = judge(replace(QUIET, silence=74, complaints=1), DEFAULTS, NOBODY)
        assert (verdict.level, verdict.score, verdict.cycle) == ("high", 66.7, 21.0)
        first, second, *others = verdict.reasons
        assert [each["contribution"] for each in verdict.reasons] == [56.7, 10.0, 0.0, 0.0, 0.0]
        assert said(first) == (
            "Last purchase 74 days ago; usually comes every 21 days (own median): 3.5 times that",
            "上次购买距今 74 天；通常每 21 天来一次（本人中位数），已达 3.5 倍",
        )
        assert said(second) == (
            "1 complaint in the last 60 days; usually 0 in such a time (own average)",
            "最近 60 天投诉 1 次；通常同样时长内 0 次（本人平均）",
        )
        assert [(each["measured"], each["missing"]) for each in others] == [(False, "none_recorded")] * 3
        assert said(others[0]) == (
            "Contacts by the customer: no data (none recorded), so it does not count",
            "客户主动联系：无数据（没有记录），不计入",
        )

    @settings(max_examples=40, deadline=None)
    @given(
        silence=st.integers(0, 400),
        more=st.integers(0, 100),
        complaints=st.integers(0, 4),
        contacts=st.integers(0, 30),
        rating=st.none() | st.floats(0, 1),
        peers=st.sampled_from([NOBODY, gather([replace(QUIET, silence=n) for n in range(0, 100, 2)], DEFAULTS)]),
    )
    def test_worse_never_scores_less(self, silence, more, complaints, contacts, rating, peers):
        """More silence, one complaint more, one contact less: each indicator is monotone, and none dilutes another."""
        one = replace(
            QUIET, silence=silence, complaints=complaints, contacts=contacts, contacts_before=50, rating=rating
        )
        verdict = judge(one, DEFAULTS, peers)
        assert 0 <= verdict.score <= 100
        assert sum(each["contribution"] for each in verdict.reasons) == pytest.approx(verdict.score, abs=0.3)
        for worse in (
            replace(one, silence=silence + more),
            replace(one, complaints=complaints + 1),
            replace(one, contacts=max(0, contacts - 1)),
        ):
            # Peers know nothing of complaints here, so only rounding can differ.
            assert judge(worse, DEFAULTS, peers).score >= verdict.score - 0.1

    def test_a_fall_that_all_share_counts_less(self):
        late = [replace(QUIET, silence=74) for _ in range(50)]
        alone = gather([QUIET] * 49 + late[:1], DEFAULTS)
        shared = gather(late, DEFAULTS)
        assert judge(late[0], DEFAULTS, alone).score == 56.5  # 0.8095 * (0.75 + 0.25 * 0.99) * 70
        assert judge(late[0], DEFAULTS, shared).score == 49.6  # the 50th percentile: 0.8095 * 0.875 * 70
        reason = judge(late[0], DEFAULTS, alone).reasons[0]
        assert (reason["peer_group"], reason["peers"], reason["peer_median"]) == ("all", 50, 5)
        assert said(reason)[0].endswith(". Stronger than in 99 % of 50 customers (median there: 5)")

    def test_a_small_group_is_compared_with_everybody(self):
        crowd = [replace(QUIET, group="grade:A" if n < 10 else "grade:B") for n in range(40)]
        peers = gather(crowd, replace(DEFAULTS, peers="grade"))
        assert {name: each.customers for name, each in peers.crowds.items()} == {"all": 40, "grade:B": 30}
        assert judge(crowd[0], DEFAULTS, peers).reasons[0]["peer_group"] == "all"
        assert judge(crowd[-1], DEFAULTS, peers).reasons[0]["peer_group"] == "grade:B"
        assert Peers.from_told(peers.told()) == peers
        assert [group_of("purchases", n, None) for n in (1, 2, 4, 30)] == [
            f"purchases:{band}" for band in ("1", "2", "3-5", "12+")
        ]
        assert (group_of("grade", 3, "B"), group_of("grade", 3, None)) == ("grade:B", "all")


class TestLevel:
    def level(self, silence, before="none"):
        return judge(replace(QUIET, silence=silence), DEFAULTS, NOBODY, before).level

    def test_steps_and_what_keeps_them_from_flickering(self):
        assert [self.level(days) for days in (5, 53, 55, 72, 73, 104, 105)] == [
            "none",
            "none",
            "watch",
            "watch",
            "high",
            "high",
            "lost",
        ]
        # 53 days are 28.7 points: less than watch_score (30), but by less than the margin (5).
        assert (self.level(53, "watch"), self.level(50, "watch")) == ("watch", "none")
        assert self.level(5, "lost") == "none"

    def test_only_rises_alarm(self):
        rises = [("none", "watch"), ("watch", "high"), ("none", "lost")]
        assert all(is_alert(*each, DEFAULTS) for each in rises)
        assert not any(is_alert(after, before, DEFAULTS) for before, after in rises)
        assert not is_alert("high", "high", DEFAULTS)
        assert [is_alert(*each, replace(DEFAULTS, alert_from="high")) for each in rises] == [False, True, True]


def test_settings_that_cannot_work():
    with pytest.raises(Invalid) as caught:
        DEFAULTS.changed({"overdue_from": 9.0, "watch_score": 90, "weights": {"purchases": 0}})
    assert {each.pointer: each.code for each in caught.value.errors} == {
        "/overdue_full": "out_of_order",
        "/lost_cycles": "out_of_order",
        "/high_score": "out_of_order",
    }
    assert DEFAULTS.changed({"weights": {"browsing": 0}}).weights["purchases"] == 70
