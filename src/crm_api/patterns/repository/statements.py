"""The set-based statements of patterns. Every one takes the tenant as ``$1``; formulas: docs/domains/patterns.md.

Statements about customers take their ids as ``$2`` and run with nested loops switched off: with the statistics of a
new tenant ("one row") the planner would compare every customer with every other. Rows of lines and products are
therefore looked up by LATERAL sub-selects that ``OFFSET 0`` keeps whole: one look into an index each, whatever the
statistics say.
"""

from typing import Final

from crm_api.patterns.rules import BOUGHT, CART_WEIGHT, MAX_FAVOURITES, MAX_INTERESTS

_BOUGHT: Final = "({})".format(", ".join(f"'{status}'" for status in BOUGHT))

HASH_JOINS: Final = "SET LOCAL enable_nestloop = off"
ANY_JOINS: Final = "SET LOCAL enable_nestloop = on"

LOCK: Final = """
INSERT INTO customer_patterns (tenant_id, customer_id)
SELECT $1, c.id FROM customers c
WHERE c.tenant_id = $1 AND c.id = ANY ($2::uuid[]) AND c.deleted_at IS NULL ORDER BY c.id
ON CONFLICT (tenant_id, customer_id) DO UPDATE SET lines = 0 WHERE false
"""
"""Makes missing rows of living customers and locks the others without writing them, as purchase facts are locked."""

LOCKED: Final = """
SELECT p.customer_id FROM customer_patterns p
JOIN customers c ON c.tenant_id = p.tenant_id AND c.id = p.customer_id
WHERE p.tenant_id = $1 AND p.customer_id = ANY ($2::uuid[]) AND c.deleted_at IS NULL
"""

_PURCHASES: Final = f"""
zone AS (SELECT time_zone FROM tenants WHERE tenant_id = $1),
chosen AS MATERIALIZED (
  SELECT customer_id, currency FROM customer_purchase_facts WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])
),
bought AS MATERIALIZED (
  SELECT o.id, o.customer_id, o.placed_at, (o.placed_at AT TIME ZONE zone.time_zone)::date AS day,
         o.currency = chosen.currency AS main, o.paid_amount - o.refunded_amount AS value,
         o.total_amount - o.shipping_amount AS goods, o.discount_amount AS discount
  FROM orders o CROSS JOIN zone LEFT JOIN chosen ON chosen.customer_id = o.customer_id
  WHERE o.tenant_id = $1 AND o.customer_id = ANY ($2::uuid[]) AND o.status IN {_BOUGHT}
),
-- What of a position was kept; `cut` is its own discount.
lines AS MATERIALIZED (
  SELECT b.id AS order_id, b.customer_id, b.placed_at, b.main, l.category, l.amount,
         greatest(l.unit_price_amount::numeric * l.quantity - l.amount, 0) AS cut,
         round(l.amount::numeric * (l.quantity - l.refunded_quantity) / l.quantity) AS value,
         l.quantity > l.refunded_quantity AS kept
  FROM bought b CROSS JOIN LATERAL (
    SELECT category, amount, unit_price_amount, quantity, refunded_quantity FROM order_lines
    WHERE tenant_id = $1 AND order_id = b.id OFFSET 0
  ) AS l
)
"""  # noqa: S608 - constants of this module

_FIGURES: Final = {
    "settings_revision": "$3::int",
    "purchases": "coalesce(v.purchases, 0)",
    "purchase_days": "coalesce(d.days, 0)",
    "currency": "chosen.currency",
    "median_value_amount": "v.middle[2]",
    "low_value_amount": "v.middle[1]",
    "high_value_amount": "v.middle[3]",
    "cycle_days": "g.middle[2]",
    "cycle_low_days": "g.middle[1]",
    "cycle_high_days": "g.middle[3]",
    "cycle_dispersion": "(g.middle[3] - g.middle[1]) / nullif(g.middle[3] + g.middle[1], 0)",
    "next_purchase_expected": "d.last + round(g.middle[2]::numeric)::int",
    "next_purchase_from": "d.last + g.gaps[g.j]",
    "next_purchase_to": "d.last + g.gaps[g.n + 1 - g.j]",
    "next_purchase_coverage": "(g.n + 1 - 2 * g.j)::float8 / (g.n + 1)",
    "lines": "coalesce(p.lines, 0)",
    "discounted_line_share": "round(p.cut_lines::numeric / nullif(p.lines, 0), 6)::float8",
    "discounted_spend_share": "round(p.cut_spend / nullif(p.spend, 0), 6)::float8",
    "price_sensitivity": """
      CASE WHEN g.n IS NULL OR coalesce(p.spend, 0) = 0 THEN NULL
           WHEN p.cut_spend * 100 >= p.spend * $7::int THEN 'high'
           WHEN p.cut_spend * 100 >= p.spend * $6::int THEN 'medium'
           ELSE 'low' END""",
}

