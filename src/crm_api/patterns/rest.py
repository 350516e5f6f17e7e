"""Purchase patterns over REST."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from starlette.responses import Response

from crm_api.core.errors import NotFound
from crm_api.db.uow import UnitOfWork
from crm_api.patterns.models import PatternRunCreate, PatternSettingsUpdate
from crm_api.patterns.repository import BOUGHT_TOGETHER, CUSTOMER_PATTERNS, PATTERN_RUN, PATTERN_SETTINGS
from crm_api.patterns.service import PatternService, check_pairs_asked
from crm_api.web.resources import (
    JSON,
    READ_PROBLEMS,
    Fields,
    add_get,
    add_list,
    crm_router,
    parse_fields,
    resource,
    shown,
)
from crm_api.web.units import ReadUnit, WriteUnit

router = crm_router("patterns")


def _schema(name: str, description: str) -> dict[int | str, dict[str, Any]]:
    content = {JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return {200: {"description": description, "content": content}}


async def _one_kind(_unit: UnitOfWork, filters: Mapping[str, Any], _order: str | None) -> None:
    check_pairs_asked(filters.get("product_id"), filters.get("category"))


add_list(router, "/patterns/customers", CUSTOMER_PATTERNS, summary="List customers' purchase patterns")
add_list(router, "/patterns/bought-together", BOUGHT_TOGETHER, summary="List what is bought together", check=_one_kind)
add_list(router, "/patterns/runs", PATTERN_RUN, summary="List runs, newest first")
add_get(router, "/patterns/runs", PATTERN_RUN, summary="Get a run")


@router.get(
    "/customers/{customer_id}/patterns",
    summary="Get a customer's purchase patterns",
    responses={**_schema("CustomerPatterns", "What they tend to buy and when."), **READ_PROBLEMS},
    response_model=None,
)
async def customer_patterns(unit: ReadUnit, customer_id: UUID, fields: Fields = None) -> Response:
    """Tell what a customer tends to buy, how much, how often, at what discount, and what they only look at.

    `interests` takes `events:read` besides; without it they are left out.
    """
    names = parse_fields(fields)
    try:
        return await resource(unit, CUSTOMER_PATTERNS, customer_id, fields=names)
    except NotFound:
        return Response(await PatternService(unit).nothing_known(customer_id, names), media_type=JSON)


@router.post(
    "/patterns/runs",
    status_code=202,
    summary="Make patterns anew",
    responses=shown("PatternRun", 202, "The run, not begun yet; poll it."),
    response_model=None,
)
async def start_run(unit: WriteUnit, body: PatternRunCreate) -> Response:
    """Queue a run over all baskets, or over all customers. Patterns follow every order and look by themselves."""
    run_id = await PatternService(unit).start(body)
    return await resource(unit, PATTERN_RUN, run_id, status=202, location="/v1/patterns/runs")


@router.get(
    "/pattern-settings",
    summary="Get pattern settings",
    responses={**_schema("PatternSettings", "The settings."), **READ_PROBLEMS},
    response_model=None,
)
async def get_pattern_settings(unit: ReadUnit) -> Response:
    """Tell the thresholds and windows that patterns go by."""
    return await resource(unit, PATTERN_SETTINGS, unit.tenant_id)


@router.patch(
    "/pattern-settings",
    summary="Change pattern settings",
    responses={**shown("PatternSettings"), **_schema("PatternSettings", "The settings.")},
    response_model=None,
)
async def update_pattern_settings(unit: WriteUnit, body: PatternSettingsUpdate) -> Response:
    """Change the fields given; customers' patterns are made anew by a run in the background."""
    await PatternService(unit).configure(body)
    return await resource(unit, PATTERN_SETTINGS, unit.tenant_id)
