"""Access to holds and their parts."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, and_, any_, literal_column, select, update

from crm_api.db.repository import Repository
from crm_api.loyalty.lots import Hold, Part, Place
from crm_api.loyalty.repository.statements import Rows, Write, rows_of, uuids
from crm_api.loyalty.tables import loyalty_hold_parts, loyalty_holds, loyalty_transactions

_HOLD = ("id", "wallet_id", "state", "points", "posted", "reversed", "until", "reason", "owner_id")

_NEW = Write(loyalty_holds, _HOLD)
_CHANGE = Write(
    loyalty_holds,
    ("id", "state", "posted", "reversed"),
    updates=True,
    also=", version = t.version + 1, updated_at = now()",
)
_PART = Write(loyalty_hold_parts, ("hold_id", "position", "lot_id", "points"))


def holds_written(holds: Sequence[Hold]) -> list[tuple[Write, Rows]]:
    """Return what to write of new holds with their parts, and of what has become of others."""
    new = [hold for hold in holds if hold.is_new]
    return [
        (_NEW, rows_of(_NEW, new)),
        (_CHANGE, rows_of(_CHANGE, [hold for hold in holds if not hold.is_new])),
        (_PART, [(hold.id, n, part.lot_id, part.points) for hold in new for n, part in enumerate(hold.parts)]),
    ]


class HoldRepository(Repository):
    """Points set aside."""

    table = loyalty_holds

    async def open_holds(self, wallet_ids: Sequence[UUID]) -> list[Hold]:
        """Return the open holds of locked wallets."""
        t = loyalty_holds
        return await self._holds(and_(t.c.wallet_id == any_(uuids(wallet_ids)), t.c.state == literal_column("'open'")))

    async def hold(self, hold_id: UUID) -> Hold | None:
        """Return a hold."""
        found = await self._holds(loyalty_holds.c.id == hold_id)
        return found[0] if found else None

    async def _holds(self, which: ColumnElement[bool]) -> list[Hold]:
        t, p, made = loyalty_holds, loyalty_hold_parts, loyalty_transactions
        rows = await self.unit.fetch_all(
            select(*(t.c[name] for name in _HOLD), p.c.lot_id, p.c.points.label("part"))
            .add_columns(made.c.wallet_id.label("booked_on"), made.c.sequence)
            .join(p, and_(p.c.tenant_id == t.c.tenant_id, p.c.hold_id == t.c.id))
            .join(made, and_(made.c.tenant_id == t.c.tenant_id, made.c.id == t.c.id))
            .where(self.mine(t), which)
            .order_by(t.c.id, p.c.position)
        )
        found: dict[UUID, Hold] = {}
        for row in rows:
            hold = found.setdefault(row["id"], Hold(**{name: row[name] for name in _HOLD}))
            hold.place = Place(hold.id, row["booked_on"], row["sequence"])
            hold.parts.append(Part(row["lot_id"], row["part"]))
        return list(found.values())

    async def part(self, holds: Sequence[Hold]) -> None:
        """Let parts name the lots they have now."""
        t = loyalty_hold_parts
        for hold in holds:
            for place, part in enumerate(hold.parts):
                which = and_(self.mine(t), t.c.hold_id == hold.id, t.c.position == place)
                await self.unit.execute(update(t).where(which).values(lot_id=part.lot_id))