REFRESH_FIGURES: Final = f"""
WITH {_PURCHASES},
-- Quartiles by linear interpolation (type 7 of Hyndman & Fan 1996), in minor units rounded half up.
amounts AS (
  SELECT customer_id, count(*)::int AS purchases,
         percentile_cont('{{0.25,0.5,0.75}}'::float8[]) WITHIN GROUP (ORDER BY value) FILTER (WHERE main) AS middle
  FROM bought GROUP BY customer_id
),
v AS (
  SELECT customer_id, purchases,
         ARRAY(SELECT round(each::numeric)::bigint FROM unnest(middle) WITH ORDINALITY AS m (each, at) ORDER BY at)
           AS middle
  FROM amounts
),
days AS (SELECT DISTINCT customer_id, day FROM bought),
steps AS (
  SELECT customer_id, day, day - lag(day) OVER (PARTITION BY customer_id ORDER BY day) AS gap FROM days
),
d AS (SELECT customer_id, count(*)::int AS days, max(day) AS last FROM steps GROUP BY customer_id),
g AS (
  SELECT customer_id, n, gaps, middle, greatest(1, (n + 1) * (100 - $5::int) / 200) AS j
  FROM (
    SELECT customer_id, count(gap)::int AS n, array_agg(gap ORDER BY gap) FILTER (WHERE gap IS NOT NULL) AS gaps,
           percentile_cont('{{0.25,0.5,0.75}}'::float8[]) WITHIN GROUP (ORDER BY gap) AS middle
    FROM steps GROUP BY customer_id HAVING count(*) >= $4::int
  ) AS enough
),
-- An order's own discount is on every line of it, unless it merely adds up what the lines say themselves.
whole AS (SELECT order_id, sum(cut) AS cut, sum(amount) AS amount FROM lines GROUP BY order_id),
priced AS (
  SELECT b.customer_id, b.main, l.value,
         l.cut > 0 OR (b.discount > 0 AND (b.discount > whole.cut OR b.goods < whole.amount)) AS cheaper
  FROM lines l JOIN bought b ON b.id = l.order_id JOIN whole ON whole.order_id = l.order_id
  WHERE l.kept
  UNION ALL
  -- An order that came without its lines is one line.
  SELECT b.customer_id, b.main, b.value::numeric, b.discount > 0
  FROM bought b LEFT JOIN whole ON whole.order_id = b.id WHERE whole.order_id IS NULL
),
p AS (
  SELECT customer_id, count(*)::int AS lines, count(*) FILTER (WHERE cheaper) AS cut_lines,
         sum(value) FILTER (WHERE main) AS spend, coalesce(sum(value) FILTER (WHERE main AND cheaper), 0) AS cut_spend
  FROM priced GROUP BY customer_id
),
fresh AS (
  SELECT wanted.id AS customer_id, {", ".join(f"{made} AS {name}" for name, made in _FIGURES.items())}
  FROM unnest($2::uuid[]) AS wanted (id)
  LEFT JOIN chosen ON chosen.customer_id = wanted.id
  LEFT JOIN v ON v.customer_id = wanted.id
  LEFT JOIN d ON d.customer_id = wanted.id
  LEFT JOIN g ON g.customer_id = wanted.id
  LEFT JOIN p ON p.customer_id = wanted.id
)
UPDATE customer_patterns AS t
SET {", ".join(f"{name} = fresh.{name}" for name in _FIGURES)}, updated_at = $8
FROM fresh
WHERE t.tenant_id = $1 AND t.customer_id = fresh.customer_id AND t.customer_id = ANY ($2::uuid[])
  AND ({", ".join(f"t.{name}" for name in _FIGURES)}) IS DISTINCT FROM
      ({", ".join(f"fresh.{name}" for name in _FIGURES)})
RETURNING t.customer_id
"""  # noqa: S608
"""$3 revision, $4 fewest days, $5 coverage, $6 medium, $7 high, $8 now. Returns who has changed."""


