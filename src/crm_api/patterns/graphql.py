"""Purchase patterns in GraphQL; a customer's own are `customer { patterns { … } }`."""

from typing import Any

from crm_api.patterns.models import PatternRunCreate, PatternSettingsUpdate
from crm_api.patterns.service import PatternService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get


async def _start(call: Call) -> dict[str, Any]:
    return {"run": await PatternService(call.unit).start(call.data)}


async def _configure(call: Call) -> dict[str, Any]:
    await PatternService(call.unit).configure(call.data)
    return {"settings": call.unit.tenant_id}


GRAPHQL = GraphQLParts(
    queries={
        "customer_patterns": connection(
            "CustomerPatterns", description="Customers' purchase patterns, those expected to buy soonest first."
        ),
        "bought_together": connection(
            "BoughtTogether", description="What is bought together by the last run, the highest confidence first."
        ),
        "pattern_run": get("PatternRun", description="A run by id."),
        "pattern_runs": connection("PatternRun", description="Runs that make patterns anew, newest first."),
        "pattern_settings": get("PatternSettings", by={}, description="Thresholds and windows of patterns."),
    },
    mutations={
        "pattern_run_start": Mutation(
            _start, input=PatternRunCreate, payload={"run": "PatternRun"}, description="Make patterns anew."
        ),
        "pattern_settings_update": Mutation(
            _configure,
            input=PatternSettingsUpdate,
            payload={"settings": "PatternSettings"},
            description="Change the thresholds and windows of patterns.",
        ),
    },
)
