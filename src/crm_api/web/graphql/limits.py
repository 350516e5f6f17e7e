"""One pass over a document before it is validated: how deep, how wide, how much.

Each fragment is measured once and its measure reused, so the pass is linear in the document however often fragments
spread each other; a fragment that (against the rules) contains itself counts nothing the second time and is left to
validation. Measures add up the way execution would: a document of 800 bytes whose fragments double thirty times is
refused after some sixty visits, where limiters that walk the expanded tree never end.

Cost is rows × fields: a list's cost is its page size times what is selected of a row. Sizes that come from variables
are not known here and count as one; the planner checks them again with their values (`Cost`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLObjectType,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)

from crm_api.db.projections import Relation
from crm_api.web.graphql.notes import ApiSchema, FieldNote

INTROSPECTION_DEPTH: Final = 25
"""What GraphiQL and code generators send goes deeper than people do."""

_HUGE: Final = 10**12


@dataclass(frozen=True, slots=True)
class Limits:
    """The most a document may have."""

    depth: int = 15
    aliases: int = 50
    fields: int = 1_000
    cost: int = 100_000
    tokens: int = 5_000


@dataclass(slots=True)
class Measure:
    """What a selection amounts to, fragments expanded."""

    depth: int = 0
    aliases: int = 0
    fields: int = 0
    cost: int = 0

    def add(self, other: "Measure") -> None:
        """Add what stands beside."""
        self.depth = max(self.depth, other.depth)
        self.aliases = min(self.aliases + other.aliases, _HUGE)
        self.fields = min(self.fields + other.fields, _HUGE)
        self.cost = min(self.cost + other.cost, _HUGE)


class TooMuch(GraphQLError):
    """The document exceeds a limit."""

    def __init__(self, what: str, limit: int) -> None:
        """Say which limit."""
        super().__init__(
            f"The document exceeds the limit of {limit} for {what}.",
            extensions={"code": "graphql_limit_exceeded", "limit": what, "maximum": limit},
        )


class Meter:
    """Measures one document; ``visits`` counts the nodes looked at."""

    def __init__(self, schema: ApiSchema, document: DocumentNode) -> None:
        """Prepare to measure."""
        self.visits = 0
        self._schema = schema
        self._fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._measured: dict[str, Measure] = {}
        self._open: set[str] = set()
        self._operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]

    def check(self, limits: Limits) -> None:
        """Raise when an operation or fragment exceeds a limit.

        Raises:
            TooMuch: it does; the error names the limit.

        """
        for operation in self._operations:
            root = self._schema.core.get_root_type(operation.operation)
            _refuse(self._selections(operation.selection_set, root), limits)
        # Fragments that nothing spreads are validated too, so they are bounded too.
        for name in self._fragments:
            _refuse(self._fragment(name), limits)

    def _selections(self, selections: SelectionSetNode, parent: Any) -> Measure:
        total = Measure()
        for node in selections.selections:
            self.visits += 1
            if isinstance(node, FieldNode):
                total.add(self._field(node, parent))
            elif isinstance(node, FragmentSpreadNode):
                total.add(self._fragment(node.name.value))
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                inner = parent if condition is None else self._schema.core.get_type(condition.name.value)
                total.add(self._selections(node.selection_set, inner))
        return total

    def _fragment(self, name: str) -> Measure:
        known = self._measured.get(name)
        if known is not None:
            return known
        fragment = self._fragments.get(name)
        if fragment is None or name in self._open:
            return Measure()
        self._open.add(name)
        parent = self._schema.core.get_type(fragment.type_condition.name.value)
        made = self._measured[name] = self._selections(fragment.selection_set, parent)
        self._open.discard(name)
        return made

    def _field(self, node: FieldNode, parent: Any) -> Measure:
        own = Measure(1, int(node.alias is not None), 1, 1)
        name = node.name.value
        if node.selection_set is None:
            return own
        served = parent.fields.get(name) if isinstance(parent, (GraphQLObjectType, GraphQLInterfaceType)) else None
        below = self._selections(node.selection_set, None if served is None else get_named_type(served.type))
        if name in ("__schema", "__type"):
            own.depth = max(1, below.depth - INTROSPECTION_DEPTH + 1)
        else:
            own.depth += below.depth
        own.aliases = min(own.aliases + below.aliases, _HUGE)
        own.fields = min(own.fields + below.fields, _HUGE)
        size = self._size(node, self._schema.notes.get(getattr(parent, "name", ""), {}).get(name))
        own.cost = min(own.cost + size * below.cost, _HUGE)
        return own

    def _size(self, node: FieldNode, note: FieldNote | None) -> int:
        given = {arg.name.value: arg.value for arg in node.arguments or ()}
        if note is not None and note.kind == "nodes":
            ids = given.get("ids")
            return len(ids.values) if isinstance(ids, ListValueNode) else 1
        if note is None or not isinstance(note.entry, Relation) or note.entry.kind == "one":
            return 1
        return page_size(note.entry, given)


def page_size(link: Relation, given: Mapping[str, Any]) -> int:
    """Return how many rows a list asks for; one when a variable will tell."""
    for name in ("first", "last"):
        value = given.get(name)
        if isinstance(value, VariableNode):
            return 1
        if isinstance(value, IntValueNode):
            return max(1, min(int(value.value), _HUGE))
    # A plain list is whole: a guess at what people have.
    return link.default if link.kind == "many" else min(10, link.maximum)


def _refuse(measure: Measure, limits: Limits) -> None:
    for what in ("depth", "aliases", "fields", "cost"):
        limit = getattr(limits, what)
        if getattr(measure, what) > limit:
            raise TooMuch(what, limit)


@dataclass(slots=True)
class Cost:
    """Adds up rows × fields while a plan is made, when page sizes are known."""

    limit: int
    spent: int = 0

    def spend(self, rows: int) -> None:
        """Count one field on so many rows.

        Raises:
            TooMuch: that is beyond the limit.

        """
        self.spent += rows
        if self.spent > self.limit:
            raise TooMuch("cost", self.limit)
