"""Scores, steps and words without a database."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_api.closing import rules
from crm_api.core.errors import Conflict

STATES = ("open", "in_progress", "done", "verified", "cancelled")
STEPS = ("start", "finish", "verify", "return", "cancel")


@pytest.mark.parametrize(
    ("csat", "ces", "low"),
    [(1, None, True), (2, 7, True), (3, None, False), (5, 3, True), (5, 4, False), (3, 4, False)],
)
def test_low_by_either_score(csat, ces, low):
    assert rules.Limits(2, 3).is_low(csat, ces) is low


def test_limits_of_nought_find_nothing_low():
    assert not rules.Limits(0, 0).is_low(1, 1)


@pytest.mark.parametrize(
    ("csat", "severity", "can_reopen", "found"),
    [
        (1, "S4", True, "reopen"),
        (2, "S2", True, "reopen"),
        (2, "S3", True, "follow_up"),
        (1, "S1", False, "follow_up"),
    ],
)
def test_what_is_suggested(csat, severity, can_reopen, found):
    assert rules.suggestion(csat, severity, can_reopen=can_reopen) == found


@given(st.lists(st.sampled_from(STEPS), max_size=12))
def test_only_what_was_done_is_verified_and_an_end_is_an_end(steps):
    state, seen = "open", ["open"]
    for step in steps:
        if (state, step) not in rules.TRANSITIONS:
            with pytest.raises(Conflict) as refused:
                rules.after(state, step)
            assert all((state, each) in rules.TRANSITIONS for each in refused.value.extra["allowed"])
            continue
        state = rules.after(state, step)
        assert seen[-1] not in {"verified", "cancelled"}
        assert state != "verified" or seen[-1] == "done"
        seen.append(state)
    assert set(seen) <= set(STATES)


@given(
    st.text(max_size=80), st.text(max_size=80), st.sampled_from(["en", "zh"]), st.sampled_from(["email", "sms", "shop"])
)
def test_what_people_write_stands_in_letters_as_it_is(subject, text, language, channel):
    words = rules.Words(language, "海鲜小店", subject)
    for what in ("decision", "result"):
        head, body = words.telling(what, text, channel)
        assert " ".join(subject.split()) in head
        assert subject in body
        assert text in body


def test_text_messages_are_short_and_name_the_shop_first():
    english, chinese = (rules.Words(language, "鲜到家", "虾坏了") for language in ("en", "zh"))
    assert [
        words.telling(what, "退款", "sms")[1] for words in (english, chinese) for what in ("decision", "result")
    ] == [
        '鲜到家: our decision on "虾坏了": 退款 (If you do not agree, please contact us.)',
        '鲜到家: "虾坏了" has been settled: 退款 (If anything is missing, please contact us.)',
        "【鲜到家】您反馈的“虾坏了”，处理决定如下：退款（如有异议，请联系我们）",
        "【鲜到家】您反馈的“虾坏了”已处理完毕：退款（如仍有问题，请联系我们）",
    ]
    assert [words.asking("https://shop.example/", "sms")[1] for words in (english, chinese)] == [
        '鲜到家: "虾坏了" has been settled. Two short questions, for you alone: https://shop.example/',
        "【鲜到家】您反馈的“虾坏了”已处理完毕，请用半分钟评价（链接仅供您本人使用一次）：https://shop.example/",
    ]


def test_a_token_fits_only_its_hash():
    token = rules.new_token()
    assert rules.fits(token, rules.hashed(token))
    assert not rules.fits(token + "x", rules.hashed(token))
    assert not rules.fits("", None)
    assert len({rules.new_token() for _ in range(50)}) == 50


def test_the_documents_draw_the_table():
    text = (Path(__file__).parents[2] / "docs/domains/closing-the-loop.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^    (\w+) --> (\w+) : (start|finish|verify|return|cancel)$", text, re.MULTILINE))
    assert drawn == {(source, target, step) for (source, step), target in rules.TRANSITIONS.items()}


def test_the_subject_of_a_letter_is_one_line_whatever_the_case_is_called():
    words = rules.Words("zh", "鲜到家", "虾坏了\r\nBcc: x@example.com")
    assert words.telling("decision", "退款", "email")[0] == "鲜到家：关于“虾坏了 Bcc: x@example.com”的处理决定"
    assert "\n" not in words.asking("https://shop.example/", "email")[0]
