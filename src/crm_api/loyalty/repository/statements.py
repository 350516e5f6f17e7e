"""What the statements of the ledger share: columns of its tables, and rows fed as one array per column."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, BindParameter, Table, Uuid, bindparam, func

from crm_api.db.compile import DIALECT
from crm_api.db.rows import rows_sql, rows_values
from crm_api.db.uow import UnitOfWork

Rows = Sequence[Sequence[Any]]

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


def arrays(prefix: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """Return the parameters of `derived_rows`, of rows with these columns."""
    return {f"{prefix}_{name}": [row[index] for row in rows] for index, name in enumerate(names)}


class Write(NamedTuple):
    """An INSERT of rows, or an UPDATE of them.

    Attributes:
        table: theirs.
        columns: what each row gives, in order; an UPDATE finds it by the first.
        updates: whether it is an UPDATE.
        also: what an UPDATE sets besides.

    """

    table: Table
    columns: tuple[str, ...]
    updates: bool = False
    also: str = ""

    def sql(self, first: int, *, one: bool) -> str:
        """Return it with the tenant as $1 and the rows from this parameter on."""
        kinds = {name: self.table.c[name].type.compile(DIALECT) for name in self.columns}
        name, rows = self.table.name, rows_sql(kinds, first, one=one)
        if not self.updates:
            return f"INSERT INTO {name} (tenant_id, {', '.join(kinds)}) SELECT $1, given.* FROM {rows}"  # noqa: S608
        key, *others = kinds
        changes = ", ".join(f"{other} = given.{other}" for other in others)
        return f"UPDATE {name} t SET {changes}{self.also} FROM {rows} WHERE t.tenant_id = $1 AND t.{key} = given.{key}"  # noqa: S608


@cache
def _writing(shape: tuple[tuple[Write, bool], ...]) -> str:
    """Return all writes as one statement; each is of one row or of more."""
    parts, first = [], 2
    for number, (write, one) in enumerate(shape):
        parts.append(f"write_{number} AS ({write.sql(first, one=one)})")
        first += len(write.columns)
    return f"WITH {', '.join(parts)} SELECT"


async def write_rows(unit: UnitOfWork, given: Iterable[tuple[Write, Rows]]) -> None:
    """Do all writes that have rows in one statement; foreign keys are checked at its end, so their order is free."""
    written = [(write, rows) for write, rows in given if rows]
    if written:
        sql = _writing(tuple((write, len(rows) == 1) for write, rows in written))
        await unit.send(sql, [unit.tenant_id, *(value for _, rows in written for value in rows_values(rows))])


def rows_of(write: Write, things: Iterable[Any]) -> Rows:
    """Return things as rows: their attributes are called like the columns."""
    return [[getattr(thing, name) for name in write.columns] for thing in things]


def uuids(ids: Iterable[UUID]) -> BindParameter[Any]:
    """Return ids as one parameter."""
    return bindparam(None, list(ids), type_=ARRAY(Uuid()))
