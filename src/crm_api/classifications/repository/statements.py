"""The set-based statements of scoring, in one place: one pass over the orders, one statement for everybody.

``$1`` is the tenant, ``$2`` the definitions as one flat object (`crm_api.classifications.rules.flattened`), read as
the row ``s``. A score is 1 plus the edges at or below the value (``width_bucket``), so bands are half-open
``[edge, next)``; recency is reversed. The edges of the scheme ``quantile`` are the type-7 quantiles (Hyndman & Fan
1996, what ``percentile_cont`` gives) rounded down, plus 1: whole values above the quantile are in the next band.
"""

from typing import Final

BOUGHT: Final = "('paid', 'shipped', 'completed')"

_SETTINGS: Final = """
s AS MATERIALIZED (
  SELECT * FROM jsonb_to_record($2) AS s (
    as_of timestamptz, born_before timestamptz, now timestamptz, currency text, home_currency text,
    frequency_since timestamptz, frequency_high int, frequency_mid int,
    amount_since timestamptz, amount_large bigint, amount_mid bigint,
    loyalty_since timestamptz, loyalty_purchases int, loyalty_lost_days int,
    value_since timestamptz, value_frequency_high int, value_frequency_mid int, value_order_high bigint,
    value_order_mid bigint, value_cells jsonb,
    activity_active_days int, activity_lost_days int,
    industry_points jsonb, outlook_points jsonb, intent_points jsonb, potential_high int, potential_mid int,
    grade_since timestamptz, grade_shares float8[], grade_cuts bigint[],
    scheme text, rfm_since timestamptz, quantiles float8[], rfm_groups text[],
    recency_edges bigint[], frequency_edges bigint[], monetary_edges bigint[],
    lifecycle_active_days int, lifecycle_lost_days int, lifecycle_loyal int
  )
)"""

# `+ interval '0'` keeps the planner from the index on time: nearly all orders lie before the moment, and fetching them
# one by one took three times the time of a scan.
# Per customer, as things stood at s.as_of: whole days of silence, purchases, turnover, each in its window. Facts are
# not used because as_of may lie in the past.
_NET: Final = "o.paid_amount - o.refunded_amount"
_MEASURED: Final = f"""
measured AS MATERIALIZED (
  SELECT o.customer_id,
    floor(extract(epoch FROM s.as_of - max(o.placed_at)) / 86400)::int AS silent_days,
    count(*)::int AS purchases,
    count(*) FILTER (WHERE o.placed_at >= s.rfm_since)::int AS frequency,
    coalesce(sum({_NET}) FILTER (WHERE o.placed_at >= s.rfm_since AND o.currency = s.currency), 0)::bigint AS monetary,
    coalesce(sum({_NET}) FILTER (WHERE o.placed_at >= s.grade_since AND o.currency = s.currency), 0)::bigint
      AS grade_amount,
    count(*) FILTER (WHERE o.placed_at >= s.frequency_since)::int AS frequency_purchases,
    coalesce(sum({_NET}) FILTER (WHERE o.placed_at >= s.amount_since AND o.currency = s.home_currency), 0)::bigint
      AS amount_spent,
    count(*) FILTER (WHERE o.placed_at >= s.loyalty_since)::int AS loyalty_purchases,
    count(*) FILTER (WHERE o.placed_at >= s.value_since AND o.currency = s.home_currency)::int AS value_purchases,
    coalesce(sum({_NET}) FILTER (WHERE o.placed_at >= s.value_since AND o.currency = s.home_currency), 0)::bigint
      AS value_spent
  FROM orders o, s
  WHERE o.tenant_id = $1 AND o.placed_at + interval '0' < s.as_of AND o.status IN {BOUGHT}{{whose}}
  GROUP BY o.customer_id, s.as_of
)"""  # noqa: S608 - constants of this module

