"""Following: what is stored of everybody's tier is brought in line with what `crm_api.tiers.walking.stand` says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork
from crm_api.tiers.models import LogCause
from crm_api.tiers.repository import Scheme, SchemeRepository, StandingRepository
from crm_api.tiers.rules import Standing
from crm_api.tiers.walking import stand

BATCH: Final = 500
"""Customers looked at in one unit of work."""

_BY_ITSELF: Final = frozenset({"time", "override"})
"""Causes that a replay finds out better than whatever made us look."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What is stored of a customer, and what it should be."""

    customer_id: UUID
    before: asyncpg.Record
    standing: Standing
    warned_of: datetime | None
    main: bool

    @property
    def code(self) -> str | None:
        tier = self.standing.tier
        return tier.code if tier else None

    @property
    def moved(self) -> bool:
        return (self.before["level"], self.before["code"]) != (self.standing.level, self.code)

    @property
    def row(self) -> tuple[Any, ...]:
        """Return it as it is to be stored."""
        now = self.standing
        ends = (now.since, now.until, now.grace_until, now.override_id, now.next_at)
        return (self.customer_id, now.level, self.code, *ends, self.warned_of, self.main)

    @property
    def is_news(self) -> bool:
        names = (
            "customer_id",
            "level",
            "code",
            "since",
            "until",
            "grace_until",
            "override_id",
            "next_at",
            "warned_of",
            "main",
        )
        return self.before["looked_at"] is None or tuple(self.before[name] for name in names) != self.row


class Following:
    """Looks at customers again, writes what has changed, and tells of it once."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = StandingRepository(unit)

    async def look(self, ids: Iterable[UUID], because: LogCause, schemes: Sequence[Scheme] | None = None) -> int:
        """Bring these customers' tiers in line; returns how many of them changed.

        Standings are locked before the facts are read, so whoever looks last has seen all that was committed: two
        units that look at one customer leave what the later facts give, and each change is logged and told once.
        """
        found = await SchemeRepository(self.unit).schemes() if schemes is None else schemes
        wanted = set(ids)
        if not found or not wanted:
            return 0
        known = await self.repository.living(wanted)
        if wanted - known.keys():
            await self.repository.forget(sorted(wanted - known.keys()))
        return sum([await self._look_at(scheme, known, because) for scheme in found]) if known else 0

    async def _look_at(self, scheme: Scheme, known: Mapping[UUID, datetime], because: LogCause) -> int:
        rows = await self.repository.lock(scheme, list(known))
        histories = await self.repository.histories(scheme, known)
        given = await self.repository.overrides(scheme.id, list(known))
        now = self.unit.now()
        looks = []
        for customer_id, before in rows.items():
            standing = stand(histories[customer_id], scheme.versions, given.get(customer_id, ()), now)
            looks.append(self._warned(scheme, customer_id, before, standing))
        await self.repository.write(scheme.id, now, [each.row for each in looks if each.is_news])
        moved = [each for each in looks if each.moved]
        await self.repository.log([self._entry(scheme, each, because) for each in moved])
        return len(moved)

    def _warned(self, scheme: Scheme, customer_id: UUID, before: asyncpg.Record, standing: Standing) -> _Look:
        """Tell of a fall to come when it is time, once for each."""
        notice, drop, warned_of = standing.notice_at, standing.drop, before["warned_of"]
        if notice is not None and drop is not None and notice <= self.unit.now() and warned_of != drop.at:
            warned_of = drop.at
            tier = standing.tier
            told = {
                **_about(scheme),
                "tier": tier and tier.code,
                "level": standing.level,
                "at": drop.at.isoformat(),
                "to": drop.code,
                "to_level": drop.level,
            }
            self.unit.emit("tier.will_downgrade", customer_id, told)
        return _Look(customer_id, before, standing, warned_of, scheme.main)

    def _entry(self, scheme: Scheme, look: _Look, because: LogCause) -> dict[str, Any]:
        """Tell of a change; returns its entry in the log."""
        before, standing = look.before, look.standing
        cause = _cause(standing, before["looked_at"], because)
        told = {
            **_about(scheme),
            "from": before["code"],
            "from_level": before["level"],
            "to": look.code,
            "to_level": standing.level,
            "cause": cause,
        }
        if before["code"] is not None:
            self.unit.emit("tier.left", look.customer_id, told)
        if standing.tier is not None:
            more = {"until": standing.until and standing.until.isoformat(), "name": standing.tier.name}
            self.unit.emit("tier.entered", look.customer_id, {**told, **more})
        self.unit.audit("tier.changed", "Customer", look.customer_id, after=told)
        return {
            "id": new_id(),
            "scheme_id": scheme.id,
            "customer_id": look.customer_id,
            "from_level": before["level"],
            "from_code": before["code"],
            "to_level": standing.level,
            "to_code": look.code,
            "cause": cause,
            "at": self.unit.now(),
        }

    async def appoint(self, schemes: Sequence[Scheme]) -> None:
        """Follow a change of the default programme: rules and lists mean its tiers from now on."""
        if schemes and await SchemeRepository(self.unit).appoint():
            main = next((each.id for each in schemes if each.main), schemes[0].id)
            self.unit.emit("tier_scheme.appointed", main, {})

    async def follow_time(self, limit: int = BATCH) -> int:
        """Look at customers whose time has come; returns how many there were."""
        due = await self.repository.due(self.unit.now(), limit)
        await self.look(due, "time")
        return len(due)


def _about(scheme: Scheme) -> dict[str, Any]:
    return {"scheme_id": str(scheme.id), "programme_id": str(scheme.programme_id)}


def _cause(standing: Standing, looked_at: datetime | None, because: LogCause) -> LogCause:
    """Return what made the tier change: of what happened since the last look, the newest; else what made us look."""
    if not standing.steps or looked_at is None:
        return because
    last = standing.steps[-1]
    return last.cause if last.at >= looked_at and last.cause in _BY_ITSELF else because
