"""k-means over standardised features: which customers are alike. Pure; seconds of CPU, so run it off the event loop.

k-means (S. Lloyd, Least squares quantization in PCM, 1982) with k-means++ starts (Arthur & Vassilvitskii 2007) as
scikit-learn has it. How many clusters there are is told by the mean silhouette (P. Rousseeuw, Silhouettes, 1987): of a
customer, how much nearer the own cluster is than the next, from -1 to 1.

The same rows in the same order, the same seed and the same library give the same answer to the last bit. That takes one
thread: scikit-learn's threads add up the centres in whatever order they come.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Missing = Literal["median", "leave_out"]

MIN_PER_CLUSTER: Final = 10
"""Customers there must be for each cluster asked for: fewer are no group but some people."""
CHOICE_SAMPLE: Final = 20_000
"""Customers that the number of clusters, and their first centres, are found with."""
SILHOUETTE_SAMPLE: Final = 5_000
"""Silhouettes compare everybody with everybody: 25 million distances for these."""
PICTURE_SAMPLE: Final = 1_200
STARTS: Final = 10
_CONSTANT: Final = 1e-9
"""A standard deviation below this part of the mean is rounding."""
_MEMORY_MIB: Final = 64
"""Of one block of distances; the whole matrix of the sample would take 200."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for.

    Attributes:
        names: of the features, one per column.
        logged: which columns are taken as log(1 + x).
        k: clusters wanted; None chooses from the range.
        min_k: of the range.
        max_k: of the range.
        seed: of all that is drawn.
        missing: ``median`` puts the median of those who have a value in place of a missing one; ``leave_out`` leaves
            customers out who lack one.

    """

    names: Sequence[str]
    logged: Sequence[bool]
    k: int | None
    min_k: int
    max_k: int
    seed: int
    missing: Missing


class RefusedError(ValueError):
    """The data do not allow it.

    Attributes:
        code: stable.
        en: why, and what would help.
        zh: likewise.

    """

    def __init__(self, code: str, en: str, zh: str) -> None:
        """Say why."""
        super().__init__(en)
        self.code, self.en, self.zh = code, en, zh

    def shown(self) -> dict[str, str]:
        """Return it as it is stored and shown."""
        return {"code": self.code, "en": self.en, "zh": self.zh}


@dataclass(frozen=True, slots=True)
class Prepared:
    """Customers ready to be compared.

    Attributes:
        kept: rows of the matrix that take part.
        filled: their values in original units, medians in place of what was missing, (customers, features).
        standard: transformed, mean 0 and standard deviation 1, only the features that vary, (customers, used).
        used: columns that vary.
        missing: customers without a value, by column.
        mean: of the transformed values, by used column.
        deviation: their standard deviation (of the population), by used column.

    """

    kept: NDArray[np.bool_]
    filled: Floats
    standard: Floats
    used: list[int]
    missing: list[int]
    mean: Floats
    deviation: Floats


@dataclass(frozen=True, slots=True)
class Candidate:
    """A number of clusters that was tried.

    Attributes:
        k: the number.
        silhouette: mean over the sample.
        inertia: sum of squared distances to the nearest centre, per customer.

    """

    k: int
    silhouette: float
    inertia: float


@dataclass(frozen=True, slots=True)
class Clustered:
    """What came out; clusters are numbered from 0, the largest first.

    Attributes:
        prepared: what was compared.
        labels: cluster of each kept customer.
        centres: in standardised units, (k, used).
        candidates: what was tried, by k.
        silhouette: mean over the sample.
        silhouettes: mean over each cluster's part of the sample, None where it has none.
        picture: rows of the kept customers that the picture shows.
        points: their two principal components, (picture, 2).
        explained: share of the variance along each of the two.
        library: name and version of what did it.

    """

    prepared: Prepared
    labels: Labels
    centres: Floats
    candidates: list[Candidate]
    silhouette: float
    silhouettes: list[float | None]
    picture: Labels
    points: Floats
    explained: tuple[float, float]
    library: str


def prepare(matrix: Floats, plan: Plan) -> Prepared:
    """Deal with what is missing, transform and standardise.

    Args:
        matrix: (customers, features) in original units; NaN is missing.
        plan: what was asked for.

    Raises:
        RefusedError: too few are left, a feature has no value or a negative one under a logarithm, or nothing varies.

    """
    absent = np.isnan(matrix)
    missing = [int(count) for count in absent.sum(axis=0)]
    for name, count in zip(plan.names, missing, strict=True):
        if len(matrix) and count == len(matrix):
            raise RefusedError(
                "no_values",
                f"Nobody has a value for '{name}': leave it out, or choose other customers",
                f"没有客户具有“{name}”的值：请去掉该特征或选择其他客户",
            )
    kept: NDArray[np.bool_] = np.ones(len(matrix), dtype=np.bool_)
    if plan.missing == "leave_out":
        kept = np.asarray(~absent.any(axis=1))
    _require_enough(int(kept.sum()), len(matrix), plan)
    filled = matrix[kept]
    if plan.missing == "median":
        filled = np.where(np.isnan(filled), np.nanmedian(filled, axis=0), filled)
    return _standardised(filled, kept, missing, plan)


def _require_enough(left: int, there: int, plan: Plan) -> None:
    wanted = MIN_PER_CLUSTER * (plan.k or plan.min_k)
    if left >= wanted:
        return
    without = there - left
    en = f" ({without} of {there} were left out because a value is missing: choose `median`, or other features)"
    zh = f"（{there} 位中有 {without} 位因缺少数值被排除：可改用 `median` 或其他特征）"
    raise RefusedError(
        "too_few_customers",
        f"{left} customers are too few for {plan.k or plan.min_k} clusters: at least {wanted} are needed"
        + (en if without else ""),
        f"{left} 位客户不足以分为 {plan.k or plan.min_k} 群：至少需要 {wanted} 位" + (zh if without else ""),
    )


def _standardised(filled: Floats, kept: NDArray[np.bool_], missing: list[int], plan: Plan) -> Prepared:
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415 - scikit-learn takes a second, only workers need it

    transformed = filled.copy()
    for column, (name, logged) in enumerate(zip(plan.names, plan.logged, strict=True)):
        if logged:
            if filled[:, column].min() < 0:
                raise RefusedError(
                    "negative_values",
                    f"'{name}' has negative values, which have no logarithm: choose the transform 'none' for it",
                    f"“{name}”含有负值，无法取对数：请为其选择变换方式 none",
                )
            transformed[:, column] = np.log1p(filled[:, column])
    spread, middle = transformed.std(axis=0), np.abs(transformed.mean(axis=0))
    used = [int(column) for column in np.flatnonzero(spread > _CONSTANT * np.maximum(1.0, middle))]
    if not used:
        raise RefusedError(
            "no_variance",
            "All customers have the same values: choose features that tell them apart, or other customers",
            "所有客户的数值完全相同：请选择能区分客户的特征，或选择其他客户",
        )
    scaler = StandardScaler().fit(transformed[:, used])
    return Prepared(kept, filled, scaler.transform(transformed[:, used]), used, missing, scaler.mean_, scaler.scale_)


def cluster(matrix: Floats, plan: Plan) -> Clustered:
    """Find the clusters.

    Args:
        matrix: (customers, features) in original units; NaN is missing. Rows in an order that is always the same.
        plan: what was asked for.

    Raises:
        RefusedError: the data do not allow it.

    """
    import sklearn  # noqa: PLC0415 - as above
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    with threadpool_limits(limits=1), sklearn.config_context(working_memory=_MEMORY_MIB):
        return _cluster(prepare(matrix, plan), plan, f"scikit-learn {sklearn.__version__}")


def _cluster(prepared: Prepared, plan: Plan, library: str) -> Clustered:
    rows, generator = prepared.standard, np.random.default_rng(plan.seed)
    some = _drawn(generator, len(rows), CHOICE_SAMPLE)
    judged = _drawn(generator, len(rows), SILHOUETTE_SAMPLE)
    shown = _drawn(generator, len(rows), PICTURE_SAMPLE)
    candidates, first = _best(rows[some], rows[judged], _range(rows[some], plan), plan.seed)
    labels, centres = _settled(rows, first, whole=len(some) == len(rows))
    mean, each = _silhouettes(rows[judged], labels[judged], len(centres))
    points, explained = _projected(rows[some], rows[shown])
    return Clustered(prepared, labels, centres, candidates, mean, each, shown, points, explained, library)


def _range(rows: Floats, plan: Plan) -> list[int]:
    """Return the numbers of clusters to try."""
    distinct = len(np.unique(rows, axis=0))
    least = plan.k or plan.min_k
    if distinct < least:
        raise RefusedError(
            "too_few_distinct",
            f"Customers differ in only {distinct} ways, which make no {least} clusters: choose fewer, or more features",
            f"客户仅有 {distinct} 种不同取值，无法分为 {least} 群：请减少群数或增加特征",
        )
    if plan.k is not None:
        return [plan.k]
    return list(range(plan.min_k, min(plan.max_k, distinct, len(rows) // MIN_PER_CLUSTER) + 1))


def _drawn(generator: np.random.Generator, there: int, wanted: int) -> Labels:
    """Return the rows of a sample, in order; all of them where there are not more."""
    if there <= wanted:
        return np.arange(there)
    return np.sort(generator.choice(there, wanted, replace=False))


def _best(rows: Floats, judged: Floats, ks: Sequence[int], seed: int) -> tuple[list[Candidate], Any]:
    """Try each number of clusters; return what was tried and the best model (of equals the one with fewest)."""
    from sklearn.cluster import KMeans  # noqa: PLC0415 - as above

    tried: list[Candidate] = []
    best: Any = None
    height = -np.inf
    for k in ks:
        model = KMeans(n_clusters=k, n_init=STARTS, random_state=seed).fit(rows)
        mean, _ = _silhouettes(judged, model.predict(judged), k)
        tried.append(Candidate(k, mean, float(model.inertia_) / len(rows)))
        if mean > height:
            best, height = model, mean
    return tried, best


def _settled(rows: Floats, model: Any, *, whole: bool) -> tuple[Labels, Floats]:
    """Return everybody's cluster and the centres, the largest cluster first.

    A model of a sample goes on from its centres over all rows until nothing moves.
    """
    from sklearn.cluster import KMeans  # noqa: PLC0415 - as above

    if not whole:
        model = KMeans(n_clusters=len(model.cluster_centers_), init=model.cluster_centers_, n_init=1).fit(rows)
    sizes = np.bincount(model.labels_, minlength=len(model.cluster_centers_))
    order = sorted(np.flatnonzero(sizes), key=lambda place: (-sizes[place], *model.cluster_centers_[place]))
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[model.labels_], np.asarray(model.cluster_centers_[order], dtype=np.float64)


def _silhouettes(rows: Floats, labels: Labels, k: int) -> tuple[float, list[float | None]]:
    """Return the mean silhouette, and that of each cluster; 0 where the sample lies in one cluster."""
    from sklearn.metrics import silhouette_samples  # noqa: PLC0415 - as above

    present = np.unique(labels)
    if len(present) < 2 or len(present) == len(rows):  # noqa: PLR2004 - silhouettes compare two clusters
        return 0.0, [None] * k
    values = silhouette_samples(rows, labels)
    each = [float(values[labels == place].mean()) if place in present else None for place in range(k)]
    return float(values.mean()), each


def _projected(rows: Floats, shown: Floats) -> tuple[Floats, tuple[float, float]]:
    """Return the first two principal components of some rows, and the share of variance along each."""
    from sklearn.decomposition import PCA  # noqa: PLC0415 - as above

    if rows.shape[1] == 1:
        return np.column_stack([shown[:, 0], np.zeros(len(shown))]), (1.0, 0.0)
    model = PCA(n_components=2, svd_solver="full").fit(rows)
    first, second = (float(share) for share in model.explained_variance_ratio_)
    return np.asarray(model.transform(shown)), (first, second)


def structure(silhouette: float) -> Literal["strong", "reasonable", "weak", "none"]:
    """Return what a mean silhouette says (Kaufman & Rousseeuw, Finding Groups in Data, 1990, table 4)."""
    for least, name in ((0.7, "strong"), (0.5, "reasonable"), (0.25, "weak")):
        if silhouette > least:
            return name  # type: ignore[return-value]
    return "none"
