"""Moments and periods of reports: a day of a zone, or an instant."""

from datetime import date, datetime, time, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import Field, TypeAdapter, ValidationError

from crm_api.core.errors import Invalid
from crm_api.core.models import NearInstant

Moment = Annotated[str, Field(max_length=40, examples=["2026-10-01"])]
"""A day (its beginning in the zone of the report) or an RFC 3339 time, of the years 1900 to 2999."""

USUAL: Final = timedelta(days=30)
"""Length of a period of which no beginning is named."""

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


def period(
    from_at: str | None, to_at: str | None, zone: ZoneInfo, now: datetime, at: tuple[str, str]
) -> tuple[datetime, datetime]:
    """Return beginning and end of a period; it ends now and begins 30 days before its end unless told otherwise.

    Args:
        from_at: a `Moment`.
        to_at: likewise.
        zone: whose days.
        now: the time.
        at: where the two were given, for errors.

    Raises:
        Invalid: one of them cannot be read, or the end lies before the beginning.

    """
    end = now if to_at is None else moment(to_at, zone, at[1])
    start = end - USUAL if from_at is None else moment(from_at, zone, at[0])
    if start > end:
        raise Invalid.field(at[1], "wrong_order", "This lies before the first moment", "结束时间早于开始时间")
    return start, end
