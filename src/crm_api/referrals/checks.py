"""What is looked at before a reward: pure rules over evidence."""

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from crm_api.referrals.models import Answer, Check, StoredFinding

MAX_CYCLE: Final = 10
"""Longest circle of referrals that is looked for."""

SIBLINGS: Final = 200
"""How many of a referrer's other friends a friend is compared with: the latest."""

CHINESE_DIGITS: Final = 11
"""Digits of a Chinese mobile number."""

Trait = tuple[Check, str]
"""Something two customers can have in common: the check it is for, and its normal form."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the checks look at.

    Attributes:
        traits: customer → what can be compared: (check, normal form).
        bought_by: who of the friend, or somebody with the friend's phone, had bought before they signed up, or well
            before anybody told so; None: nobody.
        bought_since: whether that was after the time told afterwards as that of the sign-up.
        sign_ups: the referrer's sign-ups in the programme's hours, this one included.
        circle: number of referrals in the shortest circle this one closes; None: none.
        approvals: the referrer's referrals approved in the period of the cap, without this one.
        blacklisted: a side that is blacklisted; None: neither.

    """

    traits: Mapping[UUID, frozenset[Trait]]
    bought_by: UUID | None = None
    bought_since: bool = False
    sign_ups: int = 1
    circle: int | None = None
    approvals: int = 0
    blacklisted: UUID | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a programme allows, and what it does about the rest."""

    checks: Mapping[str, Answer]
    velocity_limit: int
    cap_count: int | None


def check(friend_id: UUID, evidence: Evidence, limits: Limits) -> list[StoredFinding]:
    """Return what the checks that are on found, in the order of the checks."""
    found: list[tuple[Check, UUID | None, int | None]] = []
    if evidence.bought_by is not None:
        other = None if evidence.bought_by == friend_id else evidence.bought_by
        found.append(("existing_customer", other, None))
    found.extend((name, other, None) for name, other in _shared(friend_id, evidence.traits))
    if evidence.sign_ups > limits.velocity_limit:
        found.append(("velocity", None, evidence.sign_ups))
    if evidence.circle is not None:
        found.append(("cycle", None, evidence.circle))
    if limits.cap_count is not None and evidence.approvals >= limits.cap_count:
        found.append(("cap", None, evidence.approvals))
    if evidence.blacklisted is not None:
        found.append(("blacklisted", evidence.blacklisted, None))
    return [
        StoredFinding(code=name, customer_id=other, seen=seen, answer=_answer(name, evidence, limits))
        for name, other, seen in found
        if limits.checks[name] != "off"
    ]


def _answer(name: Check, evidence: Evidence, limits: Limits) -> Answer:
    # A time told after the purchase may be true or made up for it: that is for somebody to decide.
    in_doubt = name == "existing_customer" and evidence.bought_since
    return "flag" if in_doubt else limits.checks[name]


def _shared(friend_id: UUID, traits: Mapping[UUID, frozenset[Trait]]) -> Iterator[tuple[Check, UUID]]:
    """Yield each check with the first customer the friend has such a trait in common with."""
    own = traits.get(friend_id, frozenset())
    seen: set[Check] = set()
    for other in traits:
        if other != friend_id:
            for name in sorted({name for name, _ in own & traits[other]} - seen):
                seen.add(name)
                yield name, other


def address_key(*parts: str | None) -> str | None:
    """Return an address so that the same place reads the same; None when it names no house.

    Letters and digits only, lower case: people differ in spaces, hyphens and punctuation. Without a digit it names a
    district at best, which many people share.
    """
    text = "".join(char for part in parts if part for char in part.casefold() if char.isalnum())
    return text if any(char.isdigit() for char in text) else None


def phone_key(value: str) -> str:
    """Return a phone number so that the same one reads the same: its digits, without China's calling code."""
    digits = "".join(char for char in value if char.isdecimal()).removeprefix("00")
    return digits.removeprefix("86") if len(digits) > CHINESE_DIGITS else digits


def period_start(now: datetime, period: str, zone: str) -> datetime | None:
    """Return when the current period of a cap began, in the shop's zone; None for a lifetime."""
    if period == "life":
        return None
    local = now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "week":
        return local - timedelta(days=local.weekday())
    if period == "month":
        return local.replace(day=1)
    return local.replace(month=1, day=1) if period == "year" else local


def digest(tenant_id: UUID, kind: str, value: str) -> bytes:
    """Return what is kept of a device or a payment account: SHA-256 over the tenant, the kind and the value."""
    return hashlib.sha256(f"{tenant_id}:{kind}:{value}".encode()).digest()


# -- codes -------------------------------------------------------------------------------------------------------------

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without 0 O, 1 I L and U: nobody misreads a code."""
CODE_LENGTH: Final = 8


def new_code() -> str:
    """Return a code nobody can guess: 30^8, about 6.6 x 10^11, are possible."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
