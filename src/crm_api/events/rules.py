"""What an event is, and whose: pure rules."""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from crm_api.core.errors import FieldError
from crm_api.core.ids import parse_id
from crm_api.events.models import Mark

FUTURE: Final = timedelta(days=1)
"""How far a visitor's clock may be ahead of ours."""

BUCKETS: Final = 64
"""Locks a tenant's devices share."""

_VERSION_8: Final = (0x8 << 76) | (0x2 << 62)
_WITHOUT_VERSION: Final = ~((0xF << 76) | (0x3 << 62))


def row_id(event_id: str) -> UUID:
    """Return the id a client's event id is stored under: itself when it is a UUID, else a digest (a UUIDv8)."""
    known = parse_id(event_id)
    if known is not None:
        return known
    digest = int.from_bytes(hashlib.blake2b(event_id.encode(), digest_size=16).digest(), "big")
    return UUID(int=digest & _WITHOUT_VERSION | _VERSION_8)


def owner_at(marks: Sequence[Mark], at: datetime) -> UUID | None:
    """Return whose device it was at a moment.

    The last who identified themselves at or before it; before the first, and after a sign-out, whoever identifies
    themselves next. So what somebody does before they say who they are is theirs, back to the moment somebody else
    left.

    Args:
        marks: of one device, by time; those beside the moment suffice.
        at: the moment.

    """
    place = bisect_right(marks, at, key=lambda mark: mark.at)
    if place and marks[place - 1].customer_id is not None:
        return marks[place - 1].customer_id
    return marks[place].customer_id if place < len(marks) else None


def time_fault(at: datetime, now: datetime, retention_days: int) -> FieldError | None:
    """Return what is wrong with the time of an event, or None."""
    if at > now + FUTURE:
        return FieldError(
            "/occurred_at",
            "in_the_future",
            "It lies more than a day ahead: mend the sender's clock",
            "时间超前一天以上：请校正发送方时钟",
        )
    if at < now - timedelta(days=retention_days):
        return FieldError(
            "/occurred_at",
            "too_old",
            f"Events are kept {retention_days} days; this one is older",
            f"事件保留 {retention_days} 天，此事件已过期",
        )
    return None


def lock_of(tenant_id: UUID, device_id: str | None = None) -> int:
    """Return the advisory lock of a tenant's events, or of the bucket a device is in."""
    what = b"crm events" if device_id is None else b"crm device %d" % _bucket(device_id)
    digest = hashlib.blake2b(tenant_id.bytes + what, digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _bucket(device_id: str) -> int:
    return hashlib.blake2b(device_id.encode(), digest_size=1).digest()[0] % BUCKETS


def unplaced(errors: Sequence[FieldError]) -> tuple[FieldError, ...]:
    """Return a batch's errors as those of the event alone: ``/events/3/sku`` is ``/sku``."""
    return tuple(replace(each, pointer="/" + "/".join(each.pointer.split("/")[3:])) for each in errors)
