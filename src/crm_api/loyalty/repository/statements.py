"""What the statements of the ledger share: columns of its tables, and rows fed as one array per column."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, BindParameter, Insert, Table, Update, Uuid, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

OWNER: Final = bindparam("owner", type_=Uuid())
"""The tenant; a parameter of an INSERT may not be called like a column."""

# What is both loaded and written: columns, and attributes of the same names.
WALLET_ROW = ("id", "available", "pending", "held", "debt", "sequence")
LOT_ROW = (
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
ACCRUAL_ROW = (
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


def derived_rows(table: Table, names: Sequence[str], prefix: str) -> Any:
    """Return a derived table fed by one array per column; the parameters are named ``<prefix>_<column>``."""
    values = [bindparam(f"{prefix}_{name}", type_=ARRAY(table.c[name].type)) for name in names]
    return func.unnest(*values).table_valued(*names, name=prefix).render_derived()


def insert_rows(table: Table, names: Sequence[str], prefix: str) -> Insert:
    """Return the INSERT of `derived_rows`."""
    rows = derived_rows(table, names, prefix)
    return insert(table).from_select(["tenant_id", *names], select(OWNER, *(rows.c[name] for name in names)))


def update_rows(table: Table, key: str, names: Sequence[str], prefix: str, **also: Any) -> Update:
    """Return the UPDATE that sets ``names`` by `derived_rows`, found by ``key``; and ``also`` these, in every row."""
    rows = derived_rows(table, (key, *names), prefix)
    return (
        update(table)
        .where(table.c.tenant_id == OWNER, table.c[key] == rows.c[key])
        .values({**{name: rows.c[name] for name in names}, **also})
    )


def arrays(prefix: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """Return the parameters of `derived_rows`, of rows with these columns."""
    return {f"{prefix}_{name}": [row[index] for row in rows] for index, name in enumerate(names)}


def columns_of(rows: Mapping[str, tuple[Sequence[str], Sequence[Any]]]) -> dict[str, Any]:
    """Return the parameters of `derived_rows`: ``<prefix>_<name>`` → that attribute of all things of the prefix."""
    return {
        f"{prefix}_{name}": [getattr(thing, name) for thing in things]
        for prefix, (names, things) in rows.items()
        for name in names
    }


def uuids(ids: Iterable[UUID]) -> BindParameter[Any]:
    """Return ids as one parameter."""
    return bindparam(None, list(ids), type_=ARRAY(Uuid()))
