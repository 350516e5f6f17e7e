"""Access to wallets, with the lots and holds that are open in them.

Wallets are always locked in the order of their customers' ids, and accruals (locked before them) in the order of their
orders' ids, so that two units of work never wait for each other in a circle.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, get_args
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    literal_column,
    or_,
    select,
    union,
)
from sqlalchemy.dialects.postgresql import insert

from crm_api.core.ids import new_id
from crm_api.customers.tables import customers
from crm_api.db.repository import Repository
from crm_api.loyalty.lots import Lot
from crm_api.loyalty.programmes import Kind
from crm_api.loyalty.repository.holds import HoldRepository
from crm_api.loyalty.repository.reviews import ReviewRepository
from crm_api.loyalty.repository.statements import LOT_ROW, OWNER, WALLET_ROW, arrays, derived_rows, uuids
from crm_api.loyalty.rules import Wallet
from crm_api.loyalty.tables import loyalty_accounts, loyalty_holds, loyalty_lots, loyalty_programmes, loyalty_wallets

_OPEN = ("pending", "available")
_LOT_COLUMNS = tuple(loyalty_lots.c[name] for name in LOT_ROW)
_WALLET_COLUMNS = tuple(loyalty_wallets.c[name] for name in (*WALLET_ROW, "customer_id", "programme_id", "kind"))


def _lock_wallet(*, default: bool) -> Select[Any]:
    t, c, p = loyalty_wallets, customers, loyalty_programmes
    programme = p.c.is_default if default else p.c.id == bindparam("programme", type_=Uuid())
    return (
        select(*_WALLET_COLUMNS)
        .join(c, and_(c.c.tenant_id == t.c.tenant_id, c.c.id == t.c.customer_id))
        .join(p, and_(p.c.tenant_id == t.c.tenant_id, p.c.id == t.c.programme_id))
        .where(t.c.tenant_id == OWNER, t.c.customer_id == bindparam("customer", type_=Uuid()))
        .where(t.c.kind == bindparam("kind", type_=Text()), c.c.deleted_at.is_(None), programme)
        .with_for_update(of=t, key_share=True)
    )


def _lots(*, some: bool) -> Select[Any]:
    t = loyalty_lots
    wallets, lots = (bindparam(name, type_=ARRAY(Uuid())) for name in ("wallets", "lots"))
    # Literals, not parameters: the partial index is used for them only.
    states: list[ColumnElement[Any]] = [literal_column(f"'{state}'") for state in _OPEN]
    wanted = and_(t.c.wallet_id == any_(wallets), t.c.state.in_(states))
    return select(*_LOT_COLUMNS).where(t.c.tenant_id == OWNER, or_(wanted, t.c.id == any_(lots)) if some else wanted)


# The two statements of every redemption are built once.
_LOCK_DEFAULT_WALLET: Final = _lock_wallet(default=True)
_LOCK_WALLET: Final = _lock_wallet(default=False)
_OPEN_LOTS: Final = _lots(some=False)
_SOME_LOTS: Final = _lots(some=True)

# For whom in which programme and kind, and which wallet that is if there is one.
_WALLETS_FOR: Final = """
SELECT DISTINCT was.programme_id, was.kind, n.buyer AS customer_id, w.id
FROM unnest($2::uuid[], $3::uuid[]) AS n (order_id, buyer)
JOIN loyalty_accruals a ON a.tenant_id = $1 AND a.order_id = n.order_id
JOIN loyalty_lots l ON l.tenant_id = $1 AND l.id IN (a.lot_id, a.qualifying_lot_id)
JOIN loyalty_wallets was ON was.tenant_id = $1 AND was.id = l.wallet_id
LEFT JOIN loyalty_wallets w ON w.tenant_id = $1 AND w.customer_id = n.buyer AND w.programme_id = was.programme_id
  AND w.kind = was.kind
