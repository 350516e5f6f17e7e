"""Access to loyalty programmes."""

import dataclasses
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select

from crm_api.accounts.tables import tenants
from crm_api.core.ids import new_id
from crm_api.db.repository import Repository
from crm_api.loyalty.programmes import Programme
from crm_api.loyalty.tables import loyalty_programmes, loyalty_wallets

_PROGRAMME = tuple(each.name for each in dataclasses.fields(Programme))


class ProgrammeRepository(Repository):
    """The programmes of one tenant."""

    table = loyalty_programmes

    async def all(self) -> list[Programme]:
        """Return all programmes, the default one first; a tenant has a few."""
        t = loyalty_programmes
        rows = await self.unit.fetch_all(
            select(*(t.c[name] for name in _PROGRAMME)).where(self.mine()).order_by(t.c.is_default.desc(), t.c.id)
        )
        return [Programme(**dict(row)) for row in rows]

    async def programme(self, programme_id: UUID | None = None) -> Programme | None:
        """Return a programme, or the default one; None when there is no such programme."""
        t = loyalty_programmes
        which = t.c.is_default if programme_id is None else t.c.id == programme_id
        row = await self.unit.fetch_one(select(*(t.c[name] for name in _PROGRAMME)).where(self.mine(), which))
        return None if row is None else Programme(**dict(row))

    async def add(self, values: Mapping[str, Any]) -> UUID:
        """Add a programme; returns its id."""
        programme_id = new_id()
        await self.insert({"id": programme_id, **values})
        return programme_id

    async def tenant_time_zone(self) -> str:
        """Return the tenant's zone."""
        zone: str = await self.unit.fetch_value(select(tenants.c.time_zone).where(self.mine(tenants)))
        return zone

    async def lock_default(self) -> UUID | None:
        """Lock the default programme against another becoming it; returns its id, None when there is none."""
        t = loyalty_programmes
        found: UUID | None = await self.unit.fetch_value(
            select(t.c.id).where(self.mine(), t.c.is_default).with_for_update(key_share=True)
        )
        return found

    async def give_up_default(self, programme_id: UUID) -> None:
        """Let a programme be the default one no more."""
        await self.change(programme_id, {"is_default": False})

    async def has_wallets(self, programme_id: UUID) -> bool:
        """Tell whether anybody has points in a programme."""
        t = loyalty_wallets
        found = select(t.c.id).where(self.mine(t), t.c.programme_id == programme_id).limit(1)
        return await self.unit.fetch_value(found) is not None
