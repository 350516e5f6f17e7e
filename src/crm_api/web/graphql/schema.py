"""The GraphQL schema: object types from projections, root fields and mutations from the domains' parts.

Strawberry makes the schema (names, descriptions, validation, SDL). Besides it, `build_schema` notes for every field
how the planner serves it; a field without such a note is executed by the ordinary executor and appears on the
fallback list.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal

import strawberry
from graphql import GraphQLEnumType, GraphQLInterfaceType, GraphQLObjectType, GraphQLSchema
from pydantic import BaseModel, create_model
from sqlalchemy import BigInteger
from strawberry.schema.config import StrawberryConfig

from crm_api.db.projections import Arg, Entry, Field, Filter, Projection, Relation, projection, projections, wire_model
from crm_api.web.graphql.parts import Computed, GraphQLParts, Mutation
from crm_api.web.graphql.scalars import SCALARS, BigInt
from crm_api.web.graphql.types import (
    Reader,
    Shape,
    Types,
    add_field,
    camel,
    described,
    is_model,
    new_type,
    pascal,
    shape_of,
    wrapped,
)

Kind = Literal["leaf", "struct", "entry", "root", "node", "nodes", "computed", "user_errors"]

PAGE_ARGS: Final[Mapping[str, tuple[Any, str]]] = {
    "first": (int | None, "Rows from the start, or after the cursor."),
    "after": (str | None, "Only rows behind this cursor."),
    "last": (int | None, "Rows from the end, or before the cursor."),
    "before": (str | None, "Only rows before this cursor."),
}


@dataclass(slots=True)
class ArgNote:
    """How the planner takes an argument: its snake_case name and, for ids, the type it must name."""

    name: str
    ref: str | None = None


@dataclass(slots=True)
class FieldNote:
    """How the planner serves a field.

    Attributes:
        name: snake_case, as the projection knows it.
        kind: what serves it.
        entry: the projection's declaration.
        prefix: type name of a global id.
        args: camelCase name → note.
        enum: database value → schema name.
        many_enum: the field is a list of such values.
        call: what runs a mutation or computed field.
        reader: reads its input object.
        extra: checks its ``extra`` arguments.

    """

    name: str
    kind: Kind
    entry: Entry | None = None
    prefix: str | None = None
    args: dict[str, ArgNote] = field(default_factory=dict)
    enum: Mapping[str, str] | None = None
    many_enum: bool = False
    call: Mutation | Computed | None = None
    reader: Reader | None = None
    extra: type[BaseModel] | None = None

    @property
    def planned(self) -> bool:
        """Whether the planner serves the field at the root of a query."""
        return self.kind in ("root", "node", "nodes")


@dataclass(slots=True)
class ApiSchema:
    """The schema and all notes.

    Attributes:
        strawberry: the strawberry schema.
        core: graphql-core's, with resolvers that return what the planner read.
        notes: type name → field name → note.
        nodes: names of types that ``node`` can return.

    """

    strawberry: strawberry.Schema
    core: GraphQLSchema
    notes: Mapping[str, Mapping[str, FieldNote]]
    nodes: frozenset[str]

    def sdl(self) -> str:
        """Return the schema in SDL."""
        return self.strawberry.as_str()

    def fallback_list(self) -> list[str]:
        """Return the root fields that are not planned; introspection and mutations aside, it should stay short."""
        return [f"Query.{name}" for name, note in self.notes["Query"].items() if not note.planned]


@strawberry.interface(description="Anything that can be fetched again by its global id.")
class Node:
    """Relay's Node."""

    id: strawberry.ID = strawberry.field(description="Global id: the type's name, a colon, the uuid.")


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    """Relay's PageInfo."""

    has_next_page: bool = strawberry.field(description="Whether rows follow.")
    has_previous_page: bool = strawberry.field(description="Whether rows stand before.")
    start_cursor: str | None = strawberry.field(description="Cursor of the first row shown.")
    end_cursor: str | None = strawberry.field(description="Cursor of the last row shown.")


@strawberry.type(description="Something the caller can mend.")
class UserError:
    """One reason why a mutation did nothing."""

    code: str = strawberry.field(description="Stable and machine-readable.")
    message: str = strawberry.field(description="For people, in the language of Accept-Language.")
    path: list[str] | None = strawberry.field(description="Where in the arguments, when it is about one of them.")


