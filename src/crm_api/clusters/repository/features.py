"""The values of features, as one statement per chunk of customers.

A statement reads only the tables that the chosen features come from. Names of features never become part of it: each
has its expression here, and attributes' keys travel as values.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from crm_api.attributes.models import PREFIX
from crm_api.clusters.features import RECENT_DAYS, Feature
from crm_api.db.uow import UnitOfWork

_BOUGHT = "o.status IN ('paid', 'shipped', 'completed')"

# $1 tenant, $2 customers of the chunk, $3 the moment, $4 the currency, from $5 on keys of attributes.
_SOURCES: Final[Mapping[str, str]] = {
    "facts": "LEFT JOIN customer_purchase_facts f ON f.tenant_id = $1 AND f.customer_id = c.id",
    "orders": f"""
LEFT JOIN (
  SELECT o.customer_id,
    count(*) FILTER (WHERE {_BOUGHT} AND o.placed_at >= $3::timestamptz - interval '{RECENT_DAYS} days') AS recent,
    sum(o.discount_amount) FILTER (WHERE {_BOUGHT} AND o.currency = $4) AS discount,
    sum(o.total_amount + o.discount_amount) FILTER (WHERE {_BOUGHT} AND o.currency = $4) AS price,
    sum(o.refunded_amount) FILTER (WHERE o.currency = $4) AS refunded,
    sum(o.paid_amount) FILTER (WHERE o.currency = $4) AS paid
  FROM orders o
  WHERE o.tenant_id = $1 AND o.customer_id = ANY ($2::uuid[]) AND o.placed_at < $3
  GROUP BY o.customer_id
) o ON o.customer_id = c.id""",  # noqa: S608 - constants of this module
    "categories": f"""
LEFT JOIN (
  SELECT o.customer_id, count(DISTINCT category) AS number
  FROM orders o, unnest(o.categories) AS category
  WHERE o.tenant_id = $1 AND o.customer_id = ANY ($2::uuid[]) AND o.placed_at < $3 AND {_BOUGHT}
  GROUP BY o.customer_id
) k ON k.customer_id = c.id""",  # noqa: S608
    "events": f"""
LEFT JOIN (
  SELECT e.customer_id, count(*) AS number
  FROM events e
  WHERE e.tenant_id = $1 AND e.customer_id = ANY ($2::uuid[]) AND e.occurred_at < $3
    AND e.occurred_at >= $3::timestamptz - interval '{RECENT_DAYS} days'
  GROUP BY e.customer_id
) e ON e.customer_id = c.id""",  # noqa: S608
    "interactions": """
LEFT JOIN (
  SELECT i.customer_id, count(*) AS number
  FROM interactions i WHERE i.tenant_id = $1 AND i.customer_id = ANY ($2::uuid[]) AND i.occurred_at < $3
  GROUP BY i.customer_id
) i ON i.customer_id = c.id""",
    "complaints": """
LEFT JOIN (
  SELECT p.customer_id, count(*) AS number
  FROM complaints p
  WHERE p.tenant_id = $1 AND p.customer_id = ANY ($2::uuid[]) AND p.received_at < $3 AND p.kind = 'complaint'
  GROUP BY p.customer_id
) p ON p.customer_id = c.id""",
    "wallets": """
LEFT JOIN (
  SELECT w.customer_id, sum(w.available) AS available
  FROM loyalty_wallets w WHERE w.tenant_id = $1 AND w.customer_id = ANY ($2::uuid[]) AND w.kind = 'spendable'
  GROUP BY w.customer_id
) w ON w.customer_id = c.id""",
}


class _Value(NamedTuple):
    """Where a feature's value comes from."""

    sql: str
    source: str | None = None


def _days_since(moment: str) -> str:
    # Whole days of 24 hours; what happened since then counts as then. (greatest() would make 0 of what is missing.)
    days = f"greatest(0, floor(extract(epoch FROM $3::timestamptz - {moment}) / 86400))"
    return f"CASE WHEN {moment} IS NOT NULL THEN {days} END"


