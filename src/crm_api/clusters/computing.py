"""From customers' values to all that is stored of a clustering: what the job's thread does. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np

from crm_api.clusters import kmeans, profile
from crm_api.clusters.features import Feature
from crm_api.clusters.kmeans import Floats, Plan, RefusedError


class Matrix:
    """Customers' values as they come in, a chunk at a time."""

    def __init__(self, features: Sequence[Feature], minor: int) -> None:
        """Begin empty; ``minor`` is how many minor units of the currency a major one has."""
        self.features = features
        self.minor = minor
        self.ids: list[UUID] = []
        self._parts: list[Floats] = []

    def add(self, rows: Sequence[Any]) -> None:
        """Take in rows of (id, values …); amounts in minor units, None is missing."""
        self.ids += [row[0] for row in rows]
        part = np.array([tuple(row)[1:] for row in rows], dtype=np.float64).reshape(len(rows), len(self.features))
        for column, feature in enumerate(self.features):
            if feature.kind == "money":
                part[:, column] /= self.minor
        self._parts.append(part)

    def whole(self) -> Floats:
        """Return (customers, features) in original units; NaN is missing."""
        return np.concatenate(self._parts) if self._parts else np.empty((0, len(self.features)))


@dataclass(slots=True)
class Outcome:
    """What is stored.

    Attributes:
        values: columns of the clustering.
        clusters: rows of the clusters, without ids.
        assigned: (position, customer), in the order of both.
        refused: why there are none; None otherwise.

    """

    values: dict[str, Any]
    clusters: list[dict[str, Any]] = field(default_factory=list)
    assigned: list[tuple[int, UUID]] = field(default_factory=list)
    refused: dict[str, str] | None = None


def compute(matrix: Matrix, row: Mapping[str, Any]) -> Outcome:
    """Cluster and describe.

    Args:
        matrix: who and what.
        row: the clustering: ``features``, ``k``, ``min_k``, ``max_k``, ``seed``, ``missing``, ``currency``.

    """
    values, stored = matrix.whole(), row["features"]
    logged = [each["transform"] == "log1p" for each in stored]
    plan = Plan(
        [each["name"] for each in stored], logged, row["k"], row["min_k"], row["max_k"], row["seed"], row["missing"]
    )
    missing = np.isnan(values).sum(axis=0)
    counted = [{**each, "missing": int(count)} for each, count in zip(stored, missing, strict=True)]
    try:
        found = kmeans.cluster(values, plan)
    except RefusedError as refusal:
        return Outcome({"features": counted}, refused=refusal.shown())
    return _outcome(matrix, values, counted, logged, row["currency"], found)


def _outcome(
    matrix: Matrix,
    values: Floats,
    counted: Sequence[Mapping[str, Any]],
    logged: Sequence[bool],
    currency: str | None,
    found: kmeans.Clustered,
) -> Outcome:
    used = set(found.prepared.used)

    def money(amount: float) -> dict[str, Any]:
        return {"amount": round(amount * matrix.minor), "currency": currency}

    kept = [matrix.ids[place] for place in np.flatnonzero(found.prepared.kept)]
    positions = [int(label) + 1 for label in found.labels]
    points = [
        [round(float(x), 3), round(float(y), 3), positions[place]]
        for place, (x, y) in zip(found.picture, found.points, strict=True)
    ]
    clusters = [
        _cluster_row(place, each, matrix.features, money)
        for place, each in enumerate(profile.profiles(values, matrix.features, logged, found), 1)
    ]
    return Outcome(
        {
            "features": [{**each, "used": column in used} for column, each in enumerate(counted)],
            "customers": len(kept),
            "left_out": len(matrix.ids) - len(kept),
            "clusters_found": len(clusters),
            "silhouette": found.silhouette,
            "structure": kmeans.structure(found.silhouette),
            "tried": [
                {"k": each.k, "silhouette": each.silhouette, "inertia": each.inertia} for each in found.candidates
            ],
            "picture": {"points": points, "explained": list(found.explained)},
            "library": found.library,
        },
        clusters,
        sorted(zip(positions, kept, strict=True)),
    )


def _cluster_row(place: int, each: profile.Profile, features: Sequence[Feature], money: Any) -> dict[str, Any]:
    amounts = {feature.name for feature in features if feature.kind == "money"}
    return {
        "position": place,
        "name_en": each.name.en,
        "name_zh": each.name.zh,
        "profile_en": each.words.en,
        "profile_zh": each.words.zh,
        "size": each.size,
        "share": each.share,
        "silhouette": each.silhouette,
        "centroid": {name: money(value) if name in amounts else value for name, value in each.centroid.items()},
        "differences": [profile.shown(difference, money) for difference in each.differences],
    }
