"""From raw JSON to a checked rule, or to a list of everything that is wrong with it.

Recursion is bounded by the depth limit itself: nothing below it is looked at, however deep the JSON goes.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from crm_api.core.actor import Actor
from crm_api.core.errors import FieldError, Forbidden, Invalid
from crm_api.core.rules.catalogue import (
    AGGREGATED,
    BUCKET,
    PRESENCE,
    Aggregate,
    Op,
    RuleCatalogue,
    RuleCollection,
    RuleField,
    result_field,
)
from crm_api.core.rules.moments import Window
from crm_api.core.rules.report import MAX_ERRORS, Full, Refused, Report, Spot, hint
from crm_api.core.rules.text import IN_TEXT, read_text
from crm_api.core.rules.tree import (
    AggregateTest,
    All,
    AnyOf,
    BucketTest,
    FieldTest,
    Leaf,
    Node,
    Not,
    Rule,
    RuleValue,
    SequenceTest,
    Step,
)
from crm_api.core.rules.values import (
    MAX_DEPTH,
    MAX_NODES,
    MAX_STEPS,
    MIN_STEPS,
    VERSION,
    expected,
    read_bucket,
    read_span,
    read_value,
    read_window,
)
from crm_api.core.rules.wire import RuleTree

_KINDS = {
    "all": ("all",),
    "any": ("any",),
    "not": ("not",),
    "field": ("field", "op", "value"),
    "aggregate": ("aggregate", "of", "where", "window", "op", "value"),
    "bucket": ("bucket", "op", "value"),
    "sequence": ("sequence", "within", "window"),
}
"""The key that tells what a node is, and all keys such a node may have."""


def check_rule(tree: Any, catalogue: RuleCatalogue, pointer: str = "", actor: Actor | None = None) -> Rule:
    """Check a rule against what the catalogue knows, and against what the actor may know.

    Whoever can ask whether a value is above a bound can find the value, so a rule takes the scopes of all it names.

    Args:
        tree: a `RuleTree` or raw JSON: ``{"version": 1, "where": node}`` or the node alone; or a string, the rule's
            text form (`crm_api.core.rules.text`), whose problems are all named at ``pointer``, by character.
        catalogue: the fields and collections that may be named.
        pointer: where the rule sits in the request body, e.g. ``/rule``; errors are named from there.
        actor: who asks; None for whom nothing is kept from.

    Raises:
        Invalid: code ``rule_invalid``, with one entry per problem in ``errors``.
        Forbidden: the rule names what the actor has no scope for; ``errors`` says where.

    """
    raw = tree.document if isinstance(tree, RuleTree) else tree
    if not isinstance(raw, str):
        return _checked(raw, catalogue, Spot(Report(), pointer), actor)
    written = read_text(raw, catalogue, pointer)
    try:
        return _checked(written.node, catalogue, Spot(Report(in_words=True), pointer), actor)
    except (Invalid, Forbidden) as error:
        error.errors = tuple(written.located(error.errors, pointer))
        raise


def _checked(raw: Any, catalogue: RuleCatalogue, place: Spot, actor: Actor | None) -> Rule:
    where, root = None, None
    try:
        where, at = _unwrapped(raw, place)
        root = _Checker(catalogue).node(where, at, catalogue, 1)
    except (Refused, Full):
        pass
    if root is None:
        raise place.report.problem()
    rule = Rule({"version": VERSION, "where": where}, root)
    if actor is not None:
        _require(rule, actor)
    return rule


def _require(rule: Rule, actor: Actor) -> None:
    lacking = [(scope, pointer) for scope, pointer in rule.needs() if not actor.may(scope)]
    if lacking:
        errors = [
            FieldError(pointer, "scope_required", f"Needs the scope '{scope}'", f"需要权限 “{scope}”")
            for scope, pointer in dict.fromkeys(lacking)
        ]
        scope = lacking[0][0]
        raise Forbidden(
            f"This key lacks the scope '{scope}'",
            zh=f"此密钥缺少权限 “{scope}”",
            errors=errors[:MAX_ERRORS],
            extra={"required_scope": scope},
        )


def _unwrapped(raw: Any, at: Spot) -> tuple[Any, Spot]:
    """Return the root node and its place, taken out of the versioned envelope if there is one."""
    if not isinstance(raw, dict) or not raw.keys() & {"version", "where"} or raw.keys() & {*_KINDS}:
        return raw, at
    version = raw.get("version", VERSION)
    if version != VERSION or isinstance(version, bool):
        at.child("version").fail("rule_version_unsupported")
    _only(raw, ("version", "where"), at)
    return _required(raw, "where", at), at.child("where")


def _only(raw: Mapping[str, Any], allowed: tuple[str, ...], at: Spot) -> None:
    """Report a key that does not belong here."""
    for key in raw:
        if key not in allowed:
            at.child(key).fail("rule_key_unknown", allowed=", ".join(allowed))


def _required(raw: Mapping[str, Any], key: str, at: Spot) -> Any:
    if key not in raw:
        at.child(key).fail("rule_key_missing")
    return raw[key]


class _Checker:
    def __init__(self, catalogue: RuleCatalogue) -> None:
        self.catalogue = catalogue
        self.nodes = 0

    def node(self, raw: Any, at: Spot, scope: RuleCatalogue, depth: int) -> Node | None:
        """Check one node and everything below it; None after a problem was reported."""
        self.nodes += 1
        try:
            if self.nodes > MAX_NODES:
                self._too_large(at)
            return self._node(raw, at, scope, depth)
        except Refused:
            return None

    @staticmethod
    def _too_large(at: Spot) -> NoReturn:
        with suppress(Refused):
            at.fail("rule_too_large", limit=MAX_NODES)
        raise Full

    def _node(self, raw: Any, at: Spot, scope: RuleCatalogue, depth: int) -> Node:
        if depth > MAX_DEPTH:
            at.fail("rule_too_deep", limit=MAX_DEPTH)
        if not isinstance(raw, dict):
            at.fail("rule_not_object")
        kinds = [kind for kind in _KINDS if kind in raw]
        if len(kinds) != 1:
            at.fail("rule_kind_ambiguous" if kinds else "rule_kind_unknown")
        _only(raw, _KINDS[kinds[0]], at)
        match kinds[0]:
            case "not":
                return Not(self._part(raw["not"], at.child("not"), scope, depth), at.pointer)
            case "all":
                return All(self._parts(raw["all"], at.child("all"), scope, depth), at.pointer)
            case "any":
                return AnyOf(self._parts(raw["any"], at.child("any"), scope, depth), at.pointer)
        return self._leaf(kinds[0], raw, at, scope, depth)

    def _leaf(self, kind: str, raw: dict[str, Any], at: Spot, scope: RuleCatalogue, depth: int) -> Leaf:
        match kind:
            case "field":
                return self._field(raw, at, scope)
            case "aggregate":
                return self._aggregate(raw, at, scope, depth)
            case "bucket":
                return self._bucket(raw, at, scope)
            case _:
                return self._sequence(raw, at, scope, depth)

    def _part(self, raw: Any, at: Spot, scope: RuleCatalogue, depth: int) -> Node:
        node = self.node(raw, at, scope, depth + 1)
        if node is None:
            raise Refused
        return node

    def _parts(self, raw: Any, at: Spot, scope: RuleCatalogue, depth: int) -> tuple[Node, ...]:
        if not isinstance(raw, list):
            at.fail("rule_not_list")
        nodes = [self.node(item, at.child(index), scope, depth + 1) for index, item in enumerate(raw)]
        parts = tuple(node for node in nodes if node is not None)
        if len(parts) < len(nodes):
            raise Refused
        return parts

    def _field(self, raw: dict[str, Any], at: Spot, scope: RuleCatalogue) -> FieldTest:
        name = raw["field"]
        field = scope.fields.get(name) if isinstance(name, str) else None
        if field is None:
            at.child("field").fail("rule_field_unknown", **hint(name, _known(scope), scope.collections))
        if field.archived:
            at.child("field").fail("rule_field_archived")
        return FieldTest(field, *_test(raw, at, field), at.pointer)

    def _aggregate(self, raw: dict[str, Any], at: Spot, scope: RuleCatalogue, depth: int) -> AggregateTest:
        aggregate = _aggregate_name(raw["aggregate"], at.child("aggregate"))
        collection, measured = _measured(aggregate, _required(raw, "of", at), at.child("of"), scope)
        where, sound = None, True
        if "where" in raw:
            where = self.node(raw["where"], at.child("where"), collection.inside, depth + 1)
            sound = where is not None
        window = _window(raw, at.child("window"), collection)
        result = result_field(aggregate, measured)
        test = _test(raw, at, result)
        if not sound:
            raise Refused
        return AggregateTest(aggregate, collection, measured, where, window, result, *test, at.pointer)

    def _bucket(self, raw: dict[str, Any], at: Spot, scope: RuleCatalogue) -> BucketTest:
        if scope is not self.catalogue:
            at.fail("rule_bucket_inside")
        salt, of = read_bucket(at.child("bucket"), raw["bucket"])
        op, value = _test(raw, at, BUCKET)
        if any(not 0 <= number < of for number in (value if isinstance(value, tuple) else (value,))):  # type: ignore[operator]
            at.child("value").fail("rule_bucket_range", of=of, last=of - 1)
        return BucketTest(salt, of, BUCKET, op, value, at.pointer)

    def _sequence(self, raw: dict[str, Any], at: Spot, scope: RuleCatalogue, depth: int) -> SequenceTest:
        inside, listed = at.child("sequence"), raw["sequence"]
        if not isinstance(listed, list):
            inside.fail("rule_not_list")
        if not MIN_STEPS <= len(listed) <= MAX_STEPS:
            inside.fail("rule_sequence_size", low=MIN_STEPS, high=MAX_STEPS)
        steps = [self._step(step, inside.child(number), scope, depth) for number, step in enumerate(listed)]
        within = read_span(at.child("within"), raw["within"]) if "within" in raw else None
        window = read_window(at.child("window"), raw["window"]) if "window" in raw else None
        sound = tuple(step for step in steps if step is not None)
        if len(sound) < len(steps):
            raise Refused
        return SequenceTest(sound, within, window, at.pointer)

    def _step(self, raw: Any, at: Spot, scope: RuleCatalogue, depth: int) -> Step | None:
        """Check one step; None after a problem was reported."""
        with suppress(Refused):
            if not isinstance(raw, dict):
                at.fail("rule_not_object")
            _only(raw, ("of", "where"), at)
            collection = _collection(_required(raw, "of", at), at.child("of"), scope)
            if collection.time is None:
                at.child("of").fail("rule_window_not_allowed")
            where = None
            if "where" in raw:
                where = self._part(raw["where"], at.child("where"), collection.inside, depth)
            return Step(collection, where, at.pointer)
        return None


def _aggregate_name(raw: Any, at: Spot) -> Aggregate:
    if not isinstance(raw, str) or raw not in Aggregate.__members__.values():
        at.fail("rule_aggregate_unknown", allowed=", ".join(Aggregate))
    return Aggregate(raw)


def _measured(
    aggregate: Aggregate, raw: Any, at: Spot, scope: RuleCatalogue
) -> tuple[RuleCollection, RuleField | None]:
    """Return the collection that ``of`` names, and the field behind the dot that is computed over."""
    name, _dot, measured = raw.partition(".") if isinstance(raw, str) else (raw, "", "")
    collection = _collection(name, at, scope)
    if aggregate is Aggregate.COUNT:
        return (collection, None) if not measured else at.fail("rule_aggregate_field_unexpected")
    if not measured:
        at.fail("rule_aggregate_field_required", aggregate=aggregate)
    field = collection.inside.fields.get(measured)
    if field is None:
        at.fail("rule_field_unknown", **hint(measured, _known(collection.inside)))
    if field.type not in AGGREGATED[aggregate]:
        at.fail("rule_aggregate_not_allowed", aggregate=aggregate, type=field.type)
    return collection, field


def _known(scope: RuleCatalogue) -> list[str]:
    return [each.name for each in scope.fields.values() if not each.archived]


def _collection(raw: Any, at: Spot, scope: RuleCatalogue) -> RuleCollection:
    if not isinstance(raw, str):
        expected(at, "text")
    collection = scope.collections.get(raw)
    if collection is None:
        at.fail("rule_collection_unknown", allowed=", ".join(scope.collections) or "-")
    return collection


def _window(raw: dict[str, Any], at: Spot, collection: RuleCollection) -> Window | None:
    if "window" not in raw:
        return None
    if collection.time is None:
        at.fail("rule_window_not_allowed")
    return read_window(at, raw["window"])


def _test(raw: dict[str, Any], at: Spot, field: RuleField) -> tuple[Op, RuleValue]:
    """Check operator and value; the value is None for operators that take none."""
    op = _operator(_required(raw, "op", at), at.child("op"), field)
    if op not in PRESENCE:
        return op, read_value(at.child("value"), _required(raw, "value", at), field, op)
    if "value" in raw:
        at.child("value").fail("rule_value_unexpected")
    return op, None


def _operator(raw: Any, at: Spot, field: RuleField) -> Op:
    if not isinstance(raw, str) or raw not in Op.__members__.values():
        at.fail("rule_operator_unknown")
    if raw not in field.operators:
        spelled = [IN_TEXT.get(op, op) if at.report.in_words else op for op in field.operators]
        at.fail("rule_operator_not_allowed", allowed=", ".join(spelled))
    return Op(raw)
