"""Data quality in GraphQL."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import orjson
from pydantic import BaseModel, Field

from crm_api.core.paging import PageRequest
from crm_api.quality.models import CleanupCreate, CustomerQuality, QualityQuery, QualityReport
from crm_api.quality.service import CleanupService, QualityService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

SHOWN = {"quality_cleanup": "QualityCleanup"}


async def _report(call: Call) -> dict[str, Any]:
    found = await QualityService(call.unit).report(**call.extra)
    return {name: getattr(found, name) for name in type(found).model_fields}


async def _customer(call: Call) -> dict[str, Any]:
    found = await QualityService(call.unit).of_customer(call.id)
    return {"completeness": found.completeness, "missing": found.missing, "findings": found.findings}


async def _customers(call: Call) -> dict[str, Any]:
    # Only the ids: the planner reads what the selection asks for.
    query: QualityQuery = call.data
    body = await QualityService(call.unit).customers(query, PageRequest(query.limit, query.after), ("id",))
    found = orjson.loads(body)
    page = found["page"]
    return {
        "customers": [UUID(each["id"]) for each in found["data"]],
        "next": page["next"],
        "has_more": page["has_more"],
    }


async def _start(call: Call) -> dict[str, Any]:
    return {"quality_cleanup": await CleanupService(call.unit).start(call.data)}


async def _cancel(call: Call) -> dict[str, Any]:
    await CleanupService(call.unit).cancel(call.id, expected_version=call.version)
    return {"quality_cleanup": call.id}


def _fields(model: type[BaseModel], *, without: Sequence[str] = ()) -> dict[str, Any]:
    """Return a payload with the fields of a model, each with its own description."""
    return {
        name: Annotated[field.annotation, Field(description=field.description)]
        for name, field in model.model_fields.items()
        if name not in without
    }


GRAPHQL = GraphQLParts(
    queries={
        "quality_report": Computed(
            _report,
            extra={"stale_days": Annotated[int | None, Field(description="365 if left out.", ge=1, le=3_650)]},
            payload=_fields(QualityReport),
            description="What is wrong with all customers now, counted.",
        ),
        "customer_quality": Computed(
            _customer,
            target="Customer",
            payload=_fields(CustomerQuality, without=("customer_id",)),
            description="What is wrong with one customer.",
        ),
        "quality_customers": Computed(
            _customers,
            input=QualityQuery,
            payload={"customers": ["Customer"], "next": str | None, "has_more": bool},
            description="One page of the customers behind a figure of the report.",
        ),
        "quality_cleanup": get("QualityCleanup", description="A clean-up by id."),
        "quality_cleanups": connection("QualityCleanup", description="Clean-ups, newest first."),
    },
    mutations={
        "quality_cleanup_start": Mutation(
            _start, input=CleanupCreate, payload=SHOWN, description="Start a clean-up over all customers, or a preview."
        ),
        "quality_cleanup_cancel": Mutation(
            _cancel,
            target="QualityCleanup",
            versioned=True,
            payload=SHOWN,
            description="Stop a clean-up: what was done stays done.",
        ),
    },
)
