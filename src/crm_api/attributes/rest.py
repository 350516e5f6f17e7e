"""Attribute definitions over REST; what the tenant's own fields look like, for programs."""

from typing import Any
from uuid import UUID

import orjson
from fastapi import Request
from starlette.responses import Response

from crm_api.attributes.documents import metadata_of, with_attributes
from crm_api.attributes.models import AttributeDefinitionCreate, AttributeDefinitionUpdate
from crm_api.attributes.repository import ATTRIBUTE_DEFINITION
from crm_api.attributes.service import READ, AttributeService, definitions_of
from crm_api.web.resources import JSON, READ_PROBLEMS, add_get, add_list, crm_router, nothing, resource, shown
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("attributes")
PATH = "/v1/attribute-definitions"

add_list(router, "/attribute-definitions", ATTRIBUTE_DEFINITION, summary="List attribute definitions")
add_get(router, "/attribute-definitions", ATTRIBUTE_DEFINITION, summary="Get an attribute definition")


def _document(description: str) -> dict[int | str, dict[str, Any]]:
    return {
        200: {"description": description, "content": {JSON: {"schema": {"type": "object"}}}},
        **READ_PROBLEMS,
    }


@router.post(
    "/attribute-definitions",
    status_code=201,
    summary="Define an attribute",
    responses=shown("AttributeDefinition", 201),
    response_model=None,
)
async def create_attribute_definition(unit: WriteUnit, body: AttributeDefinitionCreate) -> Response:
    """Give customers a field of the shop's own; from now on it can be written, ruled by, filtered and sorted by."""
    definition_id = await AttributeService(unit).create(body)
    return await resource(unit, ATTRIBUTE_DEFINITION, definition_id, status=201, location=PATH)


@router.patch(
    "/attribute-definitions/{id}",
    summary="Change an attribute definition",
    responses=shown("AttributeDefinition"),
    response_model=None,
)
async def update_attribute_definition(
    unit: WriteUnit, id: UUID, body: AttributeDefinitionUpdate, version: ExpectedVersion
) -> Response:
    """Change the fields given. What would leave values without a meaning is refused: archive instead."""
    await AttributeService(unit).update(id, body, expected_version=version)
    return await resource(unit, ATTRIBUTE_DEFINITION, id)


@router.delete(
    "/attribute-definitions/{id}",
    status_code=204,
    summary="Delete an attribute definition",
    responses=nothing(),
    response_model=None,
)
async def delete_attribute_definition(unit: WriteUnit, id: UUID, version: ExpectedVersion) -> Response:
    """Delete one that no customer has a value of; others can only be archived."""
    await AttributeService(unit).delete(id, expected_version=version)
    return Response(status_code=204)


@router.get(
    "/openapi.json",
    summary="Get the tenant's own OpenAPI document",
    responses=_document("OpenAPI 3.1, with the tenant's attributes typed."),
    response_model=None,
)
async def get_tenant_openapi(request: Request, unit: ReadUnit) -> Response:
    """Answer the OpenAPI document with the tenant's attributes as typed properties, for generated clients."""
    unit.actor.require(READ)
    definitions = await definitions_of(unit, "customer")
    return Response(orjson.dumps(with_attributes(request.app.openapi(), definitions)), media_type=JSON)


@router.get(
    "/metadata",
    summary="Describe every resource",
    responses=_document("Entities with fields, attributes, filters, orders and scopes."),
    response_model=None,
)
async def get_metadata(unit: ReadUnit) -> Response:
    """Describe what there is: every entity's fields with types and labels, its filters, orders and scopes."""
    unit.actor.require(READ)
    return Response(orjson.dumps(metadata_of(await definitions_of(unit, "customer"))), media_type=JSON)
