"""Compensations and limits of approval in GraphQL."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from pydantic import BaseModel, Field

from crm_api.compensations.limits import ApprovalLimitService
from crm_api.compensations.models import (
    ApprovalLimitCreate,
    ApprovalLimitUpdate,
    CompensationApproval,
    CompensationCreate,
    CompensationRefusal,
    CompensationReversal,
    CompensationSettlement,
)
from crm_api.compensations.service import CompensationService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get

_SHOWN = {"compensation": "Compensation"}
_LIMIT = {"approval_limit": "ApprovalLimit"}
Deleted = Annotated[bool, Field(description="true when it is gone.")]


async def _propose(call: Call) -> dict[str, Any]:
    return {"compensation": await CompensationService(call.unit).propose(call.id, call.data)}


async def _approve(call: Call) -> dict[str, Any]:
    await CompensationService(call.unit).approve(call.id, call.data, expected_version=call.version)
    return {"compensation": call.id}


async def _reject(call: Call) -> dict[str, Any]:
    await CompensationService(call.unit).reject(call.id, call.data, expected_version=call.version)
    return {"compensation": call.id}


async def _cancel(call: Call) -> dict[str, Any]:
    await CompensationService(call.unit).cancel(call.id, call.data, expected_version=call.version)
    return {"compensation": call.id}


async def _settle(call: Call) -> dict[str, Any]:
    await CompensationService(call.unit).settle(call.id, call.data, expected_version=call.version)
    return {"compensation": call.id}


async def _retry(call: Call) -> dict[str, Any]:
    await CompensationService(call.unit).retry(call.id, expected_version=call.version)
    return {"compensation": call.id}


async def _reverse(call: Call) -> dict[str, Any]:
    await CompensationService(call.unit).reverse(call.id, call.data, expected_version=call.version)
    return {"compensation": call.id}


async def _create_limit(call: Call) -> dict[str, Any]:
    return {"approval_limit": await ApprovalLimitService(call.unit).create(call.data)}


async def _change_limit(call: Call) -> dict[str, Any]:
    await ApprovalLimitService(call.unit).change(call.id, call.data, expected_version=call.version)
    return {"approval_limit": call.id}


async def _delete_limit(call: Call) -> dict[str, Any]:
    await ApprovalLimitService(call.unit).delete(call.id, expected_version=call.version)
    return {"deleted": True}


def _step(
    run: Callable[[Call], Awaitable[dict[str, Any]]], description: str, data: type[BaseModel] | None = None
) -> Mutation:
    return Mutation(run, target="Compensation", input=data, versioned=True, payload=_SHOWN, description=description)


GRAPHQL = GraphQLParts(
    queries={
        "compensation": get("Compensation", description="A compensation by id."),
        "compensations": connection("Compensation", description="What customers get for complaints, newest first."),
        "approval_limit": get("ApprovalLimit", description="A limit of approval by id."),
        "approval_limits": connection("ApprovalLimit", description="Who may approve how much, newest first."),
    },
    mutations={
        "compensation_propose": Mutation(
            _propose,
            target="Complaint",
            input=CompensationCreate,
            payload=_SHOWN,
            description="Propose what a customer gets for a case; within the proposer's limit it is approved at once.",
        ),
        "compensation_approve": _step(_approve, "Let it be paid or done.", CompensationApproval),
        "compensation_reject": _step(_reject, "Refuse it for good.", CompensationRefusal),
        "compensation_cancel": _step(_cancel, "Give it up before it is paid or done.", CompensationRefusal),
        "compensation_settle": _step(_settle, "Say that the shop has done what was approved.", CompensationSettlement),
        "compensation_retry": _step(_retry, "Have the worker try again to pay what failed."),
        "compensation_reverse": _step(_reverse, "Take it back.", CompensationReversal),
        "approval_limit_create": Mutation(
            _create_limit, input=ApprovalLimitCreate, payload=_LIMIT, description="Set a limit of approval."
        ),
        "approval_limit_update": Mutation(
            _change_limit,
            target="ApprovalLimit",
            input=ApprovalLimitUpdate,
            versioned=True,
            payload=_LIMIT,
            description="Change the fields given; what was approved before stays approved.",
        ),
        "approval_limit_delete": Mutation(
            _delete_limit,
            target="ApprovalLimit",
            versioned=True,
            payload={"deleted": Deleted},
            description="Take a limit of approval away.",
        ),
    },
)
