"""The taxonomy and the settings of a tenant."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy import any_, func, select
from sqlalchemy.dialects.postgresql import insert

from crm_api.complaints.tables import complaint_causes, complaint_settings
from crm_api.core.ids import new_id
from crm_api.db.repository import Repository
from crm_api.staff.tables import skills


class CauseRepository(Repository):
    """Places of the taxonomy."""

    table = complaint_causes

    async def usable(self, paths: Sequence[str], *, listed: bool = False) -> set[str]:
        """Return those of the paths that may be chosen: archived ones may not, others if the settings allow.

        Args:
            paths: the paths.
            listed: whether only what the taxonomy has will do, whatever the settings say.

        """
        rows = await self.unit.connection.fetch(_USABLE, self.unit.tenant_id, paths, listed)
        return {row["path"] for row in rows}

    async def add_new(self, causes: Mapping[str, Mapping[str, str]]) -> int:
        """Insert those of the places, path → name, that there are not yet; returns how many."""
        paths = sorted(causes)
        names = [dict(causes[path]) for path in paths]
        made = await self.unit.connection.fetch(_ADD, self.unit.tenant_id, [new_id() for _ in paths], paths, names)
        return len(made)

    async def known_skills(self, ids: Sequence[UUID]) -> set[UUID]:
        """Return those of the skills that there are."""
        statement = select(skills.c.id).where(
            skills.c.tenant_id == self.unit.tenant_id,
            skills.c.id == any_(list(ids)),  # type: ignore[arg-type]
        )
        return {row["id"] for row in await self.unit.fetch_all(statement)}


class SettingsRepository(Repository):
    """The tenant's settings."""

    table = complaint_settings

    async def row(self, *, lock: bool = False) -> Mapping[str, Any]:
        """Return the settings with their ``version``; the defaults, version 0, when nobody has stored any."""
        statement = select(complaint_settings).where(self.mine())
        row: asyncpg.Record | None = await self.unit.fetch_one(statement.with_for_update() if lock else statement)
        return DEFAULTS if row is None else {name: row[name] for name in DEFAULTS}

    async def store(self, values: Mapping[str, Any]) -> None:
        """Store them; what is not named stays as it is, or is the default."""
        row = {"tenant_id": self.unit.tenant_id, **values}
        changes = {**values, "version": complaint_settings.c.version + 1, "updated_at": func.now()}
        statement = insert(complaint_settings).values(row)
        await self.unit.execute(statement.on_conflict_do_update(index_elements=["tenant_id"], set_=changes))


DEFAULTS: Final[Mapping[str, Any]] = {
    "reopen_days": 30,
    "close_after_days": None,
    "resume_on_message": True,
    "known_causes_only": False,
    "version": 0,
}

_ADD = """
INSERT INTO complaint_causes (tenant_id, id, path, name)
SELECT $1, n.id, n.path, n.name FROM unnest($2::uuid[], $3::text[], $4::jsonb[]) AS n (id, path, name)
ON CONFLICT (tenant_id, path) DO NOTHING RETURNING id
"""

_USABLE = """
SELECT n.path FROM unnest($2::text[]) AS n (path)
LEFT JOIN complaint_causes c ON c.tenant_id = $1 AND c.path = n.path
WHERE CASE WHEN c.id IS NOT NULL THEN NOT c.archived
  ELSE NOT $3 AND NOT COALESCE((SELECT known_causes_only FROM complaint_settings WHERE tenant_id = $1), false) END
"""
