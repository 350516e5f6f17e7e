"""One plausible row in every table of the schema, for tests that must not forget a table."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, Column, Table, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import BigInteger, Boolean, Date, DateTime, Float, Integer, LargeBinary, Numeric, String

import crm_api.registry  # noqa: F401 - loads every table
from crm_api.db.compile import compile_statement
from crm_api.db.schema import metadata

_TIERS = {
    "metric": "paid_orders",
    "window": "lifetime",
    "at_expiry": "one_down",
    "tiers": [{"code": "gold", "threshold": 1, "multiplier": 2, "name": {"en": "Gold", "zh": "金卡"}, "benefits": []}],
}
SPECIAL: dict[str, dict[str, Any]] = {
    "calendars": {"time_zone": "Asia/Shanghai"},
    # Nobody has it, so that it is seen to wait in the queue.
    "complaints": {"assignee_id": None},
    "complaint_messages": {"direction": "in", "channel": "call"},
    "complaint_products": {"sku": "x"},
    "complaint_settings": {"reopen_days": 30, "close_after_days": 14},
    "corrective_actions": {"done_by": None, "verified_by": None},
    "clusterings": {"min_k": 2, "max_k": 2},
    "event_settings": {"retention_days": 400},
    "events": {"device_id": "d"},
    "customers": {"merged_into_id": None},
    "loyalty_transactions": {"type": "hold", "reverses_id": None},
    "follow_ups": {"result": None, "closed_at": None},
    "household_settings": {"stage_codes": ["x"], "stage_months": [0]},
    "pattern_settings": {
        "half_life_days": 180,
        "min_purchase_days": 3,
        "coverage_percent": 80,
        "high_percent": 2,
        "min_baskets": 2,
    },
    "referral_codes": {"code": "CODE-1"},
    "segments": {"rule": {}},
    "shifts": {"ends_at": datetime(2026, 1, 2, tzinfo=UTC)},
    "segment_log": {"sequence": 1},
    "scoring_settings": {"active_days": 1, "dormant_days": 2, "loyal_purchases": 2},
    "tier_schemes": {"rules": _TIERS},
    "tier_scheme_versions": {"rules": _TIERS},
    "voucher_campaigns": {"amount_off": 1, "currency": "CNY"},
    "vouchers": {"issued_at": datetime(2026, 1, 1, tzinfo=UTC)},
    "voucher_redemptions": {"session_id": "x", "locked_until": datetime(2026, 1, 1, tzinfo=UTC)},
    "compensations": {"kind": "voucher", "state": "proposed"},
    "approval_limits": {"key_id": None},
    "rewards": {"kind": "voucher", "stock": 1, "taken": 0},
    "privacy_settings": {"erasure_waiting_days": 7, "export_keep_days": 7},
}
"""Values that constraints demand and no type tells."""


def tenant_tables() -> list[Table]:
    """Return every table that belongs to tenants, parents first."""
    return [table for table in metadata.sorted_tables if "tenant_id" in table.c]


def _choice(table: Table, column: Column[Any]) -> str | None:
    """Return the first value a CHECK (… IN (…)) allows."""
    for constraint in table.constraints:
        if isinstance(constraint, CheckConstraint):
            found = re.search(rf"\b{column.name}\s+IN\s*\('([^']+)'", str(constraint.sqltext), re.IGNORECASE)
            if found:
                return found[1]
    return None


_SAMPLES: tuple[tuple[type | tuple[type, ...], Callable[[UUID], Any]], ...] = (
    (Uuid, lambda row_id: row_id),
    (Boolean, lambda _: False),
    ((BigInteger, Float, Integer, Numeric), lambda _: 1),
    (DateTime, lambda _: datetime(2026, 1, 1, tzinfo=UTC)),
    (Date, lambda _: date(2026, 1, 1)),
    (LargeBinary, lambda row_id: row_id.bytes),
    (JSONB, lambda _: {}),
    (ARRAY, lambda _: []),
)


def _value(table: Table, column: Column[Any], row_id: UUID) -> Any:
    if isinstance(column.type, String):
        return _choice(table, column) or f"x{row_id.hex[-6:]}"
    for kind, sample in _SAMPLES:
        if isinstance(column.type, kind):
            return sample(row_id)
    raise NotImplementedError(f"{table.name}.{column.name}: {column.type!r}")


def row_for(table: Table, tenant_id: UUID) -> dict[str, Any]:
    """Return a row whose every id, own or referred to, is the tenant's: all foreign keys meet."""
    row = {"tenant_id": tenant_id}
    referring = {key.parent.name for constraint in table.foreign_key_constraints for key in constraint.elements} - {
        "tenant_id"
    }
    for column in table.c:
        needed = not column.nullable and column.server_default is None and column.identity is None
        if column.name != "tenant_id" and column.computed is None and (needed or column.name in referring):
            row[column.name] = _value(table, column, tenant_id)
    return row | SPECIAL.get(table.name, {})


async def fill_every_table(connection: Any, tenant_id: UUID) -> None:
    """Insert the rows, as the tables' owner; the tenant itself exists already."""
    async with connection.transaction():
        await connection.execute("SET CONSTRAINTS ALL DEFERRED")
        for table in tenant_tables():
            if table.name == "tenants":
                continue
            sql, values = compile_statement(table.insert(), row_for(table, tenant_id))
            await connection.execute(sql + " ON CONFLICT DO NOTHING", *values)
        # The ledger refuses a transaction whose entries do not sum to zero.
        await connection.execute(
            "INSERT INTO loyalty_entries (tenant_id, transaction_id, account, points) VALUES ($1, $1, 'issued', -1)",
            tenant_id,
        )
