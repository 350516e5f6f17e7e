"""What an interaction can be: pure rules."""

from datetime import datetime, timedelta
from typing import Final

from crm_api.core.errors import FieldError

CLOCKS_DIFFER: Final = timedelta(minutes=5)
"""How far the clock of whoever notes it may run ahead of ours."""


def time_fault(occurred_at: datetime, now: datetime) -> FieldError | None:
    """Return what is wrong with the time of an interaction, or None: it has happened, else it is a follow-up task."""
    if occurred_at <= now + CLOCKS_DIFFER:
        return None
    return FieldError("/occurred_at", "in_the_future", "This is still to come", "该时间尚未到来")
