"""Access to the points ledger.

Wallets are always locked in the order of their customers' ids, and accruals (locked before them) in the order of their
orders' ids, so that two units of work never wait for each other in a circle. Whatever a unit has booked is written by
one statement, whether it is one redemption or a batch of five hundred orders.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, get_args
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    ColumnElement,
    Double,
    FromClause,
    Insert,
    Select,
    Table,
    Text,
    Update,
    Uuid,
    and_,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from crm_api.accounts.tables import tenants
from crm_api.core.actor import Actor
from crm_api.core.ids import new_id
from crm_api.customers.repository import CUSTOMER
from crm_api.customers.tables import customers
from crm_api.db import timeline
from crm_api.db.projections import (
    TENANT,
    Filter,
    FilterValue,
    Projection,
    asc,
    below,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    one,
    one_of,
    ref,
    sql,
    struct,
)
from crm_api.db.repository import Repository
from crm_api.loyalty.accruals import Accrual
from crm_api.loyalty.lots import WALLET_ACCOUNTS, Hold, LetGo, Lot, Part, Place, Transaction
from crm_api.loyalty.models import (
    HoldState,
    LotState,
    LoyaltyAccount,
    LoyaltyEntry,
    LoyaltyHold,
    LoyaltyLot,
    LoyaltyProgramme,
    LoyaltyReview,
    LoyaltyWallet,
    ReviewState,
)
from crm_api.loyalty.programmes import Kind, Programme
from crm_api.loyalty.rules import Wallet
from crm_api.loyalty.tables import (
    loyalty_accounts,
    loyalty_accruals,
    loyalty_entries,
    loyalty_hold_parts,
    loyalty_holds,
    loyalty_lot_movements,
    loyalty_lots,
    loyalty_programmes,
    loyalty_reviews,
    loyalty_transactions,
    loyalty_wallets,
)
from crm_api.orders.tables import orders


def _customer_of(t: FromClause) -> ColumnElement[Any]:
    """Return whose wallet a row lies in."""
    w = loyalty_wallets.alias("of")
    return select(w.c.customer_id).where(w.c.tenant_id == TENANT, w.c.id == t.c.wallet_id).scalar_subquery()


def _of_customer(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    """Keep rows in this customer's wallets."""
    w = loyalty_wallets.alias("theirs")
    theirs = select(w.c.id).where(w.c.tenant_id == TENANT, w.c.customer_id == v(None, Uuid()))
    return t.c.wallet_id == any_(func.array(theirs.scalar_subquery()))


LOYALTY_ACCOUNT = Projection(
    "LoyaltyAccount",
    table=loyalty_accounts,
    model=LoyaltyAccount,
    scope="loyalty:read",
    description="A customer's points; a customer who never had any shows zeros.",
    successor=(customers, "merged_into_id"),
    fields={
        "customer_id": ref("id", "Customer"),
        **columns("available", "pending", "held", "debt", "currency_name", "scale"),
        "programme_id": ref("programme_id", "LoyaltyProgramme"),
    },
    relations={
        "entries": many(
            "LoyaltyEntry",
            on=lambda p, c: c.c.wallet_id == p.c.wallet_id,
            description="What happened to the points, newest first.",
        ),
    },
)

LOYALTY_ENTRY = Projection(
    "LoyaltyEntry",
    table=loyalty_transactions,
    model=LoyaltyEntry,
    scope="loyalty:read",
    description="One thing that happened to a customer's points.",
    fields={
        **columns("id", "type", "points", "available_change", "reason", "at"),
        "order_id": ref("order_id", "Order"),
        "wallet_id": ref("wallet_id", "LoyaltyWallet"),
        "reverses_id": ref("reverses_id", "LoyaltyEntry"),
        "hold_id": ref("hold_id", "LoyaltyHold"),
        "lot_id": ref("lot_id", "LoyaltyLot"),
        "balance_after": struct({name: column(f"{name}_after") for name in ("available", "pending", "held", "debt")}),
    },
    orders={"newest": [desc("sequence")]},
    relations={
        "order": one("Order", on=lambda p, c: c.c.id == p.c.order_id, description="The order it came from."),
    },
    filters={"type": one_of("type", description="Only these types.")},
)

PROGRAMME = Projection(
    "LoyaltyProgramme",
    table=loyalty_programmes,
    model=LoyaltyProgramme,
    scope="loyalty:read",
    description="How points are earned, how long they live and what undoing them does.",
    fields={
        **columns(
            "id",
            "name",
            "currency_name",
            "is_default",
            "currency",
            "rounding",
            "scale",
            "pending_days",
            "pending_from",
            "expiry_months",
            "expiry_days",
            "expiry_end",
            "refund_policy",
            "restore_policy",
            "grace_days",
            "hold_minutes",
            "time_zone",
            "version",
            "created_at",
            "updated_at",
        ),
        "points_per_unit": sql(lambda t: cast(t.c.points_per_unit, Double)),
    },
)

_OF_CUSTOMER = "Only of this customer."

WALLET = Projection(
    "LoyaltyWallet",
    table=loyalty_wallets,
    model=LoyaltyWallet,
    scope="loyalty:read",
    description="A customer's points of one kind in one programme.",
    fields={
        **columns("id", "kind", "available", "pending", "held", "debt", "created_at", "updated_at"),
        "customer_id": ref("customer_id", "Customer"),
        "programme_id": ref("programme_id", "LoyaltyProgramme"),
    },
    relations={
        "programme": one(
            "LoyaltyProgramme", on=lambda p, c: c.c.id == p.c.programme_id, description="The loyalty programme."
        ),
        "lots": many("LoyaltyLot", on=lambda p, c: c.c.wallet_id == p.c.id, description="What the points are made of."),
        "entries": many(
            "LoyaltyEntry", on=lambda p, c: c.c.wallet_id == p.c.id, description="What happened, newest first."
        ),
    },
    filters={
        "customer_id": eq_ref("customer_id", "Customer", description=_OF_CUSTOMER),
        "programme_id": eq_ref("programme_id", "LoyaltyProgramme", description="Only in this programme."),
        "kind": eq("kind", Kind, description="Only of this kind."),
    },
)

