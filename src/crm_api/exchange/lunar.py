"""Lunar birthdays as people write them: 农历1990年闰五月初三, 阴历八月十五, 1968年腊月廿三, 5月初三（农历）.

A text is lunar when it says so (农历, 阴历, 旧历; before the date, or behind it in brackets or not) or has a word that
only the lunar calendar has: 闰, 正月, 冬月, 腊月, 初一 … 初十, 廿. Month and day are Chinese or Arabic numerals, the
year four digits of either kind and optional. Whether there was such a day is for `Birthday`, which asks `core.lunar`.
"""

import re
import unicodedata
from typing import Final

from crm_api.customers.models import Birthday

_ONES: Final = "一二三四五六七八九"
_DIGITS: Final = {"\u3007": 0, "零": 0, "\u25cb": 0, **{sign: number for number, sign in enumerate(_ONES, 1)}}


def _numerals() -> dict[str, int]:
    """Return the Chinese numerals 1 to 31 as they are written without lunar words."""
    found = {}
    for number in range(1, 32):
        tens, ones = divmod(number, 10)
        found[{0: "", 1: "十"}.get(tens, _ONES[tens - 1] + "十") + (_ONES[ones - 1] if ones else "")] = number
    return found


_NUMERALS: Final = _numerals()
_MONTHS: Final = {**_NUMERALS, "正": 1, "冬": 11, "腊": 12}
_DAYS: Final = {
    **_NUMERALS,
    **{f"初{sign}": number for number, sign in enumerate(f"{_ONES}十", 1)},
    **{f"廿{sign}": 20 + number for number, sign in enumerate(_ONES, 1)},
    "廿": 20,
    "卅": 30,
}


def _any_of(words: dict[str, int]) -> str:
    return "|".join([r"\d{1,2}", *sorted(words, key=len, reverse=True)])


_SIMPLIFIED: Final = str.maketrans("農曆歷陰閏臘舊號", "农历历阴闰腊旧号")
_SAYS_SO: Final = re.compile(r"[(\[]?[农阴旧]历(?:生日)?[)\]]?[::]?")
_ONLY_LUNAR: Final = re.compile(r"闰|正月|冬月|腊月|初[一二三四五六七八九十]|廿")
_DATE: Final = re.compile(
    rf"(?:(?P<year>\d{{4}}|[{''.join(_DIGITS)}]{{4}})(?:年|[-/.]))?(?P<leap>闰)?(?P<month>{_any_of(_MONTHS)})"
    rf"(?:月|[-/.])(?P<day>{_any_of(_DAYS)})[日号]?",
    re.ASCII,
)
_EIGHT_DIGITS: Final = re.compile(r"(?P<year>\d{4})(?P<leap>)(?P<month>\d\d)(?P<day>\d\d)", re.ASCII)


def lunar_birthday(text: str, *, said: bool = False) -> Birthday | None:
    """Return the lunar birthday that a text tells; None when it tells none.

    Args:
        text: as written.
        said: it is known to be lunar, by the column it stands in.

    Raises:
        ValueError: it is lunar, and there is no such day.

    """
    plain = "".join(unicodedata.normalize("NFKC", text).translate(_SIMPLIFIED).split())
    date, marks = _SAYS_SO.subn("", plain, count=1)
    if not (said or marks or _ONLY_LUNAR.search(date)):
        return None
    found = _DATE.fullmatch(date) or _EIGHT_DIGITS.fullmatch(date)
    if found is None:
        return None
    return Birthday(
        calendar="lunar",
        year=None if found["year"] is None else _year(found["year"]),
        month=_number(found["month"], _MONTHS),
        day=_number(found["day"], _DAYS),
        leap_month=bool(found["leap"]),
    )


def _number(text: str, words: dict[str, int]) -> int:
    return words[text] if text in words else int(text)


def _year(text: str) -> int:
    return int("".join(str(_DIGITS.get(sign, sign)) for sign in text))