def _replace(table: str, key: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Return what brings a table of rows per customer in line with the CTE ``fresh`` and returns who has changed."""
    names, same = (*key, *values), " AND ".join(f"t.{name} = fresh.{name}" for name in ("customer_id", *key))
    return f"""
gone AS (
  DELETE FROM {table} t
  WHERE t.tenant_id = $1 AND t.customer_id = ANY ($2::uuid[]) AND NOT EXISTS (SELECT FROM fresh WHERE {same})
  RETURNING t.customer_id
),
put AS (
  INSERT INTO {table} AS t (tenant_id, customer_id, {", ".join(names)})
  SELECT $1, customer_id, {", ".join(names)} FROM fresh
  ON CONFLICT (tenant_id, customer_id, {", ".join(key)}) DO UPDATE
  SET {", ".join(f"{name} = excluded.{name}" for name in values)}
  WHERE ({", ".join(f"t.{name}" for name in values)}) IS DISTINCT FROM
        ({", ".join(f"excluded.{name}" for name in values)})
  RETURNING t.customer_id
)
SELECT customer_id FROM gone UNION SELECT customer_id FROM put
"""  # noqa: S608 - names of our own tables


# A weight halves every $3 days. The last purchase weighs 1: any other zero of time would change no share.
REFRESH_FAVOURITES: Final = f"""
WITH {_PURCHASES},
weighed AS (
  SELECT customer_id, category, CASE WHEN main THEN value ELSE 0 END AS value, w
  FROM (
    SELECT l.*, power(0.5, least(1000, extract(epoch FROM
             max(placed_at) OVER (PARTITION BY customer_id) - placed_at)::float8 / 86400 / $3::int)) AS w
    FROM lines l WHERE kept AND category IS NOT NULL
  ) AS dated
),
sums AS (
  SELECT customer_id, category, count(*)::int AS lines, sum(w) AS w, sum(w * value::float8) AS spend
  FROM weighed GROUP BY customer_id, category
),
shares AS (
  SELECT customer_id, category, lines, w / sum(w) OVER mine AS line_share,
         spend / nullif(sum(spend) OVER mine, 0) AS spend_share
  FROM sums WINDOW mine AS (PARTITION BY customer_id)
),
rounded AS (
  SELECT customer_id, category, lines, round(line_share::numeric, 6)::float8 AS line_share,
         round(spend_share::numeric, 6)::float8 AS spend_share,
         round(((line_share + coalesce(spend_share, line_share)) / 2)::numeric, 6)::float8 AS score
  FROM shares
),
fresh AS MATERIALIZED (
  SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY customer_id ORDER BY score DESC, category COLLATE "C")::smallint AS place
    FROM rounded
  ) AS ranked WHERE place <= {MAX_FAVOURITES}
),
{_replace("customer_favourites", ("category",), ("place", "lines", "score", "line_share", "spend_share"))}
"""  # noqa: S608

# $3: looks from this moment on.
REFRESH_INTERESTS: Final = f"""
WITH looks AS MATERIALIZED (
  SELECT e.customer_id, e.sku, e.occurred_at, e.type = 'cart_add' AS cart, p.id AS product_id,
         coalesce(p.category, CASE WHEN jsonb_typeof(e.properties -> 'category') = 'string'
                                   THEN left(e.properties ->> 'category', 200) END) AS category
  FROM events e LEFT JOIN LATERAL (
    SELECT id, category FROM products WHERE tenant_id = $1 AND sku = e.sku OFFSET 0
  ) AS p ON true
  WHERE e.tenant_id = $1 AND e.customer_id = ANY ($2::uuid[]) AND e.occurred_at >= $3 AND e.type <> 'cart_remove'
),
seen AS (
  SELECT customer_id, 'product' AS kind, sku AS item, product_id, category, occurred_at, cart
  FROM looks WHERE sku IS NOT NULL
  UNION ALL
  SELECT customer_id, 'category', category, NULL, category, occurred_at, cart FROM looks WHERE category IS NOT NULL
),
had AS MATERIALIZED (
  SELECT o.customer_id, o.placed_at, l.sku, l.category, p.sku AS now_sku
  FROM orders o
  CROSS JOIN LATERAL (
    SELECT sku, category, product_id FROM order_lines WHERE tenant_id = $1 AND order_id = o.id OFFSET 0
  ) AS l
  LEFT JOIN LATERAL (SELECT sku FROM products WHERE tenant_id = $1 AND id = l.product_id OFFSET 0) AS p ON true
  WHERE o.tenant_id = $1 AND o.customer_id = ANY ($2::uuid[]) AND o.placed_at >= $3 AND o.status <> 'cancelled'
),
owned AS (
  SELECT customer_id, kind, item, max(placed_at) AS at
  FROM had CROSS JOIN LATERAL (VALUES ('product', sku), ('product', now_sku), ('category', category)) AS t (kind, item)
  WHERE item IS NOT NULL GROUP BY customer_id, kind, item
),
sums AS (
  SELECT customer_id, kind, item, min(product_id::text)::uuid AS product_id, max(category) AS category,
         count(*) FILTER (WHERE NOT cart)::int AS looks, count(*) FILTER (WHERE cart)::int AS cart_adds,
         min(occurred_at) AS first_at, max(occurred_at) AS last_at
  FROM seen LEFT JOIN owned USING (customer_id, kind, item)
  WHERE owned.at IS NULL OR seen.occurred_at > owned.at
  GROUP BY customer_id, kind, item
),
strong AS (SELECT *, looks + {CART_WEIGHT} * cart_adds AS strength FROM sums),
fresh AS MATERIALIZED (
  SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY customer_id, kind
                                 ORDER BY strength DESC, last_at DESC, item COLLATE "C")::smallint AS place
    FROM strong
  ) AS ranked WHERE place <= {MAX_INTERESTS}
),
{
    _replace(
        "customer_interests",
        ("kind", "item"),
        ("place", "product_id", "category", "looks", "cart_adds", "strength", "first_at", "last_at"),
    )
}
"""  # noqa: S608

# Behind a cursor ($2), who has patterns to make: everybody who bought or looked ($5), or who has none of this revision
# of the settings ($3), or an interest that time has ended ($4) or whose product is filed elsewhere now.
_DUE: Final = """
FROM customers c
WHERE c.tenant_id = $1 AND c.deleted_at IS NULL AND c.id > $2
  AND (EXISTS (SELECT FROM customer_purchase_facts f WHERE f.tenant_id = $1 AND f.customer_id = c.id)
    OR EXISTS (SELECT FROM customer_patterns p WHERE p.tenant_id = $1 AND p.customer_id = c.id)
    OR EXISTS (SELECT FROM events e WHERE e.tenant_id = $1 AND e.customer_id = c.id AND e.occurred_at >= $4))
  AND ($5
    OR NOT EXISTS (SELECT FROM customer_patterns p
                   WHERE p.tenant_id = $1 AND p.customer_id = c.id AND p.settings_revision = $3)
    OR EXISTS (SELECT FROM customer_interests i
               LEFT JOIN products p ON p.tenant_id = $1 AND i.kind = 'product' AND p.sku = i.item
               WHERE i.tenant_id = $1 AND i.customer_id = c.id
                 AND (i.first_at < $4 OR p.id IS NOT NULL AND (p.id, p.category) IS DISTINCT FROM
                      (i.product_id, i.category))))
