"""Who gets the next one, and who passes whom to whom: the pure parts."""

from collections import Counter
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_api.staff.assignment import Demand, Handler, Turn, choose, matches, must_pass_on, obstacle
from crm_api.staff.balancing import Member, fairness, gini, levels, plan

SKILL = UUID(int=999)
ANY = Demand(online_only=False)


def key(number):
    return UUID(int=number)


def run(strategy, handlers, times, demand=ANY):
    """Hand out so many pieces one after the other; returns who got them and the pool afterwards."""
    pool, turn, given_to = {each.id: each for each in handlers}, Turn(), []
    for _ in range(times):
        found = choose(strategy, pool.values(), demand, turn)
        if found is None:
            break
        handler, turn = found
        turn = Turn.read(turn.stored())  # as it is kept between two
        given_to.append(handler.id)
        pool[handler.id] = Handler(
            handler.id, handler.online, handler.skills, handler.capacity, handler.load + 1, handler.weight
        )
    return given_to, pool


people = st.lists(
    st.builds(
        Handler,
        id=st.integers(1, 50).map(key),
        online=st.booleans(),
        skills=st.sampled_from([frozenset(), frozenset({SKILL})]),
        capacity=st.none() | st.integers(0, 12),
        load=st.integers(0, 12),
        weight=st.integers(1, 9),
    ),
    max_size=8,
    unique_by=lambda each: each.id,
)
STRATEGIES = ["round_robin", "least_load", "weighted"]


class TestAssignment:
    @settings(max_examples=60, deadline=None)
    @given(people, st.sampled_from(STRATEGIES), st.booleans(), st.booleans(), st.integers(1, 40))
    def test_only_who_is_online_skilled_and_below_capacity(self, handlers, strategy, skilled, online_only, times):
        demand = Demand(required=frozenset({SKILL} if skilled else ()), online_only=online_only)
        given_to, pool = run(strategy, handlers, times, demand)
        began = {each.id: each for each in handlers}
        for staff_id in given_to:
            assert began[staff_id].online or not online_only
            assert SKILL in began[staff_id].skills or not skilled
        for each in pool.values():
            assert each.capacity is None or each.load <= max(each.capacity, began[each.id].load)
        if len(given_to) < times:
            assert all(
                not each.has_room or (online_only and not each.online) or (skilled and SKILL not in each.skills)
                for each in pool.values()
            )

    @settings(max_examples=40, deadline=None)
    @given(st.integers(1, 9), st.integers(0, 60), st.sampled_from(STRATEGIES))
    def test_spread_is_one_at_most(self, members, times, strategy):
        given_to, _ = run(strategy, [Handler(key(n)) for n in range(1, members + 1)], times)
        counted = Counter({key(n): 0 for n in range(1, members + 1)})
        counted.update(given_to)
        assert max(counted.values()) - min(counted.values()) <= 1

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 3))
    def test_weights_are_met_exactly(self, weights, rounds):
        handlers = [Handler(key(n), weight=weight) for n, weight in enumerate(weights, 1)]
        given_to, _ = run("weighted", handlers, rounds * sum(weights))
        assert Counter(given_to) == {key(n): rounds * weight for n, weight in enumerate(weights, 1)}

    def test_weights_are_spread_out_not_in_blocks(self):
        # The example of nginx's commit: weights 5, 1, 1 give a a b a c a a.
        handlers = [Handler(key(n), weight=weight) for n, weight in ((1, 5), (2, 1), (3, 1))]
        given_to, _ = run("weighted", handlers, 7)
        assert [each.int for each in given_to] == [1, 1, 2, 1, 3, 1, 1]

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.integers(0, 20), min_size=1, max_size=6), st.integers(0, 60))
    def test_least_load_never_widens_the_gap(self, loads, times):
        _, pool = run("least_load", [Handler(key(n), load=load) for n, load in enumerate(loads, 1)], times)
        after = [each.load for each in pool.values()]
        assert max(after) - min(after) <= max(1, max(loads) - min(loads))

    def test_who_was_away_is_not_flooded(self):
        turn, gone = Turn(last=key(2)), [Handler(key(1)), Handler(key(2)), Handler(key(3), online=False)]
        for _ in range(10):
            _, turn = choose("round_robin", gone, Demand(), turn)
        back = [Handler(key(n)) for n in (1, 2, 3)]
        given_to = []
        for _ in range(6):
            handler, turn = choose("round_robin", back, Demand(), turn)
            given_to.append(handler.id.int)
        assert Counter(given_to) == {1: 2, 2: 2, 3: 2}

    def test_the_previous_one_keeps_it_and_no_turn_passes(self):
        handlers, turn = [Handler(key(1)), Handler(key(2))], Turn(last=key(2))
        assert choose("round_robin", handlers, Demand(previous=key(2)), turn) == (handlers[1], turn)

    def test_a_previous_one_who_is_off_does_not(self):
        handlers = [Handler(key(1)), Handler(key(2), online=False)]
        assert choose("round_robin", handlers, Demand(previous=key(2)), Turn())[0].id == key(1)

    @pytest.mark.parametrize(
        ("handlers", "reason"),
        [
            ([], "nobody_there"),
            ([Handler(key(1), skills=frozenset())], "no_skill"),
            ([Handler(key(1), False, frozenset({SKILL})), Handler(key(2))], "nobody_online"),
            (
                [Handler(key(1), False, frozenset({SKILL})), Handler(key(2), True, frozenset({SKILL}), 1, 1)],
                "no_capacity",
            ),
        ],
    )
    def test_what_is_lacking(self, handlers, reason):
        demand = Demand(required=frozenset({SKILL}))
        assert choose("least_load", handlers, demand, Turn()) is None
        assert obstacle(handlers, demand) == reason

    def test_work_is_passed_on_when_its_handler_is_off_but_not_when_full(self):
        assert must_pass_on(None, Demand())
        assert must_pass_on(Handler(key(1), online=False), Demand())
        assert not must_pass_on(Handler(key(1), capacity=1, load=5), Demand())

    def test_conditions(self):
        facts = {"source": "douyin", "tags": ["vip", "new"], "store_id": None}
        assert matches({}, facts)
        assert matches({"source": ["douyin", "taobao"], "tags": ["new"]}, facts)
        assert not matches({"source": ["taobao"]}, facts)
        assert not matches({"store_id": ["x"]}, facts)
        assert not matches({"city": ["x"]}, facts)


