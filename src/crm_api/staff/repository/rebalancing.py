"""Proposals to spread customers anew."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Table, Uuid, any_, literal, or_, select, update

from crm_api.accounts.tables import staff, stores
from crm_api.core.ids import new_id
from crm_api.db.bulk import insert_rows
from crm_api.db.repository import Repository
from crm_api.staff.balancing import Move
from crm_api.staff.tables import rebalancing_moves, rebalancings, team_members, teams

_MOVABLE = """
SELECT c.owner_id, c.id,
  (SELECT max(i.occurred_at) FROM interactions i
   WHERE i.tenant_id = $1 AND i.customer_id = c.id AND i.staff_id = c.owner_id) AS spoken_at
FROM customers c
WHERE c.tenant_id = $1 AND c.owner_id = ANY ($2::uuid[]) AND c.deleted_at IS NULL
"""
_STAY = """
SELECT id FROM customers c WHERE tenant_id = $1 AND owner_id = ANY ($2::uuid[]) AND deleted_at IS NULL
  AND (id = ANY ($3::uuid[]) OR EXISTS (
    SELECT FROM customer_tags t WHERE t.tenant_id = $1 AND t.customer_id = c.id AND t.tag = ANY ($4::text[])))
"""


class RebalancingRepository(Repository):
    """Rebalancings and their moves."""

    table = rebalancings

    async def participants(self, team_id: UUID | None, store_id: UUID | None, staff_ids: Sequence[UUID]) -> list[UUID]:
        """Return who takes part: of the team, of the store and those named; all active staff when nothing is said."""
        t = staff
        parts: list[ColumnElement[bool]] = []
        if team_id is not None:
            inside = select(team_members.c.staff_id).where(self.mine(team_members), team_members.c.team_id == team_id)
            parts.append(t.c.id.in_(inside))
        if store_id is not None:
            parts.append(t.c.store_id == store_id)
        if staff_ids:
            parts.append(t.c.id == any_(literal(list(staff_ids), ARRAY(Uuid))))
        where = or_(*parts) if parts else t.c.active
        rows = await self.unit.fetch_all(select(t.c.id).where(self.mine(t), where).order_by(t.c.id))
        return [row["id"] for row in rows]

    async def has_team(self, team_id: UUID) -> bool:
        """Tell whether there is such a team."""
        return await self._has(teams, team_id)

    async def has_store(self, store_id: UUID) -> bool:
        """Tell whether there is such a store."""
        return await self._has(stores, store_id)

    async def _has(self, table: Table, row_id: UUID) -> bool:
        found = await self.unit.fetch_one(select(table.c.id).where(self.mine(table), table.c.id == row_id))
        return found is not None

    async def customers_of(self, owners: Sequence[UUID]) -> dict[UUID, list[tuple[UUID, datetime | None]]]:
        """Return customers of each with when their owner spoke with them last; who knows the owner least comes first.

        That is: never spoken with, then longest ago, then by id.
        """
        rows = await self.unit.connection.fetch(_MOVABLE, self.unit.tenant_id, list(owners))
        found: dict[UUID, list[tuple[UUID, datetime | None]]] = {each: [] for each in owners}
        ordered = sorted(rows, key=lambda r: (r["spoken_at"] is not None, r["spoken_at"] or 0, r["id"]))
        for row in ordered:
            found[row["owner_id"]].append((row["id"], row["spoken_at"]))
        return found

    async def staying(self, owners: Sequence[UUID], ids: Sequence[UUID], tags: Sequence[str]) -> set[UUID]:
        """Return customers who stay because they are named, or have one of the tags."""
        if not ids and not tags:
            return set()
        rows = await self.unit.connection.fetch(_STAY, self.unit.tenant_id, list(owners), list(ids), list(tags))
        return {row["id"] for row in rows}

    async def add_moves(self, rebalancing_id: UUID, moves: Iterable[Move]) -> None:
        """Store planned moves; their ids keep the order."""
        rows = [(new_id(), rebalancing_id, each.customer_id, each.giver, each.taker) for each in moves]
        if rows:
            columns = ("id", "rebalancing_id", "customer_id", "from_staff_id", "to_staff_id")
            await insert_rows(self.unit, rebalancing_moves, columns, rows)

    async def moves(self, rebalancing_id: UUID, state: str) -> list[tuple[UUID, UUID, UUID]]:
        """Return (customer, from, to) of moves in a state, in the order of customers' ids."""
        t = rebalancing_moves
        rows = await self.unit.fetch_all(
            select(t.c.customer_id, t.c.from_staff_id, t.c.to_staff_id)
            .where(self.mine(t), t.c.rebalancing_id == rebalancing_id, t.c.state == state)
            .order_by(t.c.customer_id)
        )
        return [(row["customer_id"], row["from_staff_id"], row["to_staff_id"]) for row in rows]

    async def mark(self, rebalancing_id: UUID, done: Iterable[UUID], *, was: str, yes: str, no: str) -> None:
        """Give moves in the state ``was`` another: ``yes`` to these customers', ``no`` to the others'."""
        t = rebalancing_moves
        these = any_(literal(list(done), ARRAY(Uuid)))
        of = [self.mine(t), t.c.rebalancing_id == rebalancing_id, t.c.state == was]
        await self.unit.execute(update(t).where(*of, t.c.customer_id == these).values(state=yes))
        await self.unit.execute(update(t).where(*of).values(state=no))

    async def open_for(self, staff_id: UUID) -> bool:
        """Tell whether a proposal that was made by itself for somebody who left is still open."""
        t = rebalancings
        found = await self.unit.fetch_one(
            select(t.c.id).where(
                self.mine(),
                t.c.state.in_(("proposed", "approved")),
                t.c.cause == "left",
                t.c.options["leaving_ids"].contains([str(staff_id)]),
            )
        )
        return found is not None
