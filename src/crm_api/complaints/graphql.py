"""Complaints in GraphQL."""

from typing import Any
from uuid import UUID

from crm_api.complaints.models import ComplaintCreate, ComplaintTransition, ComplaintUpdate
from crm_api.complaints.service import ComplaintService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get

SHOWN = {"complaint": "Complaint"}


async def _open(call: Call) -> dict[str, Any]:
    return {"complaint": await ComplaintService(call.unit).open(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await ComplaintService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"complaint": call.id}


async def _transition(call: Call) -> dict[str, Any]:
    await ComplaintService(call.unit).transition(call.id, call.data, expected_version=call.version)
    return {"complaint": call.id}


async def _link(call: Call) -> dict[str, Any]:
    await ComplaintService(call.unit).link_interaction(call.id, call.extra["interaction_id"])
    return {"complaint": call.id}


async def _unlink(call: Call) -> dict[str, Any]:
    await ComplaintService(call.unit).unlink_interaction(call.id, call.extra["interaction_id"])
    return {"complaint": call.id}


GRAPHQL = GraphQLParts(
    queries={
        "complaint": get("Complaint", description="A complaint by id."),
        "complaints": connection("Complaint", description="All cases, newest first."),
    },
    mutations={
        "complaint_open": Mutation(_open, input=ComplaintCreate, payload=SHOWN, description="Open a case."),
        "complaint_update": Mutation(
            _update,
            target="Complaint",
            input=ComplaintUpdate,
            versioned=True,
            payload=SHOWN,
            description="Change the fields given; null clears one. The state changes by transitions only.",
        ),
        "complaint_transition": Mutation(
            _transition,
            target="Complaint",
            input=ComplaintTransition,
            versioned=True,
            payload=SHOWN,
            description="Take a step of the state machine, named by the state it leads to or by its action.",
        ),
        "complaint_link_interaction": Mutation(
            _link,
            target="Complaint",
            extra={"interaction_id": UUID},
            payload=SHOWN,
            description="Say that an interaction was about the case.",
        ),
        "complaint_unlink_interaction": Mutation(
            _unlink,
            target="Complaint",
            extra={"interaction_id": UUID},
            payload=SHOWN,
            description="Take the link back.",
        ),
    },
)