# Edges and cuts over everybody.
_FOUND_EDGES: Final = """
quantiles AS MATERIALIZED (
  SELECT
    percentile_cont(s.quantiles) WITHIN GROUP (ORDER BY m.silent_days) AS recency,
    percentile_cont(s.quantiles) WITHIN GROUP (ORDER BY m.frequency) AS frequency,
    percentile_cont(s.quantiles) WITHIN GROUP (ORDER BY m.monetary) AS monetary
  FROM measured m, s WHERE s.scheme = 'quantile' AND m.frequency > 0
  GROUP BY s.quantiles
),
tiled AS MATERIALIZED (
  SELECT m.customer_id, m.silent_days, m.frequency, m.monetary,
    ntile(5) OVER (ORDER BY m.silent_days DESC, m.customer_id) AS r,
    ntile(5) OVER (ORDER BY m.frequency, m.customer_id) AS f,
    ntile(5) OVER (ORDER BY m.monetary, m.customer_id) AS m
  FROM measured m, s WHERE s.scheme = 'ntile' AND m.frequency > 0
),
ranked AS (
  SELECT grade_amount,
    (sum(grade_amount) OVER (ORDER BY grade_amount DESC RANGE UNBOUNDED PRECEDING) - count(*) OVER same * grade_amount)
      / nullif(sum(grade_amount) OVER (), 0) AS share_before
  FROM measured WHERE grade_amount > 0
  WINDOW same AS (PARTITION BY grade_amount)
),
edges AS MATERIALIZED (
  SELECT
    coalesce(CASE s.scheme
      WHEN 'quantile' THEN (SELECT array(SELECT floor(q)::bigint + 1 FROM unnest(recency) WITH ORDINALITY e (q, n)
                                         ORDER BY n) FROM quantiles)
      WHEN 'ntile' THEN array(SELECT min(silent_days)::bigint FROM tiled WHERE r < 5 GROUP BY r ORDER BY r DESC)
      ELSE s.recency_edges END, '{}')::bigint[] AS recency,
    coalesce(CASE s.scheme
      WHEN 'quantile' THEN (SELECT array(SELECT floor(q)::bigint + 1 FROM unnest(frequency) WITH ORDINALITY e (q, n)
                                         ORDER BY n) FROM quantiles)
      WHEN 'ntile' THEN array(SELECT min(frequency)::bigint FROM tiled WHERE f > 1 GROUP BY f ORDER BY f)
      ELSE s.frequency_edges END, '{}')::bigint[] AS frequency,
    coalesce(CASE s.scheme
      WHEN 'quantile' THEN (SELECT array(SELECT floor(q)::bigint + 1 FROM unnest(monetary) WITH ORDINALITY e (q, n)
                                         ORDER BY n) FROM quantiles)
      WHEN 'ntile' THEN array(SELECT min(monetary) FROM tiled WHERE m > 1 GROUP BY m ORDER BY m)
      ELSE s.monetary_edges END, '{}')::bigint[] AS monetary,
    ARRAY[(SELECT min(grade_amount) FROM ranked WHERE share_before < s.grade_shares[1]),
          (SELECT min(grade_amount) FROM ranked WHERE share_before < s.grade_shares[2]),
          (SELECT min(grade_amount) FROM ranked WHERE share_before < s.grade_shares[3])]::bigint[] AS grade
  FROM s
)"""

# Edges and cuts of the last run over everybody, for single customers between two runs.
_KNOWN_EDGES: Final = """
tiled AS (
  SELECT b.customer_id, b.r, b.f, b.m FROM customer_scores b, s, measured m
  WHERE b.tenant_id = $1 AND b.customer_id = m.customer_id AND s.scheme = 'ntile'
    AND b.frequency = m.frequency AND b.monetary_amount = m.monetary AND b.r IS NOT NULL
),
edges AS MATERIALIZED (
  SELECT s.recency_edges AS recency, s.frequency_edges AS frequency, s.monetary_edges AS monetary,
         s.grade_cuts AS grade
  FROM s
)"""

_LEVEL: Final = "CASE WHEN {value} >= {high} THEN 'high' WHEN {value} >= {mid} THEN 'mid' ELSE 'low' END"
_VALUE_FREQUENCY: Final = _LEVEL.format(
    value="m.value_purchases", high="s.value_frequency_high", mid="s.value_frequency_mid"
)
_VALUE_ORDER: Final = _LEVEL.format(value="m.order_value", high="s.value_order_high", mid="s.value_order_mid")
_POTENTIAL: Final = _LEVEL.format(value="p.points", high="s.potential_high", mid="s.potential_mid")

