"""From a GraphQL document to read plans.

The document is valid here (graphql-core saw to it). Fields are collected as the specification says, turned into the
neutral selections of `crm_api.db.plans`, and compiled into one statement per operation. What depends on variables is
asked of the trace, so that a plan serves every request that answers alike.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
)
from graphql.utilities import coerce_input_literal

from crm_api.core.errors import Invalid
from crm_api.db.plans import NOW_KEY, Compiler, Expression, Plan, Selection, Value, constant
from crm_api.db.plans.cache import Trace
from crm_api.db.projections import Relation, projection
from crm_api.web.graphql.ids import local_id, split_id
from crm_api.web.graphql.limits import Cost
from crm_api.web.graphql.notes import MAX_NODES, TYPE_KEY, ApiSchema, ArgNote, FieldNote

VALUES_KEY: Final = "/values"
"""The variable that holds graphql-core's own coerced values, for literals with variables inside."""

PAYLOAD_KEY: Final = "/payload"
"""The variable that holds what a mutation returned."""

Fragments = Mapping[str, FragmentDefinitionNode]


class NotPlannable(Exception):
    """The planner was not told how to serve a field."""


@dataclass(frozen=True, slots=True)
class Collected:
    """The field nodes that share a response key."""

    key: str
    nodes: Sequence[FieldNode]

    @property
    def name(self) -> str:
        """Name of the field."""
        return self.nodes[0].name.value


