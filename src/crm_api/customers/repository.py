"""Access to customers and what identifies them."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import ARRAY, ColumnElement, FromClause, Text, Uuid, any_, delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from crm_api.core.ids import new_id
from crm_api.customers import rules
from crm_api.customers.drafts import Draft
from crm_api.customers.models import ContactPoint, Customer, CustomerKind, Identity
from crm_api.customers.tables import (
    contact_points,
    customer_identities,
    customer_search_keys,
    customer_tags,
    customers,
)
from crm_api.db.bulk import insert_rows, update_rows
from crm_api.db.projections import (
    TENANT,
    Filter,
    FilterValue,
    Projection,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    items,
    one,
    ref,
    sql,
    struct,
)
from crm_api.db.repository import Repository

CONTACT_POINT = Projection(
    "ContactPoint",
    table=contact_points,
    model=ContactPoint,
    scope="customers:read",
    description="A way to reach the customer.",
    fields=columns("id", "kind", "value", "is_primary", "verified_at"),
    node=False,
)

IDENTITY = Projection(
    "Identity",
    table=customer_identities,
    model=Identity,
    scope="customers:read",
    description="Who the customer is on another platform.",
    fields=columns("id", "platform", "external_id"),
    node=False,
)


def _tags(t: FromClause) -> ColumnElement[Any]:
    return func.array(
        select(customer_tags.c.tag)
        .where(customer_tags.c.tenant_id == TENANT, customer_tags.c.customer_id == t.c.id)
        .order_by(customer_tags.c.tag)
        .scalar_subquery()
    )


def _has_tag(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return t.c.id.in_(
        select(customer_tags.c.customer_id).where(customer_tags.c.tenant_id == TENANT, customer_tags.c.tag == v())
    )


SHORT = 2
"""Queries up to this many characters have no trigram; the gram index on names answers them."""


def _like(text: str) -> str:
    escaped = rules.query_text(text).replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"


def _kind_of_query(text: str) -> str:
    return "short" if len(rules.query_text(text)) <= SHORT else "long"


def _matches(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    keys = customer_search_keys
    if v.variant == "short":
        gram = v(lambda text: [rules.query_text(text)], ARRAY(Text))
        found = func.crm_grams(keys.c.name).op("@>")(gram)
    else:
        found = keys.c.haystack.like(v(_like, Text()))
    ids = select(keys.c.customer_id).where(keys.c.tenant_id == TENANT, found).scalar_subquery()
    # An array, not IN: joined to the customers, whose row-level security comes first, the search's index is passed
    # over for a walk through the whole table (200,000 customers: 324 ms for two characters, as an array 2 ms).
    return t.c.id == any_(func.array(ids, type_=ARRAY(Uuid)))


def _platform_is(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    identity = customer_identities
    return t.c.id.in_(
        select(identity.c.customer_id).where(
            identity.c.tenant_id == TENANT,
            identity.c.platform == v(lambda text: text.partition(":")[0], Text()),
            identity.c.external_id == v(lambda text: text.partition(":")[2], Text()),
        )
    )


CUSTOMER = Projection(
    "Customer",
    table=customers,
    model=Customer,
    scope="customers:read",
    description="A person or a company that buys.",
    where=lambda t: t.c.deleted_at.is_(None),
    fields={
        **columns(
            "id",
            "kind",
            "name",
            "gender",
            "occupation",
            "region",
            "city",
            "address",
            "preferences",
            "special_requirements",
            "price_sensitivity",
            "notes",
            "source",
            "blacklisted",
            "version",
            "created_at",
            "updated_at",
        ),
        "birthday": struct(
            {part: column(f"birth_{part}") for part in ("calendar", "year", "month", "day", "leap_month")}
        ),
        "owner_id": ref("owner_id", "Staff"),
        "store_id": ref("store_id", "Store"),
        "contact_points": items("ContactPoint", on=lambda p, c: c.c.customer_id == p.c.id),
        "identities": items("Identity", on=lambda p, c: c.c.customer_id == p.c.id),
        "tags": sql(_tags),
    },
    relations={
        "owner": one("Staff", on=lambda p, c: c.c.id == p.c.owner_id, description="Who looks after the customer."),
        "store": one("Store", on=lambda p, c: c.c.id == p.c.store_id, description="Where the customer belongs."),
    },
    orders={"newest": [desc("id")], "recently_changed": [desc("updated_at")]},
    filters={
        "q": Filter(
            str,
            _matches,
            variant=_kind_of_query,
            description="Any fragment of a name (Chinese included), or 3 or more characters of a phone, e-mail "
            "address or outside id.",
        ),
        "kind": eq("kind", CustomerKind),
        "owner_id": eq_ref("owner_id", "Staff"),
        "store_id": eq_ref("store_id", "Store"),
        "tag": Filter(str, _has_tag, description="Customers with this tag."),
        "identity": Filter(str, _platform_is, description="An outside identity as platform:external_id."),
    },
)


class CustomerRepository(Repository):
    """Customers; the deleted are not found."""

    table = customers

    async def find(self, row_id: UUID, *, lock: bool = False) -> asyncpg.Record | None:
        """Return the living customer's row, or None."""
        row = await super().find(row_id, lock=lock)
        return None if row is None or row["deleted_at"] else row

    async def add(
        self, values: dict[str, Any], contacts: list[dict[str, Any]], identities: list[dict[str, Any]], tags: list[str]
    ) -> None:
        """Insert a customer with all that hangs on it: one statement, so one round trip."""
        name = values["name"]
        haystack = rules.haystack(name, [row["value"] for row in contacts], [row["external_id"] for row in identities])
        arguments = [self.unit.tenant_id, values["id"], rules.normal_text(name), haystack, *values.values()]
        rows: tuple[tuple[_Part, list[dict[str, Any]]], ...] = (
            (_CONTACTS, contacts),
            (_IDENTITIES, identities),
            (_TAGS, [{"tag": tag} for tag in tags]),
        )
        parts = tuple(part for part, given in rows if given)
        for part, given in rows:
            if given:
                arguments += ([row[column_] for row in given] for column_, _ in part.columns)
        await self.unit.connection.execute(_add_statement(tuple(values), parts), *arguments)

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
            rows = await self.unit.connection.fetch(_BY_IDENTITIES, self.unit.tenant_id, platform, external_ids)
            found |= {(platform, row["external_id"]): row["customer_id"] for row in rows}
        return found

    async def add_by_identities(self, rows: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str], UUID]:
        """Create customers known by (platform, outside id, name) in one statement; rows must be sorted.

        Returns:
            The customers that were created; a rival created the others.

        """
        platforms, external_ids, names = (list(column) for column in zip(*rows, strict=True))
        created = await self.unit.connection.fetch(
            _ADD_BY_IDENTITIES,
            self.unit.tenant_id,
            platforms,
            external_ids,
            names,
            [new_id() for _ in rows],
            [new_id() for _ in rows],
            [rules.normal_text(name) for name in names],
            [rules.haystack(name, [], [external_id]) for _, external_id, name in rows],
        )
        return {(row["platform"], row["external_id"]): row["customer_id"] for row in created}

    async def refresh_search_keys(self, customer_id: UUID) -> None:
        """Rebuild the search keys of one customer from what is stored."""
        name = await self.unit.fetch_value(select(customers.c.name).where(self.by_id(customer_id)))
        values = await self.unit.fetch_all(
            select(contact_points.c.value, literal("contact").label("part"))
            .where(self.mine(contact_points), contact_points.c.customer_id == customer_id)
            .union_all(
                select(customer_identities.c.external_id, literal("identity")).where(
                    self.mine(customer_identities), customer_identities.c.customer_id == customer_id
                )
            )
        )
        await self._write_search_keys(
            customer_id,
            name,
            [row["value"] for row in values if row["part"] == "contact"],
            [row["value"] for row in values if row["part"] == "identity"],
        )

    async def _write_search_keys(
        self, customer_id: UUID, name: str, contacts: list[str], identities: list[str]
    ) -> None:
        keys = {"name": rules.normal_text(name), "haystack": rules.haystack(name, contacts, identities)}
        statement = insert(customer_search_keys).values(tenant_id=self.unit.tenant_id, customer_id=customer_id, **keys)
        await self.unit.execute(statement.on_conflict_do_update(index_elements=["tenant_id", "customer_id"], set_=keys))