_CLASSED: Final = f"""
people AS MATERIALIZED (
  SELECT c.id FROM customers c, s
  WHERE c.tenant_id = $1 AND c.deleted_at IS NULL AND c.created_at < s.born_before{{who}}
),
judged AS (
  SELECT p.customer_id,
    coalesce((s.industry_points ->> p.industry_position)::int, 0) + coalesce((s.outlook_points ->> p.outlook)::int, 0)
      + coalesce((s.intent_points ->> p.purchase_intent)::int, 0) AS points
  FROM customer_potentials p, s
  WHERE p.tenant_id = $1 AND num_nonnulls(p.industry_position, p.outlook, p.purchase_intent) > 0
),
scored AS MATERIALIZED (
  SELECT people.id AS customer_id, m.silent_days, coalesce(m.purchases, 0) AS purchases,
    coalesce(m.frequency, 0) AS frequency, m.monetary, m.grade_amount, m.frequency_purchases, m.amount_spent,
    m.loyalty_purchases, m.value_purchases, m.order_value, p.points,
    CASE WHEN m.frequency > 0 THEN coalesce(t.r, 5 - width_bucket(m.silent_days::bigint, e.recency)) END AS r,
    CASE WHEN m.frequency > 0 THEN coalesce(t.f, 1 + width_bucket(m.frequency::bigint, e.frequency)) END AS f,
    CASE WHEN m.frequency > 0 THEN coalesce(t.m, 1 + width_bucket(m.monetary, e.monetary)) END AS m,
    CASE WHEN m.purchases IS NULL OR e.grade IS NULL THEN NULL
         WHEN m.grade_amount >= e.grade[1] THEN 'A' WHEN m.grade_amount >= e.grade[2] THEN 'B'
         WHEN m.grade_amount >= e.grade[3] THEN 'C' ELSE 'D' END AS grade,
    CASE WHEN m.purchases IS NULL THEN NULL WHEN m.frequency_purchases >= s.frequency_high THEN 'high'
         WHEN m.frequency_purchases >= s.frequency_mid THEN 'mid' ELSE 'low' END AS frequency_class,
    CASE WHEN m.purchases IS NULL THEN NULL WHEN m.amount_spent >= s.amount_large THEN 'large'
         WHEN m.amount_spent >= s.amount_mid THEN 'mid' ELSE 'small' END AS amount_class,
    CASE WHEN m.purchases IS NULL THEN NULL WHEN m.silent_days > s.loyalty_lost_days THEN 'lost'
         WHEN m.loyalty_purchases >= s.loyalty_purchases THEN 'loyal' ELSE 'regular' END AS loyalty_class,
    m.value_class,
    CASE WHEN m.purchases IS NULL THEN NULL WHEN m.silent_days > s.activity_lost_days THEN 'lost'
         WHEN m.silent_days > s.activity_active_days THEN 'dormant' ELSE 'active' END AS activity_class,
    CASE WHEN p.points IS NOT NULL AND m.value_class IS NOT NULL THEN m.value_class || '_' || {_POTENTIAL} END
      AS value_potential,
    CASE WHEN m.purchases IS NULL THEN 'prospect'
         WHEN m.silent_days > s.lifecycle_lost_days THEN 'lost'
         WHEN m.silent_days > s.lifecycle_active_days THEN 'dormant'
         WHEN m.purchases >= s.lifecycle_loyal THEN 'loyal'
         WHEN m.purchases > 1 THEN 'repeat'
         ELSE 'first_purchase' END AS lifecycle
  FROM people CROSS JOIN s CROSS JOIN edges e
  LEFT JOIN (
    SELECT m.*, s.value_cells ->> ({_VALUE_FREQUENCY} || '_' || {_VALUE_ORDER}) AS value_class
    FROM (SELECT *, round(value_spent::numeric / nullif(value_purchases, 0))::bigint AS order_value FROM measured) m, s
  ) m ON m.customer_id = people.id
  LEFT JOIN tiled t ON t.customer_id = people.id
  LEFT JOIN judged p ON p.customer_id = people.id
),
grouped AS MATERIALIZED (
  SELECT scored.*, s.rfm_groups[1 + (r - 1) * 25 + (f - 1) * 5 + (m - 1)] AS rfm_group FROM scored, s
)"""  # noqa: S608

