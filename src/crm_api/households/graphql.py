"""Households in GraphQL."""

from typing import Annotated, Any

from pydantic import Field

from crm_api.households.models import (
    ChildBirth,
    HouseholdCreate,
    HouseholdMemberCreate,
    HouseholdMemberUpdate,
    HouseholdSettingsUpdate,
    HouseholdUpdate,
)
from crm_api.households.service import HouseholdService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get

SHOWN = {"household": "Household"}
MEMBER = {"member": "HouseholdMember"}

Gone = Annotated[bool, Field(description="true when it is gone.")]


async def _create(call: Call) -> dict[str, Any]:
    return {"household": await HouseholdService(call.unit).create(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await HouseholdService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"household": call.id}


async def _delete(call: Call) -> dict[str, Any]:
    await HouseholdService(call.unit).delete(call.id, expected_version=call.version)
    return {"deleted": True}


async def _add_member(call: Call) -> dict[str, Any]:
    return {"member": await HouseholdService(call.unit).add_member(call.id, call.data)}


async def _update_member(call: Call) -> dict[str, Any]:
    await HouseholdService(call.unit).update_member(call.id, call.data, expected_version=call.version)
    return {"member": call.id}


async def _remove_member(call: Call) -> dict[str, Any]:
    await HouseholdService(call.unit).remove_member(call.id, expected_version=call.version)
    return {"deleted": True}


async def _birth(call: Call) -> dict[str, Any]:
    await HouseholdService(call.unit).record_birth(call.id, call.data, expected_version=call.version)
    return {"member": call.id}


async def _configure(call: Call) -> dict[str, Any]:
    await HouseholdService(call.unit).configure(call.data)
    return {"settings": call.unit.tenant_id}


GRAPHQL = GraphQLParts(
    queries={
        "household": get("Household", description="A household by id."),
        "households": connection("Household", description="All households, newest first."),
        "household_member": get("HouseholdMember", description="A member of a household by id."),
        "household_members": connection("HouseholdMember", description="Members of all households, newest first."),
        "household_settings": get("HouseholdSettings", by={}, description="How children's ages become stages."),
    },
    mutations={
        "household_create": Mutation(
            _create, input=HouseholdCreate, payload=SHOWN, description="Create a household with its first members."
        ),
        "household_update": Mutation(
            _update,
            target="Household",
            input=HouseholdUpdate,
            versioned=True,
            payload=SHOWN,
            description="Change the fields given; members are changed one by one.",
        ),
        "household_delete": Mutation(
            _delete,
            target="Household",
            versioned=True,
            payload={"deleted": Gone},
            description="Delete a household: its customers stay, what is known of its other children is gone.",
        ),
        "household_add_member": Mutation(
            _add_member,
            target="Household",
            input=HouseholdMemberCreate,
            payload=MEMBER,
            description="Add a customer, or a child that is none.",
        ),
        "household_member_update": Mutation(
            _update_member,
            target="HouseholdMember",
            input=HouseholdMemberUpdate,
            versioned=True,
            payload=MEMBER,
            description="Change the fields given; null clears one.",
        ),
        "household_member_remove": Mutation(
            _remove_member,
            target="HouseholdMember",
            versioned=True,
            payload={"deleted": Gone},
            description="Remove a member: a customer stays one, what is known of another child is gone.",
        ),
        "household_member_birth": Mutation(
            _birth,
            target="HouseholdMember",
            input=ChildBirth,
            versioned=True,
            payload=MEMBER,
            description="Turn an expected child into a born one; the same birth again changes nothing.",
        ),
        "household_settings_update": Mutation(
            _configure,
            input=HouseholdSettingsUpdate,
            payload={"settings": "HouseholdSettings"},
            description="Change how children's ages become stages.",
        ),
    },
)
