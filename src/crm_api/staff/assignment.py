"""Who gets the next customer or case: pure, for every domain that hands work out.

Eligible is who is online, has all required skills, and carries less than their capacity. Among the eligible a strategy
chooses:

``round_robin``
    the next after the last one, in the order of ids. While the same people stay eligible the numbers they are given
    differ by at most one. Who was away is not flooded on return: there is a pointer, not a count to catch up with.
``least_load``
    whoever carries least; of several, the one whose turn it is.
``weighted``
    smooth weighted round robin (nginx, commit 52327e0627f4, 2012): everybody's credit grows by their weight, the
    highest credit is chosen and pays the sum of all weights. Any run of as many choices as the sum of the weights gives
    everybody exactly their weight, spread out, not in blocks.

`Turn` is what must be kept between choices, under a lock: see `service.AssignmentService`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID

Strategy = Literal["round_robin", "least_load", "weighted"]
Obstacle = Literal["nobody_online", "no_skill", "no_capacity", "nobody_there"]

MAX_CREDIT: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Handler:
    """Somebody work can be given to.

    Attributes:
        id: the staff member's.
        online: at work now.
        skills: ids of skills that count today.
        capacity: how much they may carry; None is without limit.
        load: how much they carry.
        weight: share under ``weighted``, at least 1.
        store_id: where they work.

    """

    id: UUID
    online: bool = True
    skills: frozenset[UUID] = frozenset()
    capacity: int | None = None
    load: int = 0
    weight: int = 1
    store_id: UUID | None = None

    @property
    def has_room(self) -> bool:
        """Tell whether one more is allowed."""
        return self.capacity is None or self.load < self.capacity


@dataclass(frozen=True, slots=True)
class Demand:
    """What a piece of work asks for.

    Attributes:
        required: skills a handler must have, all of them.
        store_id: only handlers of this store; None is any.
        previous: who had it, or the like, before: kept when they are eligible.
        online_only: whether the handler must be at work now.

    """

    required: frozenset[UUID] = frozenset()
    store_id: UUID | None = None
    previous: UUID | None = None
    online_only: bool = True


@dataclass(frozen=True, slots=True)
class Turn:
    """What a rule remembers from one choice to the next.

    Attributes:
        last: who was chosen last.
        credits: of ``weighted``, by id.

    """

    last: UUID | None = None
    credits: Mapping[UUID, int] = field(default_factory=dict)

    def stored(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        known = {str(key): value for key, value in self.credits.items()}
        return {"last": None if self.last is None else str(self.last), "credits": known}

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> "Turn":
        """Return what `stored` gave; an empty object is the beginning."""
        last = stored.get("last")
        return cls(
            None if last is None else UUID(last),
            {UUID(key): value for key, value in stored.get("credits", {}).items()},
        )


def eligible(handlers: Iterable[Handler], demand: Demand) -> list[Handler]:
    """Return who may be given the work, in the order of ids."""
    return sorted((each for each in handlers if _obstacle(each, demand) is None), key=lambda each: each.id)


def obstacle(handlers: Sequence[Handler], demand: Demand) -> Obstacle:
    """Return why nobody is eligible: what those stumble over who come furthest."""
    found = {_obstacle(each, demand) for each in handlers}
    order: tuple[Obstacle, ...] = ("no_capacity", "nobody_online", "no_skill")
    return next((each for each in order if each in found), "nobody_there")


def _obstacle(handler: Handler, demand: Demand) -> Obstacle | None:
    if demand.store_id is not None and handler.store_id != demand.store_id:
        return "nobody_there"
    if not demand.required <= handler.skills:
        return "no_skill"
    if demand.online_only and not handler.online:
        return "nobody_online"
    return None if handler.has_room else "no_capacity"


def choose(strategy: Strategy, handlers: Iterable[Handler], demand: Demand, turn: Turn) -> tuple[Handler, Turn] | None:
    """Return who gets the work, and what to remember; None when nobody is eligible.

    A previous handler who is eligible keeps it, and nobody's turn passes.
    """
    able = eligible(handlers, demand)
    if not able:
        return None
    for each in able:
        if each.id == demand.previous:
            return each, turn
    if strategy == "weighted":
        return _weighted(able, turn)
    if strategy == "least_load":
        least = min(each.load for each in able)
        able = [each for each in able if each.load == least]
    chosen = _next(able, turn.last)
    return chosen, Turn(chosen.id, turn.credits)


def _next(able: Sequence[Handler], last: UUID | None) -> Handler:
    """Return the first after the last one, around the corner if need be; ``able`` is in the order of ids."""
    return next((each for each in able if last is not None and each.id > last), able[0])


def _weighted(able: Sequence[Handler], turn: Turn) -> tuple[Handler, Turn]:
    owed = {each.id: turn.credits.get(each.id, 0) + each.weight for each in able}
    chosen = max(able, key=lambda each: owed[each.id])  # the first of several: the order of ids
    owed[chosen.id] -= sum(each.weight for each in able)
    # Who is not eligible now keeps what they had; bounded, whatever weights and absences come and go.
    kept = {key: max(-MAX_CREDIT, min(MAX_CREDIT, value)) for key, value in {**turn.credits, **owed}.items()}
    return chosen, Turn(chosen.id, kept)


def matches(conditions: Mapping[str, Sequence[str]], facts: Mapping[str, Any]) -> bool:
    """Tell whether a rule is for this work.

    Args:
        conditions: fact → values, one of which it must have (or contain, where the fact is a list). None of them: all.
        facts: of the work, as text or lists of text; a missing one has no value.

    """
    return all(_has(facts.get(name), wanted) for name, wanted in conditions.items())


def _has(value: Any, wanted: Sequence[str]) -> bool:
    values = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
    return any(each in wanted for each in values)


def must_pass_on(handler: Handler | None, demand: Demand) -> bool:
    """Tell whether work must go to somebody else because its handler is off, or lacks a skill it needs now.

    A full handler keeps what they have; capacity is about what is added.
    """
    return handler is None or _obstacle(handler, demand) not in {None, "no_capacity"}
