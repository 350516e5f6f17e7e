"""What is pure of compensations: their steps, what belongs to which kind, and who may approve what."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from crm_api.compensations.models import CompensationCreate, CompensationKind, CompensationState
from crm_api.core.errors import FieldError

Step = Literal["approve", "reject", "cancel", "settle", "fail", "retry", "reverse"]

STEPS: Final[Mapping[tuple[CompensationState, Step], CompensationState]] = {
    ("proposed", "approve"): "approved",
    ("proposed", "reject"): "rejected",
    ("proposed", "cancel"): "cancelled",
    ("approved", "settle"): "settled",
    ("approved", "fail"): "failed",
    ("approved", "cancel"): "cancelled",
    ("failed", "retry"): "approved",
    ("failed", "cancel"): "cancelled",
    ("settled", "reverse"): "reversed",
}
"""The one place that says what can follow what; the service, the documents and the tests read it."""

PENDING: Final[tuple[CompensationState, ...]] = ("proposed", "approved", "failed")
"""States in which something is owed to the customer or undecided: the case cannot be closed."""

GRANTED: Final[tuple[CompensationState, ...]] = ("approved", "failed", "settled")
"""States that count against limits: approved, and not taken back."""

PAID_HERE: Final[frozenset[CompensationKind]] = frozenset({"points", "voucher"})
"""Kinds that the worker pays through the ledger or the vouchers; the shop does the others itself."""

NEEDS_REFERENCE: Final[frozenset[CompensationKind]] = frozenset({"refund", "replacement", "service"})


def next_state(state: CompensationState, step: Step) -> CompensationState | None:
    """Return the state after a step, or None when the step is not possible."""
    return STEPS.get((state, step))


def steps_from(state: CompensationState) -> list[Step]:
    """Return what can be done from a state."""
    return [step for source, step in STEPS if source == state]


def steps_to_ask(state: CompensationState, kind: CompensationKind) -> list[Step]:
    """Return what a caller can ask for: `fail` is the worker's, and so is `settle` of what it pays."""
    worker: set[Step] = {"fail", "settle"} if kind in PAID_HERE else {"fail"}
    return [step for step in steps_from(state) if step not in worker]


def mermaid() -> str:
    """Return the state machine as a Mermaid diagram; docs/domains/compensations.md holds it."""
    arrows = [f"    {source} --> {target} : {step}" for (source, step), target in STEPS.items()]
    ends = [f"    {state} --> [*]" for state in ("rejected", "cancelled", "reversed")]
    return "\n".join(["stateDiagram-v2", "    [*] --> proposed : propose", *arrows, *ends]) + "\n"


# -- what belongs to which kind ----------------------------------------------------------------------------------------

_NEEDS: Final[Mapping[CompensationKind, frozenset[str]]] = {
    "refund": frozenset({"amount"}),
    "replacement": frozenset({"amount", "sku"}),
    "points": frozenset({"points"}),
    "voucher": frozenset({"campaign_id"}),
    "apology": frozenset(),
    "service": frozenset({"amount"}),
}
_TAKES: Final[Mapping[CompensationKind, frozenset[str]]] = {
    "refund": frozenset(),
    "replacement": frozenset({"quantity"}),
    "points": frozenset({"programme_id"}),
    "voucher": frozenset({"amount"}),
    "apology": frozenset(),
    "service": frozenset({"sku"}),
}
_PARTS: Final = ("amount", "points", "programme_id", "campaign_id", "sku", "quantity")


def faults(data: CompensationCreate) -> Iterator[FieldError]:
    """Yield what does not go together in a proposal."""
    needs, takes = _NEEDS[data.kind], _TAKES[data.kind]
    for name in _PARTS:
        is_given = getattr(data, name) is not None
        if name in needs and not is_given:
            yield FieldError(f"/{name}", "required", f"The kind '{data.kind}' needs it", f"{data.kind} 类补偿必须提供")
        if is_given and name not in needs | takes:
            yield FieldError(
                f"/{name}", "unexpected", f"The kind '{data.kind}' does not take it", f"{data.kind} 类补偿不接受此字段"
            )
    if data.amount is not None and data.amount.amount == 0:
        yield FieldError("/amount/amount", "out_of_range", "Must be more than 0", "须大于 0")


