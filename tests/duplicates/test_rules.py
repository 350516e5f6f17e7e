"""What looks like one customer, and what does not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_api.duplicates.finder import SHARED
from crm_api.duplicates.rules import MIN_SCORE, WEIGHTS, Features, Raw, compare, fingerprint, keys

WANG = Raw(
    name="王小明",
    gender="male",
    birth=("solar", 1990, 10, 3, False),
    city="上海市",
    addresses=["人民路12号3栋501室"],
    contacts=[("mobile", "+8613812345678"), ("email", "xiaoming.wang@qq.com")],
    identities=[("taobao", "tb_10086")],
)


def of(**changes):
    values = {name: getattr(WANG, name) for name in Raw.__dataclass_fields__}
    return Features.of(Raw(**values | changes))


def both(one, other):
    likeness = compare(one, other)
    assert compare(other, one).score == likeness.score
    return likeness


NOTHING = {"gender": None, "birth": None, "city": None, "addresses": [], "contacts": [], "identities": []}
MOBILE = [("mobile", "+8613812345678")]


class TestOne:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({}, "same_mobile"),
            ({"name": "王晓明"}, "same_sound"),
            ({"name": "wangxiaoming", "contacts": MOBILE}, "same_sound"),
            ({"contacts": [("mobile", "+8613812345687")]}, "similar_mobile"),
            ({"contacts": [("mobile", "+8613812345679")]}, "similar_mobile"),
            ({"contacts": [("email", "xiaomingwang@163.com")]}, "same_mailbox"),
            ({"contacts": [], "addresses": ["人民路12号 3幢501"]}, "same_address"),
            ({"contacts": [], "birth": ("lunar", 1990, 8, 15, False)}, "same_birthday"),
            ({"contacts": [], "birth": ("lunar", 1990, 10, 3, False)}, "mixed_calendars"),
            ({"contacts": [], "birth": ("solar", None, 10, 3, False)}, "same_day"),
            ({**NOTHING, "contacts": MOBILE}, "same_mobile"),
            ({**NOTHING, "contacts": [("email", "xiaoming.wang@qq.com")]}, "same_email"),
        ],
    )
    def test_likely(self, changes, reason):
        likeness = both(of(), of(**changes))
        assert likeness.score >= MIN_SCORE, likeness
        assert reason in likeness.reasons

    @pytest.mark.parametrize(
        "changes",
        [
            {**NOTHING},
            {**NOTHING, "city": "上海", "gender": "male"},
            {**NOTHING, "name": "李雷", "birth": WANG.birth, "city": "上海"},
            {**NOTHING, "name": "李雷", "gender": "female", "contacts": MOBILE},
            {**NOTHING, "contacts": [("landline", "+861088888888")]},
            {"kind": "company"},
        ],
    )
    def test_unlikely(self, changes):
        assert both(of(), of(**changes)).score < MIN_SCORE

    def test_a_family_on_one_phone_is_told_apart_by_names_and_genders(self):
        shared = {"contacts": MOBILE, "identities": []}
        mother = of(name="李芳", gender="female", birth=("solar", 1992, 1, 2, False), **shared)
        assert both(of(**shared), mother).score < MIN_SCORE

    def test_the_weightiest_reason_comes_first(self):
        reasons = both(of(), of()).reasons
        assert [abs(WEIGHTS[each].bits) for each in reasons] == sorted(
            (abs(WEIGHTS[each].bits) for each in reasons), reverse=True
        )

    def test_numbers_of_an_address_do_not_run_together(self):
        apart = both(of(contacts=[], addresses=["人民路1号23室"]), of(contacts=[], addresses=["人民路12号3室"]))
        assert not {"same_address", "similar_address"} & set(apart.reasons)


class TestKeys:
    """Whoever is likely must be met: they have a key in common."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"name": "王晓明", "contacts": [("mobile", "+8613899995678")], "addresses": []},
            {"contacts": [("mobile", "+8613812345679")], "birth": None},
            {"contacts": [], "birth": ("lunar", 1990, 8, 15, False), "city": None, "addresses": []},
            {"contacts": [], "birth": None, "addresses": ["人民路12号 3幢501"], "name": "小王"},
            {"name": "x", "identities": [("shopify", "TB_10086")], **{k: NOTHING[k] for k in ("city", "contacts")}},
        ],
    )
    def test_in_common(self, changes):
        assert set(keys(of())) & set(keys(of(**changes)))

    def test_each_kind_is_known_to_the_report(self):
        contacts = [*WANG.contacts, ("landline", "+861088888888"), ("weibo", "ming")]
        assert {key[0] for key in keys(of(contacts=contacts))} == set(SHARED)


BIRTHS = st.none() | st.tuples(
    st.sampled_from(["solar", "lunar"]),
    st.none() | st.integers(1850, 2100),
    st.integers(1, 12),
    st.integers(1, 31),
    st.booleans(),
)
RAWS = st.builds(
    Raw,
    name=st.text("王小明晓单乐 annaz1", max_size=6),
    kind=st.sampled_from(["person", "company"]),
    gender=st.sampled_from([None, "female", "male"]),
    birth=BIRTHS,
    region=st.none() | st.text("上海北京市", max_size=3),
    city=st.none() | st.text("上海北京市", max_size=3),
    addresses=st.lists(st.text("人民路12号3室 ", max_size=9), max_size=2),
    contacts=st.lists(
        st.tuples(st.sampled_from(["mobile", "email", "landline", "weibo"]), st.text("138@a.", max_size=9))
    ),
    identities=st.lists(st.tuples(st.just("taobao"), st.text("tb1", max_size=8)), max_size=2),
)


@given(RAWS, RAWS)
@settings(max_examples=300, deadline=None)
def test_any_two_can_be_compared(one, other):
    """Whatever is stored, old and odd data too: symmetric, bounded, and the stored form says the same."""
    a, b = Features.of(one), Features.of(other)
    likeness = compare(a, b)
    assert 0 <= likeness.score <= 99
    assert compare(b, a) == likeness
    assert compare(Features.load(a.dump()), Features.load(b.dump())) == likeness
    assert (fingerprint(a.dump(), b.dump()) == fingerprint(a.dump(), a.dump())) == (a == b)
    assert all(key for key in keys(a))
