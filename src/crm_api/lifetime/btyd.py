"""Buy till you die: BG/NBD and Gamma-Gamma, fitted by maximum likelihood.

BG/NBD: P. Fader, B. Hardie, K. L. Lee, "Counting Your Customers" the Easy Way: An Alternative to the Pareto/NBD Model,
Marketing Science 24 (2005). Each customer buys at a rate drawn from a gamma distribution (shape r, rate alpha) and may
leave after every purchase with a probability drawn from a beta distribution (a, b). Gamma-Gamma: P. Fader, B. Hardie,
The Gamma-Gamma Model of Monetary Value (2013): the value of a customer's purchases varies around a mean of the
customer's own, and that mean between customers; it must not depend on how often the customer buys.

Times are weeks. Arrays have one element per customer (or per distinct history, with weights); everything is computed in
logarithms, so long histories neither overflow nor underflow.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Floats = NDArray[np.float64]

WEEK: Final = 7
_STARTS: Final = ((0.5, 5.0, 1.0, 2.0), (1.0, 10.0, 0.5, 5.0), (0.1, 1.0, 1.0, 1.0))
_BOUND: Final = 15.0
"""Of the logarithm of a parameter: one that runs there has no maximum inside."""

_GAP: Final = 1e-7
"""Half of a double's digits."""


class NoFitError(ValueError):
    """The likelihood has no maximum that can be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Histories:
    """What each customer did until the end of the calibration.

    Attributes:
        x: repeat purchases: days with a purchase after the first such day.
        t_x: weeks from the first to the last purchase; 0 when x is 0.
        age: weeks from the first purchase to the end of the calibration (T in the papers).
        weight: customers with that history.

    """

    x: Floats
    t_x: Floats
    age: Floats
    weight: Floats

    @classmethod
    def of(cls, x: Any, t_x_days: Any, age_days: Any) -> "Histories":
        """Make them from whole days, one element per customer; equal histories are counted, not repeated."""
        rows = np.stack([np.asarray(each, dtype=np.int64) for each in (x, t_x_days, age_days)], axis=1)
        distinct, counts = np.unique(rows, axis=0, return_counts=True)
        columns = distinct.T.astype(np.float64)
        return cls(columns[0], columns[1] / WEEK, columns[2] / WEEK, counts.astype(np.float64))


@dataclass(frozen=True, slots=True)
class Purchases:
    """A fitted BG/NBD model.

    Attributes:
        r: shape of the purchase rates.
        alpha: their rate parameter, in weeks.
        a: first parameter of the probabilities of leaving.
        b: second.
        log_likelihood: at the maximum.

    """

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float


@dataclass(frozen=True, slots=True)
class Spend:
    """A fitted Gamma-Gamma model.

    Attributes:
        p: shape of a customer's purchases' values.
        q: shape of the customers' own scales.
        gamma: scale of these, in the unit of the values.
        log_likelihood: at the maximum.

    """

    p: float
    q: float
    gamma: float
    log_likelihood: float


def _purchases_likelihood(theta: Floats, histories: Histories) -> float:
    """Return ln L of the BG/NBD model (Fader, Hardie & Lee 2005, eq. 6, in the form of their Excel note)."""
    r, alpha, a, b = np.exp(theta)
    x, t_x, age = histories.x, histories.t_x, histories.age
    buying = special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha)
    staying = special.gammaln(a + b) + special.gammaln(b + x) - special.gammaln(b) - special.gammaln(a + b + x)
    alive = -(r + x) * np.log(alpha + age)
    # Who never bought again cannot have left: leaving follows a repeat purchase.
    gone = np.where(x > 0, np.log(a) - np.log(np.where(x > 0, b + x - 1, 1.0)) - (r + x) * np.log(alpha + t_x), -np.inf)
    return float(np.sum(histories.weight * (buying + staying + np.logaddexp(alive, gone))))


def _climb(likelihood: Any, starts: tuple[tuple[float, ...], ...]) -> tuple[Floats, float]:
    """Return the parameters of the highest point found from several starts, and its height.

    Raises:
        NoFitError: no search ended, or the maximum lies at the edge of what can be told.

    """
    best: Any = None
    for start in starts:
        found = optimize.minimize(
            lambda theta: -likelihood(theta),
            np.log(start),
            method="L-BFGS-B",
            bounds=[(-_BOUND, _BOUND)] * len(start),
            options={"maxiter": 1000, "ftol": 1e-13, "gtol": 1e-7},
        )
        if np.isfinite(found.fun) and (best is None or found.fun < best.fun):
            best = found
    if best is None:
        raise NoFitError("the likelihood could not be computed")
    if np.any(np.abs(best.x) > _BOUND - 1e-6):
        raise NoFitError("the likelihood grows without end: the histories do not tell the parameters apart")
    return np.exp(best.x), -float(best.fun)


def fit_purchases(histories: Histories) -> Purchases:
    """Fit BG/NBD.

    Raises:
        NoFitError: there is no usable maximum.

    """
    parameters, height = _climb(lambda theta: _purchases_likelihood(theta, histories), _STARTS)
    r, alpha, a, b = (float(each) for each in parameters)
    return Purchases(r, alpha, a, b, height)


def probability_alive(model: Purchases, x: Floats, t_x: Floats, age: Floats) -> Floats:
    """Return each customer's probability of still being one (Fader, Hardie & Lee 2008, "Computing P(alive)")."""
    odds = np.log(model.a) - np.log(np.where(x > 0, model.b + x - 1, 1.0))
    odds = odds + (model.r + x) * (np.log(model.alpha + age) - np.log(model.alpha + t_x))
    return np.where(x > 0, special.expit(-odds), 1.0)


