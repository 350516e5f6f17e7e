"""Earning rules over GraphQL."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from crm_api.earning.booking import EarningService
from crm_api.earning.models import (
    EarningCreate,
    EarningLimitsUpdate,
    EarningRuleCreate,
    EarningRuleUpdate,
    SimulatedDecision,
    SimulationCreate,
)
from crm_api.earning.service import EarningLimitsService, EarningRuleService
from crm_api.earning.simulation import SimulationService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get

_RULE = {"earning_rule": "EarningRule"}


async def _create(call: Call) -> dict[str, Any]:
    return {"earning_rule": await EarningRuleService(call.unit).create(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await EarningRuleService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"earning_rule": call.id}


async def _activate(call: Call) -> dict[str, Any]:
    await EarningRuleService(call.unit).activate(call.id, expected_version=call.version)
    return {"earning_rule": call.id}


async def _archive(call: Call) -> dict[str, Any]:
    await EarningRuleService(call.unit).archive(call.id, expected_version=call.version)
    return {"earning_rule": call.id}


async def _limits(call: Call) -> dict[str, Any]:
    await EarningLimitsService(call.unit).change(call.data, expected_version=call.version)
    return {"earning_limits": call.unit.tenant_id}


async def _record(call: Call) -> dict[str, Any]:
    return {"earning": await EarningService(call.unit).record(call.data)}


async def _simulate(call: Call) -> dict[str, Any]:
    found = await SimulationService(call.unit).run(call.data)
    return {
        "customer": found["customer_id"],
        **{name: found[name] for name in ("at", "points", "qualifying", "booked")},
        "decisions": [SimulatedDecision.model_validate(each) for each in found["decisions"]],
    }


GRAPHQL = GraphQLParts(
    queries={
        "earning_rule": get("EarningRule", description="An earning rule by id."),
        "earning_rules": connection("EarningRule", description="What customers get points for."),
        "earning_rule_version": get("EarningRuleVersion", description="A version of an earning rule by id."),
        "earning_rule_versions": connection("EarningRuleVersion", description="What rules said, newest first."),
        "earning_limits": get("EarningLimits", by={}, description="Caps over all earning rules together."),
        "earning": get("Earning", description="What one occasion earned, and why."),
        "earnings": connection("Earning", description="What was earned and why, newest first."),
    },
    mutations={
        "earning_rule_create": Mutation(
            _create, input=EarningRuleCreate, payload=_RULE, description="Make an earning rule."
        ),
        "earning_rule_update": Mutation(
            _update,
            target="EarningRule",
            input=EarningRuleUpdate,
            versioned=True,
            payload=_RULE,
            description="Change an earning rule; of an active one it holds from now on.",
        ),
        "earning_rule_activate": Mutation(
            _activate, target="EarningRule", versioned=True, payload=_RULE, description="Let a rule earn from now on."
        ),
        "earning_rule_archive": Mutation(
            _archive, target="EarningRule", versioned=True, payload=_RULE, description="Let a rule earn no more."
        ),
        "earning_limits_update": Mutation(
            _limits,
            input=EarningLimitsUpdate,
            versioned=True,
            payload={"earning_limits": "EarningLimits"},
            description="Change caps over all earning rules together.",
        ),
        "earning_record": Mutation(
            _record,
            input=EarningCreate,
            payload={"earning": "Earning"},
            description="Tell of a survey, referral or compensation that earns points.",
        ),
        "loyalty_simulate": Mutation(
            _simulate,
            input=SimulationCreate,
            payload={
                "customer": "Customer",
                "at": Annotated[datetime, Field(description="When it would count.")],
                "points": Annotated[int, Field(description="Points to spend.")],
                "qualifying": Annotated[int, Field(description="Points for tiers.")],
                "booked": Annotated[bool, Field(description="Whether it has earned already.")],
                "decisions": Annotated[list[SimulatedDecision], Field(description="Rule by rule.")],
            },
            description="Show what an order would earn, and change nothing.",
        ),
    },
)
