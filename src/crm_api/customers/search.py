"""What the search box compares: the keys of a customer, and the needle a query becomes. Pure rules.

All that a customer is known by lies in one text, its *haystack*: keys, each whole between ``ǀ`` and ``ǁ``; words, which
begin inside a key, after ``ǂ``; and the rests of Latin words after ``ǃ``, for needles of one or two letters::

    ǀ王小明ǁ ǀwangxiaomingǁ ǀwxmǁ ǀ13812345678ǁ ǀvipǁ ǂ小明 ǂ明 ǂxiaoming ǂming ǂxm

The marks are letters (U+01C0–01C3, clicks of Khoisan languages, which no name here is written with), so they are part
of trigrams: the one trigram index tells a key's beginning (``"ǀwa"``) from its middle, answers how well a needle fits
(``Fit``) without looking at rows that fit less, and finds even single characters (``" ǀ王"``).
"""

# ruff: noqa: RUF001, RUF002 - the marks are chosen because nobody writes them

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

from crm_api.customers import pinyin

VERSION: Final = 1
"""Of these rules. Customers with keys of older ones are keyed anew in the background (``customers.rekey``)."""

SHORT: Final = 2
"""Needles up to this many characters have no trigram of their own: they are looked for where words begin."""

KEY, END, WORD, REST = "ǀ", "ǁ", "ǂ", "ǃ"
"""What stands before a key, behind it, before a word and before the rest of one. None is left in a needle."""

_LONGEST_WORD: Final = 12
_LONGEST_REST: Final = 16


class Fit(IntEnum):
    """How well a customer fits a needle; by ``relevance`` the better fit comes first, then the newer customer."""

    FRAGMENT = 1
    """The needle stands somewhere inside a key."""
    WORD = 2
    """It begins a word inside a key (the given name, a syllable, the domain), or ends a key (a phone's last digits)."""
    PREFIX = 3
    """It begins a key."""
    EXACT = 4
    """It is a key."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a customer is known by.

    Attributes:
        name: as written.
        contacts: stored values of contact points.
        identities: outside ids.
        tags: labels.
        others: what other domains add, such as the name of the company the customer works for.

    """

    name: str
    contacts: Sequence[str] = ()
    identities: Sequence[str] = ()
    tags: Sequence[str] = ()
    others: Sequence[str] = ()


_LEFT_OUT = re.compile(r"[\s\x00-\x1f\x7f'’·•ǀǁǂǃ]+")
_WRITTEN_NUMBER = re.compile(r"[+(]*\d[\d\s()./-]*")
_BETWEEN_DIGITS = re.compile(r"[\s()./-]")
_OF_CHINA = re.compile(r"(?:\+86|0086)(?=\d)|86(?=1\d{10}$)")


def compact(text: str) -> str:
    """Return text as it is compared: NFKC, lower case, ü as v, without white space, apostrophes and middle dots."""
    if text.isascii() and text.isalnum():
        return text.lower()  # what most keys are: nothing of the rest touches them
    return _LEFT_OUT.sub("", unicodedata.normalize("NFKC", text).lower().replace("ü", "v"))


def needle(query: str) -> str:
    """Return what a query looks for.

    A number written with spaces or hyphens is meant without them, and China's country code is left out: nearly every
    phone has it.
    """
    normal = unicodedata.normalize("NFKC", query.strip())
    if not _WRITTEN_NUMBER.fullmatch(normal):
        return compact(normal)
    return _OF_CHINA.sub("", _BETWEEN_DIGITS.sub("", normal), count=1)


def old_needle(query: str) -> str:
    """Return what a query looked for in keys of 0.1, which kept white space; those are still there after an upgrade."""
    normal = unicodedata.normalize("NFKC", query.strip()).lower()
    return needle(query) if _WRITTEN_NUMBER.fullmatch(normal) else normal


def haystack(known: Known) -> str:
    """Return the text that the search box looks through."""
    keys: dict[str, None] = {}
    words: dict[str, None] = {}
    rests: dict[str, None] = {}
    _add_name(known.name, keys, words, rests)
    for value in known.contacts:
        _add_contact(value, keys, words)
    for value in (*known.identities, *known.tags):
        _add(value, keys, words)
    for value in known.others:
        _add_name(value, keys, words, rests)
    parts = [f" {KEY}{each}{END}" for each in keys if each]
    parts += [f" {WORD}{each}" for each in words if each and each not in keys]
    parts += [f" {REST}{each}" for each in rests]
    return "".join(parts)


def _add_name(name: str, keys: dict[str, None], words: dict[str, None], rests: dict[str, None]) -> None:
    _add(name, keys, words)
    for reading in pinyin.readings(compact(name)):
        keys[reading.whole] = keys[reading.initials] = None
        syllables = reading.syllables
        for start in range(1, len(syllables)):
            words["".join(syllables[start:])] = None
        if len(syllables) > SHORT:
            words[reading.initials[1:]] = None
    for word in _latin_words(name):
        for start in range(1, min(len(word), _LONGEST_REST)):
            rests[word[start : start + SHORT]] = None


def _add_contact(value: str, keys: dict[str, None], words: dict[str, None]) -> None:
    _add(value.removeprefix("+86"), keys, words)


_WORD_START = re.compile(rf"{pinyin.HAN}|(?<=[\s._@/#-])[^\s._@/#-]")
_LATIN_WORD = re.compile(r"[^\W\d_]+")


def _add(value: str, keys: dict[str, None], words: dict[str, None]) -> None:
    """Add a key and the words that begin inside it: after a separator, and with every Chinese character."""
    key, inside = _words_of(value)
    keys[key] = None
    for word in inside:
        words[word] = None


@lru_cache(maxsize=4_096)  # tags come again and again
def _words_of(value: str) -> tuple[str, tuple[str, ...]]:
    if value.isalnum() and value.isascii():
        return compact(value), ()
    normal = unicodedata.normalize("NFKC", value).lower()
    starts = [found.start() for found in _WORD_START.finditer(normal, 1)]
    return compact(value), tuple(compact(normal[start:])[:_LONGEST_WORD] for start in starts)


def _latin_words(name: str) -> list[str]:
    normal = unicodedata.normalize("NFKC", name).lower()
    return [word for word in _LATIN_WORD.findall(normal) if not pinyin.has_han(word)] if not _all_han(normal) else []


def _all_han(text: str) -> bool:
    return pinyin.is_all_han(text)
