"""Statistics of complaints in GraphQL. The picture is REST only; what it shows are the groups."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field

from crm_api.complaint_reports.models import (
    CompensationFiguresAsked,
    CompensationReport,
    ComplaintStatistics,
    ComplaintStatisticsAsked,
)
from crm_api.complaint_reports.service import ComplaintReportService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts


async def _statistics(call: Call) -> Mapping[str, Any]:
    return await ComplaintReportService(call.unit).statistics(call.data)


async def _compensations(call: Call) -> Mapping[str, Any]:
    return await ComplaintReportService(call.unit).compensations(call.data)


def _report(
    work: Callable[[Call], Awaitable[Mapping[str, Any]]],
    asked: type[BaseModel],
    shape: type[BaseModel],
    description: str,
) -> Computed:
    """Declare a report with the fields of its REST shape."""

    async def run(call: Call) -> dict[str, Any]:
        found = shape.model_validate(await work(call))
        return {name: getattr(found, name) for name in shape.model_fields}

    payload = {
        name: Annotated[field.annotation, Field(description=field.description)]
        for name, field in shape.model_fields.items()
    }
    return Computed(run, input=asked, payload=payload, description=description)


GRAPHQL = GraphQLParts(
    queries={
        "complaint_statistics": _report(
            _statistics, ComplaintStatisticsAsked, ComplaintStatistics, "Figures of complaints, group by group."
        ),
        "compensation_figures": _report(
            _compensations, CompensationFiguresAsked, CompensationReport, "What was given for complaints, by kind."
        ),
    },
)
