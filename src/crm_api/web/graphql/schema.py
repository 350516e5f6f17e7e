"""The GraphQL schema: object types from projections, root fields and mutations from the domains' parts.

Strawberry makes the schema (names, descriptions, validation, SDL). Besides it, `build_schema` notes for every field
how the planner serves it; a field without such a note is executed by the ordinary executor and appears on the
fallback list.
"""

from collections.abc import Iterable
from typing import Any

import strawberry
from pydantic import create_model
from strawberry.schema.config import StrawberryConfig

from crm_api.db.projections import Relation, projection, projections
from crm_api.web.graphql.notes import ApiSchema, ArgNote, FieldNote
from crm_api.web.graphql.objects import Node, Objects, UserError, enum_map
from crm_api.web.graphql.parts import Computed, GraphQLParts, Mutation, Subscription
from crm_api.web.graphql.scalars import SCALARS
from crm_api.web.graphql.types import (
    Reader,
    Shape,
    add_field,
    camel,
    is_model,
    new_type,
    pascal,
    shape_of,
    words,
    wrapped,
)
from crm_api.web.wording import COMMON


class Builder(Objects):
    """Adds the root fields: queries, mutations, subscriptions, and their inputs and payloads."""

    def query(self, parts: Iterable[GraphQLParts]) -> Any:
        """Return the query type."""
        made = new_type("Query", "Everything that can be read.")
        self.notes["Query"] = {}
        text = "Fetch anything by its global id; null when there is no such thing."
        add_field(made, "node", Node | None, text, args={"id": (strawberry.ID, "A global id.")})
        self.note("Query", FieldNote("node", "node", args={"id": ArgNote("id")}))
        text = "Fetch several things, in the order asked, null where there is none."
        add_field(
            made, "nodes", list[Node | None], text, args={"ids": (list[strawberry.ID], "Global ids, at most 100.")}
        )
        self.note("Query", FieldNote("nodes", "nodes", args={"ids": ArgNote("ids")}))
        for part in parts:
            for name, each in part.queries.items():
                self._query_field(made, name, each)
        return made

    def _query_field(self, made: Any, name: str, each: Relation | Computed) -> None:
        if isinstance(each, Relation):
            note = self.note("Query", FieldNote(name, "root", each))
            self.link_field(made, name, each, note, Shape(None, listed=False, nullable=True))
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

    def subscription(self, parts: Iterable[GraphQLParts]) -> Any:
        """Return the subscription type, or None when no domain has one."""
        self.notes["Subscription"] = {}
        made = new_type("Subscription", "What can be followed: over graphql-transport-ws or server-sent events.")
        for part in parts:
            for name, each in part.subscriptions.items():
                self._stream_field(made, name, each)
        return made if self.notes["Subscription"] else None

    def _stream_field(self, made: Any, name: str, each: Subscription) -> None:
        if isinstance(each.returns, str):
            link = Relation(each.returns, lambda _p, _c: None, "one")  # type: ignore[arg-type,return-value]
            note = self.note("Subscription", FieldNote(name, "entry", link, stream=each))
            inner = self.object(each.returns)
        else:
            note = self.note("Subscription", FieldNote(name, "struct", stream=each))
            inner = self.value_object(each.returns)
        args: dict[str, tuple[Any, str]] = {}
        if each.target is not None:
            note.args[camel(each.argument)] = ArgNote(each.argument, each.target)
            args[each.argument] = (strawberry.ID, f"Global id of the {each.target}.")
        for extra, annotation in each.extra.items():
            note.args[camel(extra)] = ArgNote(extra, each.refs.get(extra))
            shape = shape_of(annotation)
            kind, _ = self.types.input_type(shape, pascal(name), extra)
            args[extra] = (wrapped(kind, shape), words(annotation))
        add_field(made, name, inner, each.description, args=args)

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
        note = self.note(root, FieldNote(name, "computed", call=each, reader=reader, extra=extra))
        args = {"input": (given, "The arguments.")} if reader.fields else {}
        payload = self._payload(f"{title}Payload", each, errors=root == "Mutation")
        add_field(made, name, payload, each.description, args=args)
        note.args = {"input": ArgNote("input")} if args else {}

    def _extra_input(self, given: Any, reader: Reader, owner: str, name: str, annotation: Any) -> None:
        shape = shape_of(annotation)
        inner, how = self.types.input_type(shape, owner, name)
        text = words(annotation) or COMMON.get(name, "")
        add_field(given, name, wrapped(inner, shape), text, optional=shape.nullable)
        reader.fields[camel(name)] = (f"extra.{name}", how)

    def _payload(self, type_name: str, each: Mutation | Computed, *, errors: bool) -> Any:
        made = new_type(type_name, "What came of it.")
        self.notes[type_name] = {}
        for name, kind in each.payload.items():
            listed = isinstance(kind, list)
            target = kind[0] if listed else kind
            if isinstance(target, str):
                link = Relation(target, lambda _p, _c: None, "items" if listed else "one")  # type: ignore[arg-type,return-value]
                self.note(type_name, FieldNote(name, "entry", link))
                inner: Any = list[self.object(target)] if listed else self.object(target)  # type: ignore[misc]
                text = COMMON.get(name, f"The {target} as it is now; null when nothing was done.")
                add_field(made, name, inner | None, text)
            else:
                shape = shape_of(kind)
                value = is_model(shape.inner)
                inner = self.value_object(shape.inner) if value else self.types.plain(shape.inner, type_name, name)
                self.note(type_name, FieldNote(name, "leaf", enum=enum_map(inner), many_enum=shape.listed))
                # What a mutation did not do has no values.
                annotation = wrapped(inner, Shape(None, shape.listed, nullable=errors or shape.nullable))
                add_field(made, name, annotation, words(kind) or COMMON.get(name, ""))
        if errors:
            self.note(type_name, FieldNote("user_errors", "user_errors"))
            add_field(made, "user_errors", list[UserError], "Why nothing was done; empty on success.")
        return made


def _model_field(annotation: Any) -> Any:
    return (annotation, None if shape_of(annotation).nullable else ...)


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
    query, mutation, subscription = builder.query(parts), builder.mutation(parts), builder.subscription(parts)
    shown = None if only is None else frozenset(only)
    for each in projections():
        if each.graphql and each.node and (shown is None or each.name in shown):
            builder.object(each.name)
    made = strawberry.Schema(
        query=query,
        mutation=mutation,
        subscription=subscription,
        types=[builder.objects[name] for name in builder.objects],
        config=StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=True),
    )
    core = made._schema  # noqa: SLF001 - strawberry offers no public way to the schema it made
    nodes = frozenset(name for name in builder.objects if projection(name).node)
    return ApiSchema(made, core, builder.notes, nodes)
