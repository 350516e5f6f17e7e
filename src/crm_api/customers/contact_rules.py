"""What a contact point of each kind looks like: normal forms and shapes. Pure rules.

Phones are the phonenumbers library's matter, e-mail addresses email-validator's. The platforms describe their accounts
as follows; where they promise no more than characters and a length, no more is checked:

* WeChat openid: 28 characters, the first an o; unionid: 26 to 29, likewise.
* WeCom external_userid: begins wm (a person on WeChat) or wo (a member of another company), 64 bytes at most.
* Taobao: since 2022 sellers see a masked nick (``t***b``) or an encrypted id (OAID, open_uid), before that the nick. A
  masked nick is many people's, so it identifies nobody and cannot be verified.
* Douyin open_id: letters, digits, hyphen, underscore. Weibo: the uid in digits, or the name behind @.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Final

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import PhoneNumberType

from crm_api.core.errors import Invalid
from crm_api.customers.models import ContactKind

DEFAULT_REGION: Final = "CN"
CHINESE_MOBILE_DIGITS: Final = 11

_NOT_MOBILE: Final = frozenset(
    {
        PhoneNumberType.FIXED_LINE,
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.UAN,
        PhoneNumberType.VOICEMAIL,
    }
)
_NOT_LANDLINE: Final = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.PAGER})

_MASK: Final = re.compile(r"[*\uff0a]{2,}")
_MASKED: Final = re.compile(r"[^\s*]\*{3}[^\s*]")


def normal_value(kind: ContactKind, value: str, pointer: str) -> str:
    """Return the stored form of a value of this kind.

    Phones become E.164 (region CN unless a country code is given), e-mail addresses their normalised lower-case form,
    accounts lose surrounding space and full-width letters.

    Raises:
        Invalid: the value cannot be one; the error points at ``pointer``.

    """
    return _NORMAL[kind](value, pointer)


def filed(kind: ContactKind, value: str, pointer: str) -> tuple[ContactKind, str]:
    """Return kind and stored form of a value from a source that calls every phone a mobile.

    Raises:
        Invalid: the value cannot be one.

    """
    try:
        return kind, normal_value(kind, value, pointer)
    except Invalid as error:
        if kind == "mobile" and error.errors[0].code == "not_a_mobile":
            return "landline", normal_value("landline", value, pointer)
        raise


def is_masked(kind: str, value: str) -> bool:
    """Tell whether a value hides most of itself, so that many people share it."""
    return kind == "taobao_buyer" and _MASKED.fullmatch(value) is not None


# -- phones ------------------------------------------------------------------------------------------------------------


@cache
def _chinese_mobile() -> re.Pattern[str]:
    """Return the library's own pattern of Chinese mobile numbers: parsing each costs 60 times as much."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(DEFAULT_REGION)
    mobile = metadata.mobile if metadata is not None else None
    pattern = mobile.national_number_pattern if mobile is not None else None
    return re.compile(pattern or "(?!)")  # matches nothing, should the library forget China


def _mobile(value: str, pointer: str) -> str:
    if len(value) == CHINESE_MOBILE_DIGITS and value.isascii() and _chinese_mobile().fullmatch(value):
        return "+86" + value
    number = _number(value, pointer)
    if phonenumbers.number_type(number) in _NOT_MOBILE:
        raise Invalid.field(
            pointer,
            "not_a_mobile",
            "This is no mobile number: give it as landline",
            "这不是手机号码：请作为固定电话填写",
        )
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _landline(value: str, pointer: str) -> str:
    number = _number(value, pointer)
    if phonenumbers.number_type(number) in _NOT_LANDLINE:
        raise Invalid.field(
            pointer, "not_a_landline", "This is a mobile number: give it as mobile", "这是手机号码：请作为手机填写"
        )
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _number(value: str, pointer: str) -> phonenumbers.PhoneNumber:
    try:
        number = phonenumbers.parse(value, DEFAULT_REGION)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_valid_number(number):
        raise Invalid.field(pointer, "invalid_phone", "This is not a valid phone number", "这不是有效的电话号码")
    return number


@cache
def phone_patterns(kind: ContactKind) -> Mapping[str, str]:
    """Return calling code → regular expression of national numbers that ``normal_value`` takes for this kind.

    They are the library's own patterns, so PostgreSQL can judge stored numbers by today's rules without Python.
    """
    types: tuple[str, ...] = ("mobile", "pager", "personal_number", "voip")
    if kind == "landline":
        types = ("fixed_line", "toll_free", "premium_rate", "shared_cost", "uan", "voicemail", *types[2:])
    found: dict[str, dict[str, None]] = {}
    for region in [*phonenumbers.SUPPORTED_REGIONS, "001"]:
        for metadata in _metadata(region):
            patterns = found.setdefault(str(metadata.country_code), {})
            for name in types:
                described = getattr(metadata, name)
                if described is not None and described.national_number_pattern:
                    patterns[described.national_number_pattern] = None
    return {code: "|".join(f"(?:{each})" for each in patterns) for code, patterns in found.items() if patterns}


