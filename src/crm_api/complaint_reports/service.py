"""Statistics of complaints."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import asyncpg

from crm_api.complaint_reports import picture
from crm_api.complaint_reports.models import CompensationFiguresAsked, ComplaintStatisticsAsked, GroupBy
from crm_api.complaint_reports.repository import ComplaintReportRepository
from crm_api.core.moments import period
from crm_api.db.uow import UnitOfWork

READ: Final = "complaints:read"
COMPENSATIONS: Final = "compensations:read"

_NAMED_BY: Final[Mapping[GroupBy, str]] = {"product": "orders:read", "staff": "accounts:read", "store": "accounts:read"}
"""Groups whose names are another domain's → what it takes to read them."""
_PAID: Final = ("compensated", "compensation_amount", "compensation_points")
_COUNTS: Final = ("cases", "open", "resolved", "safety", "reopened", "clocked", "breached")

At = tuple[str, str]
_BODY: Final = ("/from_at", "/to_at")


@dataclass(frozen=True, slots=True)
class _Period:
    start: datetime
    end: datetime
    zone: str
    currency: str

    @property
    def told(self) -> dict[str, Any]:
        return {"from_at": self.start.astimezone(UTC), "to_at": self.end.astimezone(UTC)}


class ComplaintReportService:
    """Figures of complaints; each report is one statement, and nothing is stored.

    ``at`` says where the moments were given, for errors. All raise Invalid for a moment that cannot be read or a period
    that ends before it begins.
    """

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ComplaintReportRepository(unit)

    async def statistics(self, asked: ComplaintStatisticsAsked, at: At = _BODY) -> dict[str, Any]:
        """Return the figures of the cases of a period, group by group: a `ComplaintStatistics`.

        What was given for the cases is null to who may not read compensations.
        """
        found = await self._all_groups(asked, at)
        groups = found["groups"]
        return {**found, "groups": groups[: asked.limit], "left_out": max(len(groups) - asked.limit, 0)}

    async def pareto(self, asked: ComplaintStatisticsAsked, at: At = _BODY) -> bytes:
        """Return the groups as a Pareto picture, ``limit`` bars at most: SVG, in the caller's language."""
        return picture.draw(await self._all_groups(asked, at), self.unit.actor.locale, asked.limit)

    async def _all_groups(self, asked: ComplaintStatisticsAsked, at: At) -> dict[str, Any]:
        self.unit.actor.require(READ)
        spell = await self._period(asked.from_at, asked.to_at, at)
        total, *rows = await self.repository.statistics(
            asked,
            spell.start,
            spell.end,
            self.unit.now(),
            spell.currency,
            spell.zone,
            self.unit.actor.locale,
        )
        return {
            **spell.told,
            "by": asked.by,
            "currency": spell.currency,
            "total": self._figures(total),
            "groups": list(self._groups(rows, total["cases"], asked.by)),
        }

    async def compensations(self, asked: CompensationFiguresAsked, at: At = _BODY) -> dict[str, Any]:
        """Return what was given for complaints, kind by kind: a `CompensationReport`."""
        self.unit.actor.require(COMPENSATIONS)
        spell = await self._period(asked.from_at, asked.to_at, at)
        rows = await self.repository.compensations(spell.start, spell.end)
        return {**spell.told, "kinds": [dict(row) for row in rows]}

    # -- parts ---------------------------------------------------------------------------------------------------------

    async def _period(self, from_at: str | None, to_at: str | None, at: At) -> _Period:
        tenant = await self.repository.tenant()
        zone = ZoneInfo(tenant["time_zone"])
        return _Period(*period(from_at, to_at, zone, self.unit.now(), at), tenant["time_zone"], tenant["currency"])

    def _groups(self, rows: Sequence[asyncpg.Record], cases: int, by: GroupBy) -> Iterator[dict[str, Any]]:
        shows_names = by not in _NAMED_BY or self.unit.actor.may(_NAMED_BY[by])
        mentions, so_far = sum(row["cases"] for row in rows), 0
        for row in rows:
            so_far += row["cases"]
            yield {
                **self._figures(row),
                "key": row["key"],
                "name": row["name"] if shows_names else None,
                "share": row["cases"] / cases,
                "cumulative": so_far / mentions,
            }

    def _figures(self, row: asyncpg.Record) -> dict[str, Any]:
        shows_paid = self.unit.actor.may(COMPENSATIONS)
        return {
            **{name: row[name] for name in _COUNTS},
            "reopen_rate": _rate(row["reopened"], row["ever_resolved"]),
            "breach_rate": _rate(row["breached"], row["clocked"]),
            "first_response": _spread(row["responded"], row["response_mean"], row["response"]),
            "resolution": _spread(row["timed"], row["resolution_mean"], row["resolution"]),
            **{name: row[name] if shows_paid else None for name in _PAID},
        }


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _spread(cases: int, mean: float | None, percentiles: Sequence[float] | None) -> dict[str, Any]:
    p50, p90 = percentiles or (None, None)
    return {"cases": cases, "mean": mean, "p50": p50, "p90": p90}
