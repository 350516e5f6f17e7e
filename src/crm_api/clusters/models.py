"""Clusterings: inputs and wire shapes."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints
from pydantic.config import JsonDict

from crm_api.clusters.features import FeatureKind, Transform
from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.money import Currency, Money
from crm_api.core.rules import RuleTree
from crm_api.core.text import Caption

ClusteringState = Literal["queued", "running", "completed", "refused", "failed"]
Phase = Literal["reading", "clustering", "segmenting", "done"]
MissingPolicy = Literal["median", "leave_out"]
Structure = Literal["strong", "reasonable", "weak", "none"]

MIN_K, MAX_K = 2, 12
DEFAULT_MAX_K = 8
MAX_FEATURES = 20
MAX_SEED = 2**31 - 1

_RULE: JsonDict = {"field": "order_count", "op": "gte", "value": 1}
_FEATURES: list[JsonDict] = [{"name": "recency_days"}, {"name": "order_count"}, {"name": "net_spend"}]


class FeatureChoice(Input):
    """A feature to tell customers apart by."""

    model_config = with_examples({"name": "net_spend", "transform": "log1p"})

    name: Annotated[str, StringConstraints(min_length=1, max_length=80)] = Field(
        description="As `GET /v1/clustering-features` lists it; `attributes.<key>` for one of the shop's own.",
        examples=["net_spend"],
    )
    transform: Literal["auto", "none", "log1p"] = Field(
        default="auto",
        description="`log1p` compares log(1 + x), so that a few very large values do not decide everything; `auto` "
        "does so for amounts and counts.",
    )


class ClusteringCreate(Input):
    """Customers to group by what they are like."""

    model_config = with_examples(
        {"name": "客户价值", "features": [*_FEATURES], "rule": _RULE},
        {"name": "Four groups", "features": [*_FEATURES], "k": 4, "seed": 7, "missing": "leave_out"},
    )

    name: Caption = Field(description="What staff call it; its segments begin with it. Unique.", examples=["客户价值"])
    features: list[FeatureChoice] = Field(
        min_length=1, max_length=MAX_FEATURES, description="What is compared, each feature once.", examples=[_FEATURES]
    )
    rule: RuleTree | None = Field(
        default=None, examples=[_RULE], description="Only customers this rule selects now; everybody if left out."
    )
    segment_id: UUID | None = Field(default=None, description="Only members of this segment, instead of a rule.")
    k: int | None = Field(
        strict=True,
        default=None,
        ge=MIN_K,
        le=MAX_K,
        description="How many clusters; chosen from the range if left out.",
    )
    min_k: int = Field(
        strict=True, default=MIN_K, ge=MIN_K, le=MAX_K, description="Fewest clusters to try, when `k` is left out."
    )
    max_k: int = Field(
        strict=True,
        default=DEFAULT_MAX_K,
        ge=MIN_K,
        le=MAX_K,
        description="Most clusters to try, when `k` is left out.",
    )
    seed: int = Field(
        strict=True, default=0, ge=0, le=MAX_SEED, description="The same seed and data give the same clusters."
    )
    missing: MissingPolicy = Field(
        default="median",
        description="Where a customer lacks a value: `median` takes that of the others, `leave_out` leaves the "
        "customer out. `features` of the answer count them.",
    )
    currency: Currency | None = Field(
        default=None, description="Of amounts; the one most purchases were made in, if left out."
    )


class ClusteringRerun(Input):
    """A clustering to do again, as things are now."""

    model_config = with_examples({"archive_previous": True}, {})

    archive_previous: bool = Field(
        strict=True,
        default=False,
        description="Archive the segments of the earlier revisions once the new ones are there; they stay if left out.",
    )


class Bilingual(Wire):
    """A text in both languages."""

    en: str = Field(description="English.", examples=["spends 3.1× the average"])
    zh: str = Field(description="Chinese.", examples=["消费金额为平均的 3.1 倍"])


class FeatureInfo(Wire):
    """A feature that can be chosen."""

    name: str = Field(description="To choose it by.", examples=["recency_days"])
    kind: FeatureKind = Field(
        description="Its unit: `money` in minor units of the clustering's currency, `share` from 0 to 1."
    )
    label: Bilingual = Field(description="What it is called.")
    scope: str = Field(description="What a key needs to choose it.", examples=["orders:read"])
    missing: Bilingual | None = Field(description="Who has no value; null when everybody has one.")
    transform: Transform = Field(description="What `auto` means.")


class FeatureInfos(Wire):
    """All that can be chosen."""

    features: list[FeatureInfo] = Field(description="Our own first, then the shop's attributes.")


class ClusteringFeature(Wire):
    """A feature of a clustering, and what was found of it."""

    name: str = Field(description="Which feature.", examples=["recency_days"])
    kind: FeatureKind = Field(description="Its unit.")
    label: Bilingual = Field(description="What it was called then.")
    transform: Transform = Field(description="How it was compared.")
    missing: int | None = Field(
        default=None, description="Customers without a value; null until they have been counted.", examples=[12]
    )
    used: bool | None = Field(
        default=None, description="false when everybody has the same value, which tells nobody apart."
    )


class TriedK(Wire):
    """A number of clusters that was tried."""

    k: int = Field(description="How many clusters.", examples=[4])
    silhouette: float = Field(description="Mean silhouette, -1 to 1; the largest decides.", examples=[0.61])
    inertia: float = Field(
        description="Mean squared distance to the nearest centre, in standard deviations.", examples=[0.84]
    )


class Clustering(Wire):
    """Customers grouped by what they are like: how far it is, and what came out."""

    id: ResourceId
    name: str = Field(description="What staff call it.")
    revision: int = Field(description="1, and one more each time it is done again.", examples=[1])
    state: ClusteringState = Field(description="`refused`: the data do not allow it, and `refused` says why.")
    phase: Phase | None = Field(
        description="reading (customers' values), clustering, segmenting (members are added), done; null while queued."
    )
    total: int = Field(description="Customers of the phase.")
    processed: int = Field(description="Customers the phase is done with.")
    features: list[ClusteringFeature] = Field(description="What is compared.")
    rule: dict[str, Any] | None = Field(description="Who takes part; null for everybody, or by `segment_id`.")
    segment_id: UUID | None = Field(description="Whose members take part.")
    k: int | None = Field(description="Clusters asked for; null to choose.")
    min_k: int = Field(description="Fewest clusters to try.")
    max_k: int = Field(description="Most clusters to try.")
    seed: int = Field(description="Of all that is drawn.")
    missing: MissingPolicy = Field(description="What becomes of missing values.")
    currency: str | None = Field(description="ISO 4217, of amounts; null until it is decided, or without any.")
    archive_previous: bool = Field(description="Whether the segments of earlier revisions are archived at the end.")
    as_of: Instant | None = Field(description="The moment days are counted from; null until the job has begun.")
    customers: int | None = Field(description="Customers that were clustered.")
    left_out: int | None = Field(description="Customers left out because a value is missing.")
    clusters_found: int | None = Field(description="How many clusters there are.", examples=[4])
    silhouette: float | None = Field(
        description="Mean silhouette: how much nearer customers are to their own cluster than to the next, -1 to 1.",
        examples=[0.61],
    )
    structure: Structure | None = Field(
        description="What the silhouette says of the clusters: strong (above 0.7), reasonable (0.5), weak (0.25), none."
    )
    tried: list[TriedK] | None = Field(description="The numbers of clusters that were tried.")
    library: str | None = Field(description="What computed it.", examples=["scikit-learn 1.9.1"])
    refused: dict[str, Any] | None = Field(
        description="Why there are no clusters, and what would help (`code`, `en`, `zh`); null otherwise.",
        examples=[{"code": "too_few_customers", "en": "…", "zh": "…"}],
    )
    error: str | None = Field(description="Why it failed; null otherwise.")
    started_at: Instant | None = Field(description="Null while it is queued.")
    finished_at: Instant | None = Field(description="Null until it has ended.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class ClusterDifference(Wire):
    """How one feature of a cluster compares with everybody who was clustered."""

    feature: str = Field(description="Which feature.", examples=["net_spend"])
    label: Bilingual = Field(description="What it is called.")
    standardised: float = Field(
        description="The cluster's centre in standard deviations from the mean of everybody, after the transform.",
        examples=[1.8],
    )
    mean: float | Money | None = Field(description="Of its customers who have a value; null when none has.")
    median: float | Money | None = Field(description="Likewise.")
    all_mean: float | Money = Field(description="Of everybody who has a value.")
    all_median: float | Money = Field(description="Likewise.")


class Cluster(Wire):
    """Customers who are alike, and in what."""

    id: ResourceId
    clustering_id: UUID = Field(description="Which clustering found it.")
    position: int = Field(description="1 is the largest.", examples=[1])
    segment_id: UUID = Field(description="The segment with its members.")
    name: Bilingual = Field(description="A few words; the segment's name holds those of the shop's language.")
    profile: Bilingual = Field(description="What is typical of it against everybody, the largest differences first.")
    size: int = Field(description="Customers when it was found.", examples=[420])
    share: float = Field(description="Part of all that were clustered, 0–1.", examples=[0.21])
    silhouette: float | None = Field(
        description="Mean silhouette of its customers; null when none of them was in the sample.", examples=[0.58]
    )
    centroid: dict[str, Any] = Field(
        description="Feature → the cluster's centre in original units (amounts as money); of `log1p` features "
        "exp(mean of logarithms) − 1.",
        examples=[{"recency_days": 12.4, "net_spend": {"amount": 128050, "currency": "CNY"}}],
    )
    differences: list[ClusterDifference] = Field(description="By feature, the largest first.")
    created_at: CreatedAt
