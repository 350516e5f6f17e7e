"""What rules may speak about: fields, collections of rows, and the operators of each type."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from enum import StrEnum
from typing import Any


class RuleType(StrEnum):
    """The type of a field's values; decides operators and how ``value`` is written."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    MONEY = "money"
    DATE = "date"
    INSTANT = "instant"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    UUID = "uuid"
    MULTI = "multi"


class Op(StrEnum):
    """How a value is tested. Every test of a missing value is false, except ``missing``."""

    EQ = "eq"
    NE = "ne"
    IN = "in"
    NOT_IN = "not_in"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    BETWEEN = "between"
    WITHIN = "within"
    CONTAINS = "contains"
    CONTAINS_ANY = "contains_any"
    CONTAINS_ALL = "contains_all"
    STARTS_WITH = "starts_with"
    EXISTS = "exists"
    MISSING = "missing"


class Aggregate(StrEnum):
    """What is computed over the rows of a collection."""

    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    FIRST = "first"
    LAST = "last"


PRESENCE = (Op.EXISTS, Op.MISSING)
"""The operators that take no value."""

_EQUAL = (Op.EQ, Op.NE)
_LIST = (Op.IN, Op.NOT_IN)
_ORDER = (Op.GT, Op.GTE, Op.LT, Op.LTE)
_NAMES = (*_EQUAL, *_LIST, *PRESENCE)
_NUMBERS = (*_EQUAL, *_LIST, *_ORDER, Op.BETWEEN, *PRESENCE)

OPERATORS: Mapping[RuleType, tuple[Op, ...]] = {
    RuleType.TEXT: (*_EQUAL, *_LIST, Op.CONTAINS, Op.STARTS_WITH, *PRESENCE),
    RuleType.INTEGER: _NUMBERS,
    RuleType.NUMBER: _NUMBERS,
    RuleType.MONEY: (*_EQUAL, *_ORDER, Op.BETWEEN, *PRESENCE),
    RuleType.DATE: (*_EQUAL, *_ORDER, Op.BETWEEN, *PRESENCE),
    RuleType.INSTANT: (*_ORDER, Op.WITHIN, *PRESENCE),
    RuleType.BOOLEAN: (Op.EQ, *PRESENCE),
    RuleType.CHOICE: _NAMES,
    RuleType.UUID: _NAMES,
    RuleType.MULTI: (Op.CONTAINS, Op.CONTAINS_ANY, Op.CONTAINS_ALL, *PRESENCE),
}

_SUMMED = frozenset({RuleType.INTEGER, RuleType.NUMBER, RuleType.MONEY})
_ORDERED = _SUMMED | {RuleType.DATE, RuleType.INSTANT}
_SINGLE = frozenset(RuleType) - {RuleType.MULTI}

AGGREGATED: Mapping[Aggregate, frozenset[RuleType]] = {
    Aggregate.COUNT: frozenset(),
    Aggregate.SUM: _SUMMED,
    Aggregate.AVG: _SUMMED,
    Aggregate.MIN: _ORDERED,
    Aggregate.MAX: _ORDERED,
    Aggregate.FIRST: _SINGLE,
    Aggregate.LAST: _SINGLE,
}
"""The field types each aggregate takes; ``count`` takes no field."""

_ITEM_TYPES = (RuleType.TEXT, RuleType.CHOICE, RuleType.UUID)


@dataclass(frozen=True, slots=True)
class RuleField:
    """A value that leaves can test.

    Attributes:
        name: what rules write, e.g. ``lifecycle`` or ``attributes.size``.
        type: type of the value.
        description: one English line for people who build rules.
        description_zh: the same in Chinese.
        choices: the values of a ``choice``.
        labels_zh: what values are called in Chinese, where it is known.
        items: for ``multi`` only, the type of its members: text, choice or uuid.
        operators: those offered; all of the type when empty.
        scope: what the caller needs to name it; inside a collection, beside the collection's own.
        archived: known, but no longer to be named.

    """

    name: str
    type: RuleType
    description: str
    description_zh: str = ""
    choices: tuple[str, ...] = ()
    labels_zh: Mapping[str, str] = attribute(default_factory=dict, hash=False)
    items: RuleType = RuleType.TEXT
    operators: tuple[Op, ...] = ()
    scope: str | None = None
    archived: bool = False

    def __post_init__(self) -> None:
        if not self.operators:
            object.__setattr__(self, "operators", OPERATORS[self.type])
        object.__setattr__(self, "choices", tuple(str(choice) for choice in self.choices))
        if not set(self.operators) <= set(OPERATORS[self.type]):
            raise ValueError(f"rule field {self.name}: an operator does not fit type {self.type}")
        if self.items not in _ITEM_TYPES:
            raise ValueError(f"rule field {self.name}: members cannot be of type {self.items}")
        if bool(self.choices) != (RuleType.CHOICE in {self.type, self.item_type}):
            raise ValueError(f"rule field {self.name}: a choice needs choices, and only a choice has them")
        if self.choices and not self.labels_zh.keys() <= set(self.choices):
            raise ValueError(f"rule field {self.name}: a label of what is no choice")

    @property
    def item_type(self) -> RuleType:
        """The type of one value: the members' type for ``multi``, the field's own otherwise."""
        return self.items if self.type is RuleType.MULTI else self.type

    def describe(self, outside: str | None = None) -> dict[str, Any]:
        """Return the field as JSON, for screens that build rules; ``outside`` is the scope of its collection."""
        shown = {
            "name": self.name,
            "type": self.type.value,
            "operators": [op.value for op in self.operators],
            "description": {"en": self.description, "zh": self.description_zh or self.description},
            "scope": self.scope or outside,
        }
        if self.type is RuleType.MULTI:
            shown["items"] = self.items.value
        if self.choices:
            shown["choices"] = list(self.choices)
        if self.labels_zh:
            shown["labels_zh"] = dict(self.labels_zh)
        return shown


