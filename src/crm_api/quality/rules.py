"""What completeness is made of, and what a clean-up does to contact points: pure rules."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from email_validator import SPECIAL_USE_DOMAIN_NAMES

from crm_api.core.errors import Invalid
from crm_api.customers.models import ContactKind, PointChange
from crm_api.quality.models import Action, Finding

WEIGHTS: Final[Mapping[str, int]] = {
    "reachable_contact_point": 30,
    "birthday": 15,
    "verified_contact_point": 10,
    "place": 10,
    "address": 10,
    "gender": 5,
    "occupation": 5,
    "source": 5,
    "preferences": 5,
    "tags": 5,
}
"""Part → points; together 100. docs/domains/quality.md says why. A name everybody has."""

INCOMPLETE: Final = 50
"""A lower score is incomplete."""

SCOPES: Final[Mapping[Finding, tuple[str, ...]]] = {
    "stale": ("orders:read", "interactions:read"),
    "unreachable": ("consent:read",),
}
"""Findings that look into other domains."""

EMAIL: Final = r'^[^\s@"(),:;<>\\\[\]]+@([^\s@.,:;<>()/\\\[\]_]+\.)+[^\s@.,:;<>()/\\\[\]_0-9-][^\s@.,:;<>()/\\\[\]_]*$'
"""What an e-mail address looks like to PostgreSQL. Looser than email-validator, so that nothing valid is called wrong;
the clean-up asks the library itself. No bounds and no looking ahead: they made it 60 times slower (100,000 addresses:
8.1 s, now 0.13 s)."""

LOCAL_PART: Final = 64
"""Longest part before the @ (RFC 5321, 4.5.3.1.1)."""

NO_MAIL: Final = tuple(SPECIAL_USE_DOMAIN_NAMES)
"""Last labels of domains that no mail goes to (RFC 6761 and others), as the library lists them."""

SAMPLES: Final = 20
"""Changes of each action that are kept to be shown."""

_PHONES: Final = frozenset({"mobile", "landline"})
_OTHER: Final[Mapping[str, ContactKind]] = {"mobile": "landline", "landline": "mobile"}


@dataclass(frozen=True, slots=True)
class Point:
    """A stored contact point."""

    id: UUID
    customer_id: UUID
    kind: ContactKind
    value: str
    is_primary: bool


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A change and why."""

    customer_id: UUID
    action: Action
    before: Mapping[str, Any]
    change: PointChange

    @property
    def after(self) -> dict[str, Any] | None:
        """Return what it becomes; None when removed."""
        if self.change.kind is None:
            return None
        return {"kind": self.change.kind, "value": self.change.value, "is_primary": self.change.is_primary}


class Normal:
    """Normal forms of contact points, asked of whoever knows them."""

    def __init__(self, normal_form: Any) -> None:
        """Take ``normal_form(kind, value, pointer)``."""
        self._form = normal_form

    def of(self, kind: ContactKind, value: str) -> str | None:
        """Return the normal form, None when the value cannot be of this kind."""
        try:
            form: str = self._form(kind, value, "")
        except Invalid:
            return None
        return form


def clean(points: Sequence[Point], actions: Iterable[Action], normal: Normal) -> list[Cleaned]:
    """Return what the actions change of one customer's contact points, oldest first.

    Cleaning what was cleaned changes nothing.
    """
    wanted = frozenset(actions)
    found: list[Cleaned] = []
    seen: set[tuple[str, str]] = set()
    primary: set[str] = set()
    for point in points:
        action, kind, value = _judge(point, wanted, normal)
        if kind is not None and (kind, value) in seen:
            # Two that became the same: the older one stays.
            action, kind = action or "normalise_contact_points", None
        is_primary = point.is_primary
        if kind is not None:
            seen.add((kind, value))
            if is_primary and kind in primary and "single_primary_contact_point" in wanted:
                action, is_primary = action or "single_primary_contact_point", False
            if is_primary:
                primary.add(kind)
        if action is not None:
            before = {"kind": point.kind, "value": point.value, "is_primary": point.is_primary}
            change = PointChange(point.id, kind, value, is_primary=is_primary)
            found.append(Cleaned(point.customer_id, action, before, change))
    return found


def _judge(point: Point, wanted: frozenset[Action], normal: Normal) -> tuple[Action | None, ContactKind | None, str]:
    """Return why a point changes (None: it does not), the kind it becomes (None: it goes) and its value."""
    form = normal.of(point.kind, point.value)
    if form == point.value:
        return None, point.kind, point.value
    if form is not None:
        if "normalise_contact_points" in wanted:
            return "normalise_contact_points", point.kind, form
        return None, point.kind, point.value
    if point.kind in _PHONES and "reclassify_phones" in wanted:
        other = _OTHER[point.kind]
        form = normal.of(other, point.value)
        if form is not None:
            return "reclassify_phones", other, form
    if "remove_invalid_contact_points" in wanted and not _only_misfiled(point, normal):
        return "remove_invalid_contact_points", None, point.value
    return None, point.kind, point.value


def _only_misfiled(point: Point, normal: Normal) -> bool:
    """Tell whether a number is good and only its kind is wrong: that is mended, not removed."""
    return point.kind in _PHONES and normal.of(_OTHER[point.kind], point.value) is not None


def mean_score(customers: int, having: Mapping[str, int]) -> float | None:
    """Return the mean score of so many customers, of whom so many have each part; None when there are none."""
    if not customers:
        return None
    return round(sum(points * having[part] for part, points in WEIGHTS.items()) / customers, 1)