"""


class WalletRepository(Repository):
    """The wallets of one tenant."""

    table = loyalty_wallets

    async def account(self, customer_id: UUID) -> asyncpg.Record | None:
        """Return ``id`` and ``wallet_id`` of a living customer's account."""
        t = loyalty_accounts
        return await self.unit.fetch_one(select(t.c.id, t.c.wallet_id).where(self.by_id(customer_id, t)))

    async def look_at(self, customer_id: UUID, programme_id: UUID, kind: Kind) -> Wallet | None:
        """Return a wallet with what is open in it, not locked: for reading."""
        t = loyalty_wallets
        row = await self.unit.fetch_one(
            select(*_WALLET_COLUMNS).where(
                self.mine(), t.c.customer_id == customer_id, t.c.programme_id == programme_id, t.c.kind == kind
            )
        )
        if row is None:
            return None
        wallet = Wallet(**dict(row))
        await self.load_lots([wallet])
        return wallet

    # -- locking -------------------------------------------------------------------------------------------------------

    async def lock_wallet(
        self, customer_id: UUID, programme_id: UUID | None = None, kind: Kind = "spendable"
    ) -> Wallet | None:
        """Lock the wallet of a living customer with its open lots; in the default programme unless one is given."""
        values = {OWNER.key: self.unit.tenant_id, "customer": customer_id, "kind": kind}
        if programme_id is None:
            row = await self.unit.fetch_one(_LOCK_DEFAULT_WALLET, values)
        else:
            row = await self.unit.fetch_one(_LOCK_WALLET, {**values, "programme": programme_id})
        if row is None:
            return None
        wallet = Wallet(**dict(row))
        await self.load_lots([wallet])
        return wallet

    async def lock_wallets(self, wallet_ids: Sequence[UUID], also: Sequence[UUID] = ()) -> list[Wallet]:
        """Lock wallets with their open lots, and ``also`` these lots of theirs, open or not."""
        rows = await self.unit.fetch_all(self._locked().where(loyalty_wallets.c.id == any_(uuids(wallet_ids))))
        wallets = [Wallet(**dict(row)) for row in rows]
        await self.load_lots(wallets, also)
        return wallets

    async def lock_wallets_of(self, customer_ids: Sequence[UUID]) -> list[tuple[tuple[UUID, Kind], Wallet]]:
        """Lock all wallets of customers; returns (programme, kind) and wallet of each, without lots."""
        t = loyalty_wallets
        rows = await self.unit.fetch_all(self._locked().where(t.c.customer_id == any_(uuids(customer_ids))))
        return [((row["programme_id"], row["kind"]), Wallet(**dict(row))) for row in rows]

    async def open_wallets(
        self, programme_id: UUID, customer_ids: Iterable[UUID], kind: Kind = "spendable"
    ) -> dict[UUID, Wallet]:
        """Lock the wallets of customers, making those that are missing; lots are not loaded."""
        wanted = sorted(set(customer_ids))
        await self.add_wallets(programme_id, wanted, kind)
        t = loyalty_wallets
        found = await self.unit.fetch_all(
            self._locked().where(
                t.c.customer_id == any_(uuids(wanted)), t.c.programme_id == programme_id, t.c.kind == kind
            )
        )
        return {row["customer_id"]: Wallet(**dict(row)) for row in found}

    async def order_wallets(
        self, programme_id: UUID, customer_ids: Iterable[UUID], qualifying: Iterable[UUID], also: Sequence[UUID]
    ) -> dict[UUID, Wallet]:
        """Lock what orders of these customers may touch, making what is missing; lots are not loaded.

        Args:
            programme_id: that orders earn in now.
            customer_ids: the buyers: their wallets to spend from.
            qualifying: those of them who earn qualifying points too.
            also: wallets that earlier orders earned in.

        """
        wanted = sorted(set(customer_ids))
        await self.add_wallets(programme_id, wanted)
        if qualifying:
            await self.add_wallets(programme_id, qualifying, "qualifying")
        t = loyalty_wallets
        spendable = and_(t.c.programme_id == programme_id, t.c.kind == "spendable")
        of_theirs = or_(spendable, t.c.kind == "qualifying", t.c.id == any_(uuids(also)))
        rows = await self.unit.fetch_all(self._locked().where(t.c.customer_id == any_(uuids(wanted)), of_theirs))
        return {row["id"]: Wallet(**dict(row)) for row in rows}

    def _locked(self) -> Select[Any]:
        """Return the query for wallets that locks them in the one order everybody keeps."""
        t = loyalty_wallets
        return (
            select(*_WALLET_COLUMNS)
            .where(self.mine())
            .order_by(t.c.customer_id, t.c.id)
            .with_for_update(key_share=True)
        )

    async def due_wallets(self, now: datetime, limit: int) -> list[UUID]:
        """Return wallets with lots that time has released or ended, or with holds that have timed out."""
        t, h = loyalty_lots, loyalty_holds
        released = select(t.c.wallet_id).where(
            self.mine(t), t.c.state == literal_column("'pending'"), t.c.available_at <= now
        )
        expired = select(t.c.wallet_id).where(
            self.mine(t), t.c.state == literal_column("'available'"), t.c.expires_at <= now
        )
        timed_out = select(h.c.wallet_id).where(self.mine(h), h.c.state == literal_column("'open'"), h.c.until <= now)
        rows = await self.unit.fetch_all(union(*(each.limit(limit) for each in (released, expired, timed_out))))
        return [row["wallet_id"] for row in rows]

    # -- making --------------------------------------------------------------------------------------------------------

    async def add_wallet(self, programme_id: UUID, kind: Kind, customer_id: UUID) -> Wallet:
        """Make an empty wallet."""
        wallet = Wallet(new_id(), customer_id, programme_id=programme_id, kind=kind, complete=True)
        row = {"id": wallet.id, "programme_id": programme_id, "customer_id": customer_id, "kind": kind}
        await self.insert(row)
        return wallet

    async def add_wallets(self, programme_id: UUID, customer_ids: Iterable[UUID], kind: Kind = "spendable") -> None:
        """Make the wallets of customers that are missing."""
        t, names = loyalty_wallets, ("id", "customer_id")
        rows = derived_rows(t, names, "new")
        programme, of_kind = bindparam("programme", type_=t.c.programme_id.type), bindparam("kind_", type_=Text())
        made = select(OWNER, programme, of_kind, rows.c.id, rows.c.customer_id).order_by(rows.c.customer_id)
        missing = insert(t).from_select(["tenant_id", "programme_id", "kind", *names], made).on_conflict_do_nothing()
        values = arrays("new", names, [(new_id(), customer_id) for customer_id in sorted(set(customer_ids))])
        await self.unit.execute(
            missing, {OWNER.key: self.unit.tenant_id, "programme": programme_id, "kind_": kind, **values}
        )

    async def wallets_for(self, buyer_of: Mapping[UUID, UUID]) -> list[UUID]:
        """Make sure that buyers have wallets like those that orders (order → buyer) earned in; returns their ids."""
        named = self.unit.tenant_id, list(buyer_of), list(buyer_of.values())
        rows = await self.unit.connection.fetch(_WALLETS_FOR, *named)
        for kind in get_args(Kind):
            for programme_id in sorted({row["programme_id"] for row in rows if row["kind"] == kind}):
                alike = [row for row in rows if (row["programme_id"], row["kind"]) == (programme_id, kind)]
                await self.add_wallets(programme_id, [row["customer_id"] for row in alike], kind)
        return [row["id"] for row in await self.unit.connection.fetch(_WALLETS_FOR, *named)]

    # -- loading -------------------------------------------------------------------------------------------------------

    async def load_lots(self, wallets: Iterable[Wallet], also: Sequence[UUID] = ()) -> None:
        """Load all open lots and holds of locked wallets, and ``also`` these lots of theirs, open or not."""
        by_id = {wallet.id: wallet for wallet in wallets}
        holding = [wallet_id for wallet_id, wallet in by_id.items() if wallet.held]
        if holding:
            await ReviewRepository(self.unit).load_let_go([by_id[wallet_id] for wallet_id in holding])
            for hold in await HoldRepository(self.unit).open_holds(holding):
                by_id[hold.wallet_id].holds[hold.id] = hold
            held = {part.lot_id for each in holding for hold in by_id[each].holds.values() for part in hold.parts}
            also = [*also, *held.difference(also)]
        values = {OWNER.key: self.unit.tenant_id, "wallets": list(by_id)}
        if also:
            statement, values = _SOME_LOTS, {**values, "lots": list(also)}
        else:
            statement = _OPEN_LOTS
        for row in await self.unit.fetch_all(statement, values):
            lot = Lot(**dict(row))
            if lot.wallet_id in by_id:
                by_id[lot.wallet_id].lots[lot.id] = lot
        for wallet in by_id.values():
            wallet.complete = True

    async def lots(self, lot_ids: Sequence[UUID]) -> dict[UUID, Lot]:
        """Return lots by id, whoever has them."""
        t = loyalty_lots
        rows = await self.unit.fetch_all(select(*_LOT_COLUMNS).where(self.mine(t), t.c.id == any_(uuids(lot_ids))))
        return {row["id"]: Lot(**dict(row)) for row in rows}
