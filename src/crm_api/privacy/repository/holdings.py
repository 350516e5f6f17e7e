"""All that some customers own, in every domain: found by what the domains declare in ``db/ownership``."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Table, Uuid, and_, any_, func, select, tuple_

from crm_api.customers.tables import contact_points, customer_identities, customers
from crm_api.db.ownership import Owned, erase_hooks, everything
from crm_api.db.repository import Repository
from crm_api.privacy import rules
from crm_api.privacy.tables import erasures, subject_exports

PAGE = 1_000
"""Rows read at a time: memory stays flat however much there is."""


class Holdings(Repository):
    """Rows of one customer, those who were merged into them included."""

    table = customers

    async def covered(self, customer_id: UUID) -> list[UUID]:
        """Return the customer and everybody who was merged into them."""
        c = customers
        rows = await self.unit.fetch_all(
            select(c.c.id).where(self.mine(), (c.c.id == customer_id) | (c.c.merged_into_id == customer_id))
        )
        return sorted(row["id"] for row in rows)

    async def traces(self, customer_ids: Sequence[UUID]) -> list[bytes]:
        """Return what identified them outside, as far as it can be looked for in texts."""
        p, i = contact_points, customer_identities
        points = select(p.c.value).where(self.mine(p), p.c.customer_id == any_(list(customer_ids)))  # type: ignore[arg-type]
        accounts = select(i.c.external_id).where(self.mine(i), i.c.customer_id == any_(list(customer_ids)))  # type: ignore[arg-type]
        rows = await self.unit.fetch_all(points.union(accounts))
        found = {value.removeprefix("+86") for (value,) in rows} | {value for (value,) in rows}
        return sorted(needle for value in found if (needle := rules.needle(value)) is not None)

    async def reference(self, owned: Owned, customer_ids: Sequence[UUID]) -> tuple[str, list[Any]]:
        """Return the column that leads to the customers, and the values of it that mean them.

        For a row that hangs on an owned row these are ids of such rows; they are read first, so that a statement under
        another role need not see the parents.
        """
        if owned.through is None:
            return owned.column, list(customer_ids)
        column, parent = owned.through
        return column, [key async for key in self.keys(_declared(parent), customer_ids)]

    async def keys(self, owned: Owned, customer_ids: Sequence[UUID]) -> AsyncIterator[Any]:
        """Yield the ids of the customers' rows in a table."""
        async for rows in self.pages(owned.table, await self.predicate(owned, customer_ids), [owned.table.c.id]):
            for row in rows:
                yield row["id"]

    async def predicate(self, owned: Owned, customer_ids: Sequence[UUID]) -> ColumnElement[bool]:
        """Return what holds for the customers' rows in a table."""
        column, values = await self.reference(owned, customer_ids)
        table = owned.table
        return and_(self.mine(table), table.c[column] == any_(values))  # type: ignore[arg-type]

    def profiles(self, customer_ids: Sequence[UUID]) -> AsyncIterator[dict[str, Any]]:
        """Yield the customers' own rows."""
        return self.objects(customers, and_(self.mine(), customers.c.id == any_(list(customer_ids))))  # type: ignore[arg-type]

    async def rows(self, owned: Owned, customer_ids: Sequence[UUID]) -> AsyncIterator[dict[str, Any]]:
        """Yield the customers' rows in a table as JSON objects, in the order of their keys."""
        async for row in self.objects(owned.table, await self.predicate(owned, customer_ids), owned.secret):
            yield row

    async def objects(
        self, table: Table, where: ColumnElement[bool], secret: Sequence[str] = ()
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield rows as JSON objects, without secrets and what says only whose shop it is."""
        shown: ColumnElement[Any] = func.to_jsonb(table.table_valued())
        for name in ("tenant_id", *secret):
            shown = shown.op("-")(name)
        async for rows in self.pages(table, where, [shown.label("object")]):
            for row in rows:
                yield row["object"]

    async def pages(
        self, table: Table, where: ColumnElement[bool], wanted: Sequence[Any]
    ) -> AsyncIterator[Sequence[Any]]:
        """Yield pages of rows in the order of the primary key."""
        keys = [column for column in table.primary_key.columns if column.name != "tenant_id"]
        marks = [column.label(f"key_{number}") for number, column in enumerate(keys)]
        after: ColumnElement[bool] | None = None
        while True:
            statement = select(*wanted, *marks).where(where).order_by(*keys).limit(PAGE)
            rows = await self.unit.fetch_all(statement if after is None else statement.where(after))
            if rows:
                yield rows
            if len(rows) < PAGE:
                return
            after = _beyond(keys, [rows[-1][mark.name] for mark in marks])

    async def row_ids(self, customer_ids: Sequence[UUID]) -> list[UUID]:
        """Return the ids of all rows they own that may be the subject of an audit entry or a message.

        Not of partitioned tables: events are neither audited nor announced, and there may be millions. Not of exports
        and erasures: what the audit log says of them is the proof, and nothing personal.
        """
        found: set[UUID] = set()
        for owned in everything():
            key = owned.table.c.get("id")
            if key is None or not isinstance(key.type, Uuid) or _is_partitioned(owned.table) or owned.table in _PROOF:
                continue
            found.update([each async for each in self.keys(owned, customer_ids)])
        for hook in erase_hooks():
            if hook.subjects is not None:
                found.update(await hook.subjects(self.unit, customer_ids))
        return sorted(found)


_PROOF = (subject_exports, erasures)


def _declared(table: Table) -> Owned:
    return next(each for each in everything() if each.table is table)


def _is_partitioned(table: Table) -> bool:
    return table.dialect_options["postgresql"].get("partition_by") is not None


def _beyond(keys: Sequence[Column[Any]], values: Sequence[Any]) -> ColumnElement[bool]:
    beyond: ColumnElement[bool] = keys[0] > values[0] if len(keys) == 1 else tuple_(*keys) > tuple_(*values)
    return beyond
