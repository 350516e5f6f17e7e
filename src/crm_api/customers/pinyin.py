"""How a Chinese name is typed on a Latin keyboard: whole pinyin and initials, in several readings where there are some.

Readings of single characters are pypinyin's, without tones (``readings.txt``, made by tools/pinyin_readings.py). Two
things it does not know are added here: which reading a character has as a surname (单 is Shàn, not Dān), and
two-character surnames whose reading is their own (尉迟 is Yùchí). A name is short and its given part follows no
dictionary of phrases, so characters are read one by one and every doubtful one is varied by itself: 单乐 is found as
``shanle``, ``danle`` and ``shanyue``.
"""

import re
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

LONGEST: Final = 24
"""Characters of a name that are read; the tail of a company's name is found by its characters."""

MOST_READINGS: Final = 4
"""Ways to read one name, at most."""

# Characters that are read otherwise as a surname; the usual reading stays as an alternative.
_SURNAMES: Final = {
    "单": "shan", "曾": "zeng", "仇": "qiu", "查": "zha", "解": "xie", "朴": "piao", "区": "ou", "乐": "yue",
    "翟": "zhai", "盖": "ge", "缪": "miao", "种": "chong", "秘": "bi", "折": "she", "员": "yun", "召": "shao",
    "黑": "he", "繁": "po", "祭": "zhai", "隗": "wei", "覃": "qin", "佴": "nai", "阚": "kan", "适": "kuo", "能": "nai",
    "牟": "mu", "卜": "bu", "都": "du",
}  # fmt: skip
_COMPOUND: Final = {
    "尉迟": ("yu", "chi"), "万俟": ("mo", "qi"), "长孙": ("zhang", "sun"), "澹台": ("tan", "tai"),
    "单于": ("chan", "yu"), "轩辕": ("xuan", "yuan"),
    "宰父": ("zai", "fu"), "亓官": ("qi", "guan"), "令狐": ("ling", "hu"), "皇甫": ("huang", "fu"),
    "呼延": ("hu", "yan"), "夏侯": ("xia", "hou"), "诸葛": ("zhu", "ge"), "欧阳": ("ou", "yang"), "司马": ("si", "ma"),
    "上官": ("shang", "guan"), "东方": ("dong", "fang"), "公孙": ("gong", "sun"), "慕容": ("mu", "rong"),
    "司徒": ("si", "tu"), "南宫": ("nan", "gong"), "西门": ("xi", "men"), "宇文": ("yu", "wen"),
}  # fmt: skip
_UMLAUT: Final = {"lv": "lu", "nv": "nu", "lve": "lue", "nve": "nue"}
"""What is typed for ü: ``v`` on most Chinese keyboards, ``u`` by many."""

HAN: Final = r"[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
"""One Chinese character, as a regular expression."""

_HAN: Final = re.compile(HAN)
_ALL_HAN: Final = re.compile(f"{HAN}*")


class Reading(NamedTuple):
    """One way to read a name: a syllable for each character, other text in between as it is."""

    syllables: tuple[str, ...]

    @property
    def whole(self) -> str:
        """Return all syllables in one word: ``wangxiaoming``."""
        return "".join(self.syllables)

    @property
    def initials(self) -> str:
        """Return the first letter of each syllable: ``wxm``."""
        return "".join(syllable[0] for syllable in self.syllables)


def is_han(character: str) -> bool:
    """Tell whether a character is Chinese."""
    return _HAN.match(character) is not None


def is_all_han(text: str) -> bool:
    """Tell whether a text has no character that is not Chinese."""
    return _ALL_HAN.fullmatch(text) is not None


def has_han(text: str) -> bool:
    """Tell whether a text has a Chinese character."""
    return _HAN.search(text) is not None


@cache
def _table() -> dict[str, tuple[str, ...]]:
    """Return character → readings, the usual one first."""
    text = files("crm_api.customers").joinpath("readings.txt").read_text(encoding="utf-8")
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines()[1:]:  # usual readings come before further ones
        syllable, _, characters = line.removeprefix("~").partition(" ")
        spelt = (syllable, _UMLAUT[syllable]) if syllable in _UMLAUT else (syllable,)
        for character in characters:
            found[character] = (*found[character], *spelt) if character in found else spelt
    return found


@lru_cache(maxsize=65_536)
def readings(name: str) -> tuple[Reading, ...]:
    """Return the ways to read a name, the likeliest first, at most four; none when nothing in it is Chinese.

    The likeliest is varied one character at a time, from the left, so that each doubtful character is covered as long
    as there is room.

    Args:
        name: in compact form (``search.compact``).

    """
    if not has_han(name):
        return ()
    choices = _choices(name[:LONGEST])
    first = tuple(each[0] for each in choices)
    found = {first: None}
    for place, alternatives in enumerate(choices):
        for other in alternatives[1:]:
            found[(*first[:place], other, *first[place + 1 :])] = None
            if len(found) >= MOST_READINGS:
                return tuple(Reading(syllables) for syllables in found)
    return tuple(Reading(syllables) for syllables in found)


def _choices(name: str) -> list[tuple[str, ...]]:
    """Return for each character (or run of other text) its readings."""
    compound = _COMPOUND.get(name[:2]) if len(name) > 2 else None  # noqa: PLR2004 - a surname and a given name
    choices: list[tuple[str, ...]] = [(syllable,) for syllable in compound or ()]
    other = ""
    for place in range(len(choices), len(name)):
        character = name[place]
        spoken = _surname(character) if place == 0 and len(name) > 1 else _table().get(character, ())
        if spoken:
            choices += [(other,)] if other else []
            choices.append(spoken)
            other = ""
        else:
            other += character
    return [*choices, (other,)] if other else choices


@cache
def _surname(character: str) -> tuple[str, ...]:
    spoken, own = _table().get(character, ()), _SURNAMES.get(character)
    return spoken if own is None else tuple(dict.fromkeys((own, *spoken)))
