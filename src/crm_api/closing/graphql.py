"""Closing the loop in GraphQL. Loading and answering a question by its link is REST only: pages post plain JSON."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from crm_api.closing.actions import CorrectiveActionService
from crm_api.closing.models import (
    ActionTransition,
    ClosingSettingsUpdate,
    CorrectiveActionCreate,
    CorrectiveActionUpdate,
    RatingAnswer,
    RatingLink,
    TellingConfirm,
    TellingCreate,
)
from crm_api.closing.ratings import RatingService
from crm_api.closing.service import ClosingSettingsService
from crm_api.closing.tellings import TellingService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get

_SETTINGS = {"settings": "ClosingSettings"}
_TOLD = {"telling": "ComplaintTelling"}
_RATED = {"rating": "ComplaintRating"}
_ACTED = {"corrective_action": "CorrectiveAction"}
_CASE = {"complaint_id": Annotated[UUID, Field(description="Which case.")]}


async def _configure(call: Call) -> dict[str, Any]:
    await ClosingSettingsService(call.unit).change(call.data, expected_version=call.version)
    return {"settings": call.unit.tenant_id}


async def _tell(call: Call) -> dict[str, Any]:
    telling_id, _ = await TellingService(call.unit).tell(call.id, call.data)
    return {"telling": telling_id}


async def _confirm(call: Call) -> dict[str, Any]:
    await TellingService(call.unit).confirm(call.id, call.data, expected_version=call.version)
    return {"telling": call.id}


async def _ask(call: Call) -> dict[str, Any]:
    return {"rating": await RatingService(call.unit).ask(call.id)}


async def _link(call: Call) -> dict[str, Any]:
    return {"link": await RatingService(call.unit).link(call.id)}


async def _answer(call: Call) -> dict[str, Any]:
    await RatingService(call.unit).answer(call.id, call.data, expected_version=call.version)
    return {"rating": call.id}


async def _create(call: Call) -> dict[str, Any]:
    return {"corrective_action": await CorrectiveActionService(call.unit).create(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await CorrectiveActionService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"corrective_action": call.id}


async def _move(call: Call) -> dict[str, Any]:
    await CorrectiveActionService(call.unit).transition(call.id, call.data, expected_version=call.version)
    return {"corrective_action": call.id}


async def _link_case(call: Call) -> dict[str, Any]:
    await CorrectiveActionService(call.unit).link_complaint(call.id, call.extra["complaint_id"])
    return {"corrective_action": call.id}


async def _unlink_case(call: Call) -> dict[str, Any]:
    await CorrectiveActionService(call.unit).unlink_complaint(call.id, call.extra["complaint_id"])
    return {"corrective_action": call.id}


GRAPHQL = GraphQLParts(
    queries={
        "closing_settings": get("ClosingSettings", by={}, description="How the shop closes its cases."),
        "complaint_telling": get("ComplaintTelling", description="What a customer is told, by id."),
        "complaint_tellings": connection("ComplaintTelling", description="What customers are told of their cases."),
        "complaint_rating": get("ComplaintRating", description="How content a customer is, by id."),
        "complaint_ratings": connection("ComplaintRating", description="How content customers are, newest first."),
        "corrective_action": get("CorrectiveAction", description="A corrective action by id."),
        "corrective_actions": connection("CorrectiveAction", description="What is done about causes, newest first."),
    },
    mutations={
        "closing_settings_update": Mutation(
            _configure,
            input=ClosingSettingsUpdate,
            versioned=True,
            payload=_SETTINGS,
            description="Change what customers are told by itself, and when they are asked.",
        ),
        "complaint_tell": Mutation(
            _tell,
            target="Complaint",
            input=TellingCreate,
            payload=_TOLD,
            description="Tell the customer the decision or the result: by e-mail, by text message, or by the shop.",
        ),
        "complaint_telling_confirm": Mutation(
            _confirm,
            target="ComplaintTelling",
            input=TellingConfirm,
            versioned=True,
            payload=_TOLD,
            description="Note that somebody of the shop has told the customer.",
        ),
        "complaint_rating_ask": Mutation(
            _ask,
            target="Complaint",
            payload=_RATED,
            description="Ask now how content they are; a case is asked about once.",
        ),
        "complaint_rating_link": Mutation(
            _link,
            target="ComplaintRating",
            payload={"link": Annotated[RatingLink, Field(description="The link; its token is shown only now.")]},
            description="Make a link to a question, for a channel of your own; one that was made before stops.",
        ),
        "complaint_rating_answer": Mutation(
            _answer,
            target="ComplaintRating",
            input=RatingAnswer,
            versioned=True,
            payload=_RATED,
            description="Enter what the customer answered; an answer is never changed afterwards.",
        ),
        "corrective_action_create": Mutation(
            _create, input=CorrectiveActionCreate, payload=_ACTED, description="Plan a corrective action."
        ),
        "corrective_action_update": Mutation(
            _update,
            target="CorrectiveAction",
            input=CorrectiveActionUpdate,
            versioned=True,
            payload=_ACTED,
            description="Change the fields given; null clears one.",
        ),
        "corrective_action_transition": Mutation(
            _move,
            target="CorrectiveAction",
            input=ActionTransition,
            versioned=True,
            payload=_ACTED,
            description="Take a step; what is done is verified by another.",
        ),
        "corrective_action_link_complaint": Mutation(
            _link_case, target="CorrectiveAction", extra=_CASE, payload=_ACTED, description="Link a case."
        ),
        "corrective_action_unlink_complaint": Mutation(
            _unlink_case, target="CorrectiveAction", extra=_CASE, payload=_ACTED, description="Take the link back."
        ),
    },
)
