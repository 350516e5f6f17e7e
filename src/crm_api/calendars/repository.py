"""Access to calendars."""

from uuid import UUID

import asyncpg
from sqlalchemy import func, select, update

from crm_api.calendars.models import Calendar
from crm_api.calendars.tables import calendars
from crm_api.db.projections import Projection, asc, columns, desc, eq
from crm_api.db.repository import Repository

CALENDAR = Projection(
    "Calendar",
    table=calendars,
    model=Calendar,
    scope="calendars:read",
    description="Working hours of a zone, with holidays and make-up workdays.",
    fields=columns(
        "id",
        "name",
        "time_zone",
        "weekly",
        "exceptions",
        "is_default",
        "archived",
        "version",
        "created_at",
        "updated_at",
    ),
    orders={"newest": [desc("id")], "name": [asc("name"), asc("id")]},
    filters={
        "is_default": eq("is_default", bool, description="Only the default one, or only the others."),
        "archived": eq("archived", bool, description="Only the archived ones, or only the others."),
    },
)


class CalendarRepository(Repository):
    """The tenant's calendars."""

    table = calendars

    async def find_default(self) -> asyncpg.Record | None:
        """Return the default calendar."""
        return await self.unit.fetch_one(select(calendars).where(self.mine(), calendars.c.is_default))

    async def hold_all(self) -> None:
        """Hold every calendar of the tenant, in the order of their ids: one after the other may become the default."""
        statement = select(calendars.c.id).where(self.mine()).order_by(calendars.c.id).with_for_update(key_share=True)
        await self.unit.fetch_all(statement)

    async def dethrone(self) -> UUID | None:
        """Let there be no default for the moment; returns the one that was."""
        statement = (
            update(calendars)
            .where(self.mine(), calendars.c.is_default)
            .values(is_default=False, version=calendars.c.version + 1, updated_at=func.now())
            .returning(calendars.c.id)
        )
        row = await self.unit.fetch_one(statement)
        return None if row is None else row["id"]
