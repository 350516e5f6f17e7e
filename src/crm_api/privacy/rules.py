"""What erasure leaves and what an export says: pure rules."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

WAITING_DAYS: Final = 7
"""Default time to think again. PIPL Art. 50 asks for an answer in good time, GDPR Art. 12 (3) within a month."""

KEEP_DAYS: Final = 7
"""Default life of an archive."""

SWEEP_AFTER: Final = timedelta(hours=25)
"""An erasure is gone over again after this: answers to keyed requests live 24 hours, nothing is under way so long."""

ERASED_NAME: Final = "已删除 · erased"
"""Stands where a name must stand."""

KEPT_COLUMNS: Final[Mapping[str, str]] = {
    "tenant_id": "key",
    "id": "key: orders and ledgers refer to it; says nothing of who it was",
    "kind": "whether it was a person or a company, for statistics",
    "store_id": "which branch the turnover belongs to",
    "merged_into_id": "old ids stay aliases",
    "deleted_at": "it is gone",
    "erased_at": "and why",
    "version": "ETag",
    "created_at": "for counts by time",
    "updated_at": "housekeeping",
}
"""Columns of ``customers`` that stay, and why; every other is cleared, also those that will be added one day."""

HTML_ROWS: Final = 500
"""Rows of each kind in the readable page; the rest is in the JSON beside it."""


def needle(value: str) -> bytes | None:
    """Return what to look for in stored answers and deliveries, or None for text that anybody's data may hold."""
    return value.encode() if len(value) >= 6 else None  # noqa: PLR2004 - shorter ones are no identifiers
