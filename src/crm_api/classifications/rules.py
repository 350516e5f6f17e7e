"""From definitions to what the statements take, and periods to moments. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from crm_api.classifications.groups import cells

QUANTILES: Final = (0.2, 0.4, 0.6, 0.8)
"""Type 7 of Hyndman & Fan (1996): linear interpolation between order statistics."""
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Before any order that can be stored."""
FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a scoring is relative to.

    Attributes:
        as_of: things are scored as they stood then.
        now: when it is done; changes are logged at this moment.
        born_before: customers entered later are left out.
        currency: of RFM and grade; None while nobody has bought.
        home_currency: the tenant's, in which amounts of definitions are.

    """

    as_of: datetime
    now: datetime
    born_before: datetime
    currency: str | None
    home_currency: str


def flattened(definitions: Mapping[str, Mapping[str, Any]], moment: Moment, standing: Mapping[str, Any]) -> Any:
    """Return the definitions as the one object `repository.statements` reads.

    Args:
        definitions: dimension → definition.
        moment: what windows end at.
        standing: ``edges`` and ``grade`` of the last run over everybody; empty before the first.

    """

    def since(days: int | None) -> str:
        return (_EVER if days is None else moment.as_of - timedelta(days=days)).isoformat()

    d = definitions
    edges = d["rfm"]["edges"] or standing.get("edges") or {}
    return {
        "as_of": moment.as_of.isoformat(),
        "now": moment.now.isoformat(),
        "born_before": moment.born_before.isoformat(),
        "currency": moment.currency,
        "home_currency": moment.home_currency,
        "frequency_since": since(d["frequency"]["window_days"]),
        "frequency_high": d["frequency"]["high"],
        "frequency_mid": d["frequency"]["mid"],
        "amount_since": since(d["amount"]["window_days"]),
        "amount_large": d["amount"]["large"],
        "amount_mid": d["amount"]["mid"],
        "loyalty_since": since(d["loyalty"]["window_days"]),
        "loyalty_purchases": d["loyalty"]["purchases"],
        "loyalty_lost_days": d["loyalty"]["lost_days"],
        "value_since": since(d["value"]["window_days"]),
        "value_frequency_high": d["value"]["frequency"]["high"],
        "value_frequency_mid": d["value"]["frequency"]["mid"],
        "value_order_high": d["value"]["order_value"]["high"],
        "value_order_mid": d["value"]["order_value"]["mid"],
        "value_cells": d["value"]["cells"],
        "activity_active_days": d["activity"]["active_days"],
        "activity_lost_days": d["activity"]["lost_days"],
        "industry_points": d["value_potential"]["industry_position"],
        "outlook_points": d["value_potential"]["outlook"],
        "intent_points": d["value_potential"]["purchase_intent"],
        "potential_high": d["value_potential"]["high"],
        "potential_mid": d["value_potential"]["mid"],
        "grade_since": since(d["grade"]["window_days"]),
        "grade_shares": d["grade"]["shares"],
        "grade_cuts": standing.get("grade"),
        "scheme": d["rfm"]["scheme"],
        "rfm_since": since(d["rfm"]["window_days"]),
        "quantiles": QUANTILES,
        "rfm_groups": cells(d["rfm"]["groups"]),
        **{f"{axis}_edges": edges.get(axis) for axis in ("recency", "frequency", "monetary")},
        "lifecycle_active_days": d["lifecycle"]["active_days"],
        "lifecycle_lost_days": d["lifecycle"]["lost_days"],
        "lifecycle_loyal": d["lifecycle"]["loyal_purchases"],
    }


PERIOD: Final = re.compile(r"(\d{4})(?:-(0[1-9]|1[0-2])|-Q([1-4]))?")


def end_of_period(period: str, zone: ZoneInfo) -> datetime:
    """Return the moment a period (2026-10, 2026-Q3, 2026; years 1970 to 9998) is over, in the tenant's zone.

    Raises:
        ValueError: it is not a period.

    """
    found = PERIOD.fullmatch(period)
    if found is None or not 1970 <= int(found[1]) <= 9998:  # noqa: PLR2004 - what dates can hold
        raise ValueError(period)
    last = int(found[2]) if found[2] else 3 * int(found[3]) if found[3] else 12
    return datetime(int(found[1]) + last // 12, last % 12 + 1, 1, tzinfo=zone)


def period_around(moment: datetime, per: str, zone: ZoneInfo) -> datetime:
    """Return when the day, week (from Monday), month, quarter or year of a moment ends, by the zone's calendar."""
    day = datetime(*moment.astimezone(zone).timetuple()[:3], tzinfo=zone)
    if per in {"day", "week"}:
        days = 1 if per == "day" else 7 - day.weekday()
        return datetime(*(day.date() + timedelta(days)).timetuple()[:3], tzinfo=zone)
    last = {"month": day.month, "quarter": -(-day.month // 3) * 3, "year": 12}[per]
    return datetime(day.year + last // 12, last % 12 + 1, 1, tzinfo=zone)


def month_before(moment: datetime, zone: ZoneInfo) -> str:
    """Return the last whole month before a moment."""
    local = moment.astimezone(zone)
    return f"{(local.replace(day=1) - timedelta(days=1)):%Y-%m}"
