"""When two records look like one customer: what is compared, who is compared with whom, and what agreement weighs.

The weights are Fellegi and Sunter's (A Theory for Record Linkage, 1969): an agreement weighs log2(m / u) bits, where m
is how often it holds for two records of one person and u for two of strangers; a disagreement is negative. Bits add up,
and with ``PRIOR`` (one true pair in a thousand that share a block) they are the odds that the two are one. The m and u
behind ``WEIGHTS`` are estimates for Chinese shops, not trained: a merchant has no labelled pairs to train on. What they
find on made data with known answers is measured in ADR 0016.
"""

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple

import orjson
from rapidfuzz import fuzz
from rapidfuzz.distance import DamerauLevenshtein

from crm_api.core import lunar
from crm_api.customers.service import search_text, spoken

VERSION: Final = 1
"""Of what is compared: features of older rules are made anew."""

PRIOR: Final = -10.0
MIN_SCORE: Final = 60
"""Pairs of this score or more are proposed: a person looks at them, so they may be wrong, but not mostly."""

MAX_BLOCK: Final = 60
"""Customers that share a key, at most, to be compared: a block's work is quadratic, and what so many share (a city and
a common name) tells nobody apart. Larger blocks are counted in the run's report."""


class Weight(NamedTuple):
    """What an observation weighs, and how it is told."""

    bits: float
    en: str
    zh: str


WEIGHTS: Final[Mapping[str, Weight]] = {
    "same_mobile": Weight(14, "Same mobile number", "手机号相同"),
    "same_landline": Weight(6, "Same landline", "固定电话相同"),
    "similar_mobile": Weight(4, "Mobile numbers differ in one digit, or two are swapped", "手机号仅一位不同或两位颠倒"),
    "same_email": Weight(13, "Same e-mail address", "邮箱相同"),
    "same_mailbox": Weight(5, "Same e-mail name at another provider", "邮箱用户名相同、域名不同"),
    "same_account": Weight(16, "Same chat or shop account", "社交或店铺账号相同"),
    "same_outside_id": Weight(6, "Same id on different platforms", "不同平台上的编号相同"),
    "same_name": Weight(7, "Same name", "姓名相同"),
    "same_short_name": Weight(5, "Same name of two characters", "姓名相同（两个字）"),
    "same_sound": Weight(4, "Names sound the same, written differently", "姓名同音不同字"),
    "similar_name": Weight(2.5, "Similar names", "姓名相近"),
    "other_name": Weight(-7, "Different names", "姓名不同"),
    "same_birthday": Weight(9, "Same birthday", "生日相同"),
    "same_day": Weight(6, "Same month and day of birth", "生日月日相同"),
    "mixed_calendars": Weight(4, "Same birthday, one told as lunar, one as solar", "生日数字相同，农历与公历之别"),
    "other_birthday": Weight(-5, "Different birthdays", "生日不同"),
    "same_address": Weight(8, "Same address", "地址相同"),
    "similar_address": Weight(5, "Similar addresses with the same numbers", "地址相近且门牌号相同"),
    "same_city": Weight(2, "Same city", "城市相同"),
    "same_region": Weight(1, "Same region", "省份相同"),
    "other_city": Weight(-2, "Different cities", "城市不同"),
    "same_gender": Weight(1, "Same gender", "性别相同"),
    "other_gender": Weight(-5, "Different genders", "性别不同"),
}
"""Name of the reason → what it weighs."""

