"""Customers by the thousand."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from crm_api.core.ids import new_id
from crm_api.customers import rules, search
from crm_api.customers.drafts import Draft, flat
from crm_api.customers.repository.searching import SearchKeyRepository
from crm_api.customers.repository.single import CustomerRepository
from crm_api.customers.tables import (
    contact_points,
    customer_identities,
    customer_tags,
    customers,
)
from crm_api.db.bulk import checks_planned_once, insert_rows, plan_for_arrays, update_rows

_MINE = "WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])"
_BY_CONTACTS = "SELECT value, customer_id FROM contact_points WHERE tenant_id = $1 AND kind = $2 AND value = ANY ($3)"
_HOLD = "SELECT * FROM customers WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) ORDER BY id FOR NO KEY UPDATE"
_CONTACTS_OF = f"SELECT customer_id, kind, value, verified_at FROM contact_points {_MINE}"  # noqa: S608 - constants of ours
_IDENTITIES_OF = f"SELECT customer_id, platform, external_id FROM customer_identities {_MINE}"  # noqa: S608
_TAGS_OF = f"SELECT customer_id, tag FROM customer_tags {_MINE}"  # noqa: S608

_HIDE = (
    (
        "UPDATE customers SET deleted_at = now(), version = version + 1, updated_at = now() "
        "WHERE tenant_id = $1 AND id = ANY ($2::uuid[])"
    ),
    f"DELETE FROM customer_identities {_MINE}",  # noqa: S608
    f"DELETE FROM customer_search_keys {_MINE}",  # noqa: S608
)


def _take_away(table: str, match: str) -> str:
    return (
        f"DELETE FROM {table} AS t USING unnest($2::uuid[], $3::text[], $4::text[]) AS g (customer_id, a, b) "  # noqa: S608
        f"WHERE t.tenant_id = $1 AND t.customer_id = ANY ($2::uuid[]) AND t.customer_id = g.customer_id AND {match}"
    )


_TAKE_AWAY = {
    "contacts": _take_away("contact_points", "t.kind = g.a AND t.value = g.b"),
    "identities": _take_away("customer_identities", "t.platform = g.a AND t.external_id = g.b"),
    "tags": _take_away("customer_tags", "g.a = '' AND t.tag = g.b"),
}


def _nothing() -> None:
    """Do nothing."""


class CustomerBulkRepository(CustomerRepository):
    """Customers by the thousand: each method is one statement however many rows it is about."""

    async def begin_bulk(self) -> None:
        """Prepare the transaction for set-based work.

        One bulk write of the tenant runs at a time: two files must not both create the same new customer. Statements
        are planned for the real length of their arrays.
        """
        await plan_for_arrays(self.unit)
        await self.unit.connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"customers.bulk:{self.unit.tenant_id}"
        )

    async def by_contacts(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], set[UUID]]:
        """Return (kind, value) → the customers with that contact point, deleted ones too."""
        by_kind: dict[str, list[str]] = {}
        for kind, value in pairs:
            by_kind.setdefault(kind, []).append(value)
        owners: dict[tuple[str, str], set[UUID]] = {}
        for kind, values in by_kind.items():
            rows = await self.unit.connection.fetch(_BY_CONTACTS, self.unit.tenant_id, kind, values)
            for row in rows:
                owners.setdefault((kind, row["value"]), set()).add(row["customer_id"])
        return owners

    async def load(self, ids: Sequence[UUID]) -> dict[UUID, Draft]:
        """Return customers as they are, held against other writers."""
        # One statement for each table: joins would be planned by the statistics of a new tenant, "one row".
        fetch, tenant_id = self.unit.connection.fetch, self.unit.tenant_id
        drafts = {
            row["id"]: Draft(
                row["id"],
                is_deleted=row["deleted_at"] is not None,
                values={name: row[name] for name in rules.BULK_COLUMNS} | flat(row["attributes"]),
            )
            for row in await fetch(_HOLD, tenant_id, ids)
        }
        for customer_id, kind, value, verified_at in await fetch(_CONTACTS_OF, tenant_id, ids):
            drafts[customer_id].contacts.add((kind, value))
            if verified_at is not None:
                drafts[customer_id].verified.add((kind, value))
        for customer_id, platform, external_id in await fetch(_IDENTITIES_OF, tenant_id, ids):
            drafts[customer_id].identities.add((platform, external_id))
        for customer_id, tag in await fetch(_TAGS_OF, tenant_id, ids):
            drafts[customer_id].tags.add(tag)
        return drafts

    async def write(self, drafts: Sequence[Draft], meanwhile: Callable[[], None] = _nothing) -> None:
        """Store what changed; returns when it is stored.

        While the database takes the rows, a thread makes their search keys and does what else is to be done
        ``meanwhile``, which therefore must touch neither the connection nor the drafts' values.
        """
        keys = SearchKeyRepository(self.unit)
        searchable = [draft for draft in drafts if draft.is_new or draft.is_searchable_changed]
        others = await keys.others([draft.id for draft in searchable if not draft.is_new])

        def make() -> dict[UUID, str]:
            meanwhile()
            return _haystacks(searchable, others)

        making = asyncio.create_task(asyncio.to_thread(make))
        try:
            await self._write_rows(drafts)
        finally:
            haystacks = await making
        await keys.store(haystacks)

    async def _write_rows(self, drafts: Sequence[Draft]) -> None:
        columns = (*rules.BULK_COLUMNS, "attributes")
        changed = [draft for draft in drafts if not draft.is_new and draft.changed]
        await update_rows(self.unit, customers, columns, [_stored(draft) for draft in changed])
        new = [draft for draft in drafts if draft.is_new]
        async with checks_planned_once(self.unit):
            await insert_rows(self.unit, customers, ("id", *columns), [_stored(draft) for draft in new])
            await self._write_parts(drafts)

    async def _write_parts(self, drafts: Sequence[Draft]) -> None:
        unit = self.unit
        await insert_rows(
            unit,
            contact_points,
            ("id", "customer_id", "kind", "value", "is_primary"),
            [(new_id(), draft.id, *contact) for draft in drafts for contact in draft.new_contacts],
        )
        await insert_rows(
            unit,
            customer_identities,
            ("id", "customer_id", "platform", "external_id"),
            [(new_id(), draft.id, *identity) for draft in drafts for identity in draft.new_identities],
        )
        await insert_rows(
            unit,
            customer_tags,
            ("customer_id", "tag"),
            [(draft.id, tag) for draft in drafts for tag in draft.new_tags],
        )

    async def hide(self, ids: Sequence[UUID]) -> None:
        """Delete customers softly, as a single one is: search keys and outside identities are freed."""
        if ids:
            for statement in _HIDE:
                await self.unit.connection.execute(statement, self.unit.tenant_id, ids)

    async def take_away(self, drafts: Sequence[Draft]) -> None:
        """Delete contact points, outside identities and tags that an undo takes away."""
        for part, statement in _TAKE_AWAY.items():
            rows = [(draft.id, value) for draft in drafts for value in draft.gone.get(part, ())]
            if rows:
                pairs = [("", value) if part == "tags" else value for _, value in rows]
                await self.unit.connection.execute(
                    statement,
                    self.unit.tenant_id,
                    [customer_id for customer_id, _ in rows],
                    [first for first, _ in pairs],
                    [second for _, second in pairs],
                )


def _haystacks(drafts: Sequence[Draft], others: Mapping[UUID, Sequence[str]]) -> dict[UUID, str]:
    return {
        draft.id: search.haystack(
            search.Known(
                draft.name,
                sorted(value for _, value in draft.contacts),
                sorted(external_id for _, external_id in draft.identities),
                sorted(draft.tags),
                others.get(draft.id, ()),
            )
        )
        for draft in drafts
    }


def _stored(draft: Draft) -> tuple[Any, ...]:
    return (draft.id, *(draft.values.get(name) for name in rules.BULK_COLUMNS), draft.attributes)