class RuleCatalogue:
    """The fields and collections that rules about one kind of thing may name: a customer, or one of its orders."""

    def __init__(self, fields: Iterable[RuleField] = (), collections: "Iterable[RuleCollection]" = ()) -> None:
        """Start with these entries; more may be added until the first rule is checked."""
        self.fields: dict[str, RuleField] = {}
        self.collections: dict[str, RuleCollection] = {}
        for field in fields:
            self.add(field)
        for collection in collections:
            self.add(collection)

    def add(self, entry: "RuleField | RuleCollection") -> None:
        """Add one entry.

        Raises:
            ValueError: the name is taken.

        """
        kind: dict[str, Any] = self.fields if isinstance(entry, RuleField) else self.collections
        if entry.name in kind:
            raise ValueError(f"rules already know '{entry.name}'")
        kind[entry.name] = entry

    def extended(self, *entries: "RuleField | RuleCollection") -> "RuleCatalogue":
        """Return a copy with more entries, e.g. one tenant's own attributes."""
        return RuleCatalogue(
            (*self.fields.values(), *(entry for entry in entries if isinstance(entry, RuleField))),
            (*self.collections.values(), *(entry for entry in entries if isinstance(entry, RuleCollection))),
        )

    def describe(self, outside: str | None = None) -> dict[str, Any]:
        """Return fields and collections as JSON, for screens that build rules, each with the scope it takes."""
        fields = [entry.describe(outside) for entry in self.fields.values() if not entry.archived]
        shown: dict[str, Any] = {"fields": fields}
        if self.collections:
            shown["collections"] = [entry.describe(outside) for entry in self.collections.values()]
        return shown

    def walk(self) -> "Iterator[RuleCollection]":
        """Yield all collections, nested ones too."""
        for collection in self.collections.values():
            yield collection
            yield from collection.inside.walk()


@dataclass(frozen=True, slots=True)
class RuleCollection:
    """Rows that belong to the subject (a customer's orders) and can be aggregated.

    Attributes:
        name: plural noun, without a dot.
        description: one English line for people who build rules.
        description_zh: the same in Chinese.
        time: the instant field that windows apply to; without one, windows are refused.
        inside: what ``where`` may name inside the collection, and what may be aggregated.
        scope: what the caller needs to name it, and so anything inside it.

    """

    name: str
    description: str
    description_zh: str = ""
    time: str | None = None
    inside: RuleCatalogue = attribute(default_factory=RuleCatalogue)
    scope: str | None = None

    def __post_init__(self) -> None:
        if "." in self.name:
            raise ValueError(f"the name of rule collection '{self.name}' has a dot")

    def describe(self, outside: str | None = None) -> dict[str, Any]:
        """Return the collection as JSON, for screens that build rules."""
        scope = self.scope or outside
        return {
            "name": self.name,
            "description": {"en": self.description, "zh": self.description_zh or self.description},
            "scope": scope,
            "window": self.time is not None,
            "aggregates": ["count", *(f"{kind}:{name}" for kind, name in self._aggregates())],
            **self.inside.describe(scope),
        }

    def _aggregates(self) -> Iterator[tuple[str, str]]:
        for kind, types in AGGREGATED.items():
            yield from ((kind.value, entry.name) for entry in self.inside.fields.values() if entry.type in types)


def result_field(aggregate: Aggregate, measured: RuleField | None) -> RuleField:
    """Return a field that stands for an aggregate's result: its type and operators decide what ``value`` may be.

    ``count`` and ``sum`` of no rows are 0, so they are never missing.
    """
    if measured is None:
        return _COUNT
    kind = RuleType.NUMBER if (aggregate, measured.type) == (Aggregate.AVG, RuleType.INTEGER) else measured.type
    operators = tuple(op for op in OPERATORS[kind] if aggregate is not Aggregate.SUM or op not in PRESENCE)
    return RuleField(measured.name, kind, measured.description, choices=measured.choices, operators=operators)


_NEVER_MISSING = tuple(op for op in _NUMBERS if op not in PRESENCE)
_COUNT = RuleField("count", RuleType.INTEGER, "Number of rows", operators=_NEVER_MISSING)
BUCKET = RuleField("bucket", RuleType.INTEGER, "Hash bucket, from 0", "哈希分组，从 0 起", operators=_NEVER_MISSING)
"""Stands for the bucket that a salt puts a customer into; which salt, every leaf says for itself."""
