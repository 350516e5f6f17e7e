"""Churn warning over REST."""

from typing import Any
from uuid import UUID

from starlette.responses import Response

from crm_api.churn.backtests import ChurnBacktestService
from crm_api.churn.models import ChurnAssessmentCreate, ChurnBacktestCreate, ChurnSettingsUpdate
from crm_api.churn.repository import (
    CHURN_ASSESSMENT,
    CHURN_BACKTEST,
    CHURN_SETTINGS,
    CHURN_STATE,
    CHURN_TRANSITION,
)
from crm_api.churn.service import ChurnAssessmentService, ChurnSettingsService
from crm_api.core.errors import NotFound
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
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("churn")


def _one(name: str, description: str) -> dict[int | str, dict[str, Any]]:
    content = {JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return {200: {"description": description, "content": content}, **READ_PROBLEMS}


@router.get(
    "/churn/settings",
    summary="Get the churn settings",
    responses=_one("ChurnSettings", "The settings; their version is the ETag."),
    response_model=None,
)
async def get_churn_settings(unit: ReadUnit) -> Response:
    """Tell how much each indicator weighs, and which scores make a level."""
    return await resource(unit, CHURN_SETTINGS, unit.tenant_id)


@router.patch(
    "/churn/settings",
    summary="Change the churn settings",
    responses=shown("ChurnSettings", description="The settings as they are now."),
    response_model=None,
)
async def update_churn_settings(unit: WriteUnit, body: ChurnSettingsUpdate, version: ExpectedVersion) -> Response:
    """Change the settings given, weights one by one; they hold from the next assessment on."""
    await ChurnSettingsService(unit).change(body, expected_version=version)
    return await resource(unit, CHURN_SETTINGS, unit.tenant_id)


add_list(router, "/churn/assessments", CHURN_ASSESSMENT, summary="List assessments")
add_get(router, "/churn/assessments", CHURN_ASSESSMENT, summary="Get an assessment")


@router.post(
    "/churn/assessments",
    status_code=202,
    summary="Assess all customers",
    responses=shown("ChurnAssessment", 202, "The assessment, not done yet."),
    response_model=None,
)
async def start_assessment(unit: WriteUnit, body: ChurnAssessmentCreate | None = None) -> Response:
    """Queue an assessment of everybody who ever bought; poll it. The body may be left out.

    One is made each night by itself. A rise to `alert_from` or higher sends one `churn.alert`, however often customers
    are assessed; the next one needs a fall first, or a rise still higher.
    """
    assessment_id = await ChurnAssessmentService(unit).start(body or ChurnAssessmentCreate())
    return await resource(unit, CHURN_ASSESSMENT, assessment_id, status=202, location="/v1/churn/assessments")


add_list(router, "/churn/customers", CHURN_STATE, summary="List customers with their levels, the highest score first")
add_list(router, "/churn/transitions", CHURN_TRANSITION, summary="List changes of level, newest first")
add_get(router, "/churn/transitions", CHURN_TRANSITION, summary="Get a change of level")


@router.get(
    "/customers/{customer_id}/churn",
    summary="Get a customer's churn level and why",
    responses=_one("ChurnState", "The level with its reasons."),
    response_model=None,
)
async def get_customer_churn(unit: ReadUnit, customer_id: UUID, fields: Fields = None) -> Response:
    """Tell how likely the customer is leaving, with every indicator's value, baseline, peers, weight and points."""
    try:
        return await resource(unit, CHURN_STATE, customer_id, fields=parse_fields(fields))
    except NotFound:
        raise NotFound(
            "There is no such customer, or none that was assessed: who never bought has no level, and others get one "
            "with the next assessment (POST /v1/churn/assessments)",
            zh="没有该客户，或尚未评估：从未购买的客户没有等级，其他客户在下次评估后才有（POST /v1/churn/assessments）",
        ) from None


add_list(router, "/churn/backtests", CHURN_BACKTEST, summary="List back-tests")
add_get(router, "/churn/backtests", CHURN_BACKTEST, summary="Get a back-test")


@router.post(
    "/churn/backtests",
    status_code=202,
    summary="Test the warnings on the past",
    responses=shown("ChurnBacktest", 202, "The back-test, not done yet."),
    response_model=None,
)
async def start_backtest(unit: WriteUnit, body: ChurnBacktestCreate | None = None) -> Response:
    """Queue a test of the present settings on past days: who was warned of, who was lost; poll it.

    Customers are assessed as things stood on each day, and compared with what they did in the horizon after it. Nothing
    is written but the result. The body may be left out.
    """
    backtest_id = await ChurnBacktestService(unit).start(body or ChurnBacktestCreate())
    return await resource(unit, CHURN_BACKTEST, backtest_id, status=202, location="/v1/churn/backtests")
