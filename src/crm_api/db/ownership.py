"""Whose is it? Every table that hangs on a customer says what becomes of its rows.

Three works touch all that a customer owns, in every domain: a merge (rows change hands), the subject's export (rows are
shown) and erasure (what is personal goes). They are domains like others and import nobody above them; so each domain
declares its tables in its ``ownership.py`` and registers what it must do itself::

    own(
        Owned(orders),
        Owned(customer_purchase_facts, on_merge="stay", why="recomputed from the orders", export=False, erase="keep"),
        Owned(customer_tags, on_merge="unite", same=("tag",)),
    )
    on_merge(MergeHook("orders", merged=recompute, undone=recompute))

A test fails when a table has a column ``customer_id`` (or refers to ``customers``) and nobody owns it here, and when a
table whose rows move lacks the triggers of ``db.protect.refuse_merged``, which no late writer gets past.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from uuid import UUID

from sqlalchemy import Table

from crm_api.db.uow import UnitOfWork


@dataclass(frozen=True, slots=True)
class Owned:
    """A table whose rows belong to a customer.

    Attributes:
        table: the table.
        column: the column with the customer's id; a table with two such columns is declared twice.
        on_merge: what a merge does with the losers' rows.
            ``move``: they become the winner's.
            ``unite``: they become the winner's unless the winner has an equal one by ``same``; such a row stays where
            it is, unseen, because its customer is hidden. No columns in ``same``: a customer has one row at most.
            ``stay``: they stay: history about the old id, or something derived that a hook makes anew.
            ``hook``: the domain's hook moves them (rows that hang on a row that stays, such as lots on a wallet).
        same: columns that make two rows equal, for ``unite``.
        follows: column, and name of the table, of an owned row this one is about (a complaint about an order). Rows
            made after a merge go back with that row when it is undone; all others made since stay with the winner.
        why: the reason of ``stay`` and of ``erase="keep"``.
        erase: what erasure does. ``delete``: rows go. ``blank``: the columns of ``blank`` are overwritten.
            ``keep``: nothing personal is in it.
        blank: column → what stands there afterwards (null, or a constant the table's checks allow).
        export: whether the rows are in the subject's archive.
        secret: columns the archive leaves out: what somebody is checked by, such as the hash of a code.
        through: for rows that hang on an owned row (a refund on an order): the column that refers to it and that
            table. They go where their parent goes, so a merge does nothing; export and erasure follow the reference.

    """

    table: Table
    column: str = "customer_id"
    on_merge: Literal["move", "unite", "stay", "hook"] = "move"
    same: tuple[str, ...] = ()
    follows: tuple[str, str] | None = None
    why: str = ""
    erase: Literal["delete", "blank", "keep"] = "keep"
    blank: Mapping[str, Any] = field(default_factory=dict)
    export: bool = True
    secret: tuple[str, ...] = ()
    through: tuple[str, Table] | None = None

    @property
    def name(self) -> str:
        """Return the table's name, with the column where that is not the usual one."""
        return self.table.name if self.column == "customer_id" else f"{self.table.name}.{self.column}"

    @property
    def changes_hands(self) -> bool:
        """Tell whether a merge gives rows of this table itself to the winner."""
        return self.through is None and self.on_merge in {"move", "unite"}


Notes = Mapping[str, Any]
"""Plain JSON values."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A merge as hooks see it.

    Attributes:
        id: the merge's; stable, so that an effect keyed with it happens once.
        winner_id: who stays.
        loser_ids: who became the winner, in the order of their ids.
        notes: when it is undone: what this hook noted when it was done; ``lock`` has them too then.

    """

    id: UUID
    winner_id: UUID
    loser_ids: tuple[UUID, ...]
    notes: Notes = field(default_factory=dict)

    @property
    def sides(self) -> list[UUID]:
        """Return everybody who takes part, in the order of their ids."""
        return sorted((self.winner_id, *self.loser_ids))


Hook = Callable[[UnitOfWork, Merged], Awaitable[Notes | None]]


@dataclass(frozen=True, slots=True)
class MergeHook:
    """What a domain does itself in a merge, in the merge's transaction.

    What ``before`` and ``merged`` return is kept with the merge and given back to ``undone`` as ``merged.notes``; ids
    and numbers only, nothing personal. What ``undone`` returns is shown in the report of the undo.

    Attributes:
        name: the domain's.
        lock: called first, before any row is touched: takes the domain's locks on all customers in key order.
        before: called when everything is locked and no row has changed hands yet.
        merged: called after the rows have changed hands; the losers are not hidden yet.
        undone: called after the rows went back; the losers are living again.

    """

    name: str
    lock: Hook | None = None
    before: Hook | None = None
    merged: Hook | None = None
    undone: Hook | None = None


@dataclass(frozen=True, slots=True)
class Erased:
    """An erasure as hooks see it.

    Attributes:
        id: the erasure's.
        customer_ids: the customer and everybody who was merged into them.
        row_ids: ids of the rows they own, in all tables, and of further things that tell of them.
        traces: what identified them outside, long enough to be looked for in bodies: phones, accounts, platform ids.

    """

    id: UUID
    customer_ids: tuple[UUID, ...]
    row_ids: tuple[UUID, ...]
    traces: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class EraseHook:
    """What a domain erases itself, because no column leads from the row to the customer.

    Attributes:
        name: the table's, or another stable name; the erasure's report shows the number of rows under it.
        erase: overwrites or deletes, and returns how many rows; called again a day later, so it must be repeatable.
        subjects: ids of further things whose audit entries and messages tell of the customers.

    """

    name: str
    erase: Callable[[UnitOfWork, Erased], Awaitable[int]]
    subjects: Callable[[UnitOfWork, Sequence[UUID]], Awaitable[Sequence[UUID]]] | None = None


_OWNED: dict[str, Owned] = {}
_ERASE_HOOKS: dict[str, EraseHook] = {}
_HOOKS: dict[str, MergeHook] = {}


_Declared = TypeVar("_Declared", Owned, MergeHook, EraseHook)


def _declare(known: dict[str, _Declared], one: _Declared) -> None:
    """Take a declaration; a second one of a name would silently undo the first."""
    if known.setdefault(one.name, one) is not one:
        raise ValueError(f"{one.name!r} is declared twice")


def own(*owned: Owned) -> None:
    """Declare tables."""
    for each in owned:
        _declare(_OWNED, each)


def on_merge(*hooks: MergeHook) -> None:
    """Declare what a domain does itself."""
    for each in hooks:
        _declare(_HOOKS, each)


def on_erase(*hooks: EraseHook) -> None:
    """Declare what a domain erases itself."""
    for each in hooks:
        _declare(_ERASE_HOOKS, each)


def erase_hooks() -> Sequence[EraseHook]:
    """Return what domains erase themselves."""
    return tuple(_ERASE_HOOKS.values())


def everything() -> Sequence[Owned]:
    """Return all declared tables, in the order of the domains."""
    return tuple(_OWNED.values())


def hooks() -> Iterable[MergeHook]:
    """Return all hooks, in the order of the domains."""
    return tuple(_HOOKS.values())
