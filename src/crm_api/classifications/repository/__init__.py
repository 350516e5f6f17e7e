"""Access to classifications: the projections."""

from pydantic import Field

from crm_api.classifications.models import RunState, Scores, ScoringRun
from crm_api.classifications.tables import customer_scores, scoring_runs
from crm_api.customers.repository import CUSTOMER
from crm_api.db.projections import Projection, columns, eq, extend, money, one

SCORES = Projection(
    "Scores",
    table=customer_scores,
    model=Scores,
    scope="segments:read",
    description="What the last scoring run said of a customer.",
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
    scope="segments:read",
    description="A scoring of all customers.",
    fields=columns(
        "id",
        "state",
        "as_of",
        "currency",
        "total",
        "processed",
        "thresholds",
        "summary",
        "error",
        "started_at",
        "finished_at",
        "version",
        "created_at",
        "updated_at",
    ),
    filters={"state": eq("state", RunState)},
)

extend(
    CUSTOMER,
    fields={"scores": one("Scores", on=lambda p, c: c.c.customer_id == p.c.id)},
    model_fields={
        "scores": (
            Scores | None,
            Field(description="By the last scoring run; null before the first. Takes `segments:read`."),
        )
    },
)
