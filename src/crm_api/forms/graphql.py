"""Capture forms in GraphQL. Loading and sending without a key is REST only: pages post plain JSON."""

from typing import Any

from crm_api.forms.models import FormCreate, FormUpdate
from crm_api.forms.service import FormService, SubmissionService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get


async def _create(call: Call) -> dict[str, Any]:
    return {"form": await FormService(call.unit).create(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await FormService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"form": call.id}


async def _accept(call: Call) -> dict[str, Any]:
    await SubmissionService(call.unit).accept(call.id)
    return {"submission": call.id}


GRAPHQL = GraphQLParts(
    queries={
        "capture_form": get("CaptureForm", description="A form by id."),
        "capture_forms": connection("CaptureForm", description="Forms that visitors fill in."),
        "form_submission": get("FormSubmission", description="A submission by id."),
        "form_submissions": connection("FormSubmission", description="What visitors sent, newest first."),
    },
    mutations={
        "capture_form_create": Mutation(
            _create, input=FormCreate, payload={"form": "CaptureForm"}, description="Add a form."
        ),
        "capture_form_update": Mutation(
            _update,
            target="CaptureForm",
            input=FormUpdate,
            versioned=True,
            payload={"form": "CaptureForm"},
            description="Change a form, or switch it off.",
        ),
        "form_submission_accept": Mutation(
            _accept,
            target="FormSubmission",
            payload={"submission": "FormSubmission"},
            description="Accept a submission that was taken for spam.",
        ),
    },
)
