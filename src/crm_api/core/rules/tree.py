"""A checked rule: the tree with names looked up and values read, ready to compile, explain or put into words."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
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


@dataclass(frozen=True, slots=True)
class BucketTest:
    """The hash bucket that a salt puts the customer into (`crm_api.core.rules.buckets`), against one value.

    Attributes:
        salt: names the split.
        of: how many buckets there are.
        result: stands for the bucket: a whole number that is never missing.
        op: the operator.
        value: the value.
        pointer: place in the document.

    """

    salt: str
    of: int
    result: RuleField
    op: Op
    value: RuleValue
    pointer: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a sequence: some row of a collection that has a time.

    Attributes:
        collection: whose row.
        where: which rows; None for all.
        pointer: place in the document.

    """

    collection: RuleCollection
    where: "Node | None"
    pointer: str


@dataclass(frozen=True, slots=True)
class SequenceTest:
    """True when there are rows, one for each step, each strictly later than the one before.

    Attributes:
        steps: two or more.
        within: all lie in ``[first, first + within)``; None for any length. An exact length: a day is 24 hours.
        window: every row lies in it; None for any time.
        pointer: place in the document.

    """

    steps: tuple[Step, ...]
    within: timedelta | None
    window: Window | None
    pointer: str


Leaf = FieldTest | AggregateTest | BucketTest | SequenceTest
"""What asks something of the customer; `All`, `AnyOf` and `Not` only join."""
Node = All | AnyOf | Not | Leaf


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
            yield from (
                (entry.scope, at) for entry, at in _named(leaf) if entry is not None and entry.scope is not None
            )

    def leaves(self) -> Iterator[Leaf]:
        """Yield every leaf, those inside ``where`` too."""
        yield from _leaves(self.root)


def _named(leaf: Leaf) -> Iterator[tuple[RuleField | RuleCollection | None, str]]:
    """Yield what a leaf itself names, with where."""
    match leaf:
        case FieldTest(field=field):
            yield field, f"{leaf.pointer}/field"
        case AggregateTest(collection=collection, measured=measured):
            yield from ((entry, f"{leaf.pointer}/of") for entry in (collection, measured))
        case SequenceTest(steps=steps):
            yield from ((step.collection, f"{step.pointer}/of") for step in steps)


def _leaves(node: Node) -> Iterator[Leaf]:
    match node:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _leaves(part)
        case Not(part):
            yield from _leaves(part)
        case AggregateTest(where=where):
            yield node
            yield from () if where is None else _leaves(where)
        case SequenceTest(steps=steps):
            yield node
            for step in steps:
                yield from () if step.where is None else _leaves(step.where)
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