Birth = tuple[str, int | None, int, int, bool]
"""Calendar, year, month, day, leap month."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A customer as stored: what features are made of."""

    name: str
    kind: str = "person"
    gender: str | None = None
    birth: Birth | None = None
    region: str | None = None
    city: str | None = None
    addresses: Sequence[str] = ()
    contacts: Sequence[tuple[str, str]] = ()
    identities: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Features:
    """What is compared of a customer, in normal form; lists are sorted and without repeats."""

    name: str
    kind: str = "person"
    sounds: list[str] = field(default_factory=list)
    initials: list[str] = field(default_factory=list)
    gender: str | None = None
    birth: Birth | None = None
    region: str | None = None
    city: str | None = None
    addresses: list[str] = field(default_factory=list)
    mobiles: list[str] = field(default_factory=list)
    landlines: list[str] = field(default_factory=list)
    emails: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, raw: Raw) -> "Features":
        """Bring a customer into normal form."""
        name = search_text(raw.name)
        readings = spoken(name)
        return cls(
            name=name,
            kind=raw.kind,
            sounds=_unique(reading.whole for reading in readings),
            initials=_unique(reading.initials for reading in readings),
            gender=raw.gender,
            birth=raw.birth,
            region=_place(raw.region),
            city=_place(raw.city),
            addresses=_unique(_address(each) for each in raw.addresses),
            mobiles=_unique(value for kind, value in raw.contacts if kind == "mobile"),
            landlines=_unique(value for kind, value in raw.contacts if kind == "landline"),
            emails=_unique(value for kind, value in raw.contacts if kind == "email"),
            accounts=_unique(
                f"{kind}:{value}"
                for kind, value in raw.contacts
                if kind not in {"mobile", "landline", "email"} and "*" not in value
            ),
            outside=_unique(f"{platform}:{external_id}" for platform, external_id in raw.identities),
        )

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> "Features":
        """Return features from their stored form."""
        values = {**stored}
        if values.get("birth") is not None:
            values["birth"] = tuple(values["birth"])
        return cls(**values)

    def dump(self) -> dict[str, Any]:
        """Return the stored form: plain JSON values, what is empty left out."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) not in (None, [])}

    @cached_property
    def solar(self) -> date | None:
        """Return the day of birth when its year is known and the day exists."""
        if self.birth is None:
            return None
        calendar, year, month, day, leap = self.birth
        if year is None:
            return None
        try:
            if calendar == "lunar":
                return _solar_of(year, month, day, leap)
            return date(year, month, day)
        except (ValueError, OverflowError):
            return None

    @property
    def birth_days(self) -> list[str]:
        """Return the month and day of birth as keys, in each calendar that is known."""
        if self.birth is None:
            return []
        calendar, _, month, day, _ = self.birth
        keys = [f"{calendar[0]}{month:02}{day:02}"]
        if calendar == "lunar" and self.solar is not None:
            keys.append(f"s{self.solar.month:02}{self.solar.day:02}")
        if calendar == "solar" and self.solar is not None:
            told = _lunar_of(self.solar)
            keys += [f"l{told.month:02}{told.day:02}"] if told is not None else []
        return keys


@lru_cache(maxsize=65_536)
def _solar_of(year: int, month: int, day: int, leap: bool) -> date:
    return lunar.solar_of(lunar.kept_in(year, month, day, leap=leap))


@lru_cache(maxsize=65_536)
def _lunar_of(day: date) -> lunar.LunarDay | None:
    return lunar.lunar_of(day)


def _unique(values: Iterator[str] | Sequence[str]) -> list[str]:
    return sorted({value for value in values if value})


_UNITS: Final = re.compile(r"(?:省|市|区|县|镇|乡|街道|号楼|号|弄|室|栋|幢|座|单元|楼|层|[\W_])+")


def _place(text: str | None) -> str | None:
    normal = _UNITS.sub("", unicodedata.normalize("NFKC", text or "").lower())
    return normal or None


def _address(text: str) -> str:
    """Return an address without what people write in different ways: spaces, units, punctuation.

    Numbers stay apart, so that 1号23室 is not 12号3室.
    """
    return _UNITS.sub(" ", unicodedata.normalize("NFKC", text).lower()).strip()


# -- who is compared with whom -----------------------------------------------------------------------------------------

_SHORTEST_NAME_OF_MAILBOX: Final = 6
_SHORTEST_OUTSIDE: Final = 6
_LONGEST_KEY: Final = 120


def keys(of: Features) -> list[str]:
    """Return a customer's keys: two customers are compared when they have one in common.

    Each begins with its kind: ``m`` mobile, ``l`` landline, ``e`` e-mail, ``b`` mailbox name, ``o`` account, ``x``
    outside id, ``d`` sound of the name and day of birth, ``c`` sound and city, ``t`` initials and a phone's last four
    digits, ``h`` sound and a phone's first seven, ``a`` address.
    """
    names = of.sounds or [of.name]
    found = [
        *(f"m{each}" for each in of.mobiles),
        *(f"l{each}" for each in of.landlines),
        *(f"e{each}" for each in of.emails),
        *(f"b{name}" for name in map(_mailbox, of.emails) if len(name) >= _SHORTEST_NAME_OF_MAILBOX),
        *(f"o{each}" for each in of.accounts),
        *(f"x{each}" for each in map(_outside, of.outside) if len(each) >= _SHORTEST_OUTSIDE),
        *(f"d{name}:{day}" for name in names for day in of.birth_days),
        *(f"c{name}:{of.city or of.region}" for name in names if of.city or of.region),
        *(f"t{each}:{phone[-4:]}" for each in of.initials or [of.name[:3]] for phone in of.mobiles),
        *(f"h{name}:{phone[:10]}" for name in names for phone in of.mobiles),
        *(f"a{of.city or ''}:{each[-24:]}" for each in of.addresses if any(map(str.isdigit, each))),
    ]
    return sorted({key[:_LONGEST_KEY] for key in found})


def _mailbox(email: str) -> str:
    return email.partition("@")[0].partition("+")[0].replace(".", "")


def _outside(identity: str) -> str:
    return identity.partition(":")[2].lower()


# -- what agreement weighs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two customers are.

    Attributes:
        weight: bits of evidence that they are one: the sum of the reasons' weights.
        reasons: names in ``WEIGHTS``, the weightiest first.

    """

    weight: float
    reasons: tuple[str, ...]

    @property
    def score(self) -> int:
        """Return the probability in per cent that they are one, as far as the weights go; 99 at most."""
        bits = max(-60.0, self.weight + PRIOR)
        return min(99, round(100 / (1 + math.exp2(-bits))))

    def shown(self) -> list[dict[str, Any]]:
        """Return the reasons as they are stored and shown."""
        return [
            {"code": name, "weight": WEIGHTS[name].bits, "message": WEIGHTS[name].en, "message_zh": WEIGHTS[name].zh}
            for name in self.reasons
        ]