LOT = Projection(
    "LoyaltyLot",
    table=loyalty_lots,
    model=LoyaltyLot,
    scope="loyalty:read",
    description="Points granted together: when they are usable, when they end, and what is left of them.",
    fields={
        **columns(
            "id",
            "state",
            "granted",
            "remaining",
            "held",
            "expired",
            "reversed",
            "priority",
            "earned_at",
            "available_at",
            "expires_at",
            "source_kind",
            "source_id",
        ),
        "wallet_id": ref("wallet_id", "LoyaltyWallet"),
        "order_id": ref("order_id", "Order"),
    },
    orders={"newest": [desc("id")], "expiry": [asc("expires_at", nulls="last"), asc("id")]},
    filters={
        "wallet_id": eq_ref("wallet_id", "LoyaltyWallet", description="Only of this wallet."),
        "customer_id": Filter(UUID, _of_customer, ref="Customer", description=_OF_CUSTOMER),
        "state": one_of("state", LotState, description="Only in these states."),
        "expires_before": below("expires_at", description="Only what ends before this moment."),
    },
)

HOLD = Projection(
    "LoyaltyHold",
    table=loyalty_holds,
    model=LoyaltyHold,
    scope="loyalty:read",
    description="Points set aside until it is certain whether they are spent.",
    fields={
        **columns(
            "id", "state", "points", "posted", "reversed", "until", "reason", "version", "created_at", "updated_at"
        ),
        "wallet_id": ref("wallet_id", "LoyaltyWallet"),
        "customer_id": sql(_customer_of),
    },
    relations={"customer": one("Customer", on=lambda p, c: c.c.id == _customer_of(p), description="Whose points.")},
    filters={
        "customer_id": Filter(UUID, _of_customer, ref="Customer", description=_OF_CUSTOMER),
        "state": one_of("state", HoldState, description="Only in these states."),
    },
)

REVIEW = Projection(
    "LoyaltyReview",
    table=loyalty_reviews,
    model=LoyaltyReview,
    scope="loyalty:read",
    description="Points that a refund should have taken back and that the customer had no more.",
    fields={
        **columns(
            "id",
            "state",
            "points",
            "recovered",
            "note",
            "decided_at",
            "decided_by",
            "version",
            "created_at",
            "updated_at",
        ),
        "wallet_id": ref("wallet_id", "LoyaltyWallet"),
        "customer_id": sql(_customer_of),
        "lot_id": ref("lot_id", "LoyaltyLot"),
    },
    relations={"customer": one("Customer", on=lambda p, c: c.c.id == _customer_of(p), description="Who had no more.")},
    filters={
        "customer_id": Filter(UUID, _of_customer, ref="Customer", description=_OF_CUSTOMER),
        "state": one_of("state", ReviewState, description="Only in these states."),
    },
)


extend(
    CUSTOMER,
    relations={"loyalty": one("LoyaltyAccount", on=lambda p, c: c.c.id == p.c.id, description="Points.")},
)

timeline.register(
    timeline.Source(
        kind="points",
        scope="loyalty:read",
        rows=loyalty_transactions.join(
            loyalty_wallets,
            and_(
                loyalty_wallets.c.tenant_id == loyalty_transactions.c.tenant_id,
                loyalty_wallets.c.id == loyalty_transactions.c.wallet_id,
            ),
        ),
        tenant=loyalty_wallets.c.tenant_id,
        customer=loyalty_wallets.c.customer_id,
        at=loyalty_transactions.c.at,
        id=loyalty_transactions.c.id,
        title=loyalty_transactions.c.reason,
        data={name: loyalty_transactions.c[name] for name in ("type", "points", "available_after", "order_id")},
    )
)


# -- writing in bulk ---------------------------------------------------------------------------------------------------

_OWNER: Final = bindparam("owner", type_=Uuid())
"""The tenant; a parameter of an INSERT may not be called like a column."""


def _rows(table: Table, names: Sequence[str], prefix: str) -> Any:
    """Return a derived table fed by one array per column; the parameters are named ``<prefix>_<column>``."""
    arrays = [bindparam(f"{prefix}_{name}", type_=ARRAY(table.c[name].type)) for name in names]
    return func.unnest(*arrays).table_valued(*names, name=prefix).render_derived()


def _insert_rows(table: Table, names: Sequence[str], prefix: str) -> Insert:
    rows = _rows(table, names, prefix)
    return insert(table).from_select(["tenant_id", *names], select(_OWNER, *(rows.c[name] for name in names)))


def _update_rows(table: Table, key: str, names: Sequence[str], prefix: str, **also: Any) -> Update:
    rows = _rows(table, (key, *names), prefix)
    return (
        update(table)
        .where(table.c.tenant_id == _OWNER, table.c[key] == rows.c[key])
        .values({**{name: rows.c[name] for name in names}, **also})
    )


