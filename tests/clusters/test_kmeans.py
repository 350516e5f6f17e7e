"""Clusters of made-up customers whose groups are known; what the data must allow; words for a hand-made case."""

import numpy as np
import pytest

from crm_api.clusters import kmeans, picture, profile
from crm_api.clusters.features import FEATURES, Words, attribute_feature
from crm_api.clusters.kmeans import Plan, RefusedError

NAN = float("nan")


def plan(columns, **given):
    names = [f"x{place}" for place in range(columns)]
    asked = {"k": None, "min_k": 2, "max_k": 8, "seed": 0, "missing": "median", "logged": [False] * columns, **given}
    return Plan(names=names, **asked)


def blobs(centres, each, spread, seed=1):
    """Return points around centres, shuffled, and whose they are."""
    generator = np.random.default_rng(seed)
    truth = generator.permutation(np.repeat(np.arange(len(centres)), each))
    return np.array(centres, dtype=float)[truth] + generator.normal(0, spread, (len(truth), len(centres[0]))), truth


def partition(labels):
    """Return a partition as such: whatever the groups are called."""
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


CORNERS = [(0, 0), (10, 0), (0, 10), (10, 10)]


def test_separate_groups_are_found_exactly_and_counted_by_the_silhouette():
    rows, truth = blobs(CORNERS, 60, 0.5)
    found = kmeans.cluster(rows, plan(2))
    assert partition(found.labels) == partition(truth)
    assert [each.k for each in found.candidates] == list(range(2, 9))
    best = max(found.candidates, key=lambda each: each.silhouette)
    assert (best.k, len(found.centres)) == (4, 4)
    assert best.silhouette == pytest.approx(found.silhouette)
    assert found.silhouette > 0.8
    assert kmeans.structure(found.silhouette) == "strong"
    assert found.silhouettes == [pytest.approx(value, abs=0.05) for value in [found.silhouette] * 4]
    assert found.library.startswith("scikit-learn ")
    again = kmeans.cluster(rows.copy(), plan(2))
    assert np.array_equal(found.labels, again.labels)
    assert np.array_equal(found.points, again.points)
    assert found.candidates == again.candidates


def test_units_do_not_decide():
    """Two groups differ in days only; spend in fen has a thousand times the spread and says nothing."""
    generator = np.random.default_rng(3)
    days = np.repeat([10.0, 200.0], 100) + generator.normal(0, 3, 200)
    fen = generator.normal(500_000, 100_000, 200)
    found = kmeans.cluster(np.column_stack([days, fen]), plan(2, k=2))
    truth = partition(np.repeat([0, 1], 100))
    assert partition(found.labels) == truth
    in_yuan = kmeans.cluster(np.column_stack([days, fen / 100]), plan(2, k=2))
    assert np.array_equal(found.labels, in_yuan.labels)
    from sklearn.cluster import KMeans  # noqa: PLC0415

    raw = KMeans(2, n_init=10, random_state=0).fit(np.column_stack([days, fen]))
    assert partition(raw.labels_) != truth, "without standardising, fen decide everything"


def test_one_whale_does_not_decide_under_a_logarithm():
    spend = np.concatenate(
        [np.full(60, 10.0) + np.arange(60) / 60, np.full(59, 1000.0) + np.arange(59), [10_000_000.0]]
    )
    plain = kmeans.cluster(spend[:, None], plan(1, k=2))
    logged = kmeans.cluster(spend[:, None], plan(1, k=2, logged=[True]))
    low = np.arange(120) < 60
    assert partition(logged.labels) == partition(low)
    assert partition(plain.labels) != partition(low)


def test_what_is_missing_becomes_the_median_or_leaves_the_customer_out():
    rows, truth = blobs([(0, 0), (20, 20)], 40, 1)
    rows[::10, 0] = NAN
    filled = kmeans.prepare(rows, plan(2))
    assert filled.missing == [8, 0]
    assert set(filled.filled[::10, 0]) == {np.nanmedian(rows[:, 0])}
    left = kmeans.cluster(rows, plan(2, missing="leave_out", k=2))
    kept = np.arange(80) % 10 != 0
    assert np.array_equal(left.prepared.kept, kept)
    assert partition(left.labels) == partition(truth[kept])


def test_a_feature_that_does_not_vary_is_told_and_unused():
    rows, truth = blobs([(0, 0), (20, 20)], 40, 1)
    found = kmeans.cluster(np.column_stack([rows[:, 0], np.full(80, 0.1), rows[:, 1]]), plan(3))
    assert found.prepared.used == [0, 2]
    assert partition(found.labels) == partition(truth)


@pytest.mark.parametrize(
    ("matrix", "given", "code", "said"),
    [
        (np.empty((0, 2)), {}, "too_few_customers", "0 customers are too few for 2 clusters: at least 20 are needed"),
        (np.random.default_rng(0).random((39, 2)), {"k": 4}, "too_few_customers", "39 customers are too few for 4"),
        (np.ones((50, 2)), {}, "no_variance", "All customers have the same values"),
        (np.repeat([[0.1, 0.2], [0.3, 0.2]], 30, axis=0), {"k": 3}, "too_few_distinct", "differ in only 2 ways"),
        (np.column_stack([np.arange(50.0), np.full(50, NAN)]), {}, "no_values", "Nobody has a value for 'x1'"),
        (np.column_stack([np.arange(50.0) - 1, np.arange(50.0)]), {"logged": [True, True]}, "negative_values", "'x0'"),
        (
            np.column_stack([np.arange(50.0), np.where(np.arange(50) < 45, NAN, 1.0)]),
            {"missing": "leave_out"},
            "too_few_customers",
            "(45 of 50 were left out because a value is missing",
        ),
    ],
)
def test_refusals_say_what_would_help(matrix, given, code, said):
    with pytest.raises(RefusedError) as caught:
        kmeans.cluster(matrix, plan(2, **given))
    assert caught.value.code == code
    assert said in caught.value.en
    assert caught.value.shown().keys() == {"code", "en", "zh"}
    assert not caught.value.zh.isascii()


