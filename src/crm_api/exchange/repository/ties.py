"""What keeps an imported row from being taken back: others that hang on it, others that have changed it."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final
from uuid import UUID

from crm_api.core.errors import FieldError
from crm_api.core.undo import Entry
from crm_api.customers.service import CustomerBulkService
from crm_api.db.ownership import everything
from crm_api.db.schema import metadata
from crm_api.db.uow import UnitOfWork

Tie = tuple[str, str]
"""A table, and its column that refers to the row."""

_NOT_A_TIE: Final = frozenset({"loyalty_accruals"})
"""What the ledger knows of an order stays when the order goes."""

_OWN_PARTS: Final = frozenset(
    {"contact_points", "customer_identities", "customer_tags", "customer_search_keys", "customer_addresses"}
)
"""Parts of the customer itself: whoever changes them leaves a trace in the audit log."""

_TOUCHED: Final = """
SELECT DISTINCT subject_id FROM audit_log
WHERE tenant_id = $1 AND subject_id = ANY ($2::uuid[]) AND request_id <> $3
  AND (subject_type = $4 OR operation IN ('points.adjusted', 'points.redeemed'))
"""


_MERGED: Final = """
SELECT id FROM customers WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) AND merged_into_id IS NOT NULL
"""


@cache
def ties_of(table: str, ignored: frozenset[str]) -> tuple[Tie, ...]:
    """Return what may refer to a table's rows."""
    if table == "customers":
        return tuple(
            (each.table.name, each.column)
            for each in everything()
            if each.through is None
            and each.on_merge != "stay"
            and each.table.name not in _OWN_PARTS | _NOT_A_TIE | ignored
        )
    return tuple(
        (child.name, key.parent.name)
        for child in metadata.tables.values()
        for key in child.foreign_keys
        if key.target_fullname == f"{table}.id" and child.name not in ignored
    )


async def obstacles(
    unit: UnitOfWork, subject: str, table: str, ids: Sequence[UUID], ignored: frozenset[str] = frozenset()
) -> dict[UUID, FieldError]:
    """Return why rows that this import made must stay, for those that must.

    Args:
        unit: whose actor's request id is the import's own.
        subject: type of the rows, as the audit log names it.
        table: theirs.
        ids: of rows the import made.
        ignored: tables that do not count.

    """
    if not ids:
        return {}
    found: dict[UUID, FieldError] = {}
    fetch = unit.connection.fetch
    for child, column in ties_of(table, ignored):
        rows = await fetch(_tied(child, column), unit.tenant_id, ids)
        found |= {row[0]: _in_use(child) for row in rows}
    merged = await fetch(_MERGED, unit.tenant_id, ids) if table == "customers" else []
    found |= {row[0]: MERGED_SINCE for row in merged}
    rows = await fetch(_TOUCHED, unit.tenant_id, ids, unit.actor.request_id, subject)
    return {row[0]: _TOUCHED_SINCE for row in rows} | found


@cache
def _tied(table: str, column: str) -> str:
    return f'SELECT DISTINCT "{column}" FROM "{table}" WHERE tenant_id = $1 AND "{column}" = ANY ($2::uuid[])'  # noqa: S608


def _in_use(table: str) -> FieldError:
    what = table.replace("_", " ")
    return FieldError("", "in_use", f"It is kept because {what} refer to it", f"有其他数据（{what}）引用该记录，已保留")


MERGED_SINCE: Final = FieldError(
    "", "merged_since", "It was merged into another customer: undo the merge first", "该客户已被合并：请先撤销合并"
)
_TOUCHED_SINCE: Final = FieldError(
    "", "changed_since", "It was changed after the import and is left as it is", "导入后已被修改，保持现状"
)


async def remove_customers(unit: UnitOfWork, ids: Iterable[UUID]) -> None:
    """Take back customers that were made beside the rows, unless something hangs on them."""
    wanted = sorted(set(ids))
    kept: Mapping[UUID, FieldError] = await obstacles(unit, "Customer", "customers", wanted)
    free = [Entry(each, created=True, journal={}) for each in wanted if each not in kept]
    if free:
        await CustomerBulkService(unit).undo_many(free)
