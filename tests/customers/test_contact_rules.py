"""Contact points in every way people write them."""

import re

import phonenumbers
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_api.core.errors import Invalid
from crm_api.customers.contact_rules import filed, is_masked, normal_value, phone_patterns

FULL_WIDTH = str.maketrans("0123456789+-() ", "０１２３４５６７８９＋－（）　")
MOBILES = st.builds(
    "{}{}".format,
    st.sampled_from(["138", "150", "166", "173", "186", "191", "199"]),
    st.from_regex(r"[0-9]{8}", fullmatch=True),
)
PREFIXES = st.sampled_from(["", "+86", "86 ", "0086", "+86 ", "+86-", "0086-", "(+86) "])
GAPS = st.sampled_from(["", " ", "-", "  ", "‑", "\u3000", "."])


def refused(kind, value):
    with pytest.raises(Invalid) as error:
        normal_value(kind, value, "/value")
    assert error.value.errors[0].pointer == "/value"
    assert re.search("[\u4e00-\u9fff]", error.value.errors[0].message_zh)
    return error.value.errors[0].code


@settings(max_examples=200, deadline=None)
@given(MOBILES, PREFIXES, GAPS, st.booleans())
def test_every_way_to_write_a_mobile_number_means_the_same(number, prefix, gap, full_width):
    written = f"{prefix}{number[:3]}{gap}{number[3:7]}{gap}{number[7:]}"
    if full_width:
        written = written.translate(FULL_WIDTH)
    normal = normal_value("mobile", f" {written} ", "/value")
    assert normal == f"+86{number}"
    assert normal_value("mobile", normal, "/value") == normal


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["mobile", "landline", "email"]), st.text(max_size=30))
def test_anything_else_is_refused_or_normal(kind, text):
    try:
        normal = normal_value(kind, text, "/value")
    except Invalid:
        return
    assert normal_value(kind, normal, "/value") == normal


@pytest.mark.parametrize(
    ("kind", "written", "normal"),
    [
        ("landline", "021-6437 1234", "+862164371234"),
        ("landline", "（０２１）６４３７１２３４", "+862164371234"),
        ("landline", "400-810-8888", "+864008108888"),
        ("mobile", "+1 (415) 555-2671", "+14155552671"),
        ("mobile", "+852 9123 4567", "+85291234567"),
        ("email", "Xiao.Ming@EXAMPLE.com", "xiao.ming@example.com"),
        ("email", "王@例子.中国", "王@例子.中国"),
        ("wechat_openid", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"),
        ("wechat_unionid", "o6_bmasdasdsad6_2sgVt7hMZOPfL", "o6_bmasdasdsad6_2sgVt7hMZOPfL"),
        ("wecom_external_userid", "woAJ2GCAAAXtWyujaWJHDDGi0mACAAAA", "woAJ2GCAAAXtWyujaWJHDDGi0mACAAAA"),
        ("wecom_external_userid", "wmqfasd1e1927831123109rBAAAA", "wmqfasd1e1927831123109rBAAAA"),
        ("taobao_buyer", "t***b", "t***b"),
        ("taobao_buyer", "t＊＊b", "t***b"),
        ("taobao_buyer", "小**1", "小***1"),
        ("taobao_buyer", "AAHd5d-EAAeGwJedwSHpg8bT", "AAHd5d-EAAeGwJedwSHpg8bT"),
        ("douyin_open_id", "_000QxQJGRXvZ0CxxAM_nFfTLvAJ8bE", "_000QxQJGRXvZ0CxxAM_nFfTLvAJ8bE"),
        ("weibo", "1749127163", "1749127163"),
        ("weibo", "@来去之间", "来去之间"),
    ],
)
def test_normal_forms(kind, written, normal):
    assert normal_value(kind, written, "/value") == normal
    assert normal_value(kind, normal, "/value") == normal


@pytest.mark.parametrize(
    ("kind", "written", "code"),
    [
        ("mobile", "138123456789", "invalid_phone"),
        ("mobile", "12345678901", "invalid_phone"),
        ("mobile", "021-64371234", "not_a_mobile"),
        ("landline", "13812345678", "not_a_landline"),
        ("landline", "64371234", "invalid_phone"),
        ("email", "nobody", "invalid_email"),
        ("wechat_openid", "UpF8uMuAJO_M2pxb1Q9zNjWeS6o", "invalid_account"),
        ("wechat_openid", "xUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "invalid_account"),
        ("wechat_unionid", "o6", "invalid_account"),
        ("wecom_external_userid", "wxAJ2GCAAAXtWyujaWJHDDGi0mACAAAA", "invalid_account"),
        ("taobao_buyer", "t", "invalid_account"),
        ("taobao_buyer", "t* *b", "invalid_account"),
        ("taobao_buyer", "***", "invalid_account"),
        ("douyin_open_id", "dy 1", "invalid_account"),
        ("weibo", "a b", "invalid_account"),
    ],
)
def test_refused(kind, written, code):
    assert refused(kind, written) == code


def test_sources_that_know_only_mobiles():
    assert filed("mobile", "021-64371234", "/mobile") == ("landline", "+862164371234")
    assert filed("mobile", "13812345678", "/mobile") == ("mobile", "+8613812345678")


def test_masked():
    assert is_masked("taobao_buyer", "t***b")
    assert not is_masked("taobao_buyer", "tb_1***0")
    assert not is_masked("weibo", "t***b")


@pytest.mark.parametrize("kind", ["mobile", "landline"])
def test_patterns_judge_as_the_library_does(kind):
    """Example numbers of all regions and types, and the same with a digit more or less."""
    patterns = phone_patterns(kind)
    differ = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for number_type in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9):
            example = phonenumbers.example_number_for_type(region, number_type)
            if example is None:
                continue
            code, national = str(example.country_code), phonenumbers.national_significant_number(example)
            for variant in (national, national + "1", national[:-1]):
                value = f"+{code}{variant}"
                try:
                    valid = normal_value(kind, value, "") == value
                except Invalid:
                    valid = False
                if valid != (re.fullmatch(patterns.get(code, "(?!)"), variant) is not None):
                    differ.append((region, number_type, value, valid))
    assert differ == []


LOCAL_PARTS = st.one_of(st.from_regex(r"[A-Za-z0-9._+'-]{1,70}", fullmatch=True), st.text(max_size=5))
DOMAINS = st.one_of(
    st.sampled_from(
        ["QQ.com", "example.com", "mail.example.cn", "x.test", "localhost", "xn--fiqs8s.cn", "a..cn", "中国.cn"]
    ),
    st.from_regex(r"[A-Za-z0-9.-]{1,20}", fullmatch=True),
    st.just(".".join(["b" * 60] * 4) + ".cn"),
)


@settings(max_examples=300, deadline=None)
@given(LOCAL_PARTS, DOMAINS)
def test_ordinary_addresses_are_judged_as_the_library_judges_all(local, domain):
    try:
        expected = validate_email(f"{local}@{domain}", check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        assert refused("email", f"{local}@{domain}") == "invalid_email"
    else:
        assert normal_value("email", f"{local}@{domain}", "/value") == expected
