"""Stores, staff and the audit log in GraphQL."""

from typing import Any

from crm_api.accounts.models import StaffCreate, StaffUpdate, StoreCreate, StoreUpdate
from crm_api.accounts.service import AccountService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get


async def _create_store(call: Call) -> dict[str, Any]:
    return {"store": await AccountService(call.unit).create_store(call.data)}


async def _update_store(call: Call) -> dict[str, Any]:
    await AccountService(call.unit).update_store(call.id, call.data, expected_version=call.version)
    return {"store": call.id}


async def _create_staff(call: Call) -> dict[str, Any]:
    return {"staff": await AccountService(call.unit).create_staff(call.data)}


async def _update_staff(call: Call) -> dict[str, Any]:
    await AccountService(call.unit).update_staff(call.id, call.data, expected_version=call.version)
    return {"staff": call.id}


GRAPHQL = GraphQLParts(
    queries={
        "store": get("Store", description="A store by id."),
        "stores": connection("Store", description="Branches and online shops."),
        "staff_member": get("Staff", description="A staff member by id."),
        "staff": connection("Staff", description="The shop's own people."),
        "audit_log": connection("AuditEntry", description="What was done, newest first."),
    },
    mutations={
        "store_create": Mutation(
            _create_store, input=StoreCreate, payload={"store": "Store"}, description="Add a branch or online shop."
        ),
        "store_update": Mutation(
            _update_store,
            target="Store",
            input=StoreUpdate,
            versioned=True,
            payload={"store": "Store"},
            description="Change a branch or online shop.",
        ),
        "staff_create": Mutation(
            _create_staff, input=StaffCreate, payload={"staff": "Staff"}, description="Add a staff member."
        ),
        "staff_update": Mutation(
            _update_staff,
            target="Staff",
            input=StaffUpdate,
            versioned=True,
            payload={"staff": "Staff"},
            description="Change a staff member.",
        ),
    },
)
