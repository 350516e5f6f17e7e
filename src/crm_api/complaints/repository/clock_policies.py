"""Access to policies of clocks, and to what they refer to."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
from sqlalchemy import select

from crm_api.accounts.tables import staff
from crm_api.calendars.tables import calendars
from crm_api.complaints.repository.statements import among
from crm_api.complaints.tables import CLOCKED, clock_policies
from crm_api.db.repository import Repository


class PolicyRepository(Repository):
    """Policies of clocks."""

    table = clock_policies

    async def active(self) -> tuple[int, list[asyncpg.Record]]:
        """Return active policies, the first to be asked first, each with its calendar's hours; before them the epoch.

        The epoch is a number that grows whenever a policy or a calendar changes: nothing of them is ever deleted.
        """
        rows = await self.unit.connection.fetch(_ACTIVE, self.unit.tenant_id)
        return rows[0]["epoch"], [row for row in rows if row["id"] is not None]

    async def progress(self) -> asyncpg.Record:
        """Return how many cases are clocked, and how many of them by what held before."""
        row = await self.unit.connection.fetchrow(_PROGRESS, self.unit.tenant_id)
        assert row is not None  # noqa: S101 - an aggregate always has a row
        return row

    async def known_calendar(self, calendar_id: UUID) -> bool:
        """Tell whether there is such a calendar."""
        found = select(calendars.c.id).where(self.mine(calendars), calendars.c.id == calendar_id)
        return await self.unit.fetch_value(found) is not None

    async def known_staff(self, ids: Sequence[str]) -> set[str]:
        """Return which of these staff members there are, as text."""
        found = select(staff.c.id).where(self.mine(staff), staff.c.id == among([UUID(each) for each in ids]))
        return {str(row["id"]) for row in await self.unit.fetch_all(found)}

    async def taken_name(self, name: str) -> bool:
        """Tell whether a policy has this name."""
        found = select(clock_policies.c.id).where(self.mine(), clock_policies.c.name == name)
        return await self.unit.fetch_value(found) is not None


_EPOCH = """
SELECT (SELECT coalesce(sum(version), 0) FROM clock_policies WHERE tenant_id = $1)
  + (SELECT coalesce(sum(version), 0) FROM calendars WHERE tenant_id = $1) AS epoch
"""
_ACTIVE = f"""
SELECT e.epoch, p.id, p.conditions, p.clocks, p.escalations, c.time_zone, c.weekly, c.exceptions
FROM ({_EPOCH}) e
LEFT JOIN (
  clock_policies p JOIN calendars c ON c.tenant_id = $1
    AND CASE WHEN p.calendar_id IS NULL THEN c.is_default ELSE c.id = p.calendar_id END
) ON p.tenant_id = $1 AND p.active
ORDER BY p.position, p.id
"""  # noqa: S608 - constants of ours
_PROGRESS = f"""
SELECT count(*) AS total, count(*) FILTER (WHERE clock_epoch < ({_EPOCH})) AS waiting
FROM complaints WHERE tenant_id = $1 AND ({CLOCKED})
"""  # noqa: S608 - constants of ours