_CHANGED: Final = """
moved AS MATERIALIZED (
  SELECT g.customer_id, greatest(s.now, b.assessed_at + interval '1 microsecond') AS at,
    array_remove(ARRAY[
      CASE WHEN b.frequency_class IS DISTINCT FROM g.frequency_class THEN 'frequency' END,
      CASE WHEN b.amount_class IS DISTINCT FROM g.amount_class THEN 'amount' END,
      CASE WHEN b.loyalty_class IS DISTINCT FROM g.loyalty_class THEN 'loyalty' END,
      CASE WHEN b.value_class IS DISTINCT FROM g.value_class THEN 'value' END,
      CASE WHEN b.activity_class IS DISTINCT FROM g.activity_class THEN 'activity' END,
      CASE WHEN b.value_potential IS DISTINCT FROM g.value_potential THEN 'value_potential' END,
      CASE WHEN b.grade IS DISTINCT FROM g.grade THEN 'grade' END,
      CASE WHEN b.rfm_group IS DISTINCT FROM g.rfm_group THEN 'rfm' END,
      CASE WHEN b.lifecycle IS DISTINCT FROM g.lifecycle THEN 'lifecycle' END
    ], NULL) AS changed,
    (b.r, b.f, b.m) IS DISTINCT FROM (g.r, g.f, g.m) AS rescored
  FROM grouped g CROSS JOIN s LEFT JOIN customer_scores b ON b.tenant_id = $1 AND b.customer_id = g.customer_id
),
written AS (
  INSERT INTO customer_scores AS old (tenant_id, customer_id, run_id, lifecycle, recency_days, frequency,
    monetary_amount, currency, r, f, m, grade, scored_at, assessed_at, frequency_class, amount_class, loyalty_class,
    value_class, activity_class, value_potential, rfm_group, purchases, frequency_purchases, amount_spent,
    loyalty_purchases, value_purchases, value_order_amount, grade_amount, potential_points)
  SELECT $1, g.customer_id, {run}, g.lifecycle, g.silent_days, g.frequency,
    CASE WHEN s.currency IS NOT NULL THEN g.monetary END, CASE WHEN g.purchases > 0 THEN s.currency END,
    g.r, g.f, g.m, g.grade, s.as_of, moved.at, g.frequency_class, g.amount_class, g.loyalty_class,
    g.value_class, g.activity_class, g.value_potential, g.rfm_group, g.purchases, g.frequency_purchases, g.amount_spent,
    g.loyalty_purchases, g.value_purchases, g.order_value, g.grade_amount, g.points
  FROM grouped g JOIN moved USING (customer_id) CROSS JOIN s
  ON CONFLICT (tenant_id, customer_id) DO UPDATE SET
    run_id = coalesce(excluded.run_id, old.run_id), lifecycle = excluded.lifecycle,
    recency_days = excluded.recency_days, frequency = excluded.frequency, monetary_amount = excluded.monetary_amount,
    currency = excluded.currency, r = excluded.r, f = excluded.f, m = excluded.m, grade = excluded.grade,
    scored_at = excluded.scored_at, assessed_at = excluded.assessed_at, frequency_class = excluded.frequency_class,
    amount_class = excluded.amount_class, loyalty_class = excluded.loyalty_class, value_class = excluded.value_class,
    activity_class = excluded.activity_class, value_potential = excluded.value_potential,
    rfm_group = excluded.rfm_group, purchases = excluded.purchases,
    frequency_purchases = excluded.frequency_purchases, amount_spent = excluded.amount_spent,
    loyalty_purchases = excluded.loyalty_purchases, value_purchases = excluded.value_purchases,
    value_order_amount = excluded.value_order_amount, grade_amount = excluded.grade_amount,
    potential_points = excluded.potential_points
),
logged AS (
  INSERT INTO class_log (tenant_id, id, customer_id, at, cause, run_id, changed, frequency_class, amount_class,
    loyalty_class, value_class, activity_class, value_potential, grade, rfm_group, lifecycle)
  SELECT $1, gen_random_uuid(), moved.customer_id, moved.at, {cause}, {run}, moved.changed, g.frequency_class,
    g.amount_class, g.loyalty_class, g.value_class, g.activity_class, g.value_potential, g.grade, g.rfm_group,
    g.lifecycle
  FROM moved JOIN grouped g USING (customer_id) WHERE cardinality(moved.changed) > 0
)"""

