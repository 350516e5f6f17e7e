"""Earning rules over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.earning.booking import EarningService
from crm_api.earning.models import (
    EarningCreate,
    EarningLimitsUpdate,
    EarningRuleCreate,
    EarningRuleUpdate,
    Simulation,
    SimulationCreate,
)
from crm_api.earning.repository import EARNING, EARNING_LIMITS, EARNING_RULE, EARNING_RULE_VERSION
from crm_api.earning.service import EarningLimitsService, EarningRuleService
from crm_api.earning.simulation import SimulationService
from crm_api.web.resources import (
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    Fields,
    add_get,
    add_list,
    crm_router,
    parse_fields,
    resource,
    shown,
)
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("loyalty")
RULES = "/loyalty/earning-rules"

add_list(router, RULES, EARNING_RULE, summary="List earning rules")
add_get(router, RULES, EARNING_RULE, summary="Get an earning rule")
add_list(
    router,
    f"{RULES}/{{id}}/versions",
    EARNING_RULE_VERSION,
    summary="List what an earning rule said, newest first",
    parent=("id", "rule_id"),
)


@router.post(
    RULES, status_code=201, summary="Make an earning rule", responses=shown("EarningRule", 201), response_model=None
)
async def create_earning_rule(unit: WriteUnit, body: EarningRuleCreate) -> Response:
    """Make a rule: trigger × conditions × formula × stacking × caps. A draft earns nothing until it is activated."""
    rule_id = await EarningRuleService(unit).create(body)
    return await resource(unit, EARNING_RULE, rule_id, status=201, location=f"/v1{RULES}")


@router.patch(f"{RULES}/{{id}}", summary="Change an earning rule", responses=shown("EarningRule"), response_model=None)
async def update_earning_rule(unit: WriteUnit, id: UUID, body: EarningRuleUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given. Of an active rule they hold for what happens from now on, as its next version."""
    await EarningRuleService(unit).update(id, body, expected_version=version)
    return await resource(unit, EARNING_RULE, id)


@router.post(
    f"{RULES}/{{id}}/activate",
    summary="Activate an earning rule",
    responses=shown("EarningRule"),
    response_model=None,
)
async def activate_earning_rule(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Let a draft or an archived rule earn from now on; what has earned already stays as it is."""
    await EarningRuleService(unit).activate(id, expected_version=version)
    return await resource(unit, EARNING_RULE, id)


@router.post(
    f"{RULES}/{{id}}/archive", summary="Archive an earning rule", responses=shown("EarningRule"), response_model=None
)
async def archive_earning_rule(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Let a rule earn no more; what it earned stays, and so do its versions."""
    await EarningRuleService(unit).archive(id, expected_version=version)
    return await resource(unit, EARNING_RULE, id)


@router.get(
    "/loyalty/earning-limits",
    summary="Get the caps over all earning rules",
    responses={200: shown("EarningLimits")[200], **READ_PROBLEMS},
    response_model=None,
)
async def get_earning_limits(unit: ReadUnit, fields: Fields = None) -> Response:
    """The programme's caps, with what is used of its budget."""
    return await resource(unit, EARNING_LIMITS, unit.tenant_id, fields=parse_fields(fields))


@router.patch(
    "/loyalty/earning-limits",
    summary="Change the caps over all earning rules",
    responses=shown("EarningLimits"),
    response_model=None,
)
async def update_earning_limits(unit: WriteUnit, body: EarningLimitsUpdate, version: ExpectedVersion) -> Response:
    """Change the caps given; null clears one. They hold for what is decided from now on."""
    await EarningLimitsService(unit).change(body, expected_version=version)
    return await resource(unit, EARNING_LIMITS, unit.tenant_id)


add_list(router, "/loyalty/earnings", EARNING, summary="List what was earned and why, newest first")
add_get(router, "/loyalty/earnings", EARNING, summary="Get what was earned and why")


@router.post(
    "/loyalty/earnings",
    status_code=201,
    summary="Tell of something that earns points",
    responses=shown("Earning", 201),
    response_model=None,
)
async def record_earning(unit: WriteUnit, body: EarningCreate) -> Response:
    """Let a customer earn for a survey, a referral or a compensation that happened outside.

    Rules listen to it by its trigger; told again with the same reference, nothing more is given. 409 no_rule when no
    rule listens.
    """
    earning_id = await EarningService(unit).record(body)
    return await resource(unit, EARNING, earning_id, status=201, location="/v1/loyalty/earnings")


@router.post("/loyalty/simulate", summary="Show what an order would earn", responses=WRITE_PROBLEMS)
async def simulate_earning(unit: WriteUnit, body: SimulationCreate) -> Simulation:
    """Show rule by rule what an order would earn and why, and change nothing.

    The order is a stored one, or one written out as it would be sent. Unless something happens in between, the points
    are those that are booked.
    """
    return Simulation.model_validate(await SimulationService(unit).run(body))