@st.composite
def teams(draw, weighted=False, bounded=True):
    """Return members whose customers have ids of their own."""
    members, number = [], 1000
    for n in range(1, draw(st.integers(1, 6)) + 1):
        load = draw(st.integers(0, 30))
        free = draw(st.integers(0, load))
        movable = tuple(key(number + each) for each in range(free))
        number += 1000
        members.append(
            Member(
                id=key(n),
                load=load,
                movable=movable,
                capacity=draw(st.none() | st.integers(0, 40)) if bounded else None,
                weight=draw(st.integers(1, 4)) if weighted else 1,
                leaving=draw(st.booleans()) if bounded else False,
            )
        )
    return members


class TestGini:
    @pytest.mark.parametrize(
        ("values", "wanted"),
        [([], 0), ([0, 0], 0), ([5, 5, 5], 0), ([0, 0, 0, 8], 0.75), ([1, 3], 0.25), ([1, 2, 3], 2 / 9)],
    )
    def test_known_values(self, values, wanted):
        assert gini(values) == pytest.approx(wanted)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(0, 1000), min_size=1, max_size=12), st.integers(1, 9))
    def test_is_the_mean_difference(self, values, factor):
        n, total = len(values), sum(values)
        pairs = sum(abs(a - b) for a in values for b in values)
        assert gini(values) == pytest.approx(pairs / (2 * n * total) if total else 0)
        assert 0 <= gini(values) <= 1 - 1 / n + 1e-9
        assert gini([factor * each for each in values]) == pytest.approx(gini(values))