class Builder:
    """Makes strawberry types and notes."""

    def __init__(self) -> None:
        """Start with the shapes every schema has."""
        self.types = Types()
        self.notes: dict[str, dict[str, FieldNote]] = {
            "PageInfo": {
                camel(name): FieldNote(name, "leaf")
                for name in ("has_next_page", "has_previous_page", "start_cursor", "end_cursor")
            },
            "UserError": {name: FieldNote(name, "leaf") for name in ("code", "message", "path")},
        }
        self.objects: dict[str, Any] = {}
        self._connections: dict[str, Any] = {}

    # -- projections -----------------------------------------------------------------------------------------------

    def object(self, name: str) -> Any:
        """Return the object type of a projection."""
        if name not in self.objects:
            of = projection(name)
            made = new_type(name, of.description, bases=(Node,) if of.node else ())
            self.objects[name] = made
            self.notes[name] = {}
            if of.node:
                # The global id holds the projection's key, whether or not the model shows it.
                self._note(name, FieldNote("id", "leaf", prefix=name))
            for field_name in wire_model(name).model_fields:
                if not (of.node and field_name == "id"):
                    self._model_field(of, made, field_name)
            for field_name, entry in of.relations.items():
                if field_name not in wire_model(name).model_fields:
                    self._own_field(of, made, field_name, entry)
        return self.objects[name]

    def _note(self, type_name: str, note: FieldNote) -> FieldNote:
        self.notes[type_name][camel(note.name)] = note
        return note

    def _model_field(self, of: Projection, made: Any, name: str) -> None:
        model_field = wire_model(of.name).model_fields[name]
        entry, shape, text = of.entry(name), shape_of(model_field.annotation), described(name, model_field)
        assert entry is not None, f"{of.name}.{name}"  # noqa: S101 - check_projections saw to it
        if isinstance(entry, Relation):
            self._relation(of, made, name, entry, shape)
            return
        if name == "id":
            self._note(of.name, FieldNote(name, "leaf", entry))
            add_field(made, name, strawberry.ID, text)
            return
        add_field(made, name, self._leaf(of, name, entry, shape), text)

    def _own_field(self, of: Projection, made: Any, name: str, entry: Entry) -> None:
        if isinstance(entry, Relation):
            self._relation(of, made, name, entry, Shape(None, listed=False, nullable=True))
            return
        annotation = self._leaf(of, name, entry, shape_of(entry.returns))
        args = {
            arg: (self._arg_type(each, of.name, arg), described(arg, None, each.description))
            for arg, each in entry.args.items()
        }
        self.notes[of.name][camel(name)].args = {camel(arg): ArgNote(arg) for arg in entry.args}
        add_field(made, name, annotation, described(name, None, entry.description), args=args)

    def _arg_type(self, arg: Arg, owner: str, name: str) -> Any:
        shape = shape_of(arg.type)
        return wrapped(self.types.plain(shape.inner, owner, name), shape)

    def _leaf(self, of: Projection, name: str, entry: Field, shape: Shape) -> Any:
        """Note a field that holds a value, and return its strawberry type."""
        if entry.parts or is_model(shape.inner):
            self._note(of.name, FieldNote(name, "struct", entry))
            return wrapped(self._value_object(shape.inner), shape)
        if entry.ref is not None:
            self._note(of.name, FieldNote(name, "leaf", entry, prefix=entry.ref))
            return wrapped(strawberry.ID, shape)
        inner = self.types.plain(shape.inner, of.name, name)
        if inner is int and _is_big(of, entry):
            inner = BigInt
        self._note(of.name, FieldNote(name, "leaf", entry, enum=_enum_map(inner), many_enum=shape.listed))
        return wrapped(inner, shape)

    def _value_object(self, model: type[BaseModel]) -> Any:
        def seen(type_name: str, name: str, shape: Shape, inner: Any) -> None:
            note = FieldNote(name, "leaf", enum=_enum_map(inner), many_enum=shape.listed)
            self.notes.setdefault(type_name, {})[camel(name)] = note

        return self.types.value_object(model, seen)

    def _relation(self, of: Projection, made: Any, name: str, link: Relation, shape: Shape) -> None:
        note = self._note(of.name, FieldNote(name, "entry", link))
        self._link_field(made, name, link, note, shape)

    def _link_field(self, made: Any, name: str, link: Relation, note: FieldNote, shape: Shape) -> None:
        text = described(name, None, link.description)
        if link.kind == "many":
            args = self._list_args(link, note)
            add_field(made, name, self.connection(link.target), text, args=args)
        elif link.kind == "items":
            listed: Any = self.object(link.target)
            add_field(made, name, list[listed], text)
        else:
            args = self._filter_args(link, note, required=True) if link.filters else {}
            add_field(made, name, wrapped(self.object(link.target), shape), text, args=args)

    # -- connections -----------------------------------------------------------------------------------------------

    def connection(self, target: str) -> Any:
        """Return the Relay connection type of a projection."""
        if target not in self._connections:
            made = new_type(f"{target}Connection", f"A page of {target}.")
            self._connections[target] = made
            edge = new_type(f"{target}Edge", f"One {target} in a page.")
            add_field(edge, "cursor", str, "Its place in the list, for after and before.")
            add_field(edge, "node", self.object(target), f"The {target}.")
            add_field(made, "edges", list[edge], "The rows, with cursors.")  # type: ignore[valid-type]
            add_field(made, "nodes", list[self.object(target)], "The rows.")  # type: ignore[misc]
            add_field(made, "page_info", PageInfo, "Where the page stands.")
            add_field(made, "total_count", int, "Number of rows on all pages; counting costs a scan.")
            self.notes[f"{target}Edge"] = {name: FieldNote(name, "leaf") for name in ("cursor", "node")}
            self.notes[f"{target}Connection"] = {
                camel(name): FieldNote(name, "leaf") for name in ("edges", "nodes", "page_info", "total_count")
            }
        return self._connections[target]

    def _list_args(self, link: Relation, note: FieldNote) -> dict[str, tuple[Any, str]]:
        of = projection(link.target)
        args = dict(PAGE_ARGS)
        most = f"at most {link.maximum}, by default {link.default}"
        args["first"] = (int | None, f"Rows from the start, or after the cursor: {most}.")
        note.args = {name: ArgNote(name) for name in PAGE_ARGS}
        orders = link.orders or of.orders
        name = f"{of.name}Sort" if not link.orders else f"{of.name}{pascal(note.name)}Sort"
        order = self.types.enum(name, list(orders), f"Orders of {of.name} lists.")
        args["order_by"] = (order | None, f"By default {next(iter(orders)).upper()}.")
        note.args["orderBy"] = ArgNote("order_by")
        return args | self._filter_args(link, note, required=False)

    def _filter_args(self, link: Relation, note: FieldNote, *, required: bool) -> dict[str, tuple[Any, str]]:
        of = projection(link.target)
        filters = of.filters if link.filters is None else link.filters
        args = {}
        for name, each in filters.items():
            note.args[camel(name)] = ArgNote(name, each.ref)
            kind = self._filter_type(of, name, each)
            args[name] = (kind if required else kind | None, each.description or described(name, None))
        return args

    def _filter_type(self, of: Projection, name: str, each: Filter) -> Any:
        shape = shape_of(each.type)
        if each.ref is not None:
            inner: Any = strawberry.ID
        else:
            inner = shape.inner
            model_field = wire_model(of.name).model_fields.get(name)
            if inner is str and model_field is not None:
                # A filter on a field with fixed choices takes the field's own enum.
                own = shape_of(model_field.annotation).inner
                inner = own if self.types.choices(own) else inner
            inner = self.types.plain(inner, of.name, name)
        return list[inner] if shape.listed else inner

    # -- roots -----------------------------------------------------------------------------------------------------

    def query(self, parts: Iterable[GraphQLParts]) -> Any:
        """Return the query type."""
        made = new_type("Query", "Everything that can be read.")
        self.notes["Query"] = {}
        text = "Fetch anything by its global id; null when there is no such thing."
        add_field(made, "node", Node | None, text, args={"id": (strawberry.ID, "A global id.")})
        self._note("Query", FieldNote("node", "node", args={"id": ArgNote("id")}))
        text = "Fetch several things, in the order asked, null where there is none."
        add_field(
            made, "nodes", list[Node | None], text, args={"ids": (list[strawberry.ID], "Global ids, at most 100.")}
        )
        self._note("Query", FieldNote("nodes", "nodes", args={"ids": ArgNote("ids")}))
        for part in parts:
            for name, each in part.queries.items():
                self._query_field(made, name, each)
        return made

    def _query_field(self, made: Any, name: str, each: Relation | Computed) -> None:
        if isinstance(each, Relation):
            note = self._note("Query", FieldNote(name, "root", each))
            self._link_field(made, name, each, note, Shape(None, listed=False, nullable=True))
            return
        self._call_field("Query", made, name, each)

    def mutation(self, parts: Iterable[GraphQLParts]) -> Any:
        """Return the mutation type, or None when no domain has a mutation."""
        self.notes["Mutation"] = {}
        made = new_type("Mutation", "Everything that can be done. Each field is one transaction.")
        for part in parts:
            for name, each in part.mutations.items():
                self._call_field("Mutation", made, name, each)
        return made if self.notes["Mutation"] else None

    def _call_field(self, root: str, made: Any, name: str, each: Mutation | Computed) -> None:
        title = pascal(name)
        reader = Reader()
        given = new_type(f"{title}Input", f"Arguments of {camel(name)}.", is_input=True)
        if each.target is not None:
            add_field(given, "id", strawberry.ID, f"Global id of the {each.target}.")
            reader.fields["id"] = ("id", None)
        if isinstance(each, Mutation) and each.versioned:
            add_field(given, "expected_version", int | None, "Refuse when the version is another.", optional=True)
            reader.fields["expectedVersion"] = ("expected_version", None)
        for extra, annotation in each.extra.items():
            self._extra_input(given, reader, title, extra, annotation)
        if each.input is not None:
            own = self.types.input_fields(given, each.input)
            reader.fields.update({key: (f"data.{name}", how) for key, (name, how) in own.fields.items()})
        extra = create_model(f"{title}Extra", **{key: _model_field(kind) for key, kind in each.extra.items()})
        note = self._note(root, FieldNote(name, "computed", call=each, reader=reader, extra=extra))
        args = {"input": (given, "The arguments.")} if reader.fields else {}
        payload = self._payload(f"{title}Payload", each, errors=root == "Mutation")
        add_field(made, name, payload, each.description, args=args)
        note.args = {"input": ArgNote("input")} if args else {}

    def _extra_input(self, given: Any, reader: Reader, owner: str, name: str, annotation: Any) -> None:
        shape = shape_of(annotation)
        inner, how = self.types.input_type(shape, owner, name)
        add_field(given, name, wrapped(inner, shape), described(name, None), optional=shape.nullable)
        reader.fields[camel(name)] = (f"extra.{name}", how)

    def _payload(self, type_name: str, each: Mutation | Computed, *, errors: bool) -> Any:
        made = new_type(type_name, "What came of it.")
        self.notes[type_name] = {}
        for name, kind in each.payload.items():
            listed = isinstance(kind, list)
            target = kind[0] if listed else kind
            if isinstance(target, str):
                link = Relation(target, lambda _p, _c: None, "items" if listed else "one")  # type: ignore[arg-type,return-value]
                self._note(type_name, FieldNote(name, "entry", link))
                inner: Any = list[self.object(target)] if listed else self.object(target)  # type: ignore[misc]
                add_field(made, name, inner | None, described(name, None))
            else:
                shape = shape_of(kind)
                value = is_model(shape.inner)
                inner = self._value_object(shape.inner) if value else self.types.plain(shape.inner, type_name, name)
                self._note(type_name, FieldNote(name, "leaf", enum=_enum_map(inner), many_enum=shape.listed))
                add_field(made, name, wrapped(inner, Shape(None, shape.listed, nullable=True)), described(name, None))
        if errors:
            self._note(type_name, FieldNote("user_errors", "user_errors"))
            add_field(made, "user_errors", list[UserError], "Why nothing was done; empty on success.")
        return made


