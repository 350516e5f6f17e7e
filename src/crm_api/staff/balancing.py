"""Who should pass customers to whom, and how fair the result is: pure.

Levels
    Loads are filled like water (max-min fairness, Bertsekas & Gallager, *Data Networks*, 1992, 6.5.2): everybody's load
    per weight rises together until the customers are used up; nobody gets less than what they must keep nor more than
    their capacity. That is the fairest there is under these bounds, and who is at their level moves nothing.
Moves
    are then as few as there can be: only what stands above the level leaves. Customers who are due for another owner
    whatever the loads go before, each to whoever carries least per weight.
Fairness
    is the Gini coefficient of loads per weight: 0 when all carry alike, (n - 1)/n when one carries all.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who takes part.

    Attributes:
        id: the staff member's.
        load: customers they have.
        movable: of these, who may be given away, in the order in which they should go.
        capacity: how many they may have; None is without limit.
        weight: share of the load, at least 1.
        leaving: they give away what they can and get nothing.
        due: further ones who get another owner whatever the loads.

    """

    id: UUID
    load: int
    movable: tuple[UUID, ...] = ()
    capacity: int | None = None
    weight: int = 1
    leaving: bool = False
    due: tuple[UUID, ...] = ()

    @property
    def least(self) -> int:
        """Return what they keep whatever happens."""
        return self.load - len(self.movable)


@dataclass(frozen=True, slots=True)
class Move:
    """A customer who changes hands."""

    customer_id: UUID
    giver: UUID
    taker: UUID


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, and what comes of it.

    Attributes:
        moves: in the order in which they matter: who is due for another owner, then those of leaving members.
        loads: by member, after the moves.
        unplaced: customers who are due, or of leaving or overfull members, whom nobody can take.

    """

    moves: tuple[Move, ...]
    loads: Mapping[UUID, int]
    unplaced: int


def gini(values: Sequence[float]) -> float:
    """Return the Gini coefficient of values that are not negative; 0 of none, and when all are zero.

    G = Σ (2i - n - 1) xᵢ / (n Σ xᵢ) over ascending values, i from 1 (Sen, *On Economic Inequality*, 1973).
    """
    total, n = sum(values), len(values)
    if not total:
        return 0.0
    ranked = sum((2 * rank - n - 1) * value for rank, value in enumerate(sorted(values), 1))
    return max(0.0, ranked / (n * total))


def fairness(members: Sequence[Member], loads: Mapping[UUID, int]) -> float:
    """Return the Gini coefficient of loads per weight of those who stay."""
    return gini([loads[each.id] / each.weight for each in members if not each.leaving])


def levels(members: Sequence[Member]) -> dict[UUID, int]:
    """Return the load everybody should have: as even, per weight, as what they must keep and may have allows.

    The sum stays the same unless there is no room: then it is smaller by those who cannot be placed.
    """
    bounds = {each.id: (each.least, _ceiling(each, members)) for each in members}
    total = sum(each.load for each in members)
    wanted = {each.id: each.least for each in members}
    low, high = 0.0, float(total + 1)
    for _ in range(_HALVINGS):
        level = (low + high) / 2
        filled = {each.id: _clamp(int(level * each.weight), *bounds[each.id]) for each in members}
        if sum(filled.values()) <= total:
            low, wanted = level, filled
        else:
            high = level
    return _pour_rest(members, bounds, wanted, total - sum(wanted.values()))


_HALVINGS = 60


def _ceiling(member: Member, members: Sequence[Member]) -> int:
    """Return what a member may have at the end; never below what they must keep."""
    if member.leaving:
        return member.least
    if member.capacity is None:
        return sum(each.load for each in members)
    return max(member.least, member.capacity)


def _clamp(value: int, least: int, most: int) -> int:
    return max(least, min(most, value))


def _pour_rest(
    members: Sequence[Member], bounds: Mapping[UUID, tuple[int, int]], wanted: dict[UUID, int], rest: int
) -> dict[UUID, int]:
    """Give out the last few one by one: to the lowest per weight, first to who has them already."""
    by_id = {each.id: each for each in members}

    def rank(key: UUID) -> tuple[float, bool, UUID]:
        each = by_id[key]
        return (wanted[key] + 1) / each.weight, wanted[key] >= each.load, key

    open_ = [(*rank(key), key) for key, (_, most) in bounds.items() if wanted[key] < most]
    heapq.heapify(open_)
    while rest and open_:
        key = heapq.heappop(open_)[-1]
        wanted[key] += 1
        rest -= 1
        if wanted[key] < bounds[key][1]:
            heapq.heappush(open_, (*rank(key), key))
    return wanted


def plan(members: Sequence[Member], *, max_moves: int) -> Plan:
    """Return the moves of who is due for another owner, and the fewest that then bring everybody to their level.

    Args:
        members: who takes part.
        max_moves: at most so many, those that matter most.

    """
    moves, unplaced, members = _hand_on(members, max_moves)
    wanted = levels(members)
    ordered = sorted(members, key=lambda each: (not each.leaving, wanted[each.id] - each.load, each.id))
    room = [(-(wanted[each.id] - each.load), each.id) for each in ordered if wanted[each.id] > each.load]
    heapq.heapify(room)
    loads = {each.id: each.load for each in members}
    for giver in ordered:
        surplus = min(max(0, giver.load - wanted[giver.id]), len(giver.movable))
        for customer_id in giver.movable[:surplus]:
            if not room or len(moves) >= max_moves:
                unplaced += 1
                continue
            taken, taker = heapq.heappop(room)
            moves.append(Move(customer_id, giver.id, taker))
            loads[giver.id] -= 1
            loads[taker] += 1
            if taken + 1 < 0:
                heapq.heappush(room, (taken + 1, taker))
    return Plan(tuple(moves), loads, unplaced)


def _hand_on(members: Sequence[Member], max_moves: int) -> tuple[list[Move], int, list[Member]]:
    """Give who is due to others with room; return the moves, how many found nobody, and the members afterwards."""
    loads = {each.id: each.load for each in members}
    moves: list[Move] = []
    unplaced = 0
    for giver in members:
        for customer_id in giver.due:
            takers = [each for each in members if each.id != giver.id and _has_room(each, loads[each.id])]
            if not takers or len(moves) >= max_moves:
                unplaced += 1
                continue
            taker = min(takers, key=lambda each: ((loads[each.id] + 1) / each.weight, each.id))
            moves.append(Move(customer_id, giver.id, taker.id))
            loads[giver.id] -= 1
            loads[taker.id] += 1
    return moves, unplaced, [replace(each, load=loads[each.id], due=()) for each in members]


def _has_room(member: Member, load: int) -> bool:
    return not member.leaving and (member.capacity is None or load < member.capacity)