class Planner:
    """Plans one operation, or one of its root fields, for one set of variables."""

    def __init__(
        self, schema: ApiSchema, fragments: Fragments, scopes: frozenset[str], trace: Trace, cost: Cost, *, typed: bool
    ) -> None:
        """Prepare.

        Args:
            schema: with the notes.
            fragments: of the document.
            scopes: of the caller.
            trace: asked for what depends on variables.
            cost: counts rows × fields.
            typed: let objects of abstract fields carry their type, for the executor.

        """
        self._schema = schema
        self._fragments = fragments
        self._trace = trace
        self._cost = cost
        self._typed = typed
        self._rows = 1
        self._compiler = Compiler(scopes, trace)

    # -- plans -----------------------------------------------------------------------------------------------------

    def operation(self, selections: SelectionSetNode) -> Plan:
        """Plan a whole query."""
        return self._plan("Query", self.collect("Query", [selections]))

    def root_field(self, key: str, nodes: Sequence[FieldNode]) -> Plan:
        """Plan one root field; the result is an object with that one key."""
        return self._plan("Query", [Collected(key, nodes)])

    def payload(self, type_name: str, fields: Iterable[Collected]) -> Plan:
        """Plan the resources in a mutation's payload; their ids are in the variable ``PAYLOAD_KEY``."""
        return self._plan(type_name, fields)

    def _plan(self, type_name: str, fields: Iterable[Collected]) -> Plan:
        columns = [self._root_column(type_name, each) for each in fields]
        return self._compiler.document(columns)

    def _root_column(self, type_name: str, each: Collected) -> Expression:
        if each.name == "__typename":
            typename = Selection(each.key, each.name, literal=type_name)
            return self._compiler.named(typename, lambda _: self._compiler.nothing())
        note = self._schema.notes[type_name].get(each.name)
        if note is None:
            raise NotPlannable(each.name)
        build = self._root_builder(type_name, note, each)
        return self._compiler.named(Selection(each.key, note.name), build)

    def _root_builder(self, type_name: str, note: FieldNote, each: Collected) -> Callable[[Selection], Expression]:
        if note.kind == "node":
            return lambda _: self._node(note, each)
        if note.kind == "nodes":
            return lambda _: self._nodes(note, each)
        entry = note.entry
        if note.kind == "root" and isinstance(entry, Relation):
            selection = self._selection(type_name, note, each)
            return lambda _: self._compiler.relation(entry, None, selection)
        if note.kind == "entry" and isinstance(entry, Relation):
            return lambda _: self._payload_resource(note, entry, each)
        raise NotPlannable(each.name)

    # -- node and nodes --------------------------------------------------------------------------------------------

    def _node(self, note: FieldNote, each: Collected) -> Expression:
        value = self._arguments("Query", note, each)["id"]
        type_name = self._trace.ask(value, "type", self._known_type)
        if type_name is None:
            return self._compiler.nothing()
        read = value.read
        children = self._object(type_name, each, typed=True)
        return self._compiler.by_key(projection(type_name), lambda variables: split_id(read(variables))[1], children)

    def _nodes(self, note: FieldNote, each: Collected) -> Expression:
        value = self._arguments("Query", note, each)["ids"]
        count = self._trace.ask(value, "count", len)
        if count > MAX_NODES:
            raise Invalid.field("/ids", "too_many", f"At most {MAX_NODES} ids", f"最多 {MAX_NODES} 个 id")
        types = self._trace.ask(
            value, "types", lambda ids: tuple(sorted({t for i in ids if (t := self._known_type(i))}))
        )
        read = value.read
        outside, self._rows = self._rows, self._rows * max(1, count)
        children = {name: self._object(name, each, typed=True) for name in types}
        self._rows = outside
        return self._compiler.by_keys(
            children,
            lambda variables: [split_id(each)[0] for each in read(variables)],
            lambda variables: [split_id(each)[1] for each in read(variables)],
        )

    def _known_types(self, ids: Sequence[str]) -> tuple[str, ...]:
        return tuple(sorted({known for each in ids if (known := self._known_type(each))}))

    def _known_type(self, global_id: str) -> str | None:
        type_name, uuid = split_id(global_id)
        return type_name if uuid is not None and type_name in self._schema.nodes else None

    def _payload_resource(self, note: FieldNote, link: Relation, each: Collected) -> Expression:
        children = self._object(link.target, each)
        name = note.name
        if link.kind == "one":
            return self._compiler.by_key(
                projection(link.target), lambda variables: variables[PAYLOAD_KEY].get(name), children
            )
        return self._compiler.by_keys(
            {link.target: children},
            lambda variables: [link.target] * len(variables[PAYLOAD_KEY].get(name) or ()),
            lambda variables: list(variables[PAYLOAD_KEY].get(name) or ()),
        )

    # -- selections ------------------------------------------------------------------------------------------------

    def collect(self, type_name: str, selection_sets: Iterable[SelectionSetNode | None]) -> list[Collected]:
        """Return the fields selected on a type, in order, grouped by response key."""
        found: dict[str, list[FieldNode]] = {}
        spread: set[str] = set()
        for selections in selection_sets:
            if selections is not None:
                self._collect(type_name, selections, found, spread)
        return [Collected(key, nodes) for key, nodes in found.items()]

    def _collect(
        self, type_name: str, selections: SelectionSetNode, found: dict[str, list[FieldNode]], spread: set[str]
    ) -> None:
        for node in selections.selections:
            if not self._included(node.directives):
                continue
            if isinstance(node, FieldNode):
                found.setdefault((node.alias or node.name).value, []).append(node)
            elif isinstance(node, InlineFragmentNode):
                if node.type_condition is None or self._applies(node.type_condition.name.value, type_name):
                    self._collect(type_name, node.selection_set, found, spread)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in spread:
                spread.add(node.name.value)
                fragment = self._fragments[node.name.value]
                if self._applies(fragment.type_condition.name.value, type_name):
                    self._collect(type_name, fragment.selection_set, found, spread)

    def _applies(self, condition: str, type_name: str) -> bool:
        if condition == type_name:
            return True
        made = self._schema.core.get_type(type_name)
        return isinstance(made, GraphQLObjectType) and any(each.name == condition for each in made.interfaces)

    def _included(self, directives: Sequence[DirectiveNode] | None) -> bool:
        for directive in directives or ():
            name = directive.name.value
            if name not in ("skip", "include"):
                raise NotPlannable(f"@{name}")
            if self._condition(directive) is (name == "skip"):
                return False
        return True

    def _condition(self, directive: DirectiveNode) -> bool:
        assert directive.arguments  # noqa: S101 - validated
        value = directive.arguments[0].value
        if isinstance(value, VariableNode):
            name = value.name.value
            return bool(self._trace.ask(Value(lambda variables: variables[name], ("$", name)), "if", bool))
        assert isinstance(value, BooleanValueNode)  # noqa: S101 - validated
        return value.value

    def arguments(self, type_name: str, each: Collected) -> dict[str, Value]:
        """Return a field's arguments, under their snake_case names."""
        return self._arguments(type_name, self._schema.notes[type_name][each.name], each)

    def value_object(self, type_name: str, each: Collected) -> tuple[Selection, ...]:
        """Return what is selected of a small object that a service computed."""
        return self._object(self._child_type(type_name, each.name), each)

    def _object(self, type_name: str, each: Collected, *, typed: bool = False) -> tuple[Selection, ...]:
        """Return the selections on an object type."""
        selections = [
            self._child(type_name, child)
            for child in self.collect(type_name, [node.selection_set for node in each.nodes])
        ]
        if typed and self._typed:
            selections.append(Selection(TYPE_KEY, "__typename", literal=type_name))
        return tuple(selections)

    def _child(self, type_name: str, each: Collected) -> Selection:
        self._cost.spend(self._rows)
        if each.name == "__typename":
            return Selection(each.key, each.name, literal=type_name)
        note = self._schema.notes.get(type_name, {}).get(each.name)
        if note is None or note.kind in ("computed", "user_errors"):
            raise NotPlannable(f"{type_name}.{each.name}")
        return self._selection(type_name, note, each)

    def _selection(self, type_name: str, note: FieldNote, each: Collected) -> Selection:
        args = self._arguments(type_name, note, each)
        children: tuple[Selection, ...] = ()
        if each.nodes[0].selection_set is not None:
            outside = self._rows
            self._rows *= self._page_size(note, args)
            children = self._object(self._child_type(type_name, each.name), each)
            self._rows = outside
        return Selection(each.key, note.name, args, children, prefix=note.prefix, enum=note.enum, many=note.many_enum)

    def _child_type(self, type_name: str, field_name: str) -> str:
        parent = self._schema.core.get_type(type_name)
        assert isinstance(parent, GraphQLObjectType)  # noqa: S101 - notes exist for object types only
        return str(get_named_type(parent.fields[field_name].type).name)

    def _page_size(self, note: FieldNote, args: Mapping[str, Value]) -> int:
        link = note.entry
        if not isinstance(link, Relation) or link.kind == "one":
            return 1
        for name in ("first", "last"):
            if name in args and self._trace.given(args[name]):
                # The compiler refuses what is out of range; here it must only not be negative.
                rows: int = self._trace.ask(args[name], "rows", lambda value: min(max(value, 1), link.maximum))
                return rows
        return link.default if link.kind == "many" else min(10, link.maximum)

    # -- arguments -------------------------------------------------------------------------------------------------

    def _arguments(self, type_name: str, note: FieldNote, each: Collected) -> dict[str, Value]:
        parent = self._schema.core.get_type(type_name)
        assert isinstance(parent, GraphQLObjectType)  # noqa: S101
        known = parent.fields[each.name].args
        return {
            note.args[arg.name.value].name: _value(arg.value, known[arg.name.value].type, note.args[arg.name.value])
            for arg in each.nodes[0].arguments or ()
        }


def _value(node: ValueNode, kind: Any, note: ArgNote) -> Value:
    """Return an argument as the plans take it; ids lose the name of their type."""
    if isinstance(node, VariableNode):
        name = node.name.value
        value = Value(lambda variables: variables.get(name), ("$", name))
    elif _has_variables(node):
        value = Value(lambda variables: coerce_input_literal(node, kind, variables[VALUES_KEY]), ("literal", id(node)))
    else:
        value = constant(coerce_input_literal(node, kind))
    if note.ref is None:
        return value
    read, ref = value.read, note.ref
    ident = None if value.ident is None else (value.ident, ref)
    return Value(lambda variables: local_id(ref, note.name, read(variables)), ident)


def _has_variables(node: ValueNode) -> bool:
    if isinstance(node, VariableNode):
        return True
    if isinstance(node, ListValueNode):
        return any(_has_variables(each) for each in node.values)
    if isinstance(node, ObjectValueNode):
        return any(_has_variables(each.value) for each in node.fields)
    return False


__all__ = ["NOW_KEY", "PAYLOAD_KEY", "VALUES_KEY", "Collected", "NotPlannable", "Planner"]
