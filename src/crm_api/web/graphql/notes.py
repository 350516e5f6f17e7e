"""What is known of each field of the schema: how the planner serves it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import strawberry
from graphql import GraphQLSchema
from pydantic import BaseModel

from crm_api.db.projections import Entry
from crm_api.web.graphql.parts import Computed, Mutation, Subscription
from crm_api.web.graphql.types import Reader

MAX_NODES: Final = 100

TYPE_KEY: Final = "~type"
"""Where the planner puts an object's type for the executor; no response key can be called that."""

Kind = Literal["leaf", "struct", "entry", "root", "node", "nodes", "computed", "user_errors"]


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
        stream: what serves a subscription.

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
    stream: Subscription | None = None

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
