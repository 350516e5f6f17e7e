"""Access to what clocks announced, to whom it is told, and what came of it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from crm_api.accounts.tables import staff
from crm_api.complaints.clock_log import Alert
from crm_api.complaints.repository.statements import among
from crm_api.complaints.tables import complaint_clock_alerts
from crm_api.core.ids import new_id
from crm_api.db.repository import Repository


class AlertRepository(Repository):
    """Announcements of clocks."""

    table = complaint_clock_alerts

    async def announce(
        self, complaint_id: UUID, run_id: UUID, policy_id: UUID, alert: Alert, now: datetime, outcome: str
    ) -> UUID | None:
        """Note what a run announces by a policy; returns its id, or None when it was announced before."""
        a = complaint_clock_alerts
        what, step = alert.key
        row = {
            "tenant_id": self.unit.tenant_id,
            "id": new_id(),
            "complaint_id": complaint_id,
            "complaint_clock_id": run_id,
            "policy_id": policy_id,
            "what": what,
            "step": step,
            "action": None if alert.step is None else alert.step.action,
            "at": alert.at,
            "told_at": now,
            "outcome": outcome,
        }
        made = insert(a).on_conflict_do_nothing(index_elements=["tenant_id", "complaint_clock_id", "what", "step"])
        found: UUID | None = await self.unit.fetch_value(made.returning(a.c.id), row)
        return found

    async def alert(self, alert_id: UUID) -> asyncpg.Record | None:
        """Return an announcement with its policy, held."""
        return await self.unit.connection.fetchrow(_ALERT, self.unit.tenant_id, alert_id)

    async def settle(self, alert_id: UUID, outcome: str, reason: str | None = None) -> None:
        """Note what came of a step; what has come of it already stays."""
        a = complaint_clock_alerts
        pending = (self.by_id(alert_id, a), a.c.outcome == "pending")
        await self.unit.execute(update(a).where(*pending).values(outcome=outcome, reason=reason))

    async def e_mails(self, ids: Sequence[UUID]) -> list[str]:
        """Return the addresses of those of these active staff members who have one."""
        found = select(staff.c.email).where(
            self.mine(staff), staff.c.id == among(ids), staff.c.active, staff.c.email.is_not(None)
        )
        return [row["email"] for row in await self.unit.fetch_all(found.order_by(staff.c.id))]

    async def leads_of(self, staff_id: UUID) -> list[UUID]:
        """Return who leads the teams of a staff member, themselves left out."""
        rows = await self.unit.connection.fetch(_LEADS, self.unit.tenant_id, staff_id)
        return [row["lead_id"] for row in rows]


_ALERT = """
SELECT a.*, k.clock, k.cycle, k.due_at, k.breached_at, p.escalations, p.secret
FROM complaint_clock_alerts a
JOIN complaint_clocks k ON k.tenant_id = $1 AND k.id = a.complaint_clock_id
JOIN clock_policies p ON p.tenant_id = $1 AND p.id = a.policy_id
WHERE a.tenant_id = $1 AND a.id = $2
FOR NO KEY UPDATE OF a
"""
_LEADS = """
SELECT DISTINCT t.lead_id FROM team_members m JOIN teams t ON t.tenant_id = $1 AND t.id = m.team_id
WHERE m.tenant_id = $1 AND m.staff_id = $2 AND t.lead_id IS NOT NULL AND t.lead_id <> $2 AND NOT t.archived
ORDER BY t.lead_id
"""
