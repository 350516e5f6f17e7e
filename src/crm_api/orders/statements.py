"""The set-based statements of orders, in one place: SQL that says what it does better than an expression tree would.

Every statement takes the tenant as ``$1``. Rows are locked in key order, in the C collation, so that two writers of
the same rows wait for each other instead of dead-locking.
"""

from typing import Final

from crm_api.orders.tables import orders

STORED: Final = tuple(
    column.name for column in orders.c if column.name not in {"tenant_id", "created_at", "updated_at"}
)
"""The columns that rules look at."""

_BULK_TYPES: Final = {
    "id": "uuid",
    "customer_id": "uuid",
    "platform": "text",
    "external_id": "text",
    "status": "text",
    "currency": "text",
    "total_amount": "bigint",
    "discount_amount": "bigint",
    "shipping_amount": "bigint",
    "paid_amount": "bigint",
    "refunded_amount": "bigint",
    "placed_at": "timestamptz",
    "paid_at": "timestamptz",
    "completed_at": "timestamptz",
    "platform_version": "bigint",
    "platform_updated_at": "timestamptz",
    "reported_status": "text",
    "reported_refund_amount": "bigint",
    "paid_announced": "boolean",
    "channel": "text",
}
BULK: Final = tuple(_BULK_TYPES)
"""The columns a bulk write sets, in the order its statements take their arrays, from ``$2`` on."""

_ARRAYS: Final = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(_BULK_TYPES.values(), 2))
_COLUMNS: Final = ", ".join(BULK)

LOCK_MANY: Final = f"""
SELECT {", ".join(STORED)}
FROM orders
WHERE tenant_id = $1 AND platform = $2 AND external_id = ANY ($3::text[])
ORDER BY external_id COLLATE "C"
FOR NO KEY UPDATE
"""  # noqa: S608 - constants of this module
"""One platform at a time and no join: however wrong the statistics of a new tenant are, no plan is quadratic."""

INSERT_MANY: Final = f"""
INSERT INTO orders (tenant_id, {_COLUMNS})
SELECT $1, r.* FROM unnest({_ARRAYS}) AS r ({_COLUMNS})
ON CONFLICT (tenant_id, platform, external_id) DO NOTHING
RETURNING id
"""  # noqa: S608
"""Returns the ids that were inserted; a rival inserted the others."""

UPDATE_MANY: Final = f"""
UPDATE orders o
SET {", ".join(f"{name} = r.{name}" for name in BULK if name != "id")}, version = o.version + 1, updated_at = now()
FROM unnest({_ARRAYS}) AS r ({_COLUMNS})
WHERE o.tenant_id = $1 AND o.id = r.id AND o.id = ANY ($2::uuid[])
"""  # noqa: S608
"""The rows are locked already."""

LINES_OF: Final = """
SELECT * FROM order_lines WHERE tenant_id = $1 AND order_id = ANY ($2::uuid[]) ORDER BY order_id, position
"""
REMOVE_LINES: Final = "DELETE FROM order_lines WHERE tenant_id = $1 AND order_id = ANY ($2::uuid[])"
SET_CATEGORIES: Final = """
UPDATE orders o SET categories = ARRAY(
  SELECT DISTINCT l.category COLLATE "C" FROM order_lines l
  WHERE l.tenant_id = $1 AND l.order_id = o.id AND l.category <> '' ORDER BY 1)
WHERE o.tenant_id = $1 AND o.id = ANY ($2::uuid[])
"""

KEYS_OF: Final = "SELECT platform, external_id FROM orders WHERE tenant_id = $1 AND id = ANY ($2::uuid[])"

REMOVE_MANY: Final = (
    "DELETE FROM order_lines WHERE tenant_id = $1 AND order_id = ANY ($2::uuid[])",
    "DELETE FROM refunds WHERE tenant_id = $1 AND order_id = ANY ($2::uuid[])",
    "DELETE FROM orders WHERE tenant_id = $1 AND id = ANY ($2::uuid[])",
)

REFUNDS_OF: Final = """
SELECT id, order_id, external_id, amount FROM refunds WHERE tenant_id = $1 AND order_id = ANY ($2::uuid[])
"""
REFUNDS_BY_ID: Final = "SELECT id, order_id, amount FROM refunds WHERE tenant_id = $1 AND id = ANY ($2::uuid[])"
REMOVE_REFUNDS: Final = "DELETE FROM refunds WHERE tenant_id = $1 AND id = ANY ($2::uuid[])"

HASH_JOINS: Final = "SET LOCAL enable_nestloop = off"
ANY_JOINS: Final = "SET LOCAL enable_nestloop = on"
"""Around set-based joins: with the statistics of a new tenant ("one row") nested loops would take seconds."""