def test_two_distinct_customers_make_two_clusters():
    found = kmeans.cluster(np.repeat([[0.0, 1.0], [5.0, 1.0]], 15, axis=0), plan(2))
    assert partition(found.labels) == {frozenset(range(15)), frozenset(range(15, 30))}
    assert [each.k for each in found.candidates] == [2]
    assert found.silhouette == 1.0


def test_samples_of_many_give_the_same_groups(monkeypatch):
    for name, size in (("CHOICE_SAMPLE", 200), ("SILHOUETTE_SAMPLE", 100), ("PICTURE_SAMPLE", 50)):
        monkeypatch.setattr(kmeans, name, size)
    rows, truth = blobs(CORNERS, 250, 0.6)
    found = kmeans.cluster(rows, plan(2, seed=11))
    assert partition(found.labels) == partition(truth)
    assert found.points.shape == (50, 2)
    centres = sorted(np.round(found.centres * found.prepared.deviation + found.prepared.mean).tolist())
    assert centres == [[0, 0], [0, 10], [10, 0], [10, 10]]


class TestWords:
    FEATURES = (FEATURES["net_spend"], FEATURES["recency_days"], FEATURES["complaint_count"])

    def described(self, matrix, logged=(True, False, True), features=FEATURES):
        found = kmeans.cluster(matrix, plan(len(features), k=2, logged=list(logged)))
        return profile.profiles(matrix, features, logged, found)

    def test_of_a_hand_made_case(self):
        """Thirty spend 100 and came 64 days ago, twenty spend 1,000 and came 12 days ago; one complains."""
        many = [[100.0, 64.0, 1.0], [100.0, NAN, 0.0]] + [[100.0, 64.0, 0.0]] * 28
        few = [[1000.0, 12.0, 0.0]] * 20
        first, second = self.described(np.array(many + few))
        assert (first.size, first.share, second.size) == (30, 0.6, 20)
        assert first.name == Words("small spenders", "低消费")
        # The mean of all is 460; the median of the 49 known days is 64, which the first cluster's own equals.
        assert first.words == Words("spends 0.22× the average", "消费金额为平均的 0.22 倍")
        assert second.words == Words(
            "spends 2.2× the average, last purchase 12 days ago (median; all: 64)",
            "消费金额为平均的 2.2 倍，最近一次购买在 12 天前（中位数；全体：64）",
        )
        assert first.centroid["net_spend"] == pytest.approx(100)
        assert second.centroid["net_spend"] == pytest.approx(1000)
        assert second.centroid["recency_days"] == pytest.approx(12)
        assert first.centroid["recency_days"] == pytest.approx(64), "the median stands for the missing"
        [spend, recency, complaints] = second.differences
        assert (spend.feature.name, spend.mean, spend.all_mean) == ("net_spend", 1000, 460)
        assert (recency.median, recency.all_median) == (12, 64)
        assert (complaints.mean, complaints.all_mean, complaints.tellable) == (0, 0.02, False)
        assert second.name == Words("big spenders, bought lately", "高消费、近期购买")

    def test_of_nothing_shares_and_the_shops_own(self):
        own = attribute_feature("attributes.size", "number", Words("Size {x}", "尺码"))
        features = (FEATURES["complaint_count"], FEATURES["discount_share"], own)
        matrix = np.array([[0.0, 0.1, 40.0]] * 30 + [[6.0, 0.45, 20.5]] * 15)
        first, second = self.described(matrix, (True, False, False), features)
        assert first.words.en == "no complaints, 10% off the price (all: 22%), Size {x} 40 (mean; all: 34)"
        assert second.words == Words(
            "complains 3× as often as the average, 45% off the price (all: 22%), Size {x} 20 (mean; all: 34)",
            "投诉次数为平均的 3 倍，优惠占原价 45%（全体：22%），尺码 20（平均；全体：34）",
        )
        assert second.name.zh == "投诉多、爱优惠"

    def test_who_is_like_everybody_is_called_average(self):
        near = profile.Difference(FEATURES["net_spend"], 0.4, 1.1, 1.1, 1.0, 1.0)
        pointing_elsewhere = profile.Difference(FEATURES["net_spend"], -0.9, 1.1, 0.1, 1.0, 1.0)
        assert profile.told([pointing_elsewhere, near]) == (Words("average", "普通"), profile._PLAIN)


@pytest.mark.parametrize(
    ("words", "most", "lines"),
    [
        ("spends 3.1× the average", 3, ["spends 3.1×", "the average"]),
        ("spends 3.1× the average", 1, ["spends 3.1×…"]),
        ("消费金额为平均的 3 倍，近期", 3, ["消费金额为平", "均的 3 倍，", "近期"]),
        ("消费金额为平均的 3 倍，近期", 2, ["消费金额为平", "均的 3 倍，…"]),
        ("unbreakableword", 1, ["unbreakable…"]),
        ("x", 1, ["x"]),
    ],
)
def test_the_legend_breaks_lines_where_its_language_does(words, most, lines):
    assert picture._lines(words, 12, most) == lines
