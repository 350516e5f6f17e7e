"""Who has a contact point or an outside identity."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from crm_api.customers.repository.statements import OWNERS
from crm_api.customers.tables import contact_points, customer_identities
from crm_api.db.repository import Repository

_OWNERS = OWNERS.format("$1", "$2", "$3")


class Owner(NamedTuple):
    """A living customer who has a contact point, and whether that was proved."""

    customer_id: UUID
    kind: str
    value: str
    verified: bool


class MatchRepository(Repository):
    """Living customers by what identifies them."""

    table = contact_points

    async def owners(self, pairs: Sequence[tuple[str, str]]) -> list[Owner]:
        """Lock the (kind, value) pairs until the unit ends; return who has them, and whether it was proved."""
        kinds, values = ([pair[place] for pair in pairs] for place in (0, 1))
        rows = await self.unit.connection.fetch(_OWNERS, self.unit.tenant_id, kinds, values)
        return [Owner(*row) for row in rows]

    async def identity_owner(self, platform: str, external_id: str) -> UUID | None:
        """Return who has this outside identity; deleted customers have none."""
        t = customer_identities
        owner: UUID | None = await self.unit.fetch_value(
            select(t.c.customer_id).where(self.mine(t), t.c.platform == platform, t.c.external_id == external_id)
        )
        return owner