def _metadata(region: str) -> list[phonenumbers.PhoneMetadata]:
    if region == "001":  # numbers of no country, such as +800
        found = [
            phonenumbers.PhoneMetadata.metadata_for_nongeo_region(code)
            for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()
            if "001" in regions
        ]
        return [each for each in found if each is not None]
    known = phonenumbers.PhoneMetadata.metadata_for_region(region)
    return [] if known is None else [known]


# -- e-mail and accounts -----------------------------------------------------------------------------------------------


_PLAIN_EMAIL = re.compile(r"(?=.{6,254}\Z)([a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*)@([a-z0-9.-]+)", re.ASCII | re.IGNORECASE)
_LONGEST_LOCAL_PART: Final = 64


@lru_cache(maxsize=4_096)
def _is_plain_domain(domain: str) -> bool:
    """Tell whether the library takes this domain, in lower case, as it is."""
    try:
        return validate_email(f"x@{domain}", check_deliverability=False).domain == domain
    except EmailNotValidError:
        return False


def _email(value: str, pointer: str) -> str:
    # Ordinary addresses at domains that were seen before: asking the library costs ten times as much. What differs from
    # those in any way, and what is wrong, is the library's to judge.
    plain = _PLAIN_EMAIL.fullmatch(value)
    if plain is not None and len(plain[1]) <= _LONGEST_LOCAL_PART and _is_plain_domain(plain[2].lower()):
        return value.lower()
    try:
        return validate_email(value, check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise Invalid.field(pointer, "invalid_email", str(error), "这不是有效的邮箱地址") from None


def _account(shape: str, text: str, zh: str) -> Callable[[str, str], str]:
    pattern = re.compile(shape)

    def normal(value: str, pointer: str) -> str:
        written = unicodedata.normalize("NFKC", value).strip()
        if pattern.fullmatch(written) is None:
            raise Invalid.field(pointer, "invalid_account", text, zh)
        return written

    return normal


_taobao = _account(
    r"[^\s*]\*{3}[^\s*]|[^\s*]{2,200}",
    "A Taobao account is a nick, a masked nick such as t***b, or an OAID: no spaces",
    "淘宝账号应为昵称、脱敏昵称（如 t***b）或 OAID，不含空格",
)
_weibo = _account(
    r"[0-9]{5,16}|[\w-]{2,30}",
    "A Weibo account is its uid in digits, or its name of 2 to 30 letters, digits, - and _",
    "微博账号应为数字 UID，或 2–30 个字符的昵称",
)

_NORMAL: Final[Mapping[ContactKind, Callable[[str, str], str]]] = {
    "mobile": _mobile,
    "landline": _landline,
    "email": _email,
    "wechat_openid": _account(
        r"o[A-Za-z0-9_-]{27}",
        "A WeChat openid has 28 characters and begins with o",
        "微信 openid 以 o 开头，共 28 个字符",
    ),
    "wechat_unionid": _account(
        r"o[A-Za-z0-9_-]{25,28}",
        "A WeChat unionid has 26 to 29 characters and begins with o",
        "微信 unionid 以 o 开头，共 26–29 个字符",
    ),
    "wecom_external_userid": _account(
        r"w[mo][A-Za-z0-9_-]{10,62}",
        "A WeCom external_userid begins with wm or wo and has at most 64 characters",
        "企业微信 external_userid 以 wm 或 wo 开头，最多 64 个字符",
    ),
    "taobao_buyer": lambda value, pointer: _taobao(_MASK.sub("***", value), pointer),
    "douyin_open_id": _account(
        r"[A-Za-z0-9_-]{6,128}",
        "A Douyin open_id has 6 to 128 letters, digits, - and _",
        "抖音 open_id 为 6–128 个字母、数字、- 或 _",
    ),
    "weibo": lambda value, pointer: _weibo(value.strip().removeprefix("@").removeprefix("\uff20"), pointer),
}


def masked(kind: str, value: str) -> str:
    """Return a contact point's stored value so that its owner knows it and nobody else learns it.

    ``+86138****5678``, ``x***@example.com``; of other accounts the first and the last two characters.
    """
    if kind in {"mobile", "landline"}:
        return f"{value[:-8]}****{value[-4:]}"
    if kind == "email":
        local, _, domain = value.partition("@")
        return f"{local[:1]}***@{domain}"
    return f"{value[:2]}***{value[-2:]}"
