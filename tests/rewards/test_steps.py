"""Which way a redemption can go: no database."""

from itertools import product

from crm_api.rewards.rules import STEPS, next_state


def test_the_listed_steps_are_all_there_are():
    states, steps = ("requested", "confirmed", "fulfilled", "cancelled"), ("confirm", "fulfil", "cancel")
    possible = {pair for pair in product(states, steps) if next_state(*pair) is not None}
    assert possible == STEPS.keys()
    assert not {state for state, _ in possible} & {"fulfilled", "cancelled"}
