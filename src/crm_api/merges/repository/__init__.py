"""Access to merges, and the rows they move."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, FromClause, Text, any_, case, func, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by, array

from crm_api.core.errors import NotFound
from crm_api.customers.tables import customers
from crm_api.db import timeline
from crm_api.db.ownership import Merged, everything
from crm_api.db.projections import (
    TENANT,
    Filter,
    FilterValue,
    Projection,
    at_least,
    below,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    one,
    python,
    ref,
    sql,
)
from crm_api.db.repository import Repository
from crm_api.merges import rules
from crm_api.merges.models import Merge, MergeState
from crm_api.merges.repository import statements
from crm_api.merges.tables import merge_sides, merges

READ = "merges:read"
CUSTOMERS_READ = "customers:read"


def _changes(t: FromClause) -> ColumnElement[Any]:
    s = merge_sides
    return (
        select(s.c.changes)
        .where(s.c.tenant_id == TENANT, s.c.merge_id == t.c.id, s.c.customer_id == t.c.winner_id)
        .scalar_subquery()
    )


def _with(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    s = merge_sides
    return t.c.id.in_(select(s.c.merge_id).where(s.c.tenant_id == TENANT, s.c.customer_id == v()))


MERGE = Projection(
    "Merge",
    table=merges,
    model=Merge,
    scope=READ,
    description="Customers who became one, and what became of that.",
    fields={
        **columns("id", "loser_ids", "state", "merged_at", "undone_at", "version", "created_at", "updated_at"),
        "winner_id": ref("winner_id", "Customer"),
        # Both show values of the profile, so they take what reading it takes.
        "fields": python(
            lambda needs, _: rules.shown_changes(needs["changes"] or {}),
            needs={"changes": sql(_changes)},
            scope=CUSTOMERS_READ,
        ),
        "tables": column("counts"),
        "undo": column("report", scope=CUSTOMERS_READ),
    },
    relations={
        "winner": one(
            "Customer", on=lambda p, c: c.c.id == p.c.winner_id, description="Who stayed; null once merged or deleted."
        ),
    },
    orders={"newest": [desc("id")]},
    filters={
        "customer_id": Filter(
            UUID, _with, description="Merges this customer took part in, under exactly this id, on either side."
        ),
        "winner_id": eq_ref("winner_id", "Customer"),
        "state": eq("state", MergeState),
        "merged_from": at_least("merged_at", description="Merged at this instant or later."),
        "merged_to": below("merged_at", description="Merged before this instant."),
    },
)


def _other_side() -> ColumnElement[Any]:
    """Return the names of whom the side's customer became one with, as they are now."""
    c = customers.alias()
    # One array to compare with, so that an index finds them.
    others = case((merge_sides.c.role == "winner", merges.c.loser_ids), else_=array([merges.c.winner_id]))
    names = func.string_agg(c.c.name, aggregate_order_by(literal_column("'、'", Text), c.c.id))
    known = select(names).where(c.c.tenant_id == merges.c.tenant_id, c.c.id == any_(others))
    return known.correlate(merges, merge_sides).scalar_subquery()


for _kind, _at in (("merge", merges.c.merged_at), ("unmerge", merges.c.undone_at)):
    timeline.register(
        timeline.Source(
            kind=_kind,
            scope=READ,
            rows=merges.join(
                merge_sides, (merge_sides.c.tenant_id == merges.c.tenant_id) & (merge_sides.c.merge_id == merges.c.id)
            ),
            tenant=merge_sides.c.tenant_id,
            customer=merge_sides.c.customer_id,
            at=_at,
            id=merges.c.id,
            title=_other_side(),
            data={"role": merge_sides.c.role, "winner_id": merges.c.winner_id, "loser_ids": merges.c.loser_ids},
            where=(_at.is_not(None),),
        )
    )


