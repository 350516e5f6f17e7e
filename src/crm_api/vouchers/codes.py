"""Voucher codes: made unguessable, read back however somebody types them.

A *generated* code is an optional prefix, random characters and one check character, all from an alphabet of 31
characters without those that are mistaken for each other (0 and O; 1, I and L). 31 is a prime, so a weighted sum modulo
31 with weights that differ modulo 31 finds every single wrong character and every swap of two (the same reasoning as
ISO/IEC 7064 and ISBN-10): a slip of the hand never becomes somebody else's voucher, and never costs a database read.

A *shared* code is chosen by the shop ("SPRING10", "双十一"). It has no check character; what tells the two apart is the
length: shared codes are shorter than `MIN_GENERATED`, generated ones are not.
"""

import re
import secrets
import unicodedata
from typing import Final

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Digits and capital letters without 0, 1, I, L, O."""

MIN_GENERATED: Final = 12
"""Shortest generated code, without its prefix: 11 random characters, 54 bits."""

MAX_LENGTH: Final = 30
"""Longest code: the weights 1 to 30 all differ modulo 31."""

DEFAULT_LENGTH: Final = 13
"""Without the prefix: 12 random characters (59 bits) and the check character."""

MIN_SHARED: Final = 3
MAX_WRITTEN: Final = 100
"""Longest text that is looked at, separators included."""

_BASE: Final = len(ALPHABET)
_VALUES: Final = {character: value for value, character in enumerate(ALPHABET)}
_SEPARATORS: Final = re.compile("[\\s\\-_\\u2010-\\u2015\\u2212\\u00b7.]+")


def canonical(written: str) -> str:
    """Return a code as it is stored: capitals, half width, without spaces, dashes and dots."""
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", written)).upper()


def is_possible(code: str) -> bool:
    """Tell whether a canonical code can exist at all; no database is asked about one that cannot."""
    if len(code) >= MIN_GENERATED:
        return is_sound(code)
    return len(code) >= MIN_SHARED and code.isalnum()


def is_sound(code: str) -> bool:
    """Tell whether a generated code's check character is right."""
    if not MIN_GENERATED <= len(code) <= MAX_LENGTH or not _VALUES.keys() >= set(code):
        return False
    return _weighted(code) % _BASE == 0


def generate(prefix: str = "", length: int = DEFAULT_LENGTH) -> str:
    """Return a new code: ``prefix``, ``length - 1`` random characters, the check character.

    Args:
        prefix: of the alphabet's characters.
        length: without the prefix, at least `MIN_GENERATED`; with it at most `MAX_LENGTH`.

    """
    return with_check(prefix + _random(length - 1))


def with_check(text: str) -> str:
    """Return the text with its check character."""
    # The check character has weight 1, so it is what the others lack to a multiple of 31.
    return text + ALPHABET[-_weighted(text + ALPHABET[0]) % _BASE]


def _random(length: int) -> str:
    # One draw for all characters: uniform over 31^length, and four times as fast as a draw each.
    number, characters = secrets.randbelow(_BASE**length), []
    for _ in range(length):
        number, digit = divmod(number, _BASE)
        characters.append(ALPHABET[digit])
    return "".join(characters)


def _weighted(code: str) -> int:
    return sum(weight * _VALUES[character] for weight, character in enumerate(reversed(code), 1))
