"""Data quality over REST."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from starlette.responses import Response

from crm_api.core.paging import DEFAULT_LIMIT
from crm_api.quality.models import (
    STALE_DAYS,
    CleanupCreate,
    CustomerQuality,
    Finding,
    QualityQuery,
    QualityReport,
)
from crm_api.quality.repository import QUALITY_CLEANUP
from crm_api.quality.service import CleanupService, QualityService
from crm_api.web.resources import (
    JSON,
    READ_PROBLEMS,
    After,
    Before,
    Count,
    Fields,
    Limit,
    add_get,
    add_list,
    crm_router,
    page_request,
    parse_fields,
    resource,
    shown,
)
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("quality")

StaleDays = Annotated[
    int, Query(ge=1, le=3_650, description="Days without order, interaction or change after which one is stale.")
]
_CUSTOMERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One page of Customer.",
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/CustomerPage"}}},
    },
    **READ_PROBLEMS,
}


def _answers(model: type[Any], description: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model, "description": description}, **READ_PROBLEMS}


@router.get(
    "/quality/report",
    summary="Report on the quality of customers' data",
    responses=_answers(QualityReport, "The report."),
    response_model=None,
)
async def quality_report(unit: ReadUnit, stale_days: StaleDays = STALE_DAYS) -> Response:
    """Count what is wrong, over all customers and as it is now."""
    report = await QualityService(unit).report(stale_days)
    return Response(report.model_dump_json(), media_type=JSON)


@router.get(
    "/quality/customers", summary="List customers something is wrong with", responses=_CUSTOMERS, response_model=None
)
async def quality_customers(  # noqa: PLR0913 - query parameters
    *,
    unit: ReadUnit,
    finding: Annotated[Finding | None, Query(description="Only customers with this finding.")] = None,
    completeness_below: Annotated[
        int | None, Query(ge=1, le=100, description="Only customers with a lower score.")
    ] = None,
    stale_days: StaleDays = STALE_DAYS,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
    before: Before = None,
    count: Count = None,
    fields: Fields = None,
) -> Response:
    """List the customers behind a figure of the report, newest first."""
    query = QualityQuery(finding=finding, stale_days=stale_days, completeness_below=completeness_below)
    page = page_request(limit, after, before, count)
    return Response(await QualityService(unit).customers(query, page, parse_fields(fields)), media_type=JSON)


@router.get(
    "/customers/{customer_id}/quality",
    summary="Tell what is wrong with a customer",
    responses=_answers(CustomerQuality, "Score, what it lacks, and findings."),
    response_model=None,
)
async def customer_quality(unit: ReadUnit, customer_id: UUID, stale_days: StaleDays = STALE_DAYS) -> Response:
    """Completeness with what is missing, and everything the report would count the customer under."""
    found = await QualityService(unit).of_customer(customer_id, stale_days)
    return Response(found.model_dump_json(), media_type=JSON)


add_list(router, "/quality/cleanups", QUALITY_CLEANUP, summary="List clean-ups, newest first")
add_get(router, "/quality/cleanups", QUALITY_CLEANUP, summary="Get a clean-up")


@router.post(
    "/quality/cleanups",
    status_code=202,
    summary="Clean up contact points",
    responses=shown("QualityCleanup", 202, "The clean-up; poll it."),
    response_model=None,
)
async def start_cleanup(unit: WriteUnit, body: CleanupCreate) -> Response:
    """Start a clean-up over all customers, or its preview (`dry_run`, the default): a job that can be polled."""
    cleanup_id = await CleanupService(unit).start(body)
    return await resource(unit, QUALITY_CLEANUP, cleanup_id, status=202, location="/v1/quality/cleanups")


@router.post(
    "/quality/cleanups/{id}/cancel",
    summary="Stop a clean-up",
    responses=shown("QualityCleanup"),
    response_model=None,
)
async def cancel_cleanup(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Stop it: what was done stays done."""
    await CleanupService(unit).cancel(id, expected_version=version)
    return await resource(unit, QUALITY_CLEANUP, id)
