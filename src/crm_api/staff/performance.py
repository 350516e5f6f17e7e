"""What staff did in a period: one statement of ours, and measures that higher domains add."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from crm_api.core.errors import Invalid
from crm_api.core.moments import USUAL
from crm_api.db.uow import UnitOfWork
from crm_api.staff.performance_models import PerformanceQuery
from crm_api.staff.repository.performance import PerformanceRepository

SCOPES: Final = ("staff:read", "interactions:read", "orders:read", "customers:read")
LONGEST: Final = timedelta(days=400)

Run = Callable[[UnitOfWork, Sequence[UUID], datetime, datetime], Awaitable[Mapping[UUID, Any]]]
"""``async def run(unit, staff_ids, since, until)``: plain JSON values by staff member."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What a higher domain knows of staff.

    Attributes:
        name: key in ``more``.
        scope: without it the caller's report lacks the measure.
        run: reckons it for all staff at once, in one statement.

    """

    name: str
    scope: str
    run: Run


_MEASURES: dict[str, Measure] = {}


def register(measure: Measure) -> None:
    """Add a measure to every report."""
    _MEASURES[measure.name] = measure


class PerformanceService:
    """The report of what staff did."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit

    async def report(self, query: PerformanceQuery) -> dict[str, Any]:
        """Return a `performance_models.StaffPerformanceReport` as plain JSON.

        Raises:
            Forbidden: the key may not see what the report is made of.
            Invalid: the period ends before it begins, or is longer than 400 days.

        """
        for scope in SCOPES:
            self.unit.actor.require(scope)
        until = query.until or self.unit.now()
        since = query.since or until - USUAL
        if since >= until:
            raise Invalid.field("/until", "out_of_order", "It must lie after `since`", "必须晚于 since")
        if until - since > LONGEST:
            raise Invalid.field("/until", "out_of_range", "At most 400 days after `since`", "与 since 相距最多 400 天")
        rows = await PerformanceRepository(self.unit).report(
            since, until, team_id=query.team_id, store_id=query.store_id
        )
        more = await self._more([row["staff_id"] for row in rows], since, until)
        return {
            "since": since.isoformat(),
            "until": until.isoformat(),
            "staff": [_shown(row, more) for row in rows],
        }

    async def _more(self, ids: Sequence[UUID], since: datetime, until: datetime) -> dict[str, Mapping[UUID, Any]]:
        seen = (each for each in _MEASURES.values() if self.unit.actor.may(each.scope))
        return {each.name: await each.run(self.unit, ids, since, until) for each in seen}


def _shown(row: asyncpg.Record, more: Mapping[str, Mapping[UUID, Any]]) -> dict[str, Any]:
    known = dict(row)
    staff_id, contacted = known["staff_id"], known.pop("owned_contacted")
    return {
        **known,
        "staff_id": str(staff_id),
        "coverage": _share(contacted, known["customers"]),
        "retention": _share(known["retained"], known["retainable"]),
        "more": {name: found[staff_id] for name, found in more.items() if staff_id in found},
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