"""
COUNT_DUE: Final = f"SELECT count(*) {_DUE}"
NEXT_DUE: Final = f"SELECT c.id {_DUE} ORDER BY c.id LIMIT $6"

# -- things bought together --------------------------------------------------------------------------------------------

ITEMS: Final = {"product": ("product_id", "with_product_id"), "category": ("category", "with_category")}
BASKETS: Final = {"order": "o.id", "customer": "o.customer_id"}


def pairs(basis: str, kind: str) -> str:
    """Return the pass over all baskets of a basis for pairs of a kind: Apriori (Agrawal & Srikant 1994) for two.

    Things in too few baskets are dropped before any pair is made, since a pair is in no more baskets than either of
    its things. Parameters: $2 run, $3 from, $4 as of (excluded), $5 most things of a basket, $6 fewest baskets,
    $7 least support.
    """
    item, other = ITEMS[kind]
    return f"""
WITH lines AS MATERIALIZED (
  SELECT DISTINCT {BASKETS[basis]} AS basket, l.{item} AS item
  FROM orders o JOIN order_lines l ON l.tenant_id = o.tenant_id AND l.order_id = o.id
  WHERE o.tenant_id = $1 AND o.status IN {_BOUGHT} AND o.placed_at >= $3 AND o.placed_at < $4
    AND l.quantity > l.refunded_quantity AND l.{item} IS NOT NULL
),
sized AS MATERIALIZED (SELECT basket, count(*) <= $5 AS fits FROM lines GROUP BY basket),
totals AS MATERIALIZED (
  SELECT baskets, skipped, greatest($6::int, ceil($7::float8::numeric * baskets)) AS least
  FROM (SELECT count(*) FILTER (WHERE fits) AS baskets, count(*) FILTER (WHERE NOT fits) AS skipped FROM sized) AS all_
),
kept AS MATERIALIZED (SELECT l.basket, l.item FROM lines l JOIN sized s ON s.basket = l.basket WHERE s.fits),
items AS MATERIALIZED (
  SELECT item, baskets, row_number() OVER ()::int AS number
  FROM (SELECT item, count(*) AS baskets FROM kept GROUP BY item) AS counted
  WHERE baskets >= (SELECT least FROM totals)
),
frequent AS MATERIALIZED (SELECT k.basket, i.number FROM kept k JOIN items i ON i.item = k.item),
found AS MATERIALIZED (
  SELECT a.number AS one, b.number AS other, count(*) AS joint
  FROM frequent a JOIN frequent b ON b.basket = a.basket AND b.number > a.number
  GROUP BY a.number, b.number HAVING count(*) >= (SELECT least FROM totals)
),
ways AS (SELECT one, other, joint FROM found UNION ALL SELECT other, one, joint FROM found),
written AS (
  INSERT INTO bought_together (tenant_id, id, run_id, as_of, basis, {item}, {other}, baskets, item_baskets,
                               with_baskets, both_baskets, support, confidence, lift)
  SELECT $1, gen_random_uuid(), $2, $4, '{basis}', x.item, y.item, t.baskets, x.baskets, y.baskets, w.joint,
         w.joint::float8 / t.baskets, w.joint::float8 / x.baskets,
         w.joint::float8 * t.baskets / (x.baskets::float8 * y.baskets)
  FROM ways w JOIN items x ON x.number = w.one JOIN items y ON y.number = w.other CROSS JOIN totals t
  RETURNING 1
)
SELECT baskets, skipped, (SELECT count(*) FROM found) AS pairs FROM totals
"""  # noqa: S608 - names of our own columns


FORGET_PAIRS: Final = "DELETE FROM bought_together WHERE tenant_id = $1 AND run_id <> $2"
FORGET_RUNS: Final = """
DELETE FROM pattern_runs r
WHERE r.tenant_id = $1 AND r.kind = $2 AND r.id <> $3 AND r.state IN ('completed', 'failed')
  AND r.id < ALL (ARRAY(SELECT id FROM pattern_runs WHERE tenant_id = $1 AND kind = $2 ORDER BY id DESC LIMIT $4))
  AND NOT EXISTS (SELECT FROM bought_together b WHERE b.tenant_id = $1 AND b.run_id = r.id)
