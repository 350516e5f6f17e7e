"""Duplicates in GraphQL."""

from typing import Any

from crm_api.duplicates.models import CandidateAccept, CandidateReject, RunStart
from crm_api.duplicates.service import CandidateService, DuplicateRunService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get

SHOWN = {"duplicate_candidate": "DuplicateCandidate"}


async def _accept(call: Call) -> dict[str, Any]:
    merge_id = await CandidateService(call.unit).accept(call.id, call.data, expected_version=call.version)
    return {"duplicate_candidate": call.id, "merge": merge_id}


async def _reject(call: Call) -> dict[str, Any]:
    await CandidateService(call.unit).reject(call.id, call.data, expected_version=call.version)
    return {"duplicate_candidate": call.id}


async def _start(call: Call) -> dict[str, Any]:
    return {"duplicate_run": await DuplicateRunService(call.unit).start(call.data)}


GRAPHQL = GraphQLParts(
    queries={
        "duplicate_candidate": get("DuplicateCandidate", description="A pair that may be one customer, by id."),
        "duplicate_candidates": connection(
            "DuplicateCandidate", description="Pairs that may be one customer, the likeliest first."
        ),
        "duplicate_run": get("DuplicateRun", description="A search for duplicates by id."),
        "duplicate_runs": connection("DuplicateRun", description="Searches for duplicates, newest first."),
    },
    mutations={
        "duplicate_candidate_accept": Mutation(
            _accept,
            target="DuplicateCandidate",
            input=CandidateAccept,
            versioned=True,
            payload={**SHOWN, "merge": "Merge"},
            description="They are one: merge the two customers.",
        ),
        "duplicate_candidate_reject": Mutation(
            _reject,
            target="DuplicateCandidate",
            input=CandidateReject,
            versioned=True,
            payload=SHOWN,
            description="They are two: remember it.",
        ),
        "duplicate_run_start": Mutation(
            _start,
            input=RunStart,
            payload={"duplicate_run": "DuplicateRun"},
            description="Queue a search for duplicates.",
        ),
    },
)
