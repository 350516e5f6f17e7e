"""Interactions by the thousand.

An interaction has no name of its own outside, so its id is made from what it says: the same row again is the same
interaction, and a file imported twice changes nothing.
"""

import hashlib
from dataclasses import asdict, fields
from typing import Final
from uuid import UUID

import orjson

from crm_api.interactions.models import InteractionRow

COLUMNS: Final = ("id", *(field.name for field in fields(InteractionRow)))


def id_of(row: InteractionRow) -> UUID:
    """Return a UUIDv7 whose time is when it happened and whose other bits are a hash of all it says."""
    said = {name: value for name, value in asdict(row).items() if value is not None}
    digest = hashlib.sha256(orjson.dumps(said, default=str, option=orjson.OPT_SORT_KEYS)).digest()
    moment = max(0, int(row.occurred_at.timestamp() * 1000))
    number = (moment << 80) | int.from_bytes(digest[:10], "big")
    number = (number & ~(0xF << 76)) | (0x7 << 76)  # version 7
    number = (number & ~(0x3 << 62)) | (0x2 << 62)  # variant of RFC 9562
    return UUID(int=number)