"""
OPEN: Final = """
SELECT EXISTS (SELECT FROM pattern_runs
               WHERE tenant_id = $1 AND kind = $2 AND id < $3 AND state IN ('queued', 'running'))
"""
ANY_OPEN: Final = """
SELECT EXISTS (SELECT FROM pattern_runs WHERE tenant_id = $1 AND kind = $2 AND state IN ('queued', 'running'))
"""
ANY_ORDERS: Final = "SELECT EXISTS (SELECT FROM orders WHERE tenant_id = $1)"
ANY_EVENTS: Final = "SELECT EXISTS (SELECT FROM events WHERE tenant_id = $1)"
LOSERS_GONE: Final = tuple(
    f"DELETE FROM {table} WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])"  # noqa: S608 - our own tables
    for table in ("customer_favourites", "customer_interests", "customer_patterns")
)
PUT_SETTINGS: Final = """
INSERT INTO pattern_settings (tenant_id, half_life_days, min_purchase_days, coverage_percent, medium_percent,
  high_percent, interest_days, basket_days, min_baskets, min_support, revision)
VALUES ($1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $2)
ON CONFLICT (tenant_id) DO UPDATE SET
  half_life_days = excluded.half_life_days, min_purchase_days = excluded.min_purchase_days,
  coverage_percent = excluded.coverage_percent, medium_percent = excluded.medium_percent,
  high_percent = excluded.high_percent, interest_days = excluded.interest_days, basket_days = excluded.basket_days,
  min_baskets = excluded.min_baskets, min_support = excluded.min_support, revision = pattern_settings.revision + $2
"""