def _arrays(prefix: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    return {f"{prefix}_{name}": [row[index] for row in rows] for index, name in enumerate(names)}


_WALLET = ("id", "available", "pending", "held", "debt", "sequence")
_LOT = (
    "id",
    "wallet_id",
    "state",
    "granted",
    "remaining",
    "expired",
    "priority",
    "earned_at",
    "available_at",
    "expires_at",
    "order_id",
    "source_kind",
    "source_id",
    "held",
    "reversed",
)
_LOT_CHANGE = ("id", "state", "granted", "remaining", "expired", "available_at", "expires_at", "held", "reversed")
_NOTED = ("id", "wallet_id", "sequence", "type", "at", "key", "reason", "order_id", "reverses_id", "hold_id", "lot_id")
_BALANCES = ("available_after", "pending_after", "held_after", "debt_after")
_TRANSACTION = (*_NOTED, "points", "available_change", *_BALANCES, "actor_kind", "actor_id")
_ENTRY = ("transaction_id", "account", "points")
_MOVEMENT = ("transaction_id", "lot_id", "points")
_ACCRUAL = (
    "order_id",
    "wallet_id",
    "lot_id",
    "paid_amount",
    "refunded_amount",
    "cancelled",
    "granted",
    "reversed",
    "qualifying_lot_id",
    "qualifying_granted",
    "qualifying_reversed",
    "completed_at",
    "customer_id",
)
_HOLD = ("id", "wallet_id", "state", "points", "posted", "reversed", "until", "reason", "owner_id")
_HOLD_CHANGE = ("id", "state", "posted", "reversed")
_PART = ("hold_id", "position", "lot_id", "points")

_BOOK = _update_rows(loyalty_wallets, "id", _WALLET[1:], "wallets", updated_at=func.now()).add_cte(
    _insert_rows(loyalty_lots, _LOT, "lots").cte("lots_inserted"),
    _update_rows(loyalty_lots, "id", _LOT_CHANGE[1:], "changes").cte("lots_changed"),
    _insert_rows(loyalty_transactions, _TRANSACTION, "transactions").cte("transactions_inserted"),
    _insert_rows(loyalty_entries, _ENTRY, "entries").cte("entries_inserted"),
    _insert_rows(loyalty_lot_movements, _MOVEMENT, "movements").cte("movements_inserted"),
    _update_rows(loyalty_accruals, "order_id", _ACCRUAL[1:], "accruals").cte("accruals_changed"),
)
"""Everything a unit has booked, in one statement: its shape never changes, so it is planned once per connection."""


_BOOK_HOLDS = _update_rows(
    loyalty_holds, "id", _HOLD_CHANGE[1:], "changes", version=loyalty_holds.c.version + 1, updated_at=func.now()
).add_cte(
    _insert_rows(loyalty_holds, _HOLD, "holds").cte("holds_inserted"),
    _insert_rows(loyalty_hold_parts, _PART, "parts").cte("parts_inserted"),
)
"""Holds go first, because transactions name them; most units have none."""


def _transaction_row(booking: Transaction, actor: Actor) -> tuple[Any, ...]:
    noted = tuple(getattr(booking, name) for name in _NOTED)
    change = booking.entries.get("available", 0)
    return (*noted, booking.points, change, *booking.after, actor.kind, actor.id)


# -- reading -----------------------------------------------------------------------------------------------------------

_OPEN = ("pending", "available")
_LOT_COLUMNS = tuple(loyalty_lots.c[name] for name in _LOT)
_WALLET_COLUMNS = tuple(loyalty_wallets.c[name] for name in (*_WALLET, "customer_id", "programme_id", "kind"))
_PROGRAMME = tuple(each.name for each in dataclasses.fields(Programme))


def _lock_wallet(*, default: bool) -> Select[Any]:
    t, c, p = loyalty_wallets, customers, loyalty_programmes
    programme = p.c.is_default if default else p.c.id == bindparam("programme", type_=Uuid())
    return (
        select(*_WALLET_COLUMNS)
        .join(c, and_(c.c.tenant_id == t.c.tenant_id, c.c.id == t.c.customer_id))
        .join(p, and_(p.c.tenant_id == t.c.tenant_id, p.c.id == t.c.programme_id))
        .where(t.c.tenant_id == _OWNER, t.c.customer_id == bindparam("customer", type_=Uuid()))
        .where(t.c.kind == bindparam("kind", type_=Text()), c.c.deleted_at.is_(None), programme)
        .with_for_update(of=t, key_share=True)
    )


def _lots(*, some: bool) -> Select[Any]:
    t = loyalty_lots
    wallets, lots = (bindparam(name, type_=ARRAY(Uuid())) for name in ("wallets", "lots"))
    # Literals, not parameters: the partial index is used for them only.
    states: list[ColumnElement[Any]] = [literal_column(f"'{state}'") for state in _OPEN]
    wanted = and_(t.c.wallet_id == any_(wallets), t.c.state.in_(states))
    return select(*_LOT_COLUMNS).where(t.c.tenant_id == _OWNER, or_(wanted, t.c.id == any_(lots)) if some else wanted)


# The two statements of every redemption are built once.
_LOCK_DEFAULT_WALLET: Final = _lock_wallet(default=True)
_LOCK_WALLET: Final = _lock_wallet(default=False)
_OPEN_LOTS: Final = _lots(some=False)
_SOME_LOTS: Final = _lots(some=True)


class Opening(NamedTuple):
    """An opening balance whose points came into a wallet, or came along when its owner was merged.

    Attributes:
        id: of the transaction, and of the lot.
        wallet_id: where the lot is now.
        key: what it was booked under.

    """

    id: UUID
    wallet_id: UUID
    points: int
    key: str
    undone: bool


# Found where their points are by now (a lot has the id of the transaction that granted it): what a merged customer
# brought along is the winner's. Looked for by the wallets they were booked on, whose transactions have an index.
_OPENINGS: Final = """
WITH booked_on AS (
  SELECT unnest($2::uuid[]) AS id
  UNION
  SELECT theirs.id
  FROM loyalty_wallets w
  JOIN customers c ON c.tenant_id = w.tenant_id AND c.merged_into_id = w.customer_id
  JOIN loyalty_wallets theirs ON theirs.tenant_id = c.tenant_id AND theirs.customer_id = c.id
    AND theirs.programme_id = w.programme_id AND theirs.kind = w.kind
  WHERE w.tenant_id = $1 AND w.id = ANY ($2::uuid[])
)
SELECT t.id, l.wallet_id, l.granted AS points, t.key, EXISTS (
  SELECT FROM loyalty_transactions u WHERE u.tenant_id = $1 AND u.key = 'opening-undone:' || t.id
) AS undone
FROM booked_on b
JOIN loyalty_transactions t ON t.tenant_id = $1 AND t.wallet_id = b.id AND t.key LIKE 'opening:%'
JOIN loyalty_lots l ON l.tenant_id = $1 AND l.id = t.id
WHERE l.wallet_id = ANY ($2::uuid[])
ORDER BY t.id
"""


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


class LoyaltyRepository(Repository):
    """The ledger of one tenant."""

    table = loyalty_wallets

    async def programmes(self) -> list[Programme]:
        """Return all programmes, the default one first; a tenant has a few."""
        t = loyalty_programmes
        rows = await self.unit.fetch_all(
            select(*(t.c[name] for name in _PROGRAMME)).where(self.mine(t)).order_by(t.c.is_default.desc(), t.c.id)
        )
        return [Programme(**dict(row)) for row in rows]

    async def programme(self, programme_id: UUID | None = None) -> Programme | None:
        """Return a programme, or the default one; None when there is no such programme."""
        t = loyalty_programmes
        which = t.c.is_default if programme_id is None else t.c.id == programme_id
        row = await self.unit.fetch_one(select(*(t.c[name] for name in _PROGRAMME)).where(self.mine(t), which))
        return None if row is None else Programme(**dict(row))

    async def add_programme(self, values: Mapping[str, Any]) -> UUID:
        """Add a programme; returns its id."""
        programme_id = new_id()
        await self.insert({"id": programme_id, **values}, loyalty_programmes)
        return programme_id

    async def tenant_time_zone(self) -> str:
        """Return the tenant's zone."""
        zone: str = await self.unit.fetch_value(select(tenants.c.time_zone).where(self.mine(tenants)))
        return zone

    async def account(self, customer_id: UUID) -> asyncpg.Record | None:
        """Return ``id`` and ``wallet_id`` of a living customer's account."""
        t = loyalty_accounts
        return await self.unit.fetch_one(select(t.c.id, t.c.wallet_id).where(self.by_id(customer_id, t)))

    # -- wallets and lots ----------------------------------------------------------------------------------------------

    async def lock_wallet(
        self, customer_id: UUID, programme_id: UUID | None = None, kind: Kind = "spendable"
    ) -> Wallet | None:
        """Lock the wallet of a living customer with its open lots; in the default programme unless one is given."""
        values = {_OWNER.key: self.unit.tenant_id, "customer": customer_id, "kind": kind}
        if programme_id is None:
            row = await self.unit.fetch_one(_LOCK_DEFAULT_WALLET, values)
        else:
            row = await self.unit.fetch_one(_LOCK_WALLET, {**values, "programme": programme_id})
        if row is None:
            return None
        wallet = Wallet(**dict(row))
        await self.load_lots([wallet])
        return wallet

    async def open_wallets(
        self, programme_id: UUID, customer_ids: Iterable[UUID], kind: Kind = "spendable"
    ) -> dict[UUID, Wallet]:
        """Lock the wallets of customers, making those that are missing; lots are not loaded."""
        wanted = sorted(set(customer_ids))
        await self.add_wallets(programme_id, wanted, kind)
        t = loyalty_wallets
        found = await self.unit.fetch_all(
            self._locked().where(
                t.c.customer_id == any_(_uuids(wanted)), t.c.programme_id == programme_id, t.c.kind == kind
            )
        )
        return {row["customer_id"]: Wallet(**dict(row)) for row in found}

    async def add_wallets(self, programme_id: UUID, customer_ids: Iterable[UUID], kind: Kind = "spendable") -> None:
        """Make the wallets of customers that are missing."""
        t, names = loyalty_wallets, ("id", "customer_id")
        rows = _rows(t, names, "new")
        programme, of_kind = bindparam("programme", type_=t.c.programme_id.type), bindparam("kind_", type_=Text())
        made = select(_OWNER, programme, of_kind, rows.c.id, rows.c.customer_id).order_by(rows.c.customer_id)
        missing = insert(t).from_select(["tenant_id", "programme_id", "kind", *names], made).on_conflict_do_nothing()
        values = _arrays("new", names, [(new_id(), customer_id) for customer_id in sorted(set(customer_ids))])
        await self.unit.execute(
            missing, {_OWNER.key: self.unit.tenant_id, "programme": programme_id, "kind_": kind, **values}
        )

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
        of_theirs = or_(spendable, t.c.kind == "qualifying", t.c.id == any_(_uuids(also)))
        rows = await self.unit.fetch_all(self._locked().where(t.c.customer_id == any_(_uuids(wanted)), of_theirs))
        return {row["id"]: Wallet(**dict(row)) for row in rows}

    async def lock_wallets(self, wallet_ids: Sequence[UUID], also: Sequence[UUID] = ()) -> list[Wallet]:
        """Lock wallets with their open lots, and ``also`` these lots of theirs, open or not."""
        rows = await self.unit.fetch_all(self._locked().where(loyalty_wallets.c.id == any_(_uuids(wallet_ids))))
        wallets = [Wallet(**dict(row)) for row in rows]
        await self.load_lots(wallets, also)
        return wallets

    def _locked(self) -> Select[Any]:
        """Return the query for wallets that locks them in the one order everybody keeps."""
        t = loyalty_wallets
        return (
            select(*_WALLET_COLUMNS)
            .where(self.mine())
            .order_by(t.c.customer_id, t.c.id)
            .with_for_update(key_share=True)
        )

    async def load_lots(self, wallets: Iterable[Wallet], also: Sequence[UUID] = ()) -> None:
        """Load all open lots and holds of locked wallets, and ``also`` these lots of theirs, open or not."""
        by_id = {wallet.id: wallet for wallet in wallets}
        holding = [wallet_id for wallet_id, wallet in by_id.items() if wallet.held]
        if holding:
            await self.load_let_go([by_id[wallet_id] for wallet_id in holding])
            for hold in await self.open_holds(holding):
                by_id[hold.wallet_id].holds[hold.id] = hold
            held = {part.lot_id for each in holding for hold in by_id[each].holds.values() for part in hold.parts}
            also = [*also, *held.difference(also)]
        values = {_OWNER.key: self.unit.tenant_id, "wallets": list(by_id)}
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

    async def load_let_go(self, wallets: Sequence[Wallet]) -> None:
        """Load what was let go of locked wallets, the earliest first: points may come back to them."""
        r, t, by_id = loyalty_reviews, loyalty_transactions, {wallet.id: wallet for wallet in wallets}
        for wallet in wallets:
            wallet.let_go = []
        rows = await self.unit.fetch_all(
            select(r.c.id, r.c.wallet_id, r.c.lot_id, r.c.points, r.c.recovered)
            .add_columns(t.c.order_id, t.c.wallet_id.label("booked_on"), t.c.sequence)
            .join_from(r, t, and_(t.c.tenant_id == r.c.tenant_id, t.c.id == r.c.id))
            .where(self.mine(r), r.c.wallet_id == any_(_uuids(by_id)), r.c.state == literal_column("'let_go'"))
            .where(r.c.recovered < r.c.points)
            .order_by(r.c.id)
        )
        for row in rows:
            place = Place(row["id"], row["booked_on"], row["sequence"])
            gone = LetGo(place, row["lot_id"], row["order_id"], row["points"], row["recovered"])
            by_id[row["wallet_id"]].let_go.append(gone)

    # -- holds ---------------------------------------------------------------------------------------------------------

    async def open_holds(self, wallet_ids: Sequence[UUID]) -> list[Hold]:
        """Return the open holds of locked wallets."""
        t = loyalty_holds
        return await self._holds(and_(t.c.wallet_id == any_(_uuids(wallet_ids)), t.c.state == literal_column("'open'")))

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

    async def holds_in(self, wallet_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
        """Return wallet → ids of all its holds, ended ones too."""
        return await self._ids_in(loyalty_holds, wallet_ids)

    async def move_holds(self, wallet_of: Mapping[UUID, UUID]) -> None:
        """Put holds (hold → wallet) into other wallets; their points are booked by who calls."""
        await self._move(loyalty_holds, wallet_of)

    # -- merges --------------------------------------------------------------------------------------------------------

    async def lock_accruals(self, customer_ids: Sequence[UUID]) -> None:
        """Lock what is known of these customers' orders, as news of orders does: before the wallets."""
        t = loyalty_accruals
        await self.unit.fetch_all(
            select(t.c.order_id)
            .where(self.mine(t), t.c.customer_id == any_(_uuids(customer_ids)))
            .order_by(t.c.order_id)
            .with_for_update(key_share=True)
        )

    async def lock_wallets_of(self, customer_ids: Sequence[UUID]) -> list[tuple[tuple[UUID, Kind], Wallet]]:
        """Lock all wallets of customers; returns (programme, kind) and wallet of each, without lots."""
        t = loyalty_wallets
        rows = await self.unit.fetch_all(self._locked().where(t.c.customer_id == any_(_uuids(customer_ids))))
        return [((row["programme_id"], row["kind"]), Wallet(**dict(row))) for row in rows]

    async def owners(self, lot_ids: Sequence[UUID]) -> set[UUID]:
        """Return the customers in whose wallets lots are."""
        if not lot_ids:
            return set()
        w, lot = loyalty_wallets, loyalty_lots
        rows = await self.unit.fetch_all(
            select(w.c.customer_id)
            .join_from(lot, w, and_(w.c.tenant_id == lot.c.tenant_id, w.c.id == lot.c.wallet_id))
            .where(self.mine(lot), lot.c.id == any_(_uuids(lot_ids)))
        )
        return {row["customer_id"] for row in rows}

    async def add_wallet(self, programme_id: UUID, kind: Kind, customer_id: UUID) -> Wallet:
        """Make an empty wallet."""
        wallet = Wallet(new_id(), customer_id, programme_id=programme_id, kind=kind, complete=True)
        row = {"id": wallet.id, "programme_id": programme_id, "customer_id": customer_id, "kind": kind}
        await self.insert(row, loyalty_wallets)
        return wallet

    async def lots_in(self, wallet_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
        """Return wallet → ids of all its lots, ended ones too."""
        return await self._ids_in(loyalty_lots, wallet_ids)

    async def _ids_in(self, t: Table, wallet_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
        rows = await self.unit.fetch_all(
            select(t.c.wallet_id, t.c.id)
            .where(self.mine(t), t.c.wallet_id == any_(_uuids(wallet_ids)))
            .order_by(t.c.id)
        )
        found: dict[UUID, list[UUID]] = {}
        for row in rows:
            found.setdefault(row["wallet_id"], []).append(row["id"])
        return found

    async def lots_of_orders(self, winner_id: UUID, loser_ids: Sequence[UUID]) -> list[asyncpg.Record]:
        """Return the lots in a winner's wallets that were earned by orders which belong to losers."""
        a, lot, w = loyalty_accruals, loyalty_lots, loyalty_wallets
        earned = or_(lot.c.id == a.c.lot_id, lot.c.id == a.c.qualifying_lot_id)
        return await self.unit.fetch_all(
            select(a.c.customer_id, lot.c.id.label("lot_id"), lot.c.wallet_id, w.c.programme_id, w.c.kind)
            .join_from(a, lot, and_(lot.c.tenant_id == a.c.tenant_id, earned))
            .join(w, and_(w.c.tenant_id == lot.c.tenant_id, w.c.id == lot.c.wallet_id))
            .where(self.mine(a), a.c.customer_id == any_(_uuids(loser_ids)), w.c.customer_id == winner_id)
            .order_by(a.c.customer_id, lot.c.id)
        )

    async def move_lots(self, wallet_of: Mapping[UUID, UUID]) -> None:
        """Put lots (lot → wallet) into other wallets, and the reviews about them; who calls books their points."""
        if wallet_of:
            await self._move(loyalty_lots, wallet_of)
            r, lot = loyalty_reviews, loyalty_lots
            await self.unit.execute(
                update(r)
                .where(self.mine(r), r.c.lot_id == any_(_uuids(wallet_of)))
                .where(lot.c.tenant_id == r.c.tenant_id, lot.c.id == r.c.lot_id)
                .values(wallet_id=lot.c.wallet_id)
            )

    async def _move(self, t: Table, wallet_of: Mapping[UUID, UUID]) -> None:
        if wallet_of:
            values = {_OWNER.key: self.unit.tenant_id, **_arrays("moved", ("id", "wallet_id"), list(wallet_of.items()))}
            await self.unit.execute(_update_rows(t, "id", ("wallet_id",), "moved"), values)

    async def rewire_accruals(self, customer_ids: Sequence[UUID]) -> None:
        """Let what orders earned name the wallet their lot is in."""
        a, lot = loyalty_accruals, loyalty_lots
        await self.unit.execute(
            update(a)
            .where(
                self.mine(a),
                a.c.customer_id == any_(_uuids(customer_ids)),
                lot.c.tenant_id == a.c.tenant_id,
                lot.c.id == a.c.lot_id,
                lot.c.wallet_id != a.c.wallet_id,
            )
            .values(wallet_id=lot.c.wallet_id)
        )

    async def lots(self, lot_ids: Sequence[UUID]) -> dict[UUID, Lot]:
        """Return lots by id, whoever has them."""
        t = loyalty_lots
        rows = await self.unit.fetch_all(select(*_LOT_COLUMNS).where(self.mine(t), t.c.id == any_(_uuids(lot_ids))))
        return {row["id"]: Lot(**dict(row)) for row in rows}

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

    # -- orders --------------------------------------------------------------------------------------------------------

    async def open_accruals(self, customer_of: Mapping[UUID, UUID]) -> dict[UUID, Accrual]:
        """Lock what is known of orders, beginning it for new ones; orders of customers that are not there are left out.

        Args:
            customer_of: order → customer.

        """
        wanted = sorted(customer_of)
        t, c = loyalty_accruals, customers
        names = ("order_id", "customer_id")
        rows = _rows(t, names, "new")
        # News may be older than a merge: then it names who the buyer was.
        buyer = func.coalesce(c.c.merged_into_id, c.c.id)
        known = rows.join(c, and_(c.c.tenant_id == _OWNER, c.c.id == rows.c.customer_id))
        made = select(_OWNER, rows.c.order_id, buyer).select_from(known).order_by(rows.c.order_id)
        await self.unit.execute(
            insert(t).from_select(["tenant_id", *names], made).on_conflict_do_nothing(),
            {
                _OWNER.key: self.unit.tenant_id,
                **_arrays("new", names, [(order_id, customer_of[order_id]) for order_id in wanted]),
            },
        )
        found = await self.unit.fetch_all(
            select(*(t.c[name] for name in _ACCRUAL))
            .where(self.mine(t), t.c.order_id == any_(_uuids(wanted)))
            .order_by(t.c.order_id)
            .with_for_update(key_share=True)
        )
        return {row["order_id"]: Accrual(**dict(row)) for row in found}

    async def buyers(self, order_ids: Iterable[UUID]) -> dict[UUID, UUID]:
        """Return whose these orders are now; those of nobody who is there any more are left out."""
        o, c = orders, customers
        rows = await self.unit.fetch_all(
            select(o.c.id, o.c.customer_id)
            .join_from(o, c, and_(c.c.tenant_id == o.c.tenant_id, c.c.id == o.c.customer_id))
            .where(self.mine(o), o.c.id == any_(_uuids(sorted(order_ids))), c.c.deleted_at.is_(None))
        )
        return {row["id"]: row["customer_id"] for row in rows}

    async def wallets_for(self, buyer_of: Mapping[UUID, UUID]) -> list[UUID]:
        """Make sure that buyers have wallets like those that orders (order → buyer) earned in; returns their ids."""
        named = self.unit.tenant_id, list(buyer_of), list(buyer_of.values())
        rows = await self.unit.connection.fetch(_WALLETS_FOR, *named)
        for kind in get_args(Kind):
            for programme_id in sorted({row["programme_id"] for row in rows if row["kind"] == kind}):
                alike = [row for row in rows if (row["programme_id"], row["kind"]) == (programme_id, kind)]
                await self.add_wallets(programme_id, [row["customer_id"] for row in alike], kind)
        return [row["id"] for row in await self.unit.connection.fetch(_WALLETS_FOR, *named)]

    # -- transactions --------------------------------------------------------------------------------------------------

    async def transaction(self, transaction_id: UUID) -> asyncpg.Record | None:
        """Return a transaction."""
        t = loyalty_transactions
        return await self.unit.fetch_one(
            select(
                t.c.id,
                _wallet_now(),
                t.c.type,
                t.c.points,
                t.c.order_id,
                t.c.sequence,
                t.c.wallet_id.label("booked_on"),
            ).where(self.by_id(transaction_id, t))
        )

    async def transaction_by_key(self, key: str) -> asyncpg.Record | None:
        """Return the transaction that has had the key's effect; ``taken`` is how many points it should take back."""
        t, e, r = loyalty_transactions, loyalty_entries, loyalty_reviews
        cancelled = select(e.c.points).where(self.mine(e), e.c.transaction_id == t.c.id, e.c.account == "cancelled")
        short = select(r.c.points).where(self.mine(r), r.c.id == t.c.id)
        parts = (func.coalesce(part.scalar_subquery(), 0) for part in (cancelled, short))
        return await self.unit.fetch_one(
            select(t.c.id, _wallet_now(), t.c.type, t.c.points, t.c.available_change, t.c.lot_id, t.c.hold_id)
            .add_columns(sum(parts, start=literal_column("0")).label("taken"))
            .where(self.mine(t), t.c.key == key)
        )

    async def is_reversed(self, transaction_id: UUID) -> bool:
        """Tell whether a redemption was undone."""
        t = loyalty_transactions
        found = await self.unit.fetch_value(select(t.c.id).where(self.mine(t), t.c.reverses_id == transaction_id))
        return found is not None

    async def movements(self, transaction_id: UUID) -> list[tuple[UUID, int]]:
        """Return what a transaction did to lots."""
        t = loyalty_lot_movements
        rows = await self.unit.fetch_all(
            select(t.c.lot_id, t.c.points).where(self.mine(t), t.c.transaction_id == transaction_id)
        )
        return [(row["lot_id"], row["points"]) for row in rows]

    async def openings(self, wallet_ids: Sequence[UUID]) -> dict[UUID, list[Opening]]:
        """Return the opening balances in locked wallets, the earliest first, and whether they were taken back."""
        rows = await self.unit.connection.fetch(_OPENINGS, self.unit.tenant_id, wallet_ids)
        found: dict[UUID, list[Opening]] = {}
        for row in rows:
            found.setdefault(row["wallet_id"], []).append(Opening(**dict(row)))
        return found

    async def book(self, wallets: Iterable[Wallet], accruals: Iterable[Accrual] = ()) -> None:
        """Write all that was booked on locked wallets, and what is now known of orders."""
        changed = [wallet for wallet in wallets if wallet.booked or wallet.touched]
        let_go = [gone for wallet in changed for gone in wallet.touched_let_go.values()]
        bookings = [booking for wallet in changed for booking in wallet.booked]
        lots = [lot for wallet in changed for lot in wallet.touched.values()]
        holds = [hold for wallet in changed for hold in wallet.touched_holds.values()]
        if holds:
            await self._book_holds(holds)
        rows: dict[str, tuple[tuple[str, ...], Sequence[Any]]] = {
            "wallets": (_WALLET, changed),
            "lots": (_LOT, [lot for lot in lots if lot.is_new]),
            "changes": (_LOT_CHANGE, [lot for lot in lots if not lot.is_new]),
            "accruals": (_ACCRUAL, list(accruals)),
        }
        values = {_OWNER.key: self.unit.tenant_id, **_columns_of(rows)}
        values |= _arrays("transactions", _TRANSACTION, [_transaction_row(each, self.unit.actor) for each in bookings])
        values |= _arrays("entries", _ENTRY, [(each.id, *entry) for each in bookings for entry in each.entries.items()])
        values |= _arrays(
            "movements", _MOVEMENT, [(each.id, *moved) for each in bookings for moved in each.movements.items()]
        )
        await self.unit.execute(_BOOK, values)
        await self._part_holds([hold for hold in holds if hold.parted])
        await self._ask([booking for booking in bookings if booking.review and booking.short])
        await self._note_let_go(let_go, {booking.id: booking for booking in bookings})
        for wallet in changed:
            for lot in wallet.touched.values():
                lot.is_new = False
            for hold in wallet.touched_holds.values():
                hold.is_new = hold.parted = False
            for gone in wallet.touched_let_go.values():
                gone.is_new = False
            wallet.booked, wallet.touched, wallet.touched_holds, wallet.touched_let_go = [], {}, {}, {}

    async def _book_holds(self, holds: Sequence[Hold]) -> None:
        new = [hold for hold in holds if hold.is_new]
        rows = {"holds": (_HOLD, new), "changes": (_HOLD_CHANGE, [hold for hold in holds if not hold.is_new])}
        parts = [(hold.id, n, part.lot_id, part.points) for hold in new for n, part in enumerate(hold.parts)]
        values = {_OWNER.key: self.unit.tenant_id, **_columns_of(rows), **_arrays("parts", _PART, parts)}
        await self.unit.execute(_BOOK_HOLDS, values)

    async def _part_holds(self, holds: Sequence[Hold]) -> None:
        """Let parts name the lots they have now."""
        t = loyalty_hold_parts
        for hold in holds:
            for place, part in enumerate(hold.parts):
                which = and_(self.mine(t), t.c.hold_id == hold.id, t.c.position == place)
                await self.unit.execute(update(t).where(which).values(lot_id=part.lot_id))

    async def _ask(self, bookings: Sequence[Transaction]) -> None:
        """Queue points that were not there for somebody to decide on."""
        await self.insert_many([_short_row(booking) for booking in bookings], loyalty_reviews)

    async def _note_let_go(self, let_go: Sequence[LetGo], bookings: Mapping[UUID, Transaction]) -> None:
        """Keep what was let go, and what came back of it."""
        r, rows = loyalty_reviews, []
        for gone in let_go:
            if gone.is_new:
                row = _short_row(bookings[gone.place.id])
                rows.append({**row, "state": "let_go", "decided_at": row["created_at"], "recovered": gone.recovered})
        await self.insert_many(rows, loyalty_reviews)
        for gone in let_go:
            if not gone.is_new:
                await self.unit.execute(
                    update(r)
                    .where(self.mine(r), r.c.id == gone.place.id)
                    .values(recovered=gone.recovered, version=r.c.version + 1, updated_at=func.now())
                )

    # -- at a moment ---------------------------------------------------------------------------------------------------

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

    async def booked_until(self, wallet_id: UUID, at: datetime) -> tuple[int, dict[str, int]]:
        """Return how many transactions a wallet has, and the sum of its entries by account up to and at a moment.

        Of one instant: whether something was booked since the wallet was read shows in the number.
        """
        w, t, e = loyalty_wallets, loyalty_transactions, loyalty_entries
        rows = await self.unit.fetch_all(
            select(w.c.sequence, e.c.account, cast(func.sum(e.c.points), BigInteger).label("points"))
            .select_from(
                w.outerjoin(t, and_(t.c.tenant_id == w.c.tenant_id, t.c.wallet_id == w.c.id, t.c.at <= at)).outerjoin(
                    e, and_(e.c.tenant_id == t.c.tenant_id, e.c.transaction_id == t.c.id)
                )
            )
            .where(self.mine(w), w.c.id == wallet_id)
            .group_by(w.c.sequence, e.c.account)
        )
        return rows[0]["sequence"], {row["account"]: row["points"] for row in rows if row["account"]}

    # -- proof ---------------------------------------------------------------------------------------------------------

    async def drift(self) -> list[dict[str, Any]]:
        """Return every wallet or lot whose stored state is not the replay of what was appended: always none."""
        wallets = await self.unit.fetch_all(_WALLET_DRIFT, {_OWNER.key: self.unit.tenant_id})
        lots = await self.unit.fetch_all(_LOT_DRIFT, {_OWNER.key: self.unit.tenant_id})
        return [dict(row) for row in (*wallets, *lots)]


def _short_row(booking: Transaction) -> dict[str, Any]:
    """Return the row of `loyalty_reviews` for what a transaction should have taken back and was not there."""
    return {
        "id": booking.id,
        "wallet_id": booking.wallet_id,
        "lot_id": booking.lot_id,
        "points": booking.short,
        "created_at": booking.at,
    }


def _columns_of(rows: Mapping[str, tuple[Sequence[str], Sequence[Any]]]) -> dict[str, Any]:
    """Return ``<prefix>_<name>`` → that attribute of all things of the prefix."""
    return {
        f"{prefix}_{name}": [getattr(thing, name) for thing in things]
        for prefix, (names, things) in rows.items()
        for name in names
    }


def _wallet_now() -> ColumnElement[Any]:
    """Return the wallet of a transaction: of who its customer became, if that was merged since."""
    t, was, now, c = loyalty_transactions, loyalty_wallets.alias("was"), loyalty_wallets.alias("now"), customers
    heir = (
        select(now.c.id)
        .join_from(was, c, and_(c.c.tenant_id == was.c.tenant_id, c.c.id == was.c.customer_id))
        .join(
            now,
            and_(
                now.c.tenant_id == was.c.tenant_id,
                now.c.customer_id == c.c.merged_into_id,
                now.c.programme_id == was.c.programme_id,
                now.c.kind == was.c.kind,
            ),
        )
        .where(was.c.tenant_id == t.c.tenant_id, was.c.id == t.c.wallet_id)
        .scalar_subquery()
    )
    return func.coalesce(heir, t.c.wallet_id).label("wallet_id")


def _uuids(ids: Iterable[UUID]) -> BindParameter[Any]:
    return bindparam(None, list(ids), type_=ARRAY(Uuid()))


def _sum_where(points: ColumnElement[Any], condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.coalesce(func.sum(points).filter(condition), 0)


def _wallet_drift() -> Select[Any]:
    w, t, e, lot, hold = loyalty_wallets, loyalty_transactions, loyalty_entries, loyalty_lots, loyalty_holds
    accounts = (_sum_where(e.c.points, e.c.account == account).label(account) for account in WALLET_ACCOUNTS)
    replay = (
        select(t.c.wallet_id, *accounts, func.sum(e.c.points).label("total"))
        .join_from(t, e, and_(e.c.tenant_id == t.c.tenant_id, e.c.transaction_id == t.c.id))
        .where(t.c.tenant_id == _OWNER)
        .group_by(t.c.wallet_id)
        .subquery("replay")
    )
    lots = (
        select(
            lot.c.wallet_id,
            *(_sum_where(lot.c.remaining, lot.c.state == state).label(state) for state in ("available", "pending")),
            func.sum(lot.c.held).label("held"),
        )
        .where(lot.c.tenant_id == _OWNER)
        .group_by(lot.c.wallet_id)
        .subquery("lots")
    )
    held = (
        select(hold.c.wallet_id, func.sum(hold.c.points).label("held"))
        .where(hold.c.tenant_id == _OWNER, hold.c.state == "open")
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
        .where(w.c.tenant_id == _OWNER, or_(*(func.coalesce(there, 0) != here for here, there in pairs)))
    )


def _lot_drift() -> Select[Any]:
    lot, moved, part, hold = loyalty_lots, loyalty_lot_movements, loyalty_hold_parts, loyalty_holds
    totals = (
        select(moved.c.lot_id, func.sum(moved.c.points).label("points"))
        .where(moved.c.tenant_id == _OWNER)
        .group_by(moved.c.lot_id)
        .subquery("totals")
    )
    held = (
        select(part.c.lot_id, func.sum(part.c.points).label("points"))
        .join(hold, and_(hold.c.tenant_id == part.c.tenant_id, hold.c.id == part.c.hold_id))
        .where(part.c.tenant_id == _OWNER, hold.c.state == "open")
        .group_by(part.c.lot_id)
        .subquery("held")
    )
    replayed = ((totals.c.points, lot.c.remaining), (held.c.points, lot.c.held))
    return (
        select(lot.c.id, literal_column("'lot'").label("kind"))
        .select_from(lot.outerjoin(totals, totals.c.lot_id == lot.c.id).outerjoin(held, held.c.lot_id == lot.c.id))
        .where(lot.c.tenant_id == _OWNER, or_(*(func.coalesce(there, 0) != here for there, here in replayed)))
    )


_WALLET_DRIFT = _wallet_drift()
_LOT_DRIFT = _lot_drift()


class ProgrammeRepository(Repository):
    """The programmes of one tenant."""

    table = loyalty_programmes

    async def lock_default(self) -> UUID | None:
        """Lock the default programme against another becoming it; returns its id, None when there is none."""
        t = loyalty_programmes
        found: UUID | None = await self.unit.fetch_value(
            select(t.c.id).where(self.mine(), t.c.is_default).with_for_update(key_share=True)
        )
        return found

    async def give_up_default(self, programme_id: UUID) -> None:
        """Let a programme be the default one no more."""
        await self.change(programme_id, {"is_default": False})

    async def has_wallets(self, programme_id: UUID) -> bool:
        """Tell whether anybody has points in a programme."""
        t = loyalty_wallets
        found = select(t.c.id).where(self.mine(t), t.c.programme_id == programme_id).limit(1)
        return await self.unit.fetch_value(found) is not None


class ReviewRepository(Repository):
    """What waits for somebody to decide on."""

    table = loyalty_reviews
