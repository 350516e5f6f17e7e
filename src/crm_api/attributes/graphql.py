"""Attribute definitions in GraphQL."""

from typing import Annotated, Any

from pydantic import Field, JsonValue

from crm_api.attributes.documents import metadata_of
from crm_api.attributes.models import AttributeDefinitionCreate, AttributeDefinitionUpdate
from crm_api.attributes.service import READ, AttributeService, definitions_of
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

SHOWN = {"attribute_definition": "AttributeDefinition"}


async def _create(call: Call) -> dict[str, Any]:
    return {"attribute_definition": await AttributeService(call.unit).create(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await AttributeService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"attribute_definition": call.id}


async def _delete(call: Call) -> dict[str, Any]:
    await AttributeService(call.unit).delete(call.id, expected_version=call.version)
    return {"deleted": True}


async def _metadata(call: Call) -> dict[str, Any]:
    call.unit.actor.require(READ)
    return {"entities": metadata_of(await definitions_of(call.unit, "customer"))["entities"]}


GRAPHQL = GraphQLParts(
    queries={
        "attribute_definition": get("AttributeDefinition", description="An attribute definition by id."),
        "attribute_definitions": connection("AttributeDefinition", description="The shop's own fields, oldest first."),
        "metadata": Computed(
            _metadata,
            payload={
                "entities": Annotated[
                    list[JsonValue],
                    Field(description="As `GET /v1/metadata` answers: fields, attributes, filters, orders, scopes."),
                ]
            },
            description="Every entity with its fields, the shop's own included, filters, orders and scopes.",
        ),
    },
    mutations={
        "attribute_definition_create": Mutation(
            _create,
            input=AttributeDefinitionCreate,
            payload=SHOWN,
            description="Give customers a field of the shop's own.",
        ),
        "attribute_definition_update": Mutation(
            _update,
            target="AttributeDefinition",
            input=AttributeDefinitionUpdate,
            versioned=True,
            payload=SHOWN,
            description="Change the fields given; what would leave values without a meaning is refused.",
        ),
        "attribute_definition_delete": Mutation(
            _delete,
            target="AttributeDefinition",
            versioned=True,
            payload={"deleted": Annotated[bool, Field(description="true when the definition is gone.")]},
            description="Delete one that no customer has a value of; others can only be archived.",
        ),
    },
)