_VALUES: Final[Mapping[str, _Value]] = {
    "recency_days": _Value(_days_since("f.last_order_at"), "facts"),
    "order_count": _Value("coalesce(f.paid_order_count, 0)", "facts"),
    "orders_90d": _Value("coalesce(o.recent, 0)", "orders"),
    # Of somebody who never bought it is nothing, in whatever currency.
    "net_spend": _Value(
        "CASE WHEN f.currency = $4 THEN f.net_spend_amount WHEN coalesce(f.paid_order_count, 0) = 0 THEN 0 END", "facts"
    ),
    "average_order_value": _Value("CASE WHEN f.currency = $4 THEN f.average_order_amount END", "facts"),
    "tenure_days": _Value(_days_since("f.first_order_at"), "facts"),
    "gap_days": _Value("f.median_gap_days", "facts"),
    "category_count": _Value("coalesce(k.number, 0)", "categories"),
    "discount_share": _Value("o.discount::float8 / nullif(o.price, 0)", "orders"),
    "refund_share": _Value("o.refunded::float8 / nullif(o.paid, 0)", "orders"),
    "events_90d": _Value("coalesce(e.number, 0)", "events"),
    "interaction_count": _Value("coalesce(i.number, 0)", "interactions"),
    "complaint_count": _Value("coalesce(p.number, 0)", "complaints"),
    "points": _Value("coalesce(w.available, 0)", "wallets"),
    "age_years": _Value("extract(year FROM $3::timestamptz) - c.birth_year"),
    "known_days": _Value(_days_since("c.created_at")),
}


def _of_attribute(feature: Feature, place: int) -> _Value:
    value = f"c.attributes -> ${place}::text"
    if feature.kind == "money":
        return _Value(
            f"CASE WHEN jsonb_typeof({value} -> 'amount') = 'number' AND {value} ->> 'currency' = $4 "
            f"THEN ({value} ->> 'amount')::float8 END"
        )
    return _Value(f"CASE WHEN jsonb_typeof({value}) = 'number' THEN (c.attributes ->> ${place}::text)::float8 END")


def statement(features: Sequence[Feature]) -> tuple[str, list[str]]:
    """Return the statement that reads features, a column each after the id, and the keys of attributes among them."""
    keys = [each.name.removeprefix(PREFIX) for each in features if each.name.startswith(PREFIX)]
    found = [
        _of_attribute(each, 5 + keys.index(each.name.removeprefix(PREFIX)))
        if each.name.startswith(PREFIX)
        else _VALUES[each.name]
        for each in features
    ]
    columns = "".join(f",\n  ({each.sql})::float8 AS v{place}" for place, each in enumerate(found))
    sources = {each.source for each in found if each.source is not None}
    joins = "\n".join(sql for name, sql in _SOURCES.items() if name in sources)
    # Named even where no feature needs it, so that every parameter has a type.
    sql = f"""
SELECT c.id{columns}
FROM customers c {joins}
WHERE c.tenant_id = $1 AND c.id = ANY ($2::uuid[]) AND $3::timestamptz IS NOT NULL AND ($4::text IS NULL OR true)
ORDER BY c.id
"""  # noqa: S608 - constants of this module
    return sql, keys


async def read_values(
    unit: UnitOfWork, features: Sequence[Feature], ids: Sequence[UUID], as_of: datetime, currency: str | None
) -> list[asyncpg.Record]:
    """Return id and values of some customers, in the order of their ids; amounts in minor units.

    Args:
        unit: where to read.
        features: which values.
        ids: of whom; all exist.
        as_of: the moment days are counted from.
        currency: of amounts.

    """
    sql, keys = statement(features)
    values: list[Any] = [unit.tenant_id, list(ids), as_of, currency, *keys]
    rows: list[asyncpg.Record] = await unit.connection.fetch(sql, *values)
    return rows