# -- who may approve what ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts.

    Attributes:
        key_id: the API key.
        staff_id: the staff member they say they are, if they do.
        role: that member's title.
        is_owner: whether the key has the scope ``admin``.
        can_approve: whether the key has the scope ``compensations:approve``.

    """

    key_id: UUID
    staff_id: UUID | None = None
    role: str | None = None
    is_owner: bool = False
    can_approve: bool = False


def is_somebody_else(one: Person, other: Person) -> bool:
    """Tell whether two people certainly differ: by name where both have one, else by key."""
    if one.staff_id is not None and other.staff_id is not None:
        return one.staff_id != other.staff_id
    return one.key_id != other.key_id


@dataclass(frozen=True, slots=True)
class Worth:
    """What a compensation comes to: money, points, or neither (an apology).

    Attributes:
        kind: of the compensation.
        amount: minor units of ``currency``.
        currency: ISO 4217.
        points: how many.

    """

    kind: CompensationKind
    amount: int | None = None
    currency: str | None = None
    points: int | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """What somebody may approve alone: a row of ``approval_limits``."""

    role: str | None = None
    staff_id: UUID | None = None
    key_id: UUID | None = None
    kind: CompensationKind | None = None
    amount: int | None = None
    currency: str | None = None
    points: int | None = None
    unlimited: bool = False

    @property
    def is_for_everybody(self) -> bool:
        """Whether it names nobody."""
        return self.role is None and self.staff_id is None and self.key_id is None

    def is_for(self, person: Person) -> bool:
        """Tell whether it gives a person something."""
        if person.staff_id is None:
            return self.is_for_everybody or self.key_id == person.key_id
        is_theirs = self.staff_id == person.staff_id or (self.role is not None and self.role == person.role)
        return self.is_for_everybody or is_theirs

    def covers(self, this: Worth, others: Iterable[Worth]) -> bool:
        """Tell whether a compensation is within it, with what else the case was granted."""
        if self.kind not in (None, this.kind):
            return False
        if self.unlimited:
            return True
        counted = [this, *(each for each in others if self.kind in (None, each.kind))]
        if this.points is not None:
            return self.points is not None and sum(each.points or 0 for each in counted) <= self.points
        if this.amount is None:
            return True
        spent = sum(each.amount or 0 for each in counted if each.currency == this.currency)
        return self.amount is not None and self.currency == this.currency and spent <= self.amount


def tells_apart(person: Person, limits: Iterable[Limit]) -> bool:
    """Tell whether a key is one that several people share by the shop's will: then the names said through it count.

    Names are said, not proved: who holds the key could propose as one and approve as another. A limit of the key says
    how far it may go all the same; the owner's may anyway.
    """
    return person.is_owner or any(each.key_id == person.key_id for each in limits)


def may_approve(person: Person, limits: Sequence[Limit], this: Worth, others: Sequence[Worth]) -> bool:
    """Tell whether a person's limits allow a compensation.

    Of the limits that are for somebody any one will do. A limit of the key is the most that staff can approve through
    it, because it is the key that is known for certain; through a key that has neither such a limit nor the scope to
    approve, the limits of the staff named do not count. Who has the scope ``admin`` and acts for nobody owns the shop.
    An apology costs nothing.
    """
    if this.amount is None and this.points is None:
        return True
    if person.is_owner and person.staff_id is None:
        return True
    caps = [each for each in limits if each.key_id == person.key_id]
    theirs = [each for each in limits if each.is_for(person)]
    if person.staff_id is not None and not (caps or person.is_owner or person.can_approve):
        theirs = [each for each in theirs if each.is_for_everybody]
    if not any(each.covers(this, others) for each in theirs):
        return False
    return not caps or any(each.covers(this, others) for each in caps)