class TestPlan:
    @settings(max_examples=100, deadline=None)
    @given(teams(weighted=True), st.integers(1, 60))
    def test_nobody_is_lost_doubled_pinned_or_overfilled(self, members, max_moves):
        found = plan(members, max_moves=max_moves)
        by_id = {each.id: each for each in members}
        assert sum(found.loads.values()) == sum(each.load for each in members)
        assert len({each.customer_id for each in found.moves}) == len(found.moves) <= max_moves
        for move in found.moves:
            assert move.customer_id in by_id[move.giver].movable
            assert move.giver != move.taker
            assert not by_id[move.taker].leaving
        for each in members:
            assert each.capacity is None or found.loads[each.id] <= max(each.capacity, each.load)
        # Nobody both gives and gets: that would be a move too many.
        assert not {each.giver for each in found.moves} & {each.taker for each in found.moves}

    @settings(max_examples=80, deadline=None)
    @given(teams())
    def test_fairness_never_gets_worse(self, members):
        # Leavers, and capacities that are exceeded already, come before fairness.
        members = [each for each in members if not each.leaving and (each.capacity or each.load) >= each.load]
        if any(each.capacity == 0 < each.load for each in members):
            return
        found = plan(members, max_moves=10_000)
        before = fairness(members, {each.id: each.load for each in members})
        assert fairness(members, found.loads) <= before + 1e-12

    @settings(max_examples=60, deadline=None)
    @given(teams(bounded=False))
    def test_is_as_even_as_can_be(self, members):
        """No single further move from a higher to a lower load would help."""
        loads = plan(members, max_moves=10_000).loads
        given_away = Counter()
        for move in plan(members, max_moves=10_000).moves:
            given_away[move.giver] += 1
        lowest = min(loads.values())
        for each in members:
            if len(each.movable) > given_away[each.id]:
                assert loads[each.id] - lowest <= 1 or loads[each.id] <= each.load - given_away[each.id] <= lowest + 1

    def test_a_leaver_gives_all_and_the_others_end_even(self):
        gone = Member(key(1), 10, tuple(key(100 + n) for n in range(10)), leaving=True)
        found = plan([gone, Member(key(2), 3), Member(key(3), 5), Member(key(4), 9)], max_moves=100)
        assert found.loads == {key(1): 0, key(2): 9, key(3): 9, key(4): 9}
        assert len(found.moves) == 10
        assert found.unplaced == 0

    def test_without_room_customers_stay_and_are_counted(self):
        gone = Member(key(1), 10, tuple(key(100 + n) for n in range(10)), leaving=True)
        found = plan([gone, Member(key(2), 3, capacity=5)], max_moves=100)
        assert found.loads == {key(1): 8, key(2): 5}
        assert found.unplaced == 8

    def test_who_should_go_first_goes_first(self):
        free = tuple(key(100 + n) for n in range(6))
        found = plan([Member(key(1), 6, free), Member(key(2), 0)], max_moves=100)
        assert [each.customer_id for each in found.moves] == list(free[:3])

    def test_who_is_due_goes_to_another_even_where_loads_are_even(self):
        mine, theirs = tuple(key(100 + n) for n in range(2)), tuple(key(200 + n) for n in range(2))
        members = [Member(key(1), 2, due=mine), Member(key(2), 2, theirs)]
        found = plan(members, max_moves=100)
        moved = {each.customer_id: each.taker for each in found.moves}
        assert moved == dict.fromkeys(mine, key(2)) | dict.fromkeys(theirs, key(1))
        assert (found.loads, found.unplaced) == ({key(1): 2, key(2): 2}, 0)
        # They come first; as many moves as there are of them, and nobody else goes.
        assert [each.customer_id for each in plan(members, max_moves=2).moves] == list(mine)
        full = [Member(key(1), 2, due=mine), Member(key(2), 2, capacity=3), Member(key(3), 0, leaving=True)]
        assert [(len(found.moves), found.unplaced) for found in [plan(full, max_moves=9)]] == [(1, 1)]

    def test_levels_respect_weights(self):
        free = tuple(key(100 + n) for n in range(12))
        assert levels([Member(key(1), 12, free, weight=1), Member(key(2), 0, weight=2)]) == {key(1): 4, key(2): 8}

    def test_levels_of_many_are_reckoned_at_once(self):
        members = [Member(key(n), n * 100, tuple(key(10**6 * n + m) for m in range(n * 100))) for n in range(1, 40)]
        wanted = sorted(levels(members).values())
        assert sum(wanted) == sum(each.load for each in members)
        assert all(b - a <= 1 for a, b in pairwise(wanted))