def compare(one: Features, other: Features) -> Likeness:
    """Weigh what two customers have in common and what tells them apart; a person and a company are never one."""
    if one.kind != other.kind:
        return Likeness(-100.0, ())
    found = [name for name in _observed(one, other) if name]
    weight = sum(WEIGHTS[name].bits for name in found)
    return Likeness(weight, tuple(sorted(found, key=lambda name: -abs(WEIGHTS[name].bits))))


def _observed(one: Features, other: Features) -> Iterator[str]:
    yield _phones(one, other)
    if _common(one.landlines, other.landlines):
        yield "same_landline"
    yield _emails(one, other)
    if _common(one.accounts, other.accounts):
        yield "same_account"
    elif _outside_ids(one, other):
        yield "same_outside_id"
    yield _names(one, other)
    yield _birthdays(one, other)
    yield _addresses(one, other)
    yield _places(one, other)
    if one.gender and other.gender:
        yield "same_gender" if one.gender == other.gender else "other_gender"


def _common(one: Sequence[str], other: Sequence[str]) -> bool:
    return bool(one) and bool(other) and not set(one).isdisjoint(other)


def _phones(one: Features, other: Features) -> str:
    if _common(one.mobiles, other.mobiles):
        return "same_mobile"
    near = any(
        len(a) == len(b) and DamerauLevenshtein.distance(a, b, score_cutoff=1) == 1
        for a in one.mobiles
        for b in other.mobiles
    )
    return "similar_mobile" if near else ""


def _emails(one: Features, other: Features) -> str:
    if _common(one.emails, other.emails):
        return "same_email"
    names = [
        [name for name in map(_mailbox, each.emails) if len(name) >= _SHORTEST_NAME_OF_MAILBOX] for each in (one, other)
    ]
    return "same_mailbox" if _common(*names) else ""


def _outside_ids(one: Features, other: Features) -> bool:
    if not one.outside or not other.outside:
        return False
    ids = [{name for name in map(_outside, each.outside) if len(name) >= _SHORTEST_OUTSIDE} for each in (one, other)]
    return not ids[0].isdisjoint(ids[1])


_ALIKE: Final = 66
_LATIN_ALIKE: Final = 88
_FULL_NAME: Final = 3


def _names(one: Features, other: Features) -> str:
    """Compare names; a Chinese name and a nickname in Latin letters tell nothing about each other."""
    a, b = one.name, other.name
    if not a or not b:
        return ""
    if a == b:
        return "same_name" if len(a) >= _FULL_NAME or not one.sounds else "same_short_name"
    if one.sounds and other.sounds:
        return _chinese_names(one, other)
    if one.sounds or other.sounds:
        # 王小明 and "wangxiaoming", as it is typed abroad.
        spelt, sounds = (a, other.sounds) if other.sounds else (b, one.sounds)
        return "same_sound" if spelt in sounds else ""
    return "similar_name" if fuzz.ratio(a, b) >= _LATIN_ALIKE else "other_name"


def _chinese_names(one: Features, other: Features) -> str:
    if _common(one.sounds, other.sounds):
        return "same_sound"
    shorter, longer = sorted((one.name, other.name), key=len)
    contained = len(shorter) > 1 and shorter in longer
    same_surname = shorter[0] == longer[0] and len(shorter) == len(longer)
    return "similar_name" if contained or (same_surname and fuzz.ratio(shorter, longer) >= _ALIKE) else "other_name"


def _birthdays(one: Features, other: Features) -> str:
    if one.birth is None or other.birth is None:
        return ""
    if one.solar is not None and other.solar is not None:
        if one.solar == other.solar:
            return "same_birthday"
        if one.birth[0] != other.birth[0] and one.birth[1:4] == other.birth[1:4]:
            return "mixed_calendars"
        return "other_birthday"
    if not set(one.birth_days).isdisjoint(other.birth_days):
        return "same_day"
    return "mixed_calendars" if one.birth[2:4] == other.birth[2:4] else "other_birthday"


_ADDRESS_ALIKE: Final = 85


def _addresses(one: Features, other: Features) -> str:
    if _common(one.addresses, other.addresses):
        return "same_address"
    alike = any(
        _numbers(a) == _numbers(b) != [] and fuzz.partial_ratio(a, b) >= _ADDRESS_ALIKE
        for a in one.addresses
        for b in other.addresses
    )
    return "similar_address" if alike else ""


def _numbers(address: str) -> list[str]:
    return re.findall(r"\d+", address)


def _places(one: Features, other: Features) -> str:
    if one.city and other.city:
        return "same_city" if one.city == other.city else "other_city"
    if one.region and one.region == other.region:
        return "same_region"
    return ""


def fingerprint(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return a digest of what was compared: another one means that either customer's data changed."""
    packed = orjson.dumps([one, other], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(packed, digest_size=16).hexdigest()
