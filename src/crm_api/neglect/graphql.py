"""Standards of contact, and who is neglected by them, in GraphQL."""

from typing import Annotated, Any

from pydantic import Field

from crm_api.neglect.models import ContactStandardCreate, ContactStandardUpdate
from crm_api.neglect.service import ContactStandardService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get

SHOWN = {"contact_standard": "ContactStandard"}
Deleted = Annotated[bool, Field(description="true when it is gone.")]


async def _create(call: Call) -> dict[str, Any]:
    return {"contact_standard": await ContactStandardService(call.unit).create(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await ContactStandardService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"contact_standard": call.id}


async def _delete(call: Call) -> dict[str, Any]:
    await ContactStandardService(call.unit).delete(call.id, expected_version=call.version)
    return {"deleted": True}


GRAPHQL = GraphQLParts(
    queries={
        "contact_standard": get("ContactStandard", description="A standard of contact by id."),
        "contact_standards": connection("ContactStandard", description="How often classes should be contacted."),
        "neglected_customers": connection("NeglectedCustomer", description="Customers nobody has spoken with in time."),
    },
    mutations={
        "contact_standard_create": Mutation(
            _create,
            input=ContactStandardCreate,
            payload=SHOWN,
            description="Set how often a class should be contacted.",
        ),
        "contact_standard_update": Mutation(
            _update,
            target="ContactStandard",
            input=ContactStandardUpdate,
            versioned=True,
            payload=SHOWN,
            description="Change a standard of contact.",
        ),
        "contact_standard_delete": Mutation(
            _delete,
            target="ContactStandard",
            versioned=True,
            payload={"deleted": Deleted},
            description="Delete a standard of contact.",
        ),
    },
)
