"""Statistics of complaints over REST."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Query
from starlette.responses import Response

from crm_api.complaint_reports.models import (
    DEEPEST,
    MOST_GROUPS,
    CompensationFiguresAsked,
    CompensationReport,
    ComplaintStatistics,
    ComplaintStatisticsAsked,
    GroupBy,
)
from crm_api.complaint_reports.service import ComplaintReportService
from crm_api.complaints.models import Channel, Kind, Severity
from crm_api.core.moments import Moment
from crm_api.core.text import Line
from crm_api.web.resources import READ_PROBLEMS, crm_router, problem_responses
from crm_api.web.units import ReadUnit

router = crm_router("complaints")

SVG: Final = "image/svg+xml"
_AT: Final = ("/query/from", "/query/to")
_ASKED: Final = ComplaintStatisticsAsked.model_fields

From = Annotated[
    Moment | None,
    Query(alias="from", description="A day (its beginning in the tenant's zone) or a time; 30 days before `to`."),
]
To = Annotated[
    Moment | None,
    Query(alias="to", description="Until before this day or time; now.", examples=["2026-11-01"]),
]


def _says(name: str) -> str:
    return _ASKED[name].description or ""


def _asked(  # noqa: PLR0913 - the query parameters of two operations
    *,
    from_at: From = None,
    to_at: To = None,
    by: Annotated[GroupBy, Query(description=_says("by"))] = "cause",
    level: Annotated[int, Query(ge=1, le=DEEPEST, description=_says("level"))] = DEEPEST,
    kind: Annotated[Kind | None, Query(description=_says("kind"))] = None,
    channel: Annotated[Channel | None, Query(description=_says("channel"))] = None,
    severity: Annotated[Severity | None, Query(description=_says("severity"))] = None,
    cause: Annotated[Line | None, Query(description=_says("cause"), examples=["quality/cold_chain"])] = None,
    sku: Annotated[Line | None, Query(description=_says("sku"))] = None,
    staff_id: Annotated[UUID | None, Query(description=_says("staff_id"))] = None,
    store_id: Annotated[UUID | None, Query(description=_says("store_id"))] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_GROUPS, description=_says("limit"))] = 100,
) -> ComplaintStatisticsAsked:
    """Return what was asked."""
    return ComplaintStatisticsAsked(
        from_at=from_at,
        to_at=to_at,
        by=by,
        level=level,
        kind=kind,
        channel=channel,
        severity=severity,
        cause=cause,
        sku=sku,
        staff_id=staff_id,
        store_id=store_id,
        limit=limit,
    )


Asked = Annotated[ComplaintStatisticsAsked, Depends(_asked)]


@router.get("/analytics/complaints", summary="Report figures of complaints", responses=READ_PROBLEMS)
async def report_complaints(unit: ReadUnit, asked: Asked) -> ComplaintStatistics:
    """Count the cases of a period by cause, product, batch, staff, store, channel, severity or time.

    For each group: how many, how long until the first answer and the resolution (median and 90th percentile, in minutes
    of the clocks that measured it), how many missed a limit, how many were reopened, and what was given for them (with
    `compensations:read`).
    """
    return ComplaintStatistics.model_validate(await ComplaintReportService(unit).statistics(asked, _AT))


@router.get(
    "/analytics/complaints/pareto.svg",
    summary="Draw causes of complaints by weight",
    responses={
        200: {"description": "The picture.", "content": {SVG: {"schema": {"type": "string"}}}},
        **problem_responses(400, 401, 403, 422, 503),
    },
    response_model=None,
)
async def draw_complaints(unit: ReadUnit, asked: Asked) -> Response:
    """Draw the same groups as a Pareto picture: bars, the largest first, and the line of what they come to together.

    Twelve bars at most, or `limit`; the rest is one more. Its words are English or Chinese, as ``Accept-Language``
    asks.
    """
    drawn = await ComplaintReportService(unit).pareto(asked, _AT)
    return Response(drawn, media_type=SVG, headers={"vary": "accept-language"})


@router.get("/analytics/compensations", summary="Report what was given for complaints", responses=READ_PROBLEMS)
async def report_compensations(unit: ReadUnit, from_at: From = None, to_at: To = None) -> CompensationReport:
    """Count the compensations proposed in a period by kind and currency, and by what became of them."""
    asked = CompensationFiguresAsked(from_at=from_at, to_at=to_at)
    return CompensationReport.model_validate(await ComplaintReportService(unit).compensations(asked, _AT))