def _model_field(annotation: Any) -> Any:
    return (annotation, None if shape_of(annotation).nullable else ...)


def _enum_map(inner: Any) -> Mapping[str, str] | None:
    if isinstance(inner, type) and issubclass(inner, Enum):
        return {member.value: member.name for member in inner}
    return None


def _is_big(of: Projection, entry: Field) -> bool:
    """Tell whether numbers of this field may exceed GraphQL's 32-bit Int."""
    if entry.build is None:
        return False
    return isinstance(entry.build(of.table.alias("t"), {}).type, BigInteger)


def build_schema(parts: Iterable[GraphQLParts], only: Iterable[str] | None = None) -> ApiSchema:
    """Compose the schema of these parts and of all projections that appear in GraphQL.

    Args:
        parts: of all domains.
        only: names of projections, for tests that have a world of their own; whatever else these refer to comes too.

    Raises:
        ValueError: parts contradict each other.

    """
    parts = list(parts)
    builder = Builder()
    query, mutation = builder.query(parts), builder.mutation(parts)
    shown = None if only is None else frozenset(only)
    for each in projections():
        if each.graphql and each.node and (shown is None or each.name in shown):
            builder.object(each.name)
    made = strawberry.Schema(
        query=query,
        mutation=mutation,
        types=[builder.objects[name] for name in builder.objects],
        config=StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=True),
    )
    core = made._schema  # noqa: SLF001 - strawberry offers no public way to the schema it made
    nodes = frozenset(name for name in builder.objects if projection(name).node)
    _serve_plans(core)
    return ApiSchema(made, core, builder.notes, nodes)


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


MAX_NODES: Final = 100

TYPE_KEY: Final = "~type"
"""Where the planner puts an object's type for the executor; no response key can be called that."""


def _by_response_key(source: Any, info: Any, **_args: Any) -> Any:
    return source[info.path.key]


def _type_of_row(row: Any, _info: Any, _abstract: Any) -> str:
    return str(row[TYPE_KEY])


def _as_it_is(value: Any) -> Any:
    return value
