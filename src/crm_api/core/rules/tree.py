"""A checked rule: the tree with names looked up and values read, ready to compile, explain or put into words."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from crm_api.core.money import Money
from crm_api.core.rules.catalogue import Aggregate, Op, RuleCollection, RuleField, RuleType
from crm_api.core.rules.moments import AsOf, Moment, Window, day_of, instant_of

RuleValue = str | int | Decimal | bool | UUID | Money | Moment | Window | tuple["RuleValue", ...] | None


@dataclass(frozen=True, slots=True)
class All:
    """True when every part is; with no part, true for everyone."""

    parts: tuple["Node", ...]
    pointer: str


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True when a part is; with no part, true for no one."""

    parts: tuple["Node", ...]
    pointer: str


@dataclass(frozen=True, slots=True)
class Not:
    """True exactly when the part is false."""

    part: "Node"
    pointer: str


@dataclass(frozen=True, slots=True)
class FieldTest:
    """One field against one value."""

    field: RuleField
    op: Op
    value: RuleValue
    pointer: str


@dataclass(frozen=True, slots=True)
class AggregateTest:
    """A figure computed over a collection's rows against one value.

    Attributes:
        aggregate: the computation.
        collection: whose rows.
        measured: the field computed over; None for ``count``.
        where: which rows; None for all.
        window: within which time; None for any time.
        result: stands for the figure: its type decides how ``value`` is compared.
        op: the operator.
        value: the value.
        pointer: place in the document.

    """

    aggregate: Aggregate
    collection: RuleCollection
    measured: RuleField | None
    where: "Node | None"
    window: Window | None
    result: RuleField
    op: Op
    value: RuleValue
    pointer: str


Node = All | AnyOf | Not | FieldTest | AggregateTest


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked rule.

    Attributes:
        document: the JSON to store and send, always with its version: ``{"version": 1, "where": …}``.
        root: the tree.

    """

    document: dict[str, Any]
    root: Node

    def needs(self) -> Iterator[tuple[str, str]]:
        """Yield each scope that something named in the rule takes, with the JSON pointer of where it is named."""
        for leaf in self.leaves():
            entries: tuple[RuleField | RuleCollection | None, ...] = (
                (leaf.field,) if isinstance(leaf, FieldTest) else (leaf.collection, leaf.measured)
            )
            pointer = f"{leaf.pointer}/{'field' if isinstance(leaf, FieldTest) else 'of'}"
            yield from ((entry.scope, pointer) for entry in entries if entry is not None and entry.scope is not None)

    def leaves(self) -> Iterator[FieldTest | AggregateTest]:
        """Yield every leaf, those inside ``where`` too."""
        yield from _leaves(self.root)


def _leaves(node: Node) -> Iterator[FieldTest | AggregateTest]:
    match node:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _leaves(part)
        case Not(part):
            yield from _leaves(part)
        case AggregateTest(where=where):
            yield node
            if where is not None:
                yield from _leaves(where)
        case _:
            yield node


def settled(value: RuleValue, field: RuleField, as_of: AsOf) -> Any:
    """Return the value with times settled: instants become datetimes, days dates, windows pairs of instants."""
    if isinstance(value, tuple):
        return tuple(settled(item, field, as_of) for item in value)
    if isinstance(value, Window):
        return value.edges(as_of)
    if isinstance(value, Moment):
        return instant_of(value, as_of) if field.type is RuleType.INSTANT else day_of(value, as_of)
    return value