class MergeRepository(Repository):
    """Merges of the tenant, and the rows they give and take."""

    table = merges

    # -- sides ---------------------------------------------------------------------------------------------------------

    async def hold(self, ids: Sequence[UUID]) -> dict[UUID, asyncpg.Record]:
        """Lock customers in the order of their ids and return them: ``merged_into_id``, ``profile`` and so on."""
        rows = await self.unit.connection.fetch(statements.HOLD, self.unit.tenant_id, sorted(ids))
        return {row["id"]: row for row in rows}

    async def look(self, ids: Sequence[UUID]) -> dict[UUID, asyncpg.Record]:
        """Return customers as ``hold`` does, without locking them."""
        rows = await self.unit.connection.fetch(statements.LOOK, self.unit.tenant_id, sorted(ids))
        return {row["id"]: row for row in rows}

    async def hide(self, winner_id: UUID, loser_ids: Sequence[UUID], now: datetime) -> None:
        """Hide the losers behind the winner."""
        await self.unit.connection.execute(statements.HIDE, self.unit.tenant_id, loser_ids, now, winner_id)

    async def show(self, loser_ids: Sequence[UUID], now: datetime) -> None:
        """Let the losers live again."""
        await self.unit.connection.execute(statements.SHOW, self.unit.tenant_id, loser_ids, now)

    async def set_profile(self, customer_id: UUID, values: Mapping[str, Any], now: datetime) -> None:
        """Write columns of a customer, given as JSON values; without any, only the version grows."""
        statement = statements.set_columns(tuple(sorted(values)), customers)
        await self.unit.connection.execute(statement, self.unit.tenant_id, customer_id, now, dict(values))

    # -- journal -------------------------------------------------------------------------------------------------------

    async def begin(self, merge_id: UUID, winner_id: UUID, loser_ids: Sequence[UUID], now: datetime) -> None:
        """Open the journal of a merge."""
        await self.insert(
            {"id": merge_id, "winner_id": winner_id, "loser_ids": list(loser_ids), "merged_at": now}, merges
        )

    async def add_sides(
        self, merge_id: UUID, winner_id: UUID, before: Mapping[UUID, Any], changes: Mapping[str, Any]
    ) -> None:
        """Note what all sides were, and what the winner became."""
        ids = sorted(before)
        await self.unit.connection.execute(
            statements.ADD_SIDES,
            self.unit.tenant_id,
            merge_id,
            ids,
            ["winner" if each == winner_id else "loser" for each in ids],
            [before[each] for each in ids],
            [changes if each == winner_id else None for each in ids],
        )

    async def note(self, merge_id: UUID, values: Mapping[str, Any]) -> None:
        """Write columns of a merge."""
        await self.change(merge_id, values)

    async def sides(self, merge_id: UUID) -> dict[UUID, asyncpg.Record]:
        """Return ``before`` and ``changes`` of all sides."""
        s = merge_sides
        rows = await self.unit.fetch_all(
            select(s.c.customer_id, s.c.before, s.c.changes).where(self.mine(s), s.c.merge_id == merge_id)
        )
        return {row["customer_id"]: row for row in rows}

    async def set_changes(self, merge_id: UUID, winner_id: UUID, changes: Mapping[str, Any]) -> None:
        """Replace what is noted of the winner's changes."""
        s = merge_sides
        await self.unit.execute(
            s.update()
            .where(self.mine(s), s.c.merge_id == merge_id, s.c.customer_id == winner_id)
            .values(changes=dict(changes))
        )

    async def lock(self, merge_id: UUID) -> asyncpg.Record:
        """Return a merge, held against other undoers.

        Raises:
            NotFound: there is none.

        """
        row = await self.find(merge_id, lock=True)
        if row is None:
            raise NotFound("There is no such merge", zh="没有此合并记录")
        return row

    async def later(self, winner_id: UUID, than: UUID) -> list[asyncpg.Record]:
        """Return the merges into a winner that came after one and hold, oldest first."""
        return await self.unit.connection.fetch(statements.LATER, self.unit.tenant_id, winner_id, than)

    async def into(self, customer_id: UUID) -> list[UUID]:
        """Return the merges by which a customer became who they are now, the last one first."""
        rows = await self.unit.connection.fetch(statements.INTO, self.unit.tenant_id, customer_id)
        return [row["id"] for row in rows]

    # -- rows ----------------------------------------------------------------------------------------------------------

    async def counts(self, winner_id: UUID, loser_ids: Sequence[UUID]) -> dict[str, asyncpg.Record]:
        """Return table → ``moves``, ``unites``, ``stays`` for tables in which the losers have rows."""
        rows = await self.unit.connection.fetch(
            statements.counts(), self.unit.tenant_id, None, winner_id, list(loser_ids)
        )
        found = {row["name"]: row for row in rows}
        return {each.name: found[each.name] for each in everything() if each.name in found}

    async def hand_over(self, table: str, merge_id: UUID, winner_id: UUID, loser_ids: Sequence[UUID]) -> None:
        """Give the losers' rows of a table to the winner."""
        await self.unit.connection.execute(
            statements.hand_over(table), self.unit.tenant_id, merge_id, winner_id, list(loser_ids)
        )

    async def reunite(self, table: str, later: Merged, undone: Merged) -> None:
        """Move what a later merge had left with its losers only because of a row that has just gone back."""
        await self.unit.connection.execute(
            statements.reunite(table),
            self.unit.tenant_id,
            later.id,
            later.winner_id,
            list(later.loser_ids),
            undone.id,
            list(undone.loser_ids),
        )

    async def noted_tables(self, merge_id: UUID) -> set[str]:
        """Return the tables in which a merge moved rows."""
        rows = await self.unit.connection.fetch(statements.NOTED_TABLES, self.unit.tenant_id, merge_id)
        return {row["table_name"] for row in rows}

    async def give_back(self, table: str, merge_id: UUID, winner_id: UUID, loser_ids: Sequence[UUID]) -> asyncpg.Record:
        """Give back a table's rows; returns ``noted``, ``returned`` and ``elsewhere``."""
        row = await self.unit.connection.fetchrow(
            statements.give_back(table), self.unit.tenant_id, merge_id, winner_id, list(loser_ids)
        )
        assert row is not None  # noqa: S101 - it counts
        return row

    async def follow(self, table: str, merge_id: UUID, winner_id: UUID, loser_ids: Sequence[UUID]) -> int:
        """Let rows made since go with the row they are about; returns how many."""
        status = await self.unit.connection.execute(
            statements.follow(table), self.unit.tenant_id, merge_id, winner_id, list(loser_ids)
        )
        return int(status.rpartition(" ")[2])
