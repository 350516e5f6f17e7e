"""What customers did before a moment, for a list of customers at once: every statement is set-based.

Only what had happened before the moment counts, so that the past can be assessed as it was seen then: orders placed
and paid before it (one refunded in full since was a purchase still), complaints received before it that had not been
called off by then. When something was *entered* does not matter: an import of old orders makes them known as of their
own time.
"""

from datetime import datetime, timedelta
from typing import Final

from crm_api.churn.rules import Settings

_BOUGHT: Final = """
coalesce(o.paid_at, o.placed_at) < $2 AND (
  o.status IN ('paid', 'shipped', 'completed')
  OR (o.status = 'refunded' AND o.recorded_refund_amount > 0 AND o.paid_amount > (
    SELECT coalesce(sum(r.amount), 0) FROM refunds r
    WHERE r.tenant_id = o.tenant_id AND r.order_id = o.id AND r.refunded_at < $2
  ))
)"""
"""Whether an order was a purchase at $2."""

BROWSING: Final = ("page_view", "search", "cart_add", "content_read", "content_download", "like", "comment", "share")
"""Types of events that customers look around by; promotions are shown to them, what leaves the cart says nothing."""

RATING: Final = "rating"
"""Type of events with a customer's rating: ``properties.score`` out of ``properties.scale`` (5 if left out)."""

LATEST_GAPS: Final = 12
"""Gaps that make the cycle: what was usual years ago is usual no more."""

_SCORE: Final = """
CASE WHEN e.type = 'rating' AND jsonb_typeof(e.properties -> 'score') = 'number' THEN
  least(greatest((e.properties ->> 'score')::float8, 0) / CASE
    WHEN jsonb_typeof(e.properties -> 'scale') = 'number' AND (e.properties ->> 'scale')::float8 > 0
    THEN (e.properties ->> 'scale')::float8 ELSE 5 END, 1)
END"""