_MINE = "WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])"
_BY_CONTACTS = "SELECT value, customer_id FROM contact_points WHERE tenant_id = $1 AND kind = $2 AND value = ANY ($3)"
_HOLD = "SELECT * FROM customers WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) ORDER BY id FOR NO KEY UPDATE"
_CONTACTS_OF = f"SELECT customer_id, kind, value FROM contact_points {_MINE}"  # noqa: S608 - constants of ours
_IDENTITIES_OF = f"SELECT customer_id, platform, external_id FROM customer_identities {_MINE}"  # noqa: S608
_TAGS_OF = f"SELECT customer_id, tag FROM customer_tags {_MINE}"  # noqa: S608


class CustomerBulkRepository(CustomerRepository):
    """Customers by the thousand: each method is one statement however many rows it is about."""

    async def begin_bulk(self) -> None:
        """Prepare the transaction for set-based work.

        One bulk write of the tenant runs at a time: two files must not both create the same new customer. Statements
        are planned for the real length of their arrays.
        """
        await self.unit.connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
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
                values={name: row[name] for name in rules.BULK_COLUMNS},
            )
            for row in await fetch(_HOLD, tenant_id, ids)
        }
        for customer_id, kind, value in await fetch(_CONTACTS_OF, tenant_id, ids):
            drafts[customer_id].contacts.add((kind, value))
        for customer_id, platform, external_id in await fetch(_IDENTITIES_OF, tenant_id, ids):
            drafts[customer_id].identities.add((platform, external_id))
        for customer_id, tag in await fetch(_TAGS_OF, tenant_id, ids):
            drafts[customer_id].tags.add(tag)
        return drafts

    async def write(self, drafts: Sequence[Draft]) -> None:
        """Store what changed."""
        unit, columns = self.unit, rules.BULK_COLUMNS
        new = [draft for draft in drafts if draft.is_new]
        changed = [draft for draft in drafts if not draft.is_new and draft.changed]
        await insert_rows(unit, customers, ("id", *columns), [_stored(draft) for draft in new])
        await update_rows(unit, customers, columns, [_stored(draft) for draft in changed])
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
        searchable = [draft for draft in drafts if draft.is_new or draft.is_searchable_changed]
        await self._write_all_search_keys(searchable)

    async def _write_all_search_keys(self, drafts: Sequence[Draft]) -> None:
        await self.unit.connection.execute(
            "INSERT INTO customer_search_keys AS known (tenant_id, customer_id, name, haystack) "
            "SELECT $1, * FROM unnest($2::uuid[], $3::text[], $4::text[]) "
            "ON CONFLICT (tenant_id, customer_id) DO UPDATE SET name = excluded.name, haystack = excluded.haystack",
            self.unit.tenant_id,
            [draft.id for draft in drafts],
            [rules.normal_text(draft.name) for draft in drafts],
            [
                rules.haystack(
                    draft.name,
                    sorted(value for _, value in draft.contacts),
                    sorted(external_id for _, external_id in draft.identities),
                )
                for draft in drafts
            ],
        )


