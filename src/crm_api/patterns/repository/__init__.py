"""Access to purchase patterns, to the runs that make them, and to what is bought together."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, Date, FromClause, Text, case, cast, func, literal, select

from crm_api.accounts.tables import tenants
from crm_api.catalogue.repository import PRODUCT
from crm_api.customers.repository import CUSTOMER
from crm_api.customers.tables import customers
from crm_api.db.bulk import checks_planned_once, plan_for_arrays
from crm_api.db.projections import (
    NOW,
    TENANT,
    Filter,
    FilterValue,
    Projection,
    asc,
    at_least,
    below,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    items,
    many,
    money,
    one,
    python,
    ref,
    sql,
)
from crm_api.db.repository import Repository
from crm_api.patterns.models import (
    Basis,
    BoughtTogether,
    CustomerPatterns,
    FavouriteCategory,
    Interest,
    PatternRun,
    RunKind,
    RunState,
    Sensitivity,
)
from crm_api.patterns.models import PatternSettings as ShownSettings
from crm_api.patterns.repository import statements
from crm_api.patterns.rules import DEFAULTS, MAX_BASKET, PatternSettings
from crm_api.patterns.tables import (
    bought_together,
    customer_favourites,
    customer_interests,
    customer_patterns,
    pattern_runs,
    pattern_settings,
)

FAVOURITE_CATEGORY = Projection(
    "FavouriteCategory",
    table=customer_favourites,
    model=FavouriteCategory,
    scope="orders:read",
    description="A category a customer tends to buy.",
    fields=columns("category", "score", "line_share", "spend_share", "lines"),
    orders={"place": [asc("place")]},
    node=False,
    version=None,
    key="category",
)

INTEREST = Projection(
    "Interest",
    table=customer_interests,
    model=Interest,
    scope="events:read",
    description="Something a customer looked at and has not bought since.",
    fields={
        **columns("kind", "category", "looks", "cart_adds", "strength"),
        "sku": sql(lambda t: case((t.c.kind == "product", t.c.item))),
        "product_id": ref("product_id", "Product"),
        "last_looked_at": sql(lambda t: t.c.last_at),
    },
    relations={"product": one("Product", on=lambda p, c: c.c.id == p.c.product_id, description="What it is about.")},
    orders={"strongest": [desc("strength"), desc("last_at"), asc("item")]},
    node=False,
    version=None,
    key="item",
)


def _is_living(t: FromClause) -> ColumnElement[bool]:
    owner = customers.alias()
    found = select(owner.c.id).where(
        owner.c.tenant_id == TENANT, owner.c.id == t.c.customer_id, owner.c.deleted_at.is_(None)
    )
    return found.exists()


def _today() -> ColumnElement[Any]:
    zone = select(tenants.c.time_zone).where(tenants.c.tenant_id == TENANT).scalar_subquery()
    return cast(func.timezone(zone, NOW), Date)


def _is_overdue(t: FromClause) -> ColumnElement[bool]:
    return t.c.next_purchase_to < _today()


def _overdue_is(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return func.coalesce(_is_overdue(t), False) == v()


def _likes(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    f = customer_favourites.alias()
    mine = select(f.c.category).where(f.c.tenant_id == TENANT, f.c.customer_id == t.c.customer_id)
    return mine.where(f.c.category == v(None, Text())).exists()


def _looks_at(kind: str) -> Any:
    def build(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
        i = customer_interests.alias()
        mine = select(i.c.item).where(i.c.tenant_id == TENANT, i.c.customer_id == t.c.customer_id, i.c.kind == kind)
        return mine.where(i.c.item == v(None, Text())).exists()

    return build


def why_nothing(row: Mapping[str, Any], _now: datetime) -> dict[str, str] | None:
    """Return why there is no cycle; None when there is one."""
    return None if row["cycle_days"] is not None else TOO_FEW


TOO_FEW: Final = {
    "code": "too_few_purchases",
    "en": "There are fewer days with a purchase than `min_purchase_days` of the shop's pattern settings asks for",
    "zh": "有购买的天数少于店铺模式设置中的 min_purchase_days",
}

CUSTOMER_PATTERNS = Projection(
    "CustomerPatterns",
    table=customer_patterns,
    model=CustomerPatterns,
    scope="orders:read",
    description="What a customer tends to buy, how much, how often, at what price, and what they look at.",
    where=_is_living,
    fields={
        "customer_id": ref("customer_id", "Customer"),
        **columns(
            "purchases",
            "purchase_days",
            "cycle_days",
            "cycle_low_days",
            "cycle_high_days",
            "cycle_dispersion",
            "next_purchase_expected",
            "next_purchase_from",
            "next_purchase_to",
            "next_purchase_coverage",
            "discounted_line_share",
            "discounted_spend_share",
            "price_sensitivity",
            "updated_at",
        ),
        "favourite_categories": items(
            "FavouriteCategory",
            on=lambda p, c: c.c.customer_id == p.c.customer_id,
            order=[asc("place"), asc("category")],
            description="Up to five, the favourite first.",
        ),
        "usual_order_value": money("median_value_amount"),
        "usual_order_value_low": money("low_value_amount"),
        "usual_order_value_high": money("high_value_amount"),
        "next_purchase_overdue": sql(_is_overdue),
        "interests": items(
            "Interest",
            on=lambda p, c: c.c.customer_id == p.c.customer_id,
            order=[desc("strength"), desc("last_at"), asc("item")],
            description="What they looked at and have not bought since, strongest first.",
        ),
        "reason": python(why_nothing, needs=columns("cycle_days")),
    },
    relations={"customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Whose.")},
    orders={
        "next_purchase": [asc("next_purchase_expected", nulls="last")],
        "by_customer": [asc("customer_id")],
    },
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "expected_from": at_least(
            "next_purchase_expected", date, description="Next purchase expected on this day or later."
        ),
        "expected_before": below("next_purchase_expected", date, description="Next purchase expected before this day."),
        "overdue": Filter(bool, _overdue_is, description="Whether the interval of the next purchase has passed."),
        "price_sensitivity": eq("price_sensitivity", Sensitivity),
        "favourite_category": Filter(str, _likes, description="With this category among the favourites."),
        "interested_in_sku": Filter(
            str, _looks_at("product"), description="Looked at this product, not bought since.", scope="events:read"
        ),
        "interested_in_category": Filter(
            str, _looks_at("category"), description="Looked at this category, not bought since.", scope="events:read"
        ),
    },
    node=False,
    version=None,
    key="customer_id",
)

extend(
    CUSTOMER,
    relations={
        "patterns": one(
            "CustomerPatterns",
            on=lambda p, c: c.c.customer_id == p.c.id,
            description="What they tend to buy and when; null before the first purchase or look.",
        )
    },
)

PATTERN_RUN = Projection(
    "PatternRun",
    table=pattern_runs,
    model=PatternRun,
    scope="orders:read",
    description="A job that makes patterns anew.",
    fields=columns(
        "id",
        "kind",
        "state",
        "everyone",
        "as_of",
        "settings",
        "total",
        "processed",
        "figures",
        "error",
        "started_at",
        "finished_at",
        "version",
        "created_at",
        "updated_at",
    ),
    filters={"kind": eq("kind", RunKind), "state": eq("state", RunState)},
)


def _is_current(t: FromClause) -> ColumnElement[bool]:
    """Tell whether a pair is of a run that is done: the one before goes in the same transaction."""
    run = pattern_runs.alias()
    found = select(run.c.id).where(run.c.tenant_id == TENANT, run.c.id == t.c.run_id, run.c.state == "completed")
    return found.exists()


BOUGHT_TOGETHER = Projection(
    "BoughtTogether",
    table=bought_together,
    model=BoughtTogether,
    scope="orders:read",
    description="Two products or two categories that are bought together, seen from one of them.",
    where=_is_current,
    fields={
        **columns(
            "id",
            "basis",
            "category",
            "with_category",
            "baskets",
            "item_baskets",
            "with_baskets",
            "both_baskets",
            "support",
            "confidence",
            "lift",
            "as_of",
        ),
        "product_id": ref("product_id", "Product"),
        "with_product_id": ref("with_product_id", "Product"),
    },
    relations={
        "product": one("Product", on=lambda p, c: c.c.id == p.c.product_id, description="It is seen from this one."),
        "with_product": one(
            "Product", on=lambda p, c: c.c.id == p.c.with_product_id, description="Bought with the first."
        ),
    },
    orders={
        "confidence": [desc("confidence")],
        "lift": [desc("lift")],
        "support": [desc("support")],
    },
    filters={
        "product_id": eq_ref("product_id", "Product", description="What is bought with this product."),
        "category": eq("category", description="What is bought with this category, exactly this path."),
        "basis": eq("basis", Basis),
        "lift_from": at_least("lift", float, description="At least this lift; above 1 is more often than by chance."),
    },
    node=False,
    version=None,
)

extend(
    PRODUCT,
    relations={
        "bought_together": many(
            "BoughtTogether",
            on=lambda p, c: c.c.product_id == p.c.id,
            description="What is bought with it, by the last run.",
        )
    },
)


def _setting(name: str) -> Any:
    def build(_tenant: FromClause) -> ColumnElement[Any]:
        s = pattern_settings.alias()
        stored = select(s.c[name]).where(s.c.tenant_id == TENANT).scalar_subquery()
        return func.coalesce(stored, literal(getattr(DEFAULTS, name), s.c[name].type))

    return sql(build)


PATTERN_SETTINGS = Projection(
    "PatternSettings",
    table=tenants,
    model=ShownSettings,
    scope="orders:read",
    description="Thresholds and windows of purchase patterns.",
    fields={name: _setting(name) for name in ShownSettings.model_fields},
    node=False,
    version=None,
    key="tenant_id",
)

_KEPT_RUNS: Final = 30
_LONGEST_PASS: Final = 900
"""Seconds that one pass over all baskets may take; what other jobs may is measured by chunks of rows."""


class PatternRepository(Repository):
    """Runs, settings, and the patterns that are made by them."""

    table = pattern_runs

    # -- settings --------------------------------------------------------------------------------------------------

    async def settings(self) -> tuple[PatternSettings, int]:
        """Return the tenant's settings and their revision (0: the defaults)."""
        row = await self.unit.fetch_one(select(pattern_settings).where(self.mine(pattern_settings)))
        return (DEFAULTS, 0) if row is None else (PatternSettings.of(dict(row)), row["revision"])

    async def put_settings(self, settings: PatternSettings, *, anew: bool) -> None:
        """Store the tenant's settings; ``anew`` makes them a new revision, under which all customers are due."""
        await self.unit.connection.execute(
            statements.PUT_SETTINGS, self.unit.tenant_id, int(anew), *settings.told().values()
        )

    # -- customers -------------------------------------------------------------------------------------------------

    async def customer_exists(self, customer_id: UUID) -> bool:
        """Tell whether there is such a living customer."""
        c = customers
        found = select(c.c.id).where(self.by_id(customer_id, c), c.c.deleted_at.is_(None))
        return await self.unit.fetch_value(found) is not None

    async def begin(self) -> None:
        """Prepare the unit for work with long arrays."""
        await plan_for_arrays(self.unit)

    async def refresh(
        self, customer_ids: Sequence[UUID], settings: PatternSettings, revision: int, *, looks_only: bool = False
    ) -> set[UUID]:
        """Make these customers' patterns anew; those who are not living are left out.

        Rows are locked in the order of ids before anything is read, so what the last writer read is what stays.

        Args:
            customer_ids: whose.
            settings: of the tenant.
            revision: of the settings.
            looks_only: nothing but interests can have changed.

        Returns:
            Whose patterns are others than before.

        """
        connection, tenant_id = self.unit.connection, self.unit.tenant_id
        async with checks_planned_once(self.unit):
            await connection.execute(statements.LOCK, tenant_id, customer_ids)
        rows = await connection.fetch(statements.LOCKED, tenant_id, customer_ids)
        living = [row["customer_id"] for row in rows]
        if not living:
            return set()
        await connection.execute(statements.HASH_JOINS)
        changed = await self._refresh_interests(living, settings)
        if not looks_only:
            changed |= await self._refresh_purchases(living, settings, revision)
        await connection.execute(statements.ANY_JOINS)
        return changed

    async def _refresh_purchases(self, living: Sequence[UUID], settings: PatternSettings, revision: int) -> set[UUID]:
        connection, tenant_id = self.unit.connection, self.unit.tenant_id
        figures = await connection.fetch(
            statements.REFRESH_FIGURES,
            tenant_id,
            living,
            revision,
            settings.min_purchase_days,
            settings.coverage_percent,
            settings.medium_percent,
            settings.high_percent,
            self.unit.now(),
        )
        favourites = await connection.fetch(statements.REFRESH_FAVOURITES, tenant_id, living, settings.half_life_days)
        return _ids(figures) | _ids(favourites)

    async def _refresh_interests(self, living: Sequence[UUID], settings: PatternSettings) -> set[UUID]:
        return _ids(
            await self.unit.connection.fetch(
                statements.REFRESH_INTERESTS, self.unit.tenant_id, living, self._since(settings)
            )
        )

    def _since(self, settings: PatternSettings) -> datetime:
        return self.unit.now() - timedelta(days=settings.interest_days)

    async def forget(self, customer_ids: Iterable[UUID]) -> None:
        """Delete the patterns of customers who became others."""
        for statement in statements.LOSERS_GONE:
            await self.unit.connection.execute(statement, self.unit.tenant_id, list(customer_ids))

    async def count_due(self, settings: PatternSettings, revision: int, *, everyone: bool) -> int:
        """Return how many customers' patterns are to be made."""
        found: int = await self.unit.connection.fetchval(
            statements.COUNT_DUE, self.unit.tenant_id, UUID(int=0), revision, self._since(settings), everyone
        )
        return found

    async def next_due(
        self, behind: UUID | None, settings: PatternSettings, revision: int, *, everyone: bool, limit: int
    ) -> list[UUID]:
        """Return the next customers behind an id whose patterns are to be made, in the order of ids."""
        rows = await self.unit.connection.fetch(
            statements.NEXT_DUE,
            self.unit.tenant_id,
            behind or UUID(int=0),
            revision,
            self._since(settings),
            everyone,
            limit,
        )
        return [row["id"] for row in rows]

    # -- runs ------------------------------------------------------------------------------------------------------

    async def must_wait(self, run: asyncpg.Record) -> bool:
        """Tell whether an older run of the same kind is not done."""
        return bool(await self.unit.connection.fetchval(statements.OPEN, self.unit.tenant_id, run["kind"], run["id"]))

    async def any_open(self, kind: RunKind) -> bool:
        """Tell whether a run of this kind is not done."""
        return bool(await self.unit.connection.fetchval(statements.ANY_OPEN, self.unit.tenant_id, kind))

    async def anything(self) -> bool:
        """Tell whether the tenant has orders or events at all."""
        for statement in (statements.ANY_ORDERS, statements.ANY_EVENTS):
            if await self.unit.connection.fetchval(statement, self.unit.tenant_id):
                return True
        return False

    async def forget_runs(self, run: asyncpg.Record) -> None:
        """Delete all but the newest runs of the same kind."""
        await self.unit.connection.execute(
            statements.FORGET_RUNS, self.unit.tenant_id, run["kind"], run["id"], _KEPT_RUNS
        )

    # -- what is bought together -----------------------------------------------------------------------------------

    async def find_pairs(
        self, run_id: UUID, basis: Basis, kind: str, as_of: datetime, settings: PatternSettings
    ) -> dict[str, int]:
        """Look for pairs in all baskets and store them under the run; returns baskets, pairs and skipped baskets."""
        connection = self.unit.connection
        await connection.execute(f"{statements.HASH_JOINS}; SET LOCAL statement_timeout = '{_LONGEST_PASS}s'")
        row = await connection.fetchrow(
            statements.pairs(basis, kind),
            self.unit.tenant_id,
            run_id,
            as_of - timedelta(days=settings.basket_days),
            as_of,
            MAX_BASKET,
            settings.min_baskets,
            settings.min_support,
            timeout=_LONGEST_PASS + 10,
        )
        await connection.execute(statements.ANY_JOINS)
        assert row is not None  # noqa: S101 - an aggregate always yields a row
        return dict(row)

    async def forget_other_pairs(self, run_id: UUID) -> None:
        """Delete the pairs of all other runs."""
        await self.unit.connection.execute(statements.FORGET_PAIRS, self.unit.tenant_id, run_id)


def _ids(rows: Iterable[asyncpg.Record]) -> set[UUID]:
    return {row["customer_id"] for row in rows}