# $1 tenant, $2 as of, $3 time zone, $4 customers, $5 beginning of the last period, $6 of the baseline, $7 whether
# grades are asked for. Counting days rather than page views keeps one long evening from being a habit.
MEASURE: Final = f"""
WITH days AS MATERIALIZED (
  SELECT o.customer_id, (o.placed_at AT TIME ZONE $3)::date AS day
  FROM orders o
  WHERE o.tenant_id = $1 AND o.customer_id = ANY ($4::uuid[]) AND o.placed_at < $2 AND {_BOUGHT}
  GROUP BY 1, 2
),
gaps AS (
  SELECT customer_id, day, day - lag(day) OVER (PARTITION BY customer_id ORDER BY day) AS gap,
    row_number() OVER (PARTITION BY customer_id ORDER BY day DESC) AS nth
  FROM days
),
bought AS (
  SELECT customer_id, count(*)::int AS purchases, min(day) AS first, max(day) AS last,
    (count(gap) FILTER (WHERE nth <= {LATEST_GAPS}))::int AS gaps,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY gap) FILTER (WHERE nth <= {LATEST_GAPS}) AS cycle
  FROM gaps GROUP BY 1
),
talked AS (
  SELECT i.customer_id, min(i.occurred_at) AS first,
    (count(*) FILTER (WHERE i.occurred_at >= $5))::int AS lately,
    (count(*) FILTER (WHERE i.occurred_at < $5))::int AS before
  FROM interactions i
  WHERE i.tenant_id = $1 AND i.customer_id = ANY ($4::uuid[]) AND i.direction = 'inbound'
    AND i.occurred_at >= $6 AND i.occurred_at < $2
  GROUP BY 1
),
complained AS (
  SELECT k.customer_id, min(k.received_at) AS first,
    (count(*) FILTER (WHERE k.received_at >= $5))::int AS lately,
    (count(*) FILTER (WHERE k.received_at < $5))::int AS before
  FROM complaints k
  WHERE k.tenant_id = $1 AND k.customer_id = ANY ($4::uuid[]) AND k.kind = 'complaint'
    AND k.received_at >= $6 AND k.received_at < $2
    AND NOT (k.state IN ('duplicate', 'withdrawn', 'rejected') AND k.state_changed_at < $2)
  GROUP BY 1
),
acts AS MATERIALIZED (
  SELECT e.customer_id, e.occurred_at, {_SCORE} AS score,
    CASE WHEN e.type IN {BROWSING} THEN (e.occurred_at AT TIME ZONE $3)::date END AS day
  FROM events e
  WHERE e.tenant_id = $1 AND e.customer_id = ANY ($4::uuid[]) AND e.occurred_at >= $6 AND e.occurred_at < $2
),
acted AS (
  SELECT customer_id, min(occurred_at) AS first,
    (count(DISTINCT day) FILTER (WHERE occurred_at >= $5))::int AS lately,
    (count(DISTINCT day) FILTER (WHERE occurred_at < $5))::int AS before,
    avg(score) FILTER (WHERE occurred_at >= $5) AS rating,
    avg(score) FILTER (WHERE occurred_at < $5) AS rating_before
  FROM acts GROUP BY 1
)
SELECT chosen.customer_id, s.grade, coalesce(b.purchases, 0) AS purchases,
  ($2 AT TIME ZONE $3)::date - b.last AS silence, b.cycle, coalesce(b.gaps, 0) AS gaps,
  coalesce(t.lately, 0) AS contacts, coalesce(t.before, 0) AS contacts_before,
  coalesce(k.lately, 0) AS complaints, coalesce(k.before, 0) AS complaints_before,
  coalesce(a.lately, 0) AS looks, coalesce(a.before, 0) AS looks_before, a.rating, a.rating_before,
  greatest(0, extract(epoch FROM $5 - greatest(
    $6, least(b.first::timestamp AT TIME ZONE $3, t.first, k.first, a.first)
  )) / 86400)::float8 AS known_days
FROM unnest($4::uuid[]) AS chosen (customer_id)
LEFT JOIN bought b USING (customer_id)
LEFT JOIN talked t USING (customer_id)
LEFT JOIN complained k USING (customer_id)
LEFT JOIN acted a USING (customer_id)
LEFT JOIN customer_scores s ON $7 AND s.tenant_id = $1 AND s.customer_id = chosen.customer_id
"""  # noqa: S608 - constants of this module

LIVING: Final = "SELECT count(*) FROM customers WHERE tenant_id = $1 AND deleted_at IS NULL"

LIVING_OF: Final = """
SELECT id FROM customers WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) AND deleted_at IS NULL ORDER BY id
"""

AFTER: Final = """
SELECT id FROM customers WHERE tenant_id = $1 AND deleted_at IS NULL AND id > $2 ORDER BY id LIMIT $3
"""

SAMPLE: Final = f"""
SELECT c.id FROM customers c
WHERE c.tenant_id = $1 AND c.deleted_at IS NULL AND EXISTS (
  SELECT FROM orders o
  WHERE o.tenant_id = $1 AND o.customer_id = c.id AND o.placed_at < $2 AND {_BOUGHT}
)
ORDER BY hashtextextended(c.id::text, 0), c.id LIMIT $3
"""  # noqa: S608

BUYERS: Final = f"""
SELECT DISTINCT o.customer_id FROM orders o
WHERE o.tenant_id = $1 AND o.customer_id = ANY ($3::uuid[]) AND o.placed_at >= $4 AND o.placed_at < $2 AND {_BOUGHT}
"""  # noqa: S608

LAST_PURCHASE: Final = f"""
SELECT (max(o.placed_at) AT TIME ZONE $3)::date FROM orders o WHERE o.tenant_id = $1 AND o.placed_at < $2 AND {_BOUGHT}
"""  # noqa: S608

FIRST_PURCHASE: Final = LAST_PURCHASE.replace("max(", "min(")


def windows(as_of: datetime, settings: Settings) -> tuple[datetime, datetime]:
    """Return the beginnings of the last period and of the baseline before it; the last period ends before ``as_of``."""
    period = timedelta(days=settings.period_days)
    return as_of - period, as_of - (1 + settings.baseline_periods) * period