def _stored(draft: Draft) -> tuple[Any, ...]:
    return (draft.id, *(draft.values.get(name) for name in rules.BULK_COLUMNS))


class _Part(NamedTuple):
    """A table whose rows hang on a new customer: its name, and its columns with their types."""

    table: str
    columns: tuple[tuple[str, str], ...]


_CONTACTS = _Part("contact_points", (("id", "uuid"), ("kind", "text"), ("value", "text"), ("is_primary", "bool")))
_IDENTITIES = _Part("customer_identities", (("id", "uuid"), ("platform", "text"), ("external_id", "text")))
_TAGS = _Part("customer_tags", (("tag", "text"),))


@cache
def _add_statement(names: tuple[str, ...], parts: tuple[_Part, ...]) -> str:
    """Return the statement that adds a customer: $1 tenant, $2 id, $3 and $4 search keys, columns, one array each.

    Foreign keys are checked at the end of the statement, when all rows are there. Only the parts that a customer has
    are in it: an INSERT of no rows would cost as much as a short one.
    """
    known = ", ".join(customers.c[name].name for name in names)  # a name that is no column is an error, not SQL
    values = ", ".join(f"${number}" for number in range(5, 5 + len(names)))
    number = 5 + len(names)
    inserts = []
    for table, wanted in parts:
        shown = ", ".join(name for name, _ in wanted)
        arrays = ", ".join(f"${number + place}::{kind}[]" for place, (_, kind) in enumerate(wanted))
        number += len(wanted)
        inserts.append(
            f"{table}_ AS (INSERT INTO {table} (tenant_id, customer_id, {shown}) "  # noqa: S608 - constants above
            f"SELECT $1, $2, {shown} FROM unnest({arrays}) AS given ({shown}))"
        )
    inserts.append(f"customers_ AS (INSERT INTO customers (tenant_id, {known}) VALUES ($1, {values}))")  # noqa: S608
    return (
        f"WITH {', '.join(inserts)} "  # noqa: S608 - the same
        "INSERT INTO customer_search_keys (tenant_id, customer_id, name, haystack) VALUES ($1, $2, $3, $4)"
    )


_BY_IDENTITIES = """
SELECT external_id, customer_id FROM customer_identities
WHERE tenant_id = $1 AND platform = $2 AND external_id = ANY ($3::text[])
"""

# The identity is claimed first: its unique index decides between rivals, and only the winner's customer is made.
# Foreign keys are checked at the end of the statement, when both rows are there.
_ADD_BY_IDENTITIES = """
WITH wanted AS (
  SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::text[], $8::text[])
    AS k (platform, external_id, name, customer_id, identity_id, search_name, haystack)
),
claimed AS (
  INSERT INTO customer_identities (tenant_id, id, customer_id, platform, external_id)
  SELECT $1, identity_id, customer_id, platform, external_id FROM wanted
  ON CONFLICT (tenant_id, platform, external_id) DO NOTHING
  RETURNING customer_id, platform, external_id
),
made AS (
  INSERT INTO customers (tenant_id, id, name, source)
  SELECT $1, customer_id, wanted.name, wanted.platform FROM wanted JOIN claimed USING (customer_id)
),
keyed AS (
  INSERT INTO customer_search_keys (tenant_id, customer_id, name, haystack)
  SELECT $1, customer_id, search_name, haystack FROM wanted JOIN claimed USING (customer_id)
)
SELECT customer_id, platform, external_id FROM claimed
"""
