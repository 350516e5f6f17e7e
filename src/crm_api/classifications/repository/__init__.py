"""Access to classifications: projections, definitions, what staff judged, and the matrix of transitions."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import Field
from sqlalchemy import ColumnElement, DateTime, FromClause, Text, func, literal_column, select
from sqlalchemy import true as sql_true
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.accounts.tables import tenants
from crm_api.classifications import reasons
from crm_api.classifications.definitions import CLASSES, COLUMNS, Dimension, classes_of
from crm_api.classifications.models import (
    Classification,
    ClassificationVersion,
    ClassLogEntry,
    CustomerClasses,
    CustomerPotential,
    Grade,
    Lifecycle,
    PeriodScore,
    RunCause,
    RunState,
    Scores,
    ScoringRun,
)
from crm_api.classifications.names import TITLES, name_of
from crm_api.classifications.tables import (
    class_log,
    classification_versions,
    classifications,
    customer_potentials,
    customer_scores,
    period_scores,
    scoring_runs,
)
from crm_api.customers.repository import CUSTOMER, CustomerRepository
from crm_api.customers.tables import customers
from crm_api.db.projections import (
    NOW,
    TENANT,
    Filter,
    FilterValue,
    Projection,
    asc,
    at_least,
    below,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    money,
    one,
    python,
    ref,
    sql,
)
from crm_api.db.projections import Field as Shown
from crm_api.db.repository import Repository
from crm_api.interactions.tables import interactions

SCOPE = "segments:read"

SCORES = Projection(
    "Scores",
    table=customer_scores,
    model=Scores,
    scope=SCOPE,
    description="What the last scoring said of a customer.",
    fields={
        **columns("lifecycle", "recency_days", "frequency", "r", "f", "m", "grade", "scored_at"),
        "monetary": money("monetary_amount"),
    },
    node=False,
    key="customer_id",
)

SCORING_RUN = Projection(
    "ScoringRun",
    table=scoring_runs,
    model=ScoringRun,
    scope=SCOPE,
    description="A scoring of all customers.",
    fields=columns(
        "id",
        "state",
        "cause",
        "as_of",
        "period",
        "currency",
        "total",
        "processed",
        "versions",
        "thresholds",
        "summary",
        "error",
        "started_at",
        "finished_at",
        "version",
        "created_at",
        "updated_at",
    ),
    filters={"state": eq("state", RunState), "cause": eq("cause", RunCause), "period": eq("period")},
)

# -- definitions -------------------------------------------------------------------------------------------------------


def _title(row: Mapping[str, Any], _now: datetime) -> Mapping[str, str]:
    return TITLES[row["dimension"]]


def _named(row: Mapping[str, Any], _now: datetime) -> list[dict[str, Any]]:
    dimension, definition = row["dimension"], row["definition"]
    return [{"code": code, "name": name_of(dimension, code, definition)} for code in classes_of(dimension, definition)]


CLASSIFICATION = Projection(
    "Classification",
    table=classifications,
    model=Classification,
    scope=SCOPE,
    description="A ready-made classification: its definition, open to view and edit.",
    fields={
        **columns("id", "dimension", "definition", "contact_limits", "version", "created_at", "updated_at"),
        "title": python(_title, needs={"dimension": column("dimension")}),
        "classes": python(_named, needs={"dimension": column("dimension"), "definition": column("definition")}),
    },
    orders={"by_dimension": [asc("dimension")]},
    filters={"dimension": eq("dimension", Dimension)},
    # It is one of the nine a tenant has: named by its dimension.
    node=False,
)

CLASSIFICATION_VERSION = Projection(
    "ClassificationVersion",
    table=classification_versions,
    model=ClassificationVersion,
    scope=SCOPE,
    description="A definition as it was from one edit to the next.",
    fields=columns(
        "id", "dimension", "version", "definition", "contact_limits", "actor_kind", "actor_id", "created_at"
    ),
    filters={"dimension": eq("dimension", Dimension)},
    version=None,
)

# -- what a customer is ------------------------------------------------------------------------------------------------


def _object(parts: Mapping[str, ColumnElement[Any]]) -> ColumnElement[Any]:
    """Return a JSON object; the names are constants of this module."""
    flat: list[ColumnElement[Any]] = []
    for name, value in parts.items():
        flat += [literal_column(f"'{name}'"), value]
    return func.jsonb_build_object(*flat)


def _scores(t: FromClause) -> ColumnElement[Any]:
    s = customer_scores.alias("scored")
    row = func.to_jsonb(literal_column("scored"), type_=JSONB())
    return select(row).where(s.c.tenant_id == TENANT, s.c.customer_id == t.c.id).scalar_subquery()


def _assessed_at(t: FromClause) -> ColumnElement[Any]:
    s = customer_scores.alias()
    found = select(func.coalesce(s.c.assessed_at, s.c.scored_at))
    return found.where(s.c.tenant_id == TENANT, s.c.customer_id == t.c.id).scalar_subquery()


def _definitions(_t: FromClause) -> ColumnElement[Any]:
    d = classifications.alias()
    each = _object({name: d.c[name] for name in ("definition", "contact_limits", "version")})
    return select(func.jsonb_object_agg(d.c.dimension, each)).where(d.c.tenant_id == TENANT).scalar_subquery()


def _standing(_t: FromClause) -> ColumnElement[Any]:
    r = scoring_runs.alias()
    found = select(r.c.thresholds).where(r.c.tenant_id == TENANT, r.c.state == "completed", r.c.period.is_(None))
    return found.order_by(r.c.finished_at.desc(), r.c.id.desc()).limit(1).scalar_subquery()


def _since(t: FromClause) -> ColumnElement[Any]:
    log = class_log.alias()
    changed = func.unnest(log.c.changed).table_valued("dimension").render_derived()
    latest = (
        select(changed.c.dimension, func.max(log.c.at).label("at"))
        .select_from(log.join(changed, sql_true()))
        .where(log.c.tenant_id == TENANT, log.c.customer_id == t.c.id)
        .group_by(changed.c.dimension)
        .correlate(t)
        .subquery()
    )
    return select(func.jsonb_object_agg(latest.c.dimension, latest.c.at)).scalar_subquery()


def _judged(t: FromClause) -> ColumnElement[Any]:
    p = customer_potentials.alias()
    names = ("industry_position", "outlook", "purchase_intent")
    found = select(_object({name: p.c[name] for name in names})).where(
        p.c.tenant_id == TENANT, p.c.customer_id == t.c.id
    )
    return found.scalar_subquery()


def _tenant(name: str) -> Callable[[FromClause], ColumnElement[Any]]:
    def build(_t: FromClause) -> ColumnElement[Any]:
        own = tenants.alias()
        return select(own.c[name]).where(own.c.tenant_id == TENANT).scalar_subquery()

    return build


PERIODS = ("day", "week", "month", "quarter", "year")


def _contacts(t: FromClause) -> ColumnElement[Any]:
    i, own = interactions.alias(), tenants.alias()
    zone = select(own.c.time_zone).where(own.c.tenant_id == TENANT).scalar_subquery()

    def start(per: str) -> ColumnElement[Any]:
        local = func.timezone(zone, NOW)
        return func.timezone(zone, func.date_trunc(literal_column(f"'{per}'"), local), type_=DateTime(timezone=True))

    counted = _object({per: func.count().filter(i.c.occurred_at >= start(per)) for per in PERIODS})
    # A week can begin in the year before.
    found = select(counted).where(
        i.c.tenant_id == TENANT,
        i.c.customer_id == t.c.id,
        i.c.direction == literal_column("'outbound'"),
        i.c.occurred_at >= func.least(start("year"), start("week")),
        i.c.occurred_at <= NOW,
    )
    return found.scalar_subquery()


_NEEDS: Mapping[str, Shown] = {"scores": sql(_scores), "definitions": sql(_definitions)}

CUSTOMER_CLASSES = Projection(
    "CustomerClasses",
    table=customers,
    model=CustomerClasses,
    scope=SCOPE,
    description="What a customer is in every dimension, and why.",
    where=lambda t: t.c.deleted_at.is_(None),
    fields={
        "customer_id": ref("id", "Customer"),
        "assessed_at": sql(_assessed_at),
        "classes": python(
            reasons.classes,
            needs={
                **_NEEDS,
                "standing": sql(_standing),
                "since": sql(_since),
                "judged": sql(_judged),
                "currency": sql(_tenant("currency")),
            },
        ),
        "contact": python(
            reasons.contact_allowance,
            needs={**_NEEDS, "contacts": sql(_contacts), "zone": sql(_tenant("time_zone"))},
        ),
    },
    node=False,
    version=None,
)

CUSTOMER_POTENTIAL = Projection(
    "CustomerPotential",
    table=customer_potentials,
    model=CustomerPotential,
    scope=SCOPE,
    description="What staff think a customer may become.",
    fields={
        **columns("id", "industry_position", "outlook", "purchase_intent", "note"),
        "customer_id": ref("customer_id", "Customer"),
        "staff_id": ref("staff_id", "Staff"),
        **columns("version", "created_at", "updated_at"),
    },
)

# -- the log and the periods -------------------------------------------------------------------------------------------


def _class_set(row: FromClause) -> ColumnElement[Any]:
    return _object({name: row.c[held] for name, held in COLUMNS.items()})


def _before(t: FromClause) -> ColumnElement[Any]:
    log = class_log.alias()
    found = select(_class_set(log)).where(
        log.c.tenant_id == TENANT, log.c.customer_id == t.c.customer_id, log.c.at < t.c.at
    )
    return found.order_by(log.c.at.desc()).limit(1).scalar_subquery()


def _changed(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return v(None, Text()) == func.any(t.c.changed)


CLASS_LOG_ENTRY = Projection(
    "ClassLogEntry",
    table=class_log,
    model=ClassLogEntry,
    scope=SCOPE,
    description="A moment at which classes of a customer changed.",
    fields={
        **columns("id", "at", "cause", "changed"),
        "customer_id": ref("customer_id", "Customer"),
        "run_id": ref("run_id", "ScoringRun"),
        "before": sql(_before),
        "after": sql(_class_set),
    },
    orders={"newest": [desc("at"), desc("id")], "oldest": [asc("at"), asc("id")]},
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "dimension": Filter(Dimension, _changed, description="Only changes of this dimension."),
        "run_id": eq_ref("run_id", "ScoringRun"),
        "since": at_least("at", description="From this moment on."),
        "until": below("at", description="Before this moment."),
    },
    version=None,
)

PERIOD_SCORE = Projection(
    "PeriodScore",
    table=period_scores,
    model=PeriodScore,
    scope=SCOPE,
    description="What a customer's scores and classes were at the end of a period.",
    fields={
        **columns("id", "period", "silent_days", "frequency", "r", "f", "m"),
        "customer_id": ref("customer_id", "Customer"),
        "run_id": ref("run_id", "ScoringRun"),
        "monetary": money("monetary_amount"),
        "classes": sql(_class_set),
    },
    orders={"by_period": [desc("period"), desc("id")]},
    filters={
        "period": eq("period"),
        "customer_id": eq_ref("customer_id", "Customer"),
        "grade": eq("grade", Grade, description="Only this grade."),
        "rfm_group": eq("rfm_group", description="Only this RFM group."),
        "lifecycle": eq("lifecycle", Lifecycle, description="Only this stage."),
    },
    node=False,
    version=None,
)

extend(
    CUSTOMER,
    fields={"scores": one("Scores", on=lambda p, c: c.c.customer_id == p.c.id)},
    model_fields={
        "scores": (
            Scores | None,
            Field(description="By the last scoring; null before the first. Takes `segments:read`."),
        )
    },
    relations={
        "classes": one(
            "CustomerClasses", on=lambda p, c: c.c.id == p.c.id, description="The class in every dimension, and why."
        ),
        "potential": one(
            "CustomerPotential",
            on=lambda p, c: c.c.customer_id == p.c.id,
            description="What staff think they may become.",
        ),
        "class_log": many(
            "ClassLogEntry", on=lambda p, c: c.c.customer_id == p.c.id, description="What changed, newest first."
        ),
    },
)

_MATRIX = """
WITH moved AS MATERIALIZED (
  SELECT
    (SELECT l.{column} FROM class_log l WHERE l.tenant_id = $1 AND l.customer_id = c.id AND l.at <= $2
     ORDER BY l.at DESC LIMIT 1) AS before,
    (SELECT l.{column} FROM class_log l WHERE l.tenant_id = $1 AND l.customer_id = c.id AND l.at <= $3
     ORDER BY l.at DESC LIMIT 1) AS after
  FROM customers c WHERE c.tenant_id = $1 AND c.deleted_at IS NULL
)
SELECT coalesce(before, 'none') AS before, coalesce(after, 'none') AS after, count(*) AS customers
FROM moved GROUP BY 1, 2
"""


class ClassificationRepository(Repository):
    """Definitions and their versions."""

    table = classifications

    async def by_dimension(self, dimension: str, *, lock: bool = False) -> asyncpg.Record | None:
        """Return a definition's row; ``lock`` holds it against other writers until the unit ends."""
        statement = select(classifications).where(self.mine(), classifications.c.dimension == dimension)
        return await self.unit.fetch_one(statement.with_for_update(key_share=True) if lock else statement)

    async def keep_version(self, values: Mapping[str, Any]) -> None:
        """Append to the versions."""
        await self.insert(values, classification_versions)

    async def matrix(self, dimension: str, start: datetime, end: datetime) -> list[asyncpg.Record]:
        """Return (before, after, customers) of all living customers; ``none`` without a class."""
        statement = _MATRIX.format(column=COLUMNS[dimension])
        rows: list[asyncpg.Record] = await self.unit.connection.fetch(statement, self.unit.tenant_id, start, end)
        return rows


class PotentialRepository(Repository):
    """What staff judged."""

    table = customer_potentials

    async def require_customer(self, customer_id: UUID) -> None:
        """Raise NotFound unless the customer lives."""
        await CustomerRepository(self.unit).get(customer_id)

    async def of_customer(self, customer_id: UUID) -> asyncpg.Record | None:
        """Return what is known of a customer, held against other writers."""
        t = customer_potentials
        statement = select(t).where(self.mine(), t.c.customer_id == customer_id)
        return await self.unit.fetch_one(statement.with_for_update(key_share=True))


__all__ = [
    "CLASSES",
    "CLASSIFICATION",
    "CLASSIFICATION_VERSION",
    "CLASS_LOG_ENTRY",
    "COLUMNS",
    "CUSTOMER_CLASSES",
    "CUSTOMER_POTENTIAL",
    "PERIOD_SCORE",
    "SCORES",
    "SCORING_RUN",
    "TITLES",
    "ClassificationRepository",
    "PotentialRepository",
    "name_of",
]
