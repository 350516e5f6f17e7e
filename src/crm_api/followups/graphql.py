"""Follow-ups and the one call in GraphQL."""

from typing import Annotated, Any

from pydantic import Field

from crm_api.followups.contacts import ContactService
from crm_api.followups.models import (
    ContactCreate,
    EffectQuery,
    FollowUpComplete,
    FollowUpCreate,
    FollowUpEffect,
    FollowUpPlanCreate,
    FollowUpPlanUpdate,
    FollowUpSkip,
    FollowUpSnooze,
    FollowUpUpdate,
)
from crm_api.followups.plans import FollowUpPlanService
from crm_api.followups.service import FollowUpService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

PLAN = {"follow_up_plan": "FollowUpPlan"}
TASK = {"follow_up": "FollowUp"}


async def _create_plan(call: Call) -> dict[str, Any]:
    return {"follow_up_plan": await FollowUpPlanService(call.unit).create(call.data)}


async def _update_plan(call: Call) -> dict[str, Any]:
    await FollowUpPlanService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"follow_up_plan": call.id}


async def _make(call: Call) -> dict[str, Any]:
    await FollowUpPlanService(call.unit).make_now(call.id)
    return {"follow_up_plan": call.id}


async def _effect(call: Call) -> dict[str, Any]:
    return {"report": (await FollowUpPlanService(call.unit).effect(call.id, call.data)).model_dump(mode="json")}


async def _create(call: Call) -> dict[str, Any]:
    return {"follow_up": await FollowUpService(call.unit).create(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await FollowUpService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"follow_up": call.id}


async def _complete(call: Call) -> dict[str, Any]:
    interaction_id = await FollowUpService(call.unit).complete(call.id, call.data, expected_version=call.version)
    return {"follow_up": call.id, "interaction": interaction_id}


async def _skip(call: Call) -> dict[str, Any]:
    await FollowUpService(call.unit).skip(call.id, call.data, expected_version=call.version)
    return {"follow_up": call.id}


async def _snooze(call: Call) -> dict[str, Any]:
    await FollowUpService(call.unit).snooze(call.id, call.data, expected_version=call.version)
    return {"follow_up": call.id}


async def _log_contact(call: Call) -> dict[str, Any]:
    made = await ContactService(call.unit).log(call.data)
    return {
        "interaction": made.interaction_id,
        "follow_up": made.follow_up_id,
        "complaint": made.complaint_id,
        "next": made.next_id,
    }


def _step(run: Any, model: Any, description: str, **more: Any) -> Mutation:
    payload = {**TASK, **more}
    return Mutation(run, target="FollowUp", input=model, versioned=True, payload=payload, description=description)


GRAPHQL = GraphQLParts(
    queries={
        "follow_up_plan": get("FollowUpPlan", description="A follow-up plan by id."),
        "follow_up_plans": connection("FollowUpPlan", description="Plans of whom to contact how often."),
        "follow_up": get("FollowUp", description="A contact to make, or made, by id."),
        "follow_ups": connection("FollowUp", description="Contacts to make, and made, by when they are due."),
        "follow_up_effect": Computed(
            _effect,
            target="FollowUpPlan",
            input=EffectQuery,
            payload={"report": Annotated[FollowUpEffect, Field(description="The report.")]},
            description="What came of a plan's contacts: purchases of who was contacted and of who was not.",
        ),
    },
    mutations={
        "follow_up_plan_create": Mutation(
            _create_plan, input=FollowUpPlanCreate, payload=PLAN, description="Add a follow-up plan."
        ),
        "follow_up_plan_update": Mutation(
            _update_plan,
            target="FollowUpPlan",
            input=FollowUpPlanUpdate,
            versioned=True,
            payload=PLAN,
            description="Change a plan, pause or archive it.",
        ),
        "follow_up_plan_make": Mutation(
            _make, target="FollowUpPlan", payload=PLAN, description="Have a plan's tasks made by a job now."
        ),
        "follow_up_create": Mutation(
            _create, input=FollowUpCreate, payload=TASK, description="Plan a contact by hand."
        ),
        "follow_up_update": _step(_update, FollowUpUpdate, "Change an open task, or give it to somebody."),
        "follow_up_complete": _step(
            _complete,
            FollowUpComplete,
            "Say what came of a task; it becomes an interaction.",
            interaction="Interaction",
        ),
        "follow_up_skip": _step(_skip, FollowUpSkip, "Close a task without a contact, and say why."),
        "follow_up_snooze": _step(_snooze, FollowUpSnooze, "Put a task off."),
        "contact_log": Mutation(
            _log_contact,
            input=ContactCreate,
            payload={
                "interaction": "Interaction",
                "follow_up": "FollowUp",
                "complaint": "Complaint",
                "next": "FollowUp",
            },
            description="Note an interaction, close a task, open a case or link one and plan the next contact: all of "
            "it, or nothing.",
        ),
    },
)
