"""Classifications in GraphQL."""

from typing import Any

from crm_api.classifications.models import ScoringRunCreate
from crm_api.classifications.scoring import ScoringService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get


async def _score(call: Call) -> dict[str, Any]:
    return {"scoring_run": await ScoringService(call.unit).start(call.data)}


GRAPHQL = GraphQLParts(
    queries={
        "scoring_run": get("ScoringRun", description="A scoring run by id."),
        "scoring_runs": connection("ScoringRun", description="Scoring runs, newest first."),
    },
    mutations={
        "scoring_start": Mutation(
            _score,
            input=ScoringRunCreate,
            payload={"scoring_run": "ScoringRun"},
            description="Score all customers (RFM, grade, lifecycle).",
        ),
    },
)
