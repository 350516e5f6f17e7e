"""Customers one at a time."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from crm_api.core.ids import new_id
from crm_api.customers import search
from crm_api.customers.repository.matches import Owner
from crm_api.customers.repository.statements import (
    ADD_BY_IDENTITIES,
    BY_IDENTITIES,
    PARTS,
    add_statement,
)
from crm_api.customers.tables import (
    contact_points,
    customer_addresses,
    customer_identities,
    customer_search_keys,
    customer_tags,
    customers,
)
from crm_api.db.bulk import checks_planned_once
from crm_api.db.repository import Repository
from crm_api.db.rows import rows_values


class Added(NamedTuple):
    """What came of adding a customer.

    Attributes:
        required: whether the shop has attributes that a new customer must have.
        owners: who has its contact points already; if anybody, nothing was added.

    """

    required: bool
    owners: list[Owner]


class CustomerRepository(Repository):
    """Customers; the deleted are not found."""

    table = customers

    async def find(self, row_id: UUID, *, lock: bool = False) -> asyncpg.Record | None:
        """Return the living customer's row, or None."""
        row = await super().find(row_id, lock=lock)
        return None if row is None or row["deleted_at"] else row

    async def today(self) -> date:
        """Return the tenant's business day by the unit's clock."""
        day: date = await self.unit.connection.fetchval(
            "SELECT day FROM crm_today($1, $2)", self.unit.tenant_id, self.unit.now()
        )
        return day

    async def add(
        self,
        values: dict[str, Any],
        contacts: list[dict[str, Any]],
        identities: list[dict[str, Any]],
        tags: list[str],
        addresses: Sequence[dict[str, Any]] = (),
        claims: Sequence[tuple[str, str]] = (),
    ) -> Added:
        """Insert a customer with all that hangs on it: one statement, so one round trip.

        Args:
            values: the customer's columns.
            contacts: its contact points.
            identities: its outside identities.
            tags: its tags.
            addresses: its addresses.
            claims: (kind, value) of contact points that are locked until the unit ends; when a living customer has
                one, nothing is inserted.

        """
        known = search.Known(
            values["name"], [row["value"] for row in contacts], [row["external_id"] for row in identities], tags
        )
        arguments = [self.unit.tenant_id, values["id"], search.haystack(known), *values.values()]
        tagged = [{"tag": tag} for tag in tags]
        parts = []
        for (table, columns), given in zip(PARTS.items(), (contacts, identities, tagged, addresses), strict=True):
            if given:
                parts.append((table, len(given) == 1))
                arguments += rows_values([[row[name] for name in columns] for row in given])
        if claims:
            arguments += ([pair[place] for pair in claims] for place in (0, 1))
        sql = add_statement(tuple(values), tuple(parts), claiming=bool(claims))
        rows = await self.unit.connection.fetch(sql, *arguments)
        owners = [Owner(*row[1:]) for row in rows if row["customer_id"] is not None] if claims else []
        return Added(rows[0]["required"], owners)

    async def soft_delete(self, customer_id: UUID) -> list[dict[str, Any]]:
        """Hide the customer; its row stays for the ledgers that refer to it.

        Search keys and outside identities are freed: the platform's next order of the same buyer must find or make a
        living customer. Returns the identities, for the record.
        """
        await self.change(customer_id, {"deleted_at": self.unit.now()})
        identities = customer_identities
        freed = await self.unit.fetch_all(
            delete(identities)
            .where(self.mine(identities), identities.c.customer_id == customer_id)
            .returning(identities.c.platform, identities.c.external_id)
        )
        await self.unit.execute(
            delete(customer_search_keys).where(
                self.mine(customer_search_keys), customer_search_keys.c.customer_id == customer_id
            )
        )
        return [dict(row) for row in freed]

    async def tags_of(self, customer_id: UUID) -> list[str]:
        """Return the customer's tags in order."""
        table = customer_tags
        rows = await self.unit.fetch_all(
            select(table.c.tag).where(self.mine(table), table.c.customer_id == customer_id).order_by(table.c.tag)
        )
        return [row["tag"] for row in rows]

    async def set_tags(self, customer_id: UUID, tags: Iterable[str]) -> None:
        """Replace all tags."""
        await self.unit.execute(
            delete(customer_tags).where(self.mine(customer_tags), customer_tags.c.customer_id == customer_id)
        )
        await self.insert_many([{"customer_id": customer_id, "tag": tag} for tag in sorted(set(tags))], customer_tags)

    async def add_tag(self, customer_id: UUID, tag: str) -> bool:
        """Add a tag; returns whether it was new."""
        statement = (
            insert(customer_tags)
            .values(tenant_id=self.unit.tenant_id, customer_id=customer_id, tag=tag)
            .on_conflict_do_nothing()
        )
        return bool(await self.unit.execute(statement))

    async def remove_tag(self, customer_id: UUID, tag: str) -> bool:
        """Remove a tag; returns whether it was there."""
        table = customer_tags
        return bool(
            await self.unit.execute(
                delete(table).where(self.mine(table), table.c.customer_id == customer_id, table.c.tag == tag)
            )
        )

    async def add_contact(self, customer_id: UUID, row: dict[str, Any]) -> None:
        """Add a contact point."""
        await self.insert({**row, "customer_id": customer_id}, contact_points)

    async def remove_contact(self, customer_id: UUID, contact_id: UUID) -> asyncpg.Record | None:
        """Remove a contact point; returns what it was."""
        table = contact_points
        return await self.unit.fetch_one(
            delete(table)
            .where(self.by_id(contact_id, table), table.c.customer_id == customer_id)
            .returning(table.c.kind, table.c.value)
        )

    async def add_identity(self, customer_id: UUID, row: dict[str, Any]) -> None:
        """Add an outside identity."""
        await self.insert({**row, "customer_id": customer_id}, customer_identities)

    async def remove_identity(self, customer_id: UUID, identity_id: UUID) -> asyncpg.Record | None:
        """Remove an outside identity; returns what it was."""
        table = customer_identities
        return await self.unit.fetch_one(
            delete(table)
            .where(self.by_id(identity_id, table), table.c.customer_id == customer_id)
            .returning(table.c.platform, table.c.external_id)
        )

    async def addresses_of(self, customer_id: UUID) -> int:
        """Return how many addresses the customer has."""
        table = customer_addresses
        found: int = await self.unit.fetch_value(
            select(func.count()).where(self.mine(table), table.c.customer_id == customer_id)
        )
        return found

    async def add_address(self, customer_id: UUID, row: dict[str, Any]) -> None:
        """Add an address."""
        await self.insert({**row, "customer_id": customer_id}, customer_addresses)

    async def address(self, customer_id: UUID, address_id: UUID) -> asyncpg.Record | None:
        """Return one of the customer's addresses, or None."""
        table = customer_addresses
        return await self.unit.fetch_one(
            select(table).where(self.by_id(address_id, table), table.c.customer_id == customer_id)
        )

    async def change_address(self, address_id: UUID, values: dict[str, Any]) -> None:
        """Change parts of an address."""
        table = customer_addresses
        await self.unit.execute(update(table).where(self.by_id(address_id, table)).values(**values))

    async def remove_address(self, address_id: UUID) -> None:
        """Remove an address."""
        table = customer_addresses
        await self.unit.execute(delete(table).where(self.by_id(address_id, table)))

    async def by_identity(self, platform: str, external_id: str) -> UUID | None:
        """Return the customer with this outside identity; deleted customers have none."""
        table = customer_identities
        found: UUID | None = await self.unit.fetch_value(
            select(table.c.customer_id).where(
                self.mine(table), table.c.platform == platform, table.c.external_id == external_id
            )
        )
        return found

    async def by_identities(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], UUID]:
        """Return (platform, external id) → customer; deleted customers have none."""
        by_platform: dict[str, list[str]] = {}
        for platform, external_id in pairs:
            by_platform.setdefault(platform, []).append(external_id)
        found: dict[tuple[str, str], UUID] = {}
        for platform, external_ids in by_platform.items():
            # No join: with the statistics of a new tenant a plan with one could be quadratic.
            rows = await self.unit.connection.fetch(BY_IDENTITIES, self.unit.tenant_id, platform, external_ids)
            found |= {(platform, row["external_id"]): row["customer_id"] for row in rows}
        return found

    async def add_by_identities(self, rows: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str], UUID]:
        """Create customers known by (platform, outside id, name) in one statement; rows must be sorted.

        Returns:
            The customers that were created; a rival created the others.

        """
        platforms, external_ids, names = (list(column) for column in zip(*rows, strict=True))
        async with checks_planned_once(self.unit):
            created = await self.unit.connection.fetch(
                ADD_BY_IDENTITIES,
                self.unit.tenant_id,
                platforms,
                external_ids,
                names,
                [new_id() for _ in rows],
                [new_id() for _ in rows],
                [search.haystack(search.Known(name, identities=[external_id])) for _, external_id, name in rows],
                search.VERSION,
            )
        return {(row["platform"], row["external_id"]): row["customer_id"] for row in created}
