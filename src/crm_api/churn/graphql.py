"""Churn warning in GraphQL."""

from typing import Any

from crm_api.churn.backtests import ChurnBacktestService
from crm_api.churn.models import ChurnAssessmentCreate, ChurnBacktestCreate, ChurnSettingsUpdate
from crm_api.churn.service import ChurnAssessmentService, ChurnSettingsService
from crm_api.db.projections import eq_ref
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get


async def _change(call: Call) -> dict[str, Any]:
    await ChurnSettingsService(call.unit).change(call.data, expected_version=call.version)
    return {"settings": call.unit.tenant_id}


async def _assess(call: Call) -> dict[str, Any]:
    return {"churn_assessment": await ChurnAssessmentService(call.unit).start(call.data)}


async def _backtest(call: Call) -> dict[str, Any]:
    return {"churn_backtest": await ChurnBacktestService(call.unit).start(call.data)}


GRAPHQL = GraphQLParts(
    queries={
        "churn_settings": get("ChurnSettings", by={}, description="What makes a customer's churn level."),
        "churn_assessment": get("ChurnAssessment", description="An assessment by id."),
        "churn_assessments": connection("ChurnAssessment", description="Assessments of all customers, newest first."),
        "churn_state": get(
            "ChurnState",
            by={"customer_id": eq_ref("customer_id", "Customer")},
            description="How likely a customer is leaving, and why.",
        ),
        "churn_states": connection("ChurnState", description="Customers with their levels, the highest score first."),
        "churn_transition": get("ChurnTransition", description="A change of level by id."),
        "churn_transitions": connection("ChurnTransition", description="Changes of level, newest first."),
        "churn_backtest": get("ChurnBacktest", description="A back-test by id."),
        "churn_backtests": connection("ChurnBacktest", description="Tests of the warnings on the past, newest first."),
    },
    mutations={
        "churn_settings_update": Mutation(
            _change,
            input=ChurnSettingsUpdate,
            versioned=True,
            payload={"settings": "ChurnSettings"},
            description="Change the churn settings given; they hold from the next assessment on.",
        ),
        "churn_assessment_start": Mutation(
            _assess,
            input=ChurnAssessmentCreate,
            payload={"churn_assessment": "ChurnAssessment"},
            description="Assess all customers.",
        ),
        "churn_backtest_start": Mutation(
            _backtest,
            input=ChurnBacktestCreate,
            payload={"churn_backtest": "ChurnBacktest"},
            description="Test the warnings on the past.",
        ),
    },
)
