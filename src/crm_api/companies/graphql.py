"""Companies' contacts in GraphQL."""

from typing import Annotated, Any

from pydantic import Field

from crm_api.companies.models import CompanyContactCreate, CompanyContactUpdate
from crm_api.companies.service import CompanyService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get

SHOWN = {"contact": "CompanyContact"}

Gone = Annotated[bool, Field(description="true when it is gone.")]


async def _add(call: Call) -> dict[str, Any]:
    return {"contact": await CompanyService(call.unit).add_contact(call.id, call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await CompanyService(call.unit).update_contact(call.id, call.data, expected_version=call.version)
    return {"contact": call.id}


async def _remove(call: Call) -> dict[str, Any]:
    await CompanyService(call.unit).remove_contact(call.id, expected_version=call.version)
    return {"deleted": True}


GRAPHQL = GraphQLParts(
    queries={
        "company_contact": get("CompanyContact", description="A contact of a company by id."),
        "company_contacts": connection("CompanyContact", description="Contacts of all companies."),
    },
    mutations={
        "company_contact_add": Mutation(
            _add,
            target="Customer",
            input=CompanyContactCreate,
            payload=SHOWN,
            description="Make a person a contact of the company whose id is given.",
        ),
        "company_contact_update": Mutation(
            _update,
            target="CompanyContact",
            input=CompanyContactUpdate,
            versioned=True,
            payload=SHOWN,
            description="Change the fields given; `until` ends the contact, which stays as history.",
        ),
        "company_contact_remove": Mutation(
            _remove,
            target="CompanyContact",
            versioned=True,
            payload={"deleted": Gone},
            description="Remove a contact that was entered by mistake; one that is over is ended instead.",
        ),
    },
)
