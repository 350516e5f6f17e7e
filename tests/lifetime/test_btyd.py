"""The models against the papers, and against each other's formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from crm_api.lifetime import btyd

CDNOW = btyd.Purchases(0.2426, 4.4136, 0.7929, 2.4259, 0.0)
positive = st.floats(0.2, 10)
MODELS = st.builds(btyd.Purchases, positive, positive, st.floats(0.2, 5), positive, st.just(0.0)).filter(
    lambda model: abs(model.a - 1) > 0.01 and abs(model.a + model.b - 1) > 0.01
)


def one(value):
    return np.array([float(value)])


def test_the_customer_of_the_papers():
    """Fader, Hardie & Lee, "Computing P(alive) Using the BG/NBD Model" (2008) and the 2005 paper's spreadsheet note.

    Customer 0001: x = 2, t_x = 30.43, T = 38.86; the note expects 1.226 purchases in the next 39 weeks.
    """
    x, t_x, age = one(2), one(30.43), one(38.86)
    assert btyd.expected_purchases(CDNOW, x, t_x, age, 39.0)[0] == pytest.approx(1.226, abs=0.001)
    assert btyd.probability_alive(CDNOW, x, t_x, age)[0] == pytest.approx(0.7266, abs=0.001)


def test_who_never_bought_again_is_alive_by_the_model():
    assert btyd.probability_alive(CDNOW, one(0), one(0), one(38.86))[0] == 1.0


@given(MODELS, st.floats(0.5, 200))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_expected_repeats_are_the_integral_of_the_mixture(model, weeks):
    """E[X(t)] by its definition: (1 - exp(-rate p t)) / p, averaged over the gamma and the beta."""

    def given_p(p):
        return (1 - (model.alpha / (model.alpha + p * weeks)) ** model.r) / p

    # Gauss-Jacobi: the weight of the quadrature is the beta distribution itself.
    nodes, weights = special.roots_jacobi(80, model.b - 1, model.a - 1)
    expected = np.sum(weights * given_p((1 + nodes) / 2)) / np.sum(weights)
    assert btyd.expected_repeats(model, one(weeks))[0] == pytest.approx(expected, rel=1e-2)


@given(MODELS, st.integers(0, 60), st.floats(0, 1), st.floats(1, 300), st.floats(1, 100))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_what_must_hold_of_any_customer(model, x, share, age, weeks):
    t_x = age * share if x else 0.0
    alive = btyd.probability_alive(model, one(x), one(t_x), one(age))[0]
    assert 0 <= alive <= 1
    later = btyd.probability_alive(model, one(x), one(t_x), one(age + 10))[0]
    assert later <= alive + 1e-12, "silence never makes it more likely"
    soon = btyd.expected_purchases(model, one(x), one(t_x), one(age), weeks)[0]
    far = btyd.expected_purchases(model, one(x), one(t_x), one(age), weeks * 2)[0]
    assert 0 <= soon <= far + 1e-3 * (1 + far), "further ahead, not fewer (up to what cancels out)"


def test_parameters_that_made_the_data_are_found_again():
    rng = np.random.default_rng(7)
    r, alpha, a, b = 0.8, 6.0, 0.9, 2.5
    x, t_x, age = [], [], []
    for _ in range(6000):
        rate, leave, end = rng.gamma(r, 1 / alpha), rng.beta(a, b), rng.uniform(30, 100)
        at, count, last = rng.exponential(1 / rate), 0, 0.0
        while at <= end:
            count, last = count + 1, at
            if rng.random() < leave:
                break
            at += rng.exponential(1 / rate)
        x.append(count)
        t_x.append(last)
        age.append(end)
    histories = btyd.Histories(np.array(x, float), np.array(t_x), np.array(age), np.ones(len(x)))
    found = btyd.fit_purchases(histories)
    assert (found.r, found.alpha) == (pytest.approx(r, rel=0.1), pytest.approx(alpha, rel=0.1))
    assert found.a / (found.a + found.b) == pytest.approx(a / (a + b), rel=0.1)


def test_spend_moves_from_everybodys_mean_to_the_customers_own():
    model = btyd.Spend(6.25, 3.744, 15.44, 0.0)
    everybody = model.p * model.gamma / (model.q - 1)
    values = btyd.expected_value(model, np.array([0.0, 1.0, 10.0, 1000.0]), np.array([0.0, 100.0, 100.0, 100.0]))
    assert values[0] == pytest.approx(everybody)
    assert everybody < values[1] < values[2] < values[3] < 100.01


def test_data_without_a_maximum_are_refused():
    never_again = btyd.Histories.of([0] * 50, [0] * 50, [300] * 50)
    with pytest.raises(btyd.NoFitError):
        btyd.fit_purchases(never_again)