_TOLD: Final = """
SELECT (SELECT count(*) FROM people) AS people,
  array(SELECT customer_id FROM moved WHERE cardinality(changed) > 0 OR rescored ORDER BY customer_id) AS customers,
  array(SELECT DISTINCT d FROM (SELECT DISTINCT changed FROM moved) c, unnest(c.changed) AS d
        UNION SELECT 'rfm' FROM moved WHERE rescored ORDER BY 1) AS dimensions"""

_EDGES_TOLD: Final = """,
  (SELECT jsonb_build_object('recency', recency, 'frequency', frequency, 'monetary', monetary) FROM edges) AS edges,
  (SELECT grade FROM edges) AS grade,
  (SELECT jsonb_build_object('recency', recency, 'frequency', frequency, 'monetary', monetary) FROM quantiles)
    AS quantiles"""

SCORE_ALL: Final = (
    "WITH "
    + ",".join(
        (
            _SETTINGS,
            _MEASURED.format(whose=""),
            _FOUND_EDGES,
            _CLASSED.format(who=""),
            _CHANGED.format(run="$3::uuid", cause="$4::text"),
        )
    )
    + _TOLD
    + _EDGES_TOLD
)
"""Everybody: ``$3`` the run, ``$4`` the cause."""

SCORE_SOME: Final = (
    "WITH "
    + ",".join(
        (
            _SETTINGS,
            _MEASURED.format(whose=" AND o.customer_id = ANY ($3::uuid[])"),
            _KNOWN_EDGES,
            _CLASSED.format(who=" AND c.id = ANY ($3::uuid[])"),
            _CHANGED.format(run="NULL::uuid", cause="$4::text"),
        )
    )
    + _TOLD
)
"""Some customers: ``$3`` their ids, ``$4`` the cause; quantiles, shares and tiles are those of the last run."""

_KEPT: Final = """
kept AS (
  INSERT INTO period_scores (tenant_id, id, period, customer_id, run_id, silent_days, frequency, monetary_amount,
    currency, r, f, m, frequency_class, amount_class, loyalty_class, value_class, activity_class, value_potential,
    grade, rfm_group, lifecycle)
  SELECT $1, gen_random_uuid(), $4::text, g.customer_id, $3::uuid, g.silent_days, g.frequency, g.monetary,
    CASE WHEN g.purchases > 0 THEN s.currency END, g.r, g.f, g.m, g.frequency_class, g.amount_class, g.loyalty_class,
    g.value_class, g.activity_class, g.value_potential, g.grade, g.rfm_group, g.lifecycle
  FROM grouped g, s
)
SELECT (SELECT count(*) FROM people) AS people"""

SCORE_PERIOD: Final = (
    "WITH "
    + ",".join((_SETTINGS, _MEASURED.format(whose=""), _FOUND_EDGES, _CLASSED.format(who=""), _KEPT))
    + _EDGES_TOLD
)
"""Everybody, kept beside the current scores: ``$3`` the run, ``$4`` the period."""

_RECKONED: Final = ",".join((_SETTINGS, _MEASURED.format(whose=""), _FOUND_EDGES, _CLASSED.format(who="")))


def reckoned_matrix(column: str) -> str:
    """Return the statement of everybody's class by the orders at two moments.

    ``$2`` and ``$3`` are the definitions at each, ``$4`` and ``$5`` the moments. Who had neither bought nor been
    entered by then was nobody yet.

    Args:
        column: of the class.

    """
    classes = f"SELECT customer_id, {column} AS class, purchases > 0 AS has_bought FROM grouped"  # noqa: S608
    return f"""
WITH first AS MATERIALIZED (WITH {_RECKONED} {classes}),
second AS MATERIALIZED (WITH {_RECKONED.replace("$2", "$3")} {classes})
SELECT
  coalesce(CASE WHEN a.has_bought OR c.created_at < $4 THEN a.class END, 'none') AS before,
  coalesce(CASE WHEN b.has_bought OR c.created_at < $5 THEN b.class END, 'none') AS after,
  count(*) AS customers
FROM customers c JOIN first a ON a.customer_id = c.id JOIN second b ON b.customer_id = c.id
WHERE c.tenant_id = $1
GROUP BY 1, 2
"""  # noqa: S608
