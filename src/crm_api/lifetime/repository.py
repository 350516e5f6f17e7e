"""Access to models of purchases to come, and to what they learn from."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
from sqlalchemy import ColumnElement, FromClause, select

from crm_api.accounts.repository import TenantRepository
from crm_api.customers.repository import CUSTOMER
from crm_api.customers.tables import customers
from crm_api.db.projections import TENANT, Projection, asc, at_least, below, columns, desc, eq, extend, money, one, ref
from crm_api.db.repository import Repository
from crm_api.lifetime.models import ChurnModel, ModelState, Outlook
from crm_api.lifetime.tables import churn_models, customer_outlooks

CHURN_MODEL = Projection(
    "ChurnModel",
    table=churn_models,
    model=ChurnModel,
    scope="churn:read",
    description="A BG/NBD model of how often customers buy, and a Gamma-Gamma model of what they spend.",
    fields=columns(
        "id",
        "state",
        "calibration_end",
        "horizon_days",
        "apply",
        "currency",
        "customers",
        "repeat_customers",
        "params",
        "log_likelihood",
        "spend_params",
        "spend_correlation",
        "spend_refused",
        "holdout",
        "cumulative",
        "refused",
        "error",
        "total",
        "processed",
        "started_at",
        "finished_at",
        "version",
        "created_at",
        "updated_at",
    ),
    filters={"state": eq("state", ModelState)},
)


def _is_living(t: FromClause) -> ColumnElement[bool]:
    owner = customers.alias()
    found = select(owner.c.id).where(
        owner.c.tenant_id == TENANT, owner.c.id == t.c.customer_id, owner.c.deleted_at.is_(None)
    )
    return found.exists()


OUTLOOK = Projection(
    "Outlook",
    table=customer_outlooks,
    model=Outlook,
    scope="churn:read",
    description="What is expected of a customer, by the last model that was applied.",
    where=_is_living,
    fields={
        "customer_id": ref("customer_id", "Customer"),
        "model_id": ref("model_id", "ChurnModel"),
        **columns("repeat_purchases", "recency_days", "age_days", "alive", "expected_purchases"),
        "expected_value": money("expected_value_amount"),
    },
    relations={"customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Whose.")},
    orders={"least_alive": [asc("alive")], "most_alive": [desc("alive")], "by_customer": [asc("customer_id")]},
    filters={
        "alive_from": at_least("alive", float, description="At least this probability of still being a customer."),
        "alive_below": below("alive", float, description="Less than this probability of still being a customer."),
    },
    node=False,
    version=None,
    key="customer_id",
)

extend(
    CUSTOMER,
    relations={
        "outlook": one(
            "Outlook", on=lambda p, c: c.c.customer_id == p.c.id, description="What is expected of the customer."
        )
    },
)

_BOUGHT = "o.status IN ('paid', 'shipped', 'completed')"

_CURRENCY = f"""
SELECT o.currency FROM orders o WHERE o.tenant_id = $1 AND {_BOUGHT}
GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1
"""  # noqa: S608 - constants of this module

# Purchases of one day (in the shop's zone) are one. What was refunded in full is no purchase.
_DAYS = f"""
SELECT o.customer_id, (o.placed_at AT TIME ZONE $2)::date AS day,
  sum(o.paid_amount - o.refunded_amount) FILTER (WHERE o.currency = $3) AS value
FROM orders o JOIN customers c ON c.tenant_id = o.tenant_id AND c.id = o.customer_id
WHERE o.tenant_id = $1 AND c.deleted_at IS NULL AND {_BOUGHT} AND o.placed_at <= $4
GROUP BY 1, 2
"""  # noqa: S608

_BUYERS = f"""
WITH days AS ({_DAYS}),
ranked AS (SELECT *, min(day) OVER (PARTITION BY customer_id) AS first FROM days)
SELECT customer_id, min(day) AS first, max(day) FILTER (WHERE day <= $5) AS last,
  count(*) FILTER (WHERE day <= $5) AS days,
  coalesce(sum(value) FILTER (WHERE day > first AND day <= $5), 0)::bigint AS repeat_value,
  count(value) FILTER (WHERE day > first AND day <= $5) AS valued_days,
  count(*) FILTER (WHERE day > $5) AS later, max(day) AS data_end
