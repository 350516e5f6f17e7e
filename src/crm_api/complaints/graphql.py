"""Complaints in GraphQL."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from crm_api.complaints.assigning import CaseAssignment
from crm_api.complaints.board import COMPLAINT_BOARD
from crm_api.complaints.cause_models import (
    ComplaintCauseCreate,
    ComplaintCausesAdopt,
    ComplaintCauseUpdate,
    ComplaintSettingsUpdate,
)
from crm_api.complaints.causes import ComplaintCauseService, ComplaintSettingsService
from crm_api.complaints.clock_models import (
    ClockMark,
    ClockPolicyAdopt,
    ClockPolicyCreate,
    ClockPolicyUpdate,
    ClockPreset,
    ComplaintAssign,
    ComplaintAssignment,
)
from crm_api.complaints.clock_policies import ClockPolicyService
from crm_api.complaints.clocks import CaseClocks
from crm_api.complaints.messages import ComplaintMessageService
from crm_api.complaints.models import (
    ComplaintCreate,
    ComplaintFollowOn,
    ComplaintMessageCreate,
    ComplaintTransition,
    ComplaintUpdate,
)
from crm_api.complaints.service import ComplaintService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

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


async def _follow_on(call: Call) -> dict[str, Any]:
    return {"complaint": await ComplaintService(call.unit).follow_on(call.id, call.data)}


async def _add_message(call: Call) -> dict[str, Any]:
    message_id = await ComplaintMessageService(call.unit).add(call.id, call.data)
    return {"complaint_message": message_id, "complaint": call.id}


async def _create_cause(call: Call) -> dict[str, Any]:
    return {"complaint_cause": await ComplaintCauseService(call.unit).create(call.data)}


async def _adopt_causes(call: Call) -> dict[str, Any]:
    return (await ComplaintCauseService(call.unit).adopt(call.data)).model_dump()


async def _update_cause(call: Call) -> dict[str, Any]:
    await ComplaintCauseService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"complaint_cause": call.id}


async def _change_settings(call: Call) -> dict[str, Any]:
    await ComplaintSettingsService(call.unit).change(call.data, expected_version=call.version)
    return {"settings": call.unit.tenant_id}


CAUSE = {"complaint_cause": "ComplaintCause"}


async def _assign(call: Call) -> dict[str, Any]:
    outcome = await CaseAssignment(call.unit).assign(call.id, call.data, expected_version=call.version)
    return {"complaint": call.id, "outcome": outcome.model_dump(mode="json")}


async def _mark(call: Call) -> dict[str, Any]:
    await CaseClocks(call.unit).mark(call.id, call.data)
    return {"complaint": call.id}


async def _create_policy(call: Call) -> dict[str, Any]:
    return {"clock_policy": await ClockPolicyService(call.unit).create(call.data)}


async def _adopt_policy(call: Call) -> dict[str, Any]:
    return {"clock_policy": await ClockPolicyService(call.unit).adopt(call.data.preset)}


async def _update_policy(call: Call) -> dict[str, Any]:
    await ClockPolicyService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"clock_policy": call.id}


async def _presets(call: Call) -> dict[str, Any]:
    return ClockPolicyService(call.unit).presets().model_dump(mode="json")


async def _progress(call: Call) -> dict[str, Any]:
    return (await ClockPolicyService(call.unit).progress()).model_dump()


POLICY = {"clock_policy": "ClockPolicy"}

GRAPHQL = GraphQLParts(
    subscriptions={"complaint_board": COMPLAINT_BOARD},
    queries={
        "complaint_clock": get("ComplaintClock", description="A clock of a case by id."),
        "complaint_clocks": connection("ComplaintClock", description="Clocks of all cases."),
        "complaint_clock_alerts": connection("ComplaintClockAlert", description="What clocks announced."),
        "complaint_queue": connection("ComplaintQueueEntry", description="Cases that wait for somebody."),
        "clock_policy": get("ClockPolicy", description="A policy of clocks by id."),
        "clock_policies": connection("ClockPolicy", description="Policies of clocks, the first asked first."),
        "clock_presets": Computed(
            _presets,
            payload={
                "presets": Annotated[list[ClockPreset], Field(description="All there are, with their sources.")],
            },
            description="Ready-made policies of clocks.",
        ),
        "clock_progress": Computed(
            _progress,
            payload={
                "waiting": Annotated[int, Field(description="Cases still clocked by what held before.")],
                "total": Annotated[int, Field(description="Cases with clocks that can still run.")],
            },
            description="How far the last change of policies or calendars has reached.",
        ),
        "complaint": get("Complaint", description="A complaint by id."),
        "complaints": connection("Complaint", description="All cases, newest first."),
        "complaint_message": get("ComplaintMessage", description="A message of a case by id."),
        "complaint_messages": connection(
            "ComplaintMessage",
            description="What was said about cases, newest first; with `complaintId` also what was "
            "said in those merged into it.",
        ),
        "complaint_cause": get("ComplaintCause", description="A place of the taxonomy by id."),
        "complaint_causes": connection("ComplaintCause", description="The taxonomy, by path."),
        "complaint_settings": get("ComplaintSettings", by={}, description="What holds for all cases of the shop."),
    },
    mutations={
        "complaint_assign": Mutation(
            _assign,
            target="Complaint",
            input=ComplaintAssign,
            versioned=True,
            payload={
                "complaint": "Complaint",
                "outcome": Annotated[ComplaintAssignment, Field(description="What came of it.")],
            },
            description="Give a case to somebody, or ask the rules of assignment now.",
        ),
        "complaint_mark": Mutation(
            _mark,
            target="Complaint",
            input=ClockMark,
            payload=SHOWN,
            description="Note that goods came back, or that their price was paid back.",
        ),
        "clock_policy_create": Mutation(
            _create_policy, input=ClockPolicyCreate, payload=POLICY, description="Add a policy of clocks."
        ),
        "clock_policy_adopt": Mutation(
            _adopt_policy, input=ClockPolicyAdopt, payload=POLICY, description="Add a ready-made policy of clocks."
        ),
        "clock_policy_update": Mutation(
            _update_policy,
            target="ClockPolicy",
            input=ClockPolicyUpdate,
            versioned=True,
            payload=POLICY,
            description="Change a policy of clocks.",
        ),
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
        "complaint_follow_on": Mutation(
            _follow_on,
            target="Complaint",
            input=ComplaintFollowOn,
            payload=SHOWN,
            description="Take up a case that cannot be reopened any more in a new one, which is linked to it.",
        ),
        "complaint_message_add": Mutation(
            _add_message,
            target="Complaint",
            input=ComplaintMessageCreate,
            payload={"complaint_message": "ComplaintMessage", **SHOWN},
            description="Note what was said to or by the customer, among the shop, or what was done.",
        ),
        "complaint_cause_create": Mutation(
            _create_cause, input=ComplaintCauseCreate, payload=CAUSE, description="Add a place to the taxonomy."
        ),
        "complaint_causes_adopt": Mutation(
            _adopt_causes,
            input=ComplaintCausesAdopt,
            payload={
                "preset": Annotated[str, Field(description="The trade whose taxonomy it is.")],
                "added": Annotated[int, Field(description="Places that were not there before.")],
            },
            description="Add what the shop lacks of the taxonomy its trade starts with.",
        ),
        "complaint_cause_update": Mutation(
            _update_cause,
            target="ComplaintCause",
            input=ComplaintCauseUpdate,
            versioned=True,
            payload=CAUSE,
            description="Change the fields given; the path stays.",
        ),
        "complaint_settings_update": Mutation(
            _change_settings,
            input=ComplaintSettingsUpdate,
            versioned=True,
            payload={"settings": "ComplaintSettings"},
            description="Change the settings of cases that are given; they hold at once.",
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
