"""Moments of reports: a day of a zone, or an instant."""

from datetime import date, datetime, time
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import Field, TypeAdapter, ValidationError

from crm_api.core.errors import Invalid
from crm_api.core.models import NearInstant

Moment = Annotated[str, Field(max_length=40, examples=["2026-10-01"])]
"""A day (its beginning in the zone of the report) or an RFC 3339 time, of the years 1900 to 2999."""

_INSTANT: Final[TypeAdapter[datetime]] = TypeAdapter(NearInstant)


def moment(given: str, zone: ZoneInfo, at: str) -> datetime:
    """Return the instant that was written.

    Args:
        given: a `Moment`.
        zone: whose days.
        at: where it was given, for the error.

    Raises:
        Invalid: it is neither a day nor a time of these years.

    """
    try:
        if len(given) == len("2026-10-01"):
            return _INSTANT.validate_python(datetime.combine(date.fromisoformat(given), time(), zone))
        return _INSTANT.validate_python(given)
    except (ValidationError, ValueError, OverflowError):
        raise Invalid.field(
            at,
            "invalid_time",
            "Write a day as 2026-10-01 or a time as RFC 3339, between 1900 and 2999",
            "请使用 2026-10-01 或 RFC 3339 时间，年份在 1900 至 2999 之间",
        ) from None
