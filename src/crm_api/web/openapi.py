"""The OpenAPI document: FastAPI's own, completed with the resources that projections define."""

import re
from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema, models_json_schema
from starlette.routing import BaseRoute

from crm_api import __version__
from crm_api.db.projections import projection, projections, wire_model

DESCRIPTION = """
Headless customer management for shops: customers, orders, interactions, segments, loyalty and complaints.

* Send an API key as `Authorization: Bearer crm_…`. Keys are made with `crm-api keys create`.
* Errors are RFC 9457 problem documents with a stable `code`, in English or Chinese (`Accept-Language`).
* Lists are cursor pages: pass `page.next` as `after`. `fields=` trims resources to what you need.
* Every write takes an `Idempotency-Key`; every resource has an `ETag`, and `If-Match` guards against lost updates.
* Money is integer minor units (`1999` is ¥19.99); times are RFC 3339 in UTC.
"""


def _optional(schema: dict[str, Any]) -> None:
    """Leave out ``default: null``: it is left out, never null."""
    schema.pop("default", None)


class ProblemPosition(BaseModel):
    """Which characters of a text are meant."""

    offset: int = Field(description="Characters (Unicode code points) before it.", examples=[13])
    length: int = Field(description="Characters that are meant; 0 at the end of the text.", examples=[6])
    line: int = Field(description="From 1.", examples=[1])
    column: int = Field(description="From 1, in characters.", examples=[14])


class ProblemError(BaseModel):
    """One thing wrong with one part of the request."""

    pointer: str = Field(description="JSON pointer into the body, or /query/…, /path/…, /header/….", examples=["/name"])
    code: str = Field(description="Stable; switch on this.", examples=["required"])
    message: str = Field(description="For people, in the language of Accept-Language.", examples=["Field required"])
    position: ProblemPosition | SkipJsonSchema[None] = Field(
        default=None,
        json_schema_extra=_optional,
        description="Where in the text, when the value is one with a grammar (a rule in words).",
    )


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="URN that ends in the code.", examples=["urn:crm-api:problem:invalid"])
    title: str = Field(description="What kind of problem it is, in the language of Accept-Language.")
    status: int = Field(description="The HTTP status again.", examples=[422])
    detail: str = Field(description="What went wrong this time, for people.")
    code: str = Field(description="Stable; switch on this.", examples=["invalid"])
    instance: str = Field(description="Path of the request.", examples=["/v1/customers"])
    request_id: str = Field(description="Quote it when you ask for help.")
    errors: list[ProblemError] = Field(description="Each thing that is wrong; empty when it is not about parts.")


class PageInfo(BaseModel):
    """Where this page stands."""

    next: str | None = Field(description="Pass as `after` for the next page.")
    previous: str | None = Field(description="Pass as `before` for the previous page.")
    has_more: bool = Field(description="Whether rows follow this page.")
    total: int | None = Field(default=None, description="Only with `count=exact`.")


PROBLEM_JSON = "application/problem+json"
_REF = "#/components/schemas/{model}"


def _resource_schemas(listed: set[str]) -> dict[str, Any]:
    names = [each.name for each in projections()]
    models: list[type[BaseModel]] = [wire_model(name) for name in names]
    shown: list[type[BaseModel]] = [*models, Problem, PageInfo]
    by_model, definitions = models_json_schema([(model, "serialization") for model in shown], ref_template=_REF)
    schemas: dict[str, Any] = dict(definitions.get("$defs", {}))
    for name, model in zip(names, models, strict=True):
        ref = by_model[model, "serialization"]
        if ref["$ref"] != _REF.format(model=name):
            schemas[name] = ref
        if name not in listed:
            continue
        schemas[f"{name}Page"] = {
            "type": "object",
            "title": f"{name}Page",
            "description": f"One page of {name}.",
            "required": ["data", "page"],
            "properties": {
                "data": {
                    "type": "array",
                    "items": {"$ref": _REF.format(model=name)},
                    "description": "The rows, in the order asked for.",
                },
                "page": {"$ref": _REF.format(model="PageInfo"), "description": "Where this page stands."},
            },
        }
    return schemas


def build_openapi(app: FastAPI, routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """Return the complete document of these routes and the application's own; it is made once per process."""
    if app.openapi_schema is None:
        document = get_openapi(
            title="crm-api",
            version=__version__,
            summary="Headless customer management for shops",
            description=DESCRIPTION.strip(),
            routes=[*routes, *app.routes],
            license_info={"name": "MIT", "identifier": "MIT"},
            servers=[{"url": "/", "description": "This server"}],
        )
        components = document.setdefault("components", {})
        listed = set(re.findall(r"#/components/schemas/(\w+)Page\b", orjson.dumps(document["paths"]).decode()))
        components.setdefault("schemas", {}).update(_resource_schemas(listed))
        components["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "An API key, crm_…"}
        }
        document["security"] = [{"key": []}]
        _complete_operations(document)
        app.openapi_schema = document
    return app.openapi_schema


_PATHS = {
    "id": "Id of the resource.",
    "address_id": "Id of the address.",
    "customer_id": "Id of the customer.",
    "contact_point_id": "Id of the contact point.",
    "identity_id": "Id of the identity.",
    "interaction_id": "Id of the interaction.",
    "complaint_id": "Id of the case.",
    "skill_id": "Id of the skill.",
    "source_id": "Id of the source.",
    "staff_id": "Id of the staff member.",
    "tag": "The tag itself.",
}
"""What path parameters are that say nothing themselves."""


def _complete_parameters(operation: dict[str, Any]) -> None:
    """Describe ids, and give ``fields`` an example that fits the resource of the answer."""
    answer = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
    shown = answer.get("$ref", "").removeprefix(_REF.format(model="")).removesuffix("Page")
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path" and parameter["name"] in _PATHS:
            parameter.setdefault("description", _PATHS[parameter["name"]])
        if parameter["name"] == "fields":
            parameter["schema"]["examples"] = [",".join(list(projection(shown).fields)[:2])]


def _complete_operations(document: dict[str, Any]) -> None:
    """Name every operation after its function, as generated clients will, and write each error answer once."""
    shared = document["components"].setdefault("responses", {})
    for item in document["paths"].values():
        for operation in item.values():
            operation["operationId"] = operation["operationId"].partition("_v1_")[0]
            _complete_parameters(operation)
            for status, response in operation["responses"].items():
                if PROBLEM_JSON in response.get("content", {}):
                    shared[f"Problem{status}"] = response
                    operation["responses"][status] = {"$ref": f"#/components/responses/Problem{status}"}