LOCK_FACTS: Final = """
INSERT INTO customer_purchase_facts (tenant_id, customer_id)
SELECT $1, wanted.id FROM unnest($2::uuid[]) AS wanted (id) ORDER BY wanted.id
ON CONFLICT (tenant_id, customer_id) DO UPDATE SET order_count = 0 WHERE false
"""
"""Makes missing rows and locks the others without writing them: DO UPDATE locks the row before it looks at WHERE.

Facts are added up only after this, by a statement of its own: it then sees the orders of every writer that held the
lock before, so no order is ever missed.
"""

REFRESH_FACTS: Final = """
WITH tenant AS (
  SELECT currency, time_zone FROM tenants WHERE tenant_id = $1
),
mine AS MATERIALIZED (
  SELECT customer_id, currency, placed_at, paid_amount, paid_amount - refunded_amount AS kept_amount, categories,
         status <> 'cancelled' AS counts,
         status IN ('paid', 'shipped', 'completed') AS bought,
         status IN ('paid', 'shipped', 'completed', 'refunded') AS paid
  FROM orders
  WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])
),
sums AS MATERIALIZED (
  SELECT customer_id, currency,
         count(*) FILTER (WHERE counts) AS orders,
         count(*) FILTER (WHERE bought) AS purchases,
         min(placed_at) FILTER (WHERE bought) AS first_at,
         max(placed_at) FILTER (WHERE bought) AS last_at,
         coalesce(sum(paid_amount) FILTER (WHERE paid), 0) AS gross,
         coalesce(sum(kept_amount) FILTER (WHERE paid), 0) AS net,
         round(avg(kept_amount) FILTER (WHERE bought)) AS average
  FROM mine
  GROUP BY customer_id, currency
),
-- The tenant's own currency when the customer bought in it, else the one most purchases are in.
chosen AS (
  SELECT DISTINCT ON (customer_id) customer_id, sums.currency, gross, net, average, purchases
  FROM sums, tenant
  ORDER BY customer_id, (purchases > 0 AND sums.currency = tenant.currency) DESC, purchases DESC,
           (sums.currency = tenant.currency) DESC, sums.currency COLLATE "C"
),
totals AS (
  SELECT customer_id, sum(orders) AS orders, sum(purchases) AS purchases,
         min(first_at) AS first_at, max(last_at) AS last_at
  FROM sums
  GROUP BY customer_id
),
-- Two purchases on one day are two purchases and one visit: gaps lie between days.
gaps AS (
  SELECT customer_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY gap) AS median
  FROM (
    SELECT customer_id, day - lag(day) OVER (PARTITION BY customer_id ORDER BY day) AS gap
    FROM (
      SELECT DISTINCT customer_id, (placed_at AT TIME ZONE tenant.time_zone)::date AS day
      FROM mine, tenant
      WHERE bought
    ) AS days
  ) AS steps
  WHERE gap IS NOT NULL
  GROUP BY customer_id
),
tastes AS (
  SELECT customer_id, array_agg(category ORDER BY place) AS categories
  FROM (
    SELECT customer_id, category,
           row_number() OVER (PARTITION BY customer_id ORDER BY count(*) DESC, category COLLATE "C") AS place
    FROM mine, unnest(categories) AS category
    WHERE bought
    GROUP BY customer_id, category
  ) AS ranked
  WHERE place <= 3
  GROUP BY customer_id
)
UPDATE customer_purchase_facts AS f
SET order_count = coalesce(totals.orders, 0),
    paid_order_count = coalesce(totals.purchases, 0),
    first_order_at = totals.first_at,
    last_order_at = totals.last_at,
    currency = coalesce(chosen.currency, tenant.currency),
    gross_spend_amount = coalesce(chosen.gross, 0),
    net_spend_amount = coalesce(chosen.net, 0),
    average_order_amount = chosen.average,
    other_currency_order_count = coalesce(totals.purchases - chosen.purchases, 0),
    median_gap_days = gaps.median,
    favourite_categories = coalesce(tastes.categories, '{}'),
    next_expected_at = totals.last_at + gaps.median * interval '1 day',
    updated_at = now()
FROM unnest($2::uuid[]) AS wanted (id)
CROSS JOIN tenant
LEFT JOIN totals ON totals.customer_id = wanted.id
LEFT JOIN chosen ON chosen.customer_id = wanted.id
LEFT JOIN gaps ON gaps.customer_id = wanted.id
LEFT JOIN tastes ON tastes.customer_id = wanted.id
WHERE f.tenant_id = $1 AND f.customer_id = wanted.id AND f.customer_id = ANY ($2::uuid[])
"""
