"""Object types from projections: fields, relations, connections."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

import strawberry
from pydantic import BaseModel

from crm_api.db.plans import exceeds_32_bits
from crm_api.db.projections import Arg, Entry, Field, Filter, Projection, Relation, projection, wire_model
from crm_api.web.graphql.notes import ArgNote, FieldNote
from crm_api.web.graphql.scalars import BigInt
from crm_api.web.graphql.types import (
    Shape,
    Types,
    add_field,
    camel,
    is_model,
    new_type,
    pascal,
    shape_of,
    wrapped,
)
from crm_api.web.wording import filter_text

PAGE_ARGS: Final[Mapping[str, tuple[Any, str]]] = {
    "first": (int | None, "Rows from the start, or after the cursor."),
    "after": (str | None, "Only rows behind this cursor."),
    "last": (int | None, "Rows from the end, or before the cursor."),
    "before": (str | None, "Only rows before this cursor."),
}


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


@strawberry.type(description="A customer who has what was to be given to another.")
class UserErrorMatch:
    """Whom a duplicate is about, as REST's ``matches`` has it."""

    customer_id: strawberry.ID = strawberry.field(description="The customer.")
    on: str | None = strawberry.field(
        description="Kind of the contact point they share, or `identity`; null, as the others, when it was asked about."
    )
    value: str | None = strawberry.field(description="What they share; contact points are masked.")
    verified: bool | None = strawberry.field(description="Whether that customer has proved it.")


@strawberry.type(description="Something the caller can mend.")
class UserError:
    """One reason why a mutation did nothing."""

    code: str = strawberry.field(description="Stable and machine-readable.")
    message: str = strawberry.field(description="For people, in the language of Accept-Language.")
    path: list[str] | None = strawberry.field(description="Where in the arguments, when it is about one of them.")
    matches: list[UserErrorMatch] | None = strawberry.field(
        description="Of a duplicate: all customers who have any of what was sent; null for other errors."
    )


class Objects:
    """Makes strawberry types and notes."""

    def __init__(self) -> None:
        """Start with the shapes every schema has."""
        self.types = Types()
        self.notes: dict[str, dict[str, FieldNote]] = {
            "PageInfo": {
                camel(name): FieldNote(name, "leaf")
                for name in ("has_next_page", "has_previous_page", "start_cursor", "end_cursor")
            },
            "UserError": {name: FieldNote(name, "leaf") for name in ("code", "message", "path", "matches")},
            "UserErrorMatch": {
                camel(name): FieldNote(name, "leaf") for name in ("customer_id", "on", "value", "verified")
            },
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
                self.note(name, FieldNote("id", "leaf", prefix=name))
            for field_name in wire_model(name).model_fields:
                if not (of.node and field_name == "id"):
                    self._model_field(of, made, field_name)
            for field_name, entry in of.relations.items():
                if field_name not in wire_model(name).model_fields:
                    self._own_field(of, made, field_name, entry)
        return self.objects[name]

    def note(self, type_name: str, note: FieldNote) -> FieldNote:
        """Keep a note."""
        self.notes[type_name][camel(note.name)] = note
        return note

    def _model_field(self, of: Projection, made: Any, name: str) -> None:
        model_field = wire_model(of.name).model_fields[name]
        entry, shape, text = of.entry(name), shape_of(model_field.annotation), model_field.description or ""
        assert entry is not None, f"{of.name}.{name}"  # noqa: S101 - check_projections saw to it
        if isinstance(entry, Relation):
            self._relation(of, made, name, entry, shape, text)
            return
        if name == "id":
            self.note(of.name, FieldNote(name, "leaf", entry))
            add_field(made, name, strawberry.ID, text)
            return
        add_field(made, name, self._leaf(of, name, entry, shape), text)

    def _own_field(self, of: Projection, made: Any, name: str, entry: Entry) -> None:
        if isinstance(entry, Relation):
            self._relation(of, made, name, entry, Shape(None, listed=False, nullable=True))
            return
        annotation = self._leaf(of, name, entry, shape_of(entry.returns))
        args = {arg: (self._arg_type(each, of.name, arg), each.description) for arg, each in entry.args.items()}
        self.notes[of.name][camel(name)].args = {camel(arg): ArgNote(arg) for arg in entry.args}
        add_field(made, name, annotation, entry.description, args=args)

    def _arg_type(self, arg: Arg, owner: str, name: str) -> Any:
        shape = shape_of(arg.type)
        return wrapped(self.types.plain(shape.inner, owner, name), shape)

    def _leaf(self, of: Projection, name: str, entry: Field, shape: Shape) -> Any:
        """Note a field that holds a value, and return its strawberry type."""
        if entry.parts or is_model(shape.inner):
            self.note(of.name, FieldNote(name, "struct", entry))
            return wrapped(self.value_object(shape.inner), shape)
        if entry.ref is not None:
            self.note(of.name, FieldNote(name, "leaf", entry, prefix=entry.ref))
            return wrapped(strawberry.ID, shape)
        inner = self.types.plain(shape.inner, of.name, name)
        if inner is int and exceeds_32_bits(of, entry):
            inner = BigInt
        self.note(of.name, FieldNote(name, "leaf", entry, enum=enum_map(inner), many_enum=shape.listed))
        return wrapped(inner, shape)

    def value_object(self, model: type[BaseModel]) -> Any:
        """Return the object type of a small model."""

        def seen(type_name: str, name: str, shape: Shape, inner: Any) -> None:
            note = FieldNote(name, "leaf", enum=enum_map(inner), many_enum=shape.listed)
            self.notes.setdefault(type_name, {})[camel(name)] = note

        return self.types.value_object(model, seen)

    def _relation(self, of: Projection, made: Any, name: str, link: Relation, shape: Shape, text: str = "") -> None:
        note = self.note(of.name, FieldNote(name, "entry", link))
        self.link_field(made, name, link, note, shape, text)

    def link_field(self, made: Any, name: str, link: Relation, note: FieldNote, shape: Shape, text: str = "") -> None:
        """Add a field for a relation."""
        text = link.description or text
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
            args[name] = (kind if required else kind | None, filter_text(of, name, each))
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


def enum_map(inner: Any) -> Mapping[str, str] | None:
    """Return database value → schema name, when this is an enum."""
    if isinstance(inner, type) and issubclass(inner, Enum):
        return {member.value: member.name for member in inner}
    return None
