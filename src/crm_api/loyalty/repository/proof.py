"""The proof of the ledger: what is stored is the replay of what was appended."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal_column, or_, select

from crm_api.db.uow import UnitOfWork
from crm_api.loyalty.lots import WALLET_ACCOUNTS
from crm_api.loyalty.repository.statements import OWNER
from crm_api.loyalty.tables import (
    loyalty_entries,
    loyalty_hold_parts,
    loyalty_holds,
    loyalty_lot_movements,
    loyalty_lots,
    loyalty_transactions,
    loyalty_wallets,
)


async def drift(unit: UnitOfWork) -> list[dict[str, Any]]:
    """Return every wallet or lot whose stored state is not the replay of what was appended: always none."""
    owner = {OWNER.key: unit.tenant_id}
    return [dict(row) for each in (_WALLET_DRIFT, _LOT_DRIFT) for row in await unit.fetch_all(each, owner)]


def _sum_where(points: ColumnElement[Any], condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.coalesce(func.sum(points).filter(condition), 0)


def _wallet_drift() -> Select[Any]:
    w, t, e, lot, hold = loyalty_wallets, loyalty_transactions, loyalty_entries, loyalty_lots, loyalty_holds
    accounts = (_sum_where(e.c.points, e.c.account == account).label(account) for account in WALLET_ACCOUNTS)
    replay = (
        select(t.c.wallet_id, *accounts, func.sum(e.c.points).label("total"))
        .join_from(t, e, and_(e.c.tenant_id == t.c.tenant_id, e.c.transaction_id == t.c.id))
        .where(t.c.tenant_id == OWNER)
        .group_by(t.c.wallet_id)
        .subquery("replay")
    )
    lots = (
        select(
            lot.c.wallet_id,
            *(_sum_where(lot.c.remaining, lot.c.state == state).label(state) for state in ("available", "pending")),
            func.sum(lot.c.held).label("held"),
        )
        .where(lot.c.tenant_id == OWNER)
        .group_by(lot.c.wallet_id)
        .subquery("lots")
    )
    held = (
        select(hold.c.wallet_id, func.sum(hold.c.points).label("held"))
        .where(hold.c.tenant_id == OWNER, hold.c.state == "open")
        .group_by(hold.c.wallet_id)
        .subquery("open_holds")
    )
    pairs = (
        (w.c.available, replay.c.available),
        (w.c.pending, replay.c.pending),
        (w.c.held, replay.c.held),
        (w.c.debt, -replay.c.debt),
        (w.c.available, lots.c.available),
        (w.c.pending, lots.c.pending),
        (w.c.held, lots.c.held),
        (w.c.held, held.c.held),
        (0, replay.c.total),
    )
    return (
        select(w.c.id, literal_column("'wallet'").label("kind"))
        .select_from(
            w.outerjoin(replay, replay.c.wallet_id == w.c.id)
            .outerjoin(lots, lots.c.wallet_id == w.c.id)
            .outerjoin(held, held.c.wallet_id == w.c.id),
        )
        .where(w.c.tenant_id == OWNER, or_(*(func.coalesce(there, 0) != here for here, there in pairs)))
    )


def _lot_drift() -> Select[Any]:
    lot, moved, part, hold = loyalty_lots, loyalty_lot_movements, loyalty_hold_parts, loyalty_holds
    totals = (
        select(moved.c.lot_id, func.sum(moved.c.points).label("points"))
        .where(moved.c.tenant_id == OWNER)
        .group_by(moved.c.lot_id)
        .subquery("totals")
    )
    held = (
        select(part.c.lot_id, func.sum(part.c.points).label("points"))
        .join(hold, and_(hold.c.tenant_id == part.c.tenant_id, hold.c.id == part.c.hold_id))
        .where(part.c.tenant_id == OWNER, hold.c.state == "open")
        .group_by(part.c.lot_id)
        .subquery("held")
    )
    replayed = ((totals.c.points, lot.c.remaining), (held.c.points, lot.c.held))
    return (
        select(lot.c.id, literal_column("'lot'").label("kind"))
        .select_from(lot.outerjoin(totals, totals.c.lot_id == lot.c.id).outerjoin(held, held.c.lot_id == lot.c.id))
        .where(lot.c.tenant_id == OWNER, or_(*(func.coalesce(there, 0) != here for there, here in replayed)))
    )


_WALLET_DRIFT = _wallet_drift()
_LOT_DRIFT = _lot_drift()