FROM ranked GROUP BY customer_id HAVING min(day) <= $5 ORDER BY customer_id
"""  # noqa: S608

_BUYERS_OF = _BUYERS.replace("AND o.placed_at <= $4", "AND o.placed_at <= $4 AND o.customer_id = ANY ($6::uuid[])")

_REPEATS = f"""
WITH days AS ({_DAYS}),
ranked AS (SELECT *, min(day) OVER (PARTITION BY customer_id) AS first FROM days)
SELECT day, count(*) AS repeats FROM ranked WHERE day > first AND first <= $5 GROUP BY day
"""  # noqa: S608

_WRITE = """
INSERT INTO customer_outlooks (tenant_id, model_id, currency, customer_id, repeat_purchases, recency_days, age_days,
  alive, expected_purchases, expected_value_amount)
SELECT $1, $2, $3, g.* FROM unnest($4::uuid[], $5::int[], $6::int[], $7::int[], $8::float8[], $9::float8[],
  $10::bigint[]) AS g (customer_id, x, recency, age, alive, expected, value)
JOIN customers c ON c.tenant_id = $1 AND c.id = g.customer_id AND c.deleted_at IS NULL
ON CONFLICT (tenant_id, customer_id) DO UPDATE SET
  model_id = excluded.model_id, currency = excluded.currency, repeat_purchases = excluded.repeat_purchases,
  recency_days = excluded.recency_days, age_days = excluded.age_days, alive = excluded.alive,
  expected_purchases = excluded.expected_purchases, expected_value_amount = excluded.expected_value_amount
"""
_FORGET = "DELETE FROM customer_outlooks WHERE tenant_id = $1 AND model_id <> $2"
_APPLIED = """
SELECT * FROM churn_models
WHERE tenant_id = $1 AND apply AND params IS NOT NULL AND state IN ('running', 'completed') ORDER BY id DESC LIMIT 1
"""
_RIVAL = """
SELECT EXISTS (SELECT FROM churn_models WHERE tenant_id = $1 AND id < $2 AND state IN ('queued', 'running'))
"""


class ChurnModelRepository(Repository):
    """Models."""

    table = churn_models

    async def zone(self) -> ZoneInfo:
        """Return the tenant's time zone."""
        return ZoneInfo((await TenantRepository(self.unit).current()).time_zone)

    async def main_currency(self) -> str | None:
        """Return the currency most purchases were made in."""
        found: str | None = await self.unit.connection.fetchval(_CURRENCY, self.unit.tenant_id)
        return found

    async def must_wait(self, model_id: UUID) -> bool:
        """Tell whether an older model of the tenant is not done: outlooks of two would be mixed."""
        return bool(await self.unit.connection.fetchval(_RIVAL, self.unit.tenant_id, model_id))

    async def buyers(self, zone: ZoneInfo, currency: str | None, end: date) -> list[asyncpg.Record]:
        """Return what each living customer with a purchase until ``end`` bought, in the order of their ids."""
        rows: list[asyncpg.Record] = await self.unit.connection.fetch(
            _BUYERS, self.unit.tenant_id, zone.key, currency, self.unit.now(), end
        )
        return rows

    async def buyers_of(
        self, ids: Collection[UUID], zone: ZoneInfo, currency: str | None, end: date
    ) -> list[asyncpg.Record]:
        """Return the same of some customers."""
        rows: list[asyncpg.Record] = await self.unit.connection.fetch(
            _BUYERS_OF, self.unit.tenant_id, zone.key, currency, self.unit.now(), end, list(ids)
        )
        return rows

    async def applied(self) -> asyncpg.Record | None:
        """Return the model that outlooks belong to; None before the first."""
        return await self.unit.connection.fetchrow(_APPLIED, self.unit.tenant_id)

    async def repeat_days(self, zone: ZoneInfo, currency: str | None, end: date) -> list[tuple[date, int]]:
        """Return (day, repeat purchases on it) of the same customers, to the end of the data."""
        rows = await self.unit.connection.fetch(_REPEATS, self.unit.tenant_id, zone.key, currency, self.unit.now(), end)
        return [(row["day"], row["repeats"]) for row in rows]

    async def write_outlooks(
        self, model_id: UUID, currency: str | None, ids: Sequence[UUID], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Store the outlooks of some customers; who was deleted or merged meanwhile gets none."""
        arrays = [list(column) for column in zip(*rows, strict=True)]
        await self.unit.connection.execute(_WRITE, self.unit.tenant_id, model_id, currency, list(ids), *arrays)

    async def forget_others(self, model_id: UUID) -> None:
        """Drop the outlooks of other models."""
        await self.unit.connection.execute(_FORGET, self.unit.tenant_id, model_id)
