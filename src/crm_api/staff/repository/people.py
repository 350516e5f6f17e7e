"""Teams, skills, shifts and training."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import and_, delete, select

from crm_api.accounts.tables import staff
from crm_api.core.ids import new_id
from crm_api.db.repository import Repository
from crm_api.staff.tables import course_completions, courses, shifts, skills, staff_skills, team_members, teams


class TeamRepository(Repository):
    """Teams and who is in them."""

    table = teams

    async def members(self, team_id: UUID) -> list[UUID]:
        """Return the members, in the order of ids."""
        table = team_members
        rows = await self.unit.fetch_all(
            select(table.c.staff_id).where(self.mine(table), table.c.team_id == team_id).order_by(table.c.staff_id)
        )
        return [row["staff_id"] for row in rows]

    async def set_members(self, team_id: UUID, members: Sequence[UUID]) -> None:
        """Make these the members."""
        table = team_members
        await self.unit.execute(delete(table).where(self.mine(table), table.c.team_id == team_id))
        if members:
            await self.insert_many([{"team_id": team_id, "staff_id": each} for each in members], table)


class SkillRepository(Repository):
    """Skills."""

    table = skills


class StaffSkillRepository(Repository):
    """What staff can do."""

    table = staff_skills

    async def of(self, staff_id: UUID, skill_id: UUID) -> asyncpg.Record | None:
        """Return the row, held until the unit ends, or None."""
        t = staff_skills
        return await self.unit.fetch_one(
            select(t)
            .where(self.mine(), t.c.staff_id == staff_id, t.c.skill_id == skill_id)
            .with_for_update(key_share=True)
        )

    async def set(self, staff_id: UUID, skill_id: UUID, values: dict[str, Any]) -> UUID:
        """Write how well somebody can do something; returns the row's id."""
        known = await self.of(staff_id, skill_id)
        if known is not None:
            await self.change(known["id"], values)
            return UUID(str(known["id"]))
        row_id = new_id()
        await self.insert({"id": row_id, "staff_id": staff_id, "skill_id": skill_id, **values})
        return row_id

    async def remove(self, staff_id: UUID, skill_id: UUID) -> bool:
        """Forget it; tells whether it was there."""
        t = staff_skills
        gone = delete(t).where(self.mine(), t.c.staff_id == staff_id, t.c.skill_id == skill_id)
        return bool(await self.unit.execute(gone))


class ShiftRepository(Repository):
    """Shifts and absences."""

    table = shifts

    async def lock_member(self, staff_id: UUID) -> bool:
        """Hold a staff member, so that rivals see each other's shifts; tells whether there is one."""
        held = select(staff.c.id).where(self.by_id(staff_id, staff)).with_for_update(key_share=True)
        return await self.unit.fetch_one(held) is not None

    async def clash(
        self, staff_id: UUID, kind: str, starts_at: datetime, ends_at: datetime, *, but: UUID | None = None
    ) -> UUID | None:
        """Return a shift of the same kind that overlaps, or None."""
        t = shifts
        apart = [] if but is None else [t.c.id != but]
        found: UUID | None = await self.unit.fetch_value(
            select(t.c.id)
            .where(
                self.mine(),
                t.c.staff_id == staff_id,
                t.c.kind == kind,
                and_(t.c.starts_at < ends_at, t.c.ends_at > starts_at),
                *apart,
            )
            .limit(1)
        )
        return found

    async def remove(self, shift_id: UUID) -> None:
        """Delete a shift."""
        await self.unit.execute(delete(shifts).where(self.by_id(shift_id)))


class CourseRepository(Repository):
    """Courses."""

    table = courses


class CompletionRepository(Repository):
    """Finished courses."""

    table = course_completions