def expected_purchases(model: Purchases, x: Floats, t_x: Floats, age: Floats, weeks: float) -> Floats:
    """Return each customer's expected number of purchases in the next ``weeks`` (2005 paper, eq. 10)."""
    r, alpha, a, b = model.r, model.alpha, *_beside_gaps(model.a, model.b)
    ahead = weeks / (alpha + age + weeks)
    shrunk = _shrunk(r + x, b + x, a + b + x - 1, ahead)
    if_alive = (a + b + x - 1) / (a - 1) * (1 - shrunk)
    return np.asarray(np.maximum(if_alive * probability_alive(model, x, t_x, age), 0.0))


def expected_repeats(model: Purchases, weeks: Floats) -> Floats:
    """Return the expected repeat purchases of a new customer in the first ``weeks`` (2005 paper, eq. 9)."""
    r, alpha, a, b = model.r, model.alpha, *_beside_gaps(model.a, model.b)
    ahead = weeks / (alpha + weeks)
    shrunk = _shrunk(r, b, a + b - 1, ahead)
    return np.asarray((a + b - 1) / (a - 1) * (1 - shrunk))


def _shrunk(p: Any, q: Any, c: Any, z: Any) -> Any:
    """Return (1 - z)^p 2F1(p, q; c; z), which both expectations are made of.

    The function overflows where the power vanishes. Then Euler's transformation (DLMF 15.8.1) is tried, which does so
    elsewhere; where both do, the product is nothing.
    """
    with np.errstate(all="ignore"):
        plain = (1 - z) ** p * special.hyp2f1(p, q, c, z)
        turned = (1 - z) ** (c - q) * special.hyp2f1(c - p, c - q, c, z)
    return np.where(np.isfinite(plain), plain, np.where(np.isfinite(turned), turned, 0.0))


def _beside_gaps(a: float, b: float) -> tuple[float, float]:
    """Return ``a`` and ``b`` a little beside the gaps of the closed forms, a = 1 and a + b = 1, which are removable."""
    a = a if abs(a - 1) > _GAP else 1 + _GAP
    return a, b if abs(a + b - 1) > _GAP else b + 2 * _GAP


def _spend_likelihood(theta: Floats, x: Floats, mean: Floats) -> float:
    """Return ln L of the Gamma-Gamma model (Fader & Hardie 2013, eq. 1a)."""
    p, q, gamma = np.exp(theta)
    return float(
        np.sum(
            special.gammaln(p * x + q)
            - special.gammaln(p * x)
            - special.gammaln(q)
            + q * np.log(gamma)
            + (p * x - 1) * np.log(mean)
            + p * x * np.log(x)
            - (p * x + q) * np.log(gamma + mean * x)
        )
    )


def fit_spend(x: Floats, mean: Floats) -> Spend:
    """Fit Gamma-Gamma to customers with repeat purchases.

    Args:
        x: repeat purchases, at least 1.
        mean: their mean value, above 0.

    Raises:
        NoFitError: there is no usable maximum.

    """
    scale = float(np.mean(mean))  # the search is easier where values are about 1; gamma is in their unit
    parameters, height = _climb(
        lambda theta: _spend_likelihood(theta, x, mean / scale), ((1.0, 2.0, 1.0), (5.0, 3.0, 0.5), (0.5, 5.0, 5.0))
    )
    p, q, gamma = (float(each) for each in parameters)
    if q <= 1:
        raise NoFitError("values vary so much between customers that they have no mean")
    return Spend(p, q, gamma * scale, height - len(x) * float(np.log(scale)))


def expected_value(model: Spend, x: Floats, mean: Floats) -> Floats:
    """Return each customer's expected value of a purchase (2013 note, eq. 5).

    It is the mean of everybody, moved the further towards the customer's own the more purchases are known of it.
    """
    return np.asarray(model.p * (model.gamma + mean * x) / (model.p * x + model.q - 1))
