"""What points, programmes, wallets, lots, holds and reviews look like."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Double, FromClause, Uuid, and_, any_, cast, func, select

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
from crm_api.loyalty.programmes import Kind
from crm_api.loyalty.tables import (
    loyalty_accounts,
    loyalty_holds,
    loyalty_lots,
    loyalty_programmes,
    loyalty_reviews,
    loyalty_transactions,
    loyalty_wallets,
)


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
