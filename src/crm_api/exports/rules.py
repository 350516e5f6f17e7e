"""What an export hides and how its cells are written: pure functions."""

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

REVEAL: Final = "customers:reveal"
"""Without this scope contact details are masked in exports."""

# -- resources ---------------------------------------------------------------------------------------------------------

_SIBILANTS: Final = ("ch", "sh", "x", "z")


def plural(name: str) -> str:
    """Return what rows of a resource are called: ``LoyaltyEntry`` → ``loyalty_entries``."""
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    if words.endswith("s"):
        return words
    if words.endswith("y") and words[-2] not in "aeiou":
        return f"{words[:-1]}ies"
    return f"{words}es" if words.endswith(_SIBILANTS) else f"{words}s"


# -- links -------------------------------------------------------------------------------------------------------------


def new_secret() -> str:
    """Return a link's secret: 256 random bits."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> bytes:
    """Return what is kept of it."""
    return hashlib.sha256(secret.encode()).digest()


def fits(secret: str, digest: bytes | None) -> bool:
    """Tell in constant time whether the secret is the one whose hash is kept."""
    return secrets.compare_digest(hash_secret(secret), digest or b"")


# -- cells -------------------------------------------------------------------------------------------------------------

_RISKY: Final = frozenset("=+-@\t\r")


def guarded(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe in front, which imports take away again."""
    return f"'{text}" if text and text[0] in _RISKY else text


# -- masking -----------------------------------------------------------------------------------------------------------

STARS: Final = "****"
_PHONE: Final = re.compile(r"(?<![\w+])(?:\+\d{8,15}|1[3-9]\d{9})(?!\d)")
_EMAIL: Final = re.compile(r"[^\s@<>\"',;:]+@[^\s@<>\"',;:]+\.[^\s@<>\"',;:]+")
_NATIONAL: Final = 11
"""Digits of a Chinese mobile number: those in front of them are the country's."""


def mask_phone(text: str) -> str:
    """Keep three digits in front and four behind: ``138****1234``; the country's code stays."""
    digits = text.removeprefix("+86")
    if len(digits) < 7:  # noqa: PLR2004 - too short to keep seven digits of
        return f"{digits[:1]}{STARS}"
    shown = 3 if len(digits) <= _NATIONAL else len(digits) - _NATIONAL + 3
    return f"{digits[:shown]}{STARS}{digits[-4:]}"


def mask_email(text: str) -> str:
    """Keep the first letter and the domain: ``x****@example.com``."""
    name, _, domain = text.rpartition("@")
    return f"{name[:1]}{STARS}@{domain}"


def mask_other(text: str) -> str:
    """Keep two characters in front and two behind of what is long enough."""
    return f"{text[:2]}{STARS}{text[-2:]}" if len(text) >= 8 else f"{text[:1]}{STARS}"  # noqa: PLR2004


def mask_contact(text: str) -> str:
    """Mask a phone number, an e-mail address or an account, whichever it looks like."""
    if "@" in text:
        return mask_email(text)
    return mask_phone(text) if re.fullmatch(r"\+?[\d -]+", text) else mask_other(text)


def mask_place(text: str) -> str:
    """Keep the first six characters of an address, which say the district at most."""
    return f"{text[:6]}{STARS}"


def scrub(value: Any) -> Any:
    """Mask what looks like a phone number or an e-mail address anywhere in a JSON document."""
    if isinstance(value, str):
        return _EMAIL.sub(lambda m: mask_email(m[0]), _PHONE.sub(lambda m: mask_phone(m[0]), value))
    if isinstance(value, list):
        return [scrub(each) for each in value]
    if isinstance(value, dict):
        return {name: scrub(each) for name, each in value.items()}
    return value


MASKS: Final[Mapping[str, Callable[[str], str]]] = {
    "phone": mask_contact,
    "mobile": mask_contact,
    "email": mask_contact,
    "to": mask_contact,
    "ContactPoint.value": mask_contact,
    "Identity.external_id": mask_other,
    "Customer.address": mask_place,
    "Address.street": mask_place,
    "HouseholdMember.phone": mask_contact,
}
"""Field, or type and field → mask of its text. What is named like a contact detail is one, wherever it stands."""


def mask_of(kind: str, field: str) -> Callable[[str], str] | None:
    """Return how a text field of this type is masked, or None."""
    return MASKS.get(f"{kind}.{field}") or MASKS.get(field)
