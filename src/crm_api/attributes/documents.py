"""What programs are told of a tenant's resources: its own OpenAPI document, and the metadata of all entities."""

import types
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import AwareDatetime, BaseModel

from crm_api.attributes import rules
from crm_api.attributes.labels import labels_of
from crm_api.attributes.models import PREFIX, Definition, Definitions
from crm_api.core.money import Money
from crm_api.db.projections import Filter, Projection, Relation, needed, projections, wire_model

Json = dict[str, Any]

# -- OpenAPI -----------------------------------------------------------------------------------------------------------

_SHOWN: Final = "Customer"
_SENT: Final = ("CustomerCreate", "CustomerUpdate")


def with_attributes(document: Json, definitions: Definitions) -> Json:
    """Return the OpenAPI document with typed attributes of customers; the given one is shared and stays as it is.

    What is answered may hold archived attributes too; what is sent may not, and null clears. ``CustomerCreate``
    demands the required ones.
    """
    schemas = dict(document["components"]["schemas"])
    current = [each for each in definitions.values() if not each.archived]
    required = [each.key for each in current if each.required]
    for name in (_SHOWN, *_SENT):
        properties = dict(schemas[name]["properties"])
        text = properties["attributes"].get("description", "")
        properties["attributes"] = {
            "type": "object",
            "description": text,
            "additionalProperties": False,
            "properties": {
                each.key: _schema(each, name) for each in (definitions.values() if name == _SHOWN else current)
            },
        }
        if name == "CustomerCreate" and required:
            properties["attributes"]["required"] = required
            schemas[name] = {**schemas[name], "required": [*schemas[name].get("required", ()), "attributes"]}
        schemas[name] = {**schemas[name], "properties": properties}
    return {**document, "components": {**document["components"], "schemas": schemas}}


def _schema(definition: Definition, where: str) -> Json:
    schema = rules.json_schema(definition)
    if where == _SHOWN:
        return {**schema, "deprecated": True} if definition.archived else schema
    if definition.required:
        return schema
    text = schema.pop("description")
    return {"description": text, "anyOf": [schema, {"type": "null"}]}


# -- metadata ----------------------------------------------------------------------------------------------------------


def metadata_of(definitions: Definitions) -> Json:
    """Return every entity: fields with types and labels, the tenant's attributes, filters, orders and scopes."""
    return {"entities": [_entity(each, definitions) for each in projections()]}


def _entity(of: Projection, definitions: Definitions) -> Json:
    return {
        "name": of.name,
        "description": of.description,
        "label": labels_of(of.name),
        "scope": of.scope,
        "fields": [_field(of, name) for name in wire_model(of.name).model_fields],
        "attributes": [_attribute(each) for each in definitions.values()] if of.name == _SHOWN else [],
        "filters": [_filter(of, name, each) for name, each in of.filters.items()],
        "orders": [*of.orders, *_attribute_orders(of, definitions)],
        "default_order": of.default_order,
    }


def _field(of: Projection, name: str) -> Json:
    model_field = wire_model(of.name).model_fields[name]
    entry = of.entry(name)
    shown: Json = {
        "name": name,
        "label": labels_of(name),
        "description": model_field.description or "",
        **_type(model_field.annotation),
        "scope": needed(entry) or of.scope,
    }
    target = entry.target if isinstance(entry, Relation) else None if entry is None else entry.ref
    return shown if target is None else {**shown, "refers_to": target}


def _filter(of: Projection, name: str, each: Filter) -> Json:
    known = of.model.model_fields.get(name)
    text = each.description or (known.description if known is not None else "") or ""
    kind = {key: value for key, value in _type(each.type).items() if key != "nullable"}
    shown = {"name": name, "label": labels_of(name), "description": text, **kind, "scope": each.scope or of.scope}
    return shown if each.ref is None else {**shown, "refers_to": each.ref}


def _attribute(definition: Definition) -> Json:
    shown: Json = {
        "key": definition.key,
        "type": definition.type,
        "label": {"en": definition.label_en, "zh": definition.label_zh},
        "description": definition.description or "",
        "required": definition.required,
        "archived": definition.archived,
        "minimum": definition.minimum,
        "maximum": definition.maximum,
        "max_length": definition.max_length,
        "refers_to": definition.refers_to,
    }
    if definition.type in rules.CHOOSING:
        shown["choices"] = [choice.stored() for choice in definition.choices]
    return shown


def _attribute_orders(of: Projection, definitions: Definitions) -> list[str]:
    if of.name != _SHOWN:
        return []
    keys = [PREFIX + each.key for each in definitions.values() if not each.archived]
    return [order for key in keys for order in (key, f"-{key}")]


# -- types -------------------------------------------------------------------------------------------------------------

_NAMES: Final[Mapping[Any, str]] = {
    str: "text",
    bool: "boolean",
    int: "integer",
    float: "number",
    Decimal: "number",
    UUID: "id",
    datetime: "instant",
    AwareDatetime: "instant",
    date: "date",
}


def _type(annotation: Any) -> Json:
    """Return ``type``, ``list``, ``nullable`` and, where values are fixed, ``choices`` of an annotation."""
    inner, nullable = _without_null(_bare(annotation))
    listed = get_origin(inner) in (list, tuple, set, frozenset)
    if listed:
        inner = _bare(next(iter(get_args(inner)), Any))
    shown: Json = {"type": _name(inner), "list": listed, "nullable": nullable}
    choices = _choices(inner)
    return {**shown, "choices": choices} if choices else shown


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated or hasattr(annotation, "__value__"):
        annotation = annotation.__value__ if hasattr(annotation, "__value__") else get_args(annotation)[0]
    return annotation


def _without_null(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    members = [each for each in get_args(annotation) if each is not type(None)]
    return _bare(members[0]) if len(members) == 1 else Any, len(members) < len(get_args(annotation))


def _choices(inner: Any) -> list[Any]:
    if get_origin(inner) is Literal:
        return list(get_args(inner))
    if isinstance(inner, type) and issubclass(inner, Enum):
        return [member.value for member in inner]
    return []


def _name(inner: Any) -> str:
    if _choices(inner):
        return "choice"
    if isinstance(inner, type) and issubclass(inner, Money):
        return "money"
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        return "object"
    return _NAMES.get(inner, "json")
