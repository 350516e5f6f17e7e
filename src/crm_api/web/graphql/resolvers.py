"""Resolvers of the executor: root fields plan themselves, mutations call services, the rest is read already."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
from graphql import (
    GraphQLEnumType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    get_named_type,
)
from pydantic import BaseModel, ValidationError

from crm_api.core.errors import CrmError, Invalid, NotFound
from crm_api.db.failures import translate
from crm_api.db.plans import NOW_KEY
from crm_api.db.plans.plan import named, picked
from crm_api.db.uow import UnitOfWork
from crm_api.web import aliases
from crm_api.web.graphql.engine import Context
from crm_api.web.graphql.errors import USERS_OWN, invalid_input, user_errors
from crm_api.web.graphql.ids import local_id
from crm_api.web.graphql.notes import TYPE_KEY, ApiSchema, FieldNote
from crm_api.web.graphql.parts import Call, Mutation
from crm_api.web.graphql.planner import PAYLOAD_KEY, Collected


def attach(schema: ApiSchema) -> None:
    """Give every field its resolver."""
    _serve_plans(schema.core)
    for root in ("Query", "Mutation"):
        made = schema.core.get_type(root)
        if isinstance(made, GraphQLObjectType):
            for name, note in schema.notes[root].items():
                made.fields[name].resolve = _planned if note.planned else _called(note)
    for name in ("UserError", "UserErrorMatch"):
        errors = schema.core.get_type(name)
        if isinstance(errors, GraphQLObjectType):
            for served in errors.fields.values():
                served.resolve = lambda source, info: source[info.field_name]


def _serve_plans(core: GraphQLSchema) -> None:
    """Let the executor return what plans read: every object is a mapping under response keys, every leaf is ready."""
    for each in core.type_map.values():
        if each.name.startswith("__"):
            continue
        if isinstance(each, GraphQLObjectType):
            each.is_type_of = None
            for served in each.fields.values():
                served.resolve = _by_response_key
        elif isinstance(each, GraphQLInterfaceType):
            each.resolve_type = _type_of_row
        elif isinstance(each, GraphQLEnumType):
            each.coerce_output_value = _as_it_is  # type: ignore[method-assign, assignment]
            each.serialize = _as_it_is  # type: ignore[method-assign, assignment]


def _by_response_key(source: Any, info: Any, **_args: Any) -> Any:
    return source[info.path.key]


def _type_of_row(row: Any, _info: Any, _abstract: Any) -> str:
    return str(row[TYPE_KEY])


def _as_it_is(value: Any) -> Any:
    return value


async def _planned(_root: Any, info: GraphQLResolveInfo[Any], **_args: Any) -> Any:
    context: Context = info.context
    key = str(info.path.key)
    plan = context.engine.plan(
        context.prepared,
        ("field", key, context.operation_name, context.actor.scopes),
        context.actor.scopes,
        context.variables,
        lambda planner: planner.root_field(key, info.field_nodes),
        typed=True,
    )
    async with context.database.read(context.actor) as unit:
        row = await unit.fetch_plan(plan, context.variables)
    assert row is not None  # noqa: S101 - a select without FROM yields a row
    return orjson.loads(plan.finish(row[0], context.variables[NOW_KEY]))[key]


def _called(note: FieldNote) -> Any:
    async def resolve(_root: Any, info: GraphQLResolveInfo[Any], **args: Any) -> Any:
        payload = Payload(info, note)
        given = aliases.renamed(args.get("input") or {}, payload.context.names)
        try:
            try:
                return await payload.made(given)
            except NotFound:
                names = await payload.context.names_of(given)
                if not names:
                    raise
            return await payload.made(aliases.renamed(given, names))
        except Exception as error:
            known = invalid_input(error) if isinstance(error, ValidationError) else translate(error)
            if not isinstance(note.call, Mutation) or not isinstance(known, USERS_OWN):
                raise
            return payload.refused(known)

    return resolve


class Payload:
    """The result object of one mutation or computed field, keyed as the client wants it."""

    def __init__(self, info: GraphQLResolveInfo[Any], note: FieldNote) -> None:
        """Find out what is selected."""
        self.context: Context = info.context
        self._note = note
        self._key = str(info.path.key)
        self._type = str(get_named_type(info.return_type).name)
        self._fields = self.context.planner().collect(self._type, [node.selection_set for node in info.field_nodes])
        self._notes = self.context.engine.schema.notes[self._type]

    async def made(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Call the service in a unit of its own: a mutation writes, a computed field reads."""
        if isinstance(self._note.call, Mutation):
            return await self.context.write(lambda unit: self.of(unit, given))
        async with self.context.database.read(self.context.actor) as unit:
            return await self.of(unit, given)

    async def of(self, unit: UnitOfWork, given: Mapping[str, Any]) -> dict[str, Any]:
        """Call the service and read what it names, in the same unit."""
        call = self._note.call
        assert call is not None  # noqa: S101 - computed fields have one
        values = await call.run(self._call(unit, given))
        tree = await self._read(unit, values)
        return {each.key: self._value(each, values, tree) for each in self._fields if each.name in self._notes}

    def refused(self, error: CrmError) -> dict[str, Any]:
        """Return the payload of a mutation that did nothing."""
        errors = user_errors(error, self.context.actor.locale)
        return {each.key: errors if each.name == "userErrors" else None for each in self._fields}

    def _call(self, unit: UnitOfWork, given: Mapping[str, Any]) -> Call:
        declared, reader, checked = self._note.call, self._note.reader, self._note.extra
        assert declared is not None and reader is not None and checked is not None  # noqa: S101, PT018
        read = reader.read(given)
        made = Call(unit, version=read.get("expected_version"))
        if declared.target is not None:
            made.id = _target(declared.target, read["id"])
        extra = checked.model_validate(_part(read, "extra."))
        made.extra = {name: getattr(extra, name) for name in extra.model_fields_set}
        if declared.input is not None:
            made.data = declared.input.model_validate(_part(read, "data."))
        return made

    async def _read(self, unit: UnitOfWork, values: Mapping[str, Any]) -> Mapping[str, Any]:
        wanted = [each for each in self._fields if self._is_resource(each, values)]
        if not wanted:
            return {}
        context = self.context
        variables = {**context.variables, PAYLOAD_KEY: values}
        plan = context.engine.plan(
            context.prepared,
            ("payload", self._key, context.operation_name, context.actor.scopes, tuple(each.key for each in wanted)),
            context.actor.scopes,
            variables,
            lambda planner: planner.payload(self._type, wanted),
            typed=True,
        )
        row = await unit.fetch_plan(plan, variables)
        assert row is not None  # noqa: S101 - a select without FROM yields a row
        tree: Mapping[str, Any] = orjson.loads(plan.finish(row[0], variables[NOW_KEY]))
        return tree

    def _is_resource(self, each: Collected, values: Mapping[str, Any]) -> bool:
        note = self._notes.get(each.name)
        return note is not None and note.kind == "entry" and values.get(note.name) is not None

    def _value(self, each: Collected, values: Mapping[str, Any], tree: Mapping[str, Any]) -> Any:
        note = self._notes[each.name]
        if note.kind == "user_errors":
            return []
        if note.kind == "entry":
            return tree.get(each.key)
        value = _jsonable(values.get(note.name))
        if each.nodes[0].selection_set is not None:
            return picked(value, self.context.planner().value_object(self._type, each))
        return named(value, note.enum) if note.enum is not None else value


def _jsonable(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_jsonable(each) for each in value] if isinstance(value, list) else value


def _part(read: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in read.items() if name.startswith(prefix)}


def _target(target: str, global_id: str) -> UUID:
    found = local_id(target, "id", global_id)
    if not isinstance(found, UUID):  # pragma: no cover - the schema says ID!
        raise Invalid
    return found
