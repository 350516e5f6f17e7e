"""Segments and scoring in GraphQL."""

from typing import Any

from crm_api.segments.models import ScoringRunCreate, SegmentCreate, SegmentUpdate
from crm_api.segments.scoring import ScoringService
from crm_api.segments.service import SegmentService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get

SHOWN = {"segment": "Segment"}


async def _create(call: Call) -> dict[str, Any]:
    return {"segment": await SegmentService(call.unit).create(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await SegmentService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"segment": call.id}


async def _evaluate(call: Call) -> dict[str, Any]:
    await SegmentService(call.unit).evaluate_now(call.id)
    return {"segment": call.id}


async def _score(call: Call) -> dict[str, Any]:
    return {"scoring_run": await ScoringService(call.unit).start(call.data)}


GRAPHQL = GraphQLParts(
    queries={
        "segment": get("Segment", description="A segment by id."),
        "segments": connection("Segment", description="Groups of customers."),
        "segment_log": connection("SegmentLogEntry", description="Who entered and left, newest first."),
        "scoring_run": get("ScoringRun", description="A scoring run by id."),
        "scoring_runs": connection("ScoringRun", description="Scoring runs, newest first."),
    },
    mutations={
        "create_segment": Mutation(
            _create, input=SegmentCreate, payload=SHOWN, description="Create a segment by rule."
        ),
        "update_segment": Mutation(
            _update,
            target="Segment",
            input=SegmentUpdate,
            versioned=True,
            payload=SHOWN,
            description="Rename, describe, archive, or give it another rule.",
        ),
        "evaluate_segment": Mutation(
            _evaluate, target="Segment", payload=SHOWN, description="Evaluate everybody again."
        ),
        "start_scoring": Mutation(
            _score,
            input=ScoringRunCreate,
            payload={"scoring_run": "ScoringRun"},
            description="Score all customers (RFM, grade, lifecycle).",
        ),
    },
)
