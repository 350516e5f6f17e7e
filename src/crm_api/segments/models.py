"""Segments: inputs and wire shapes."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints
from pydantic.config import JsonDict

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.paging import DEFAULT_LIMIT, MAX_LIMIT
from crm_api.core.rules import MAX_WRITTEN, RuleTree
from crm_api.core.text import Line, Prose

SegmentKind = Literal["dynamic", "static", "snapshot"]
SegmentState = Literal["draft", "compiling", "active", "failed", "archived"]
Cause = Literal["rule", "event", "scoring", "time", "merge", "manual", "snapshot", "reconcile", "clustering"]

MAX_MEMBERS = 1000
"""Customers added or removed by one request."""

EXAMPLE_RULE: JsonDict = {
    "all": [
        {"field": "lifecycle", "op": "in", "value": ["repeat", "loyal"]},
        {"aggregate": "count", "of": "orders", "window": {"last_days": 90}, "op": "gte", "value": 3},
    ]
}


class SegmentCreate(Input):
    """A group of customers."""

    model_config = with_examples(
        {"name": "近期忠实客户", "description": "双十一回访名单", "rule": EXAMPLE_RULE},
        {"name": "线下活动名单", "kind": "static"},
        {"name": "去年底的忠实客户", "kind": "snapshot", "rule": EXAMPLE_RULE, "as_of": "2025-12-31T16:00:00Z"},
    )

    name: Annotated[Line, Field(examples=["Loyal and recent"])] = Field(
        description="What staff call it; unique in the tenant."
    )
    description: Prose | None = Field(default=None, description="What it is for.")
    kind: SegmentKind = Field(
        default="dynamic",
        description="dynamic: kept by its rule; static: members are added and removed one by one; snapshot: whom the "
        "rule selected at `as_of`, then frozen. Cannot be changed.",
    )
    rule: RuleTree | None = Field(
        default=None,
        examples=[EXAMPLE_RULE],
        description="Who belongs to it; `GET /v1/rule-fields` lists what it can name. Required unless it is static.",
    )
    as_of: Instant | None = Field(
        default=None, description="Of a snapshot: what relative times in the rule are relative to; now, if left out."
    )
    draft: bool = Field(strict=True, default=False, description="true: nothing is evaluated until it is activated.")


class SegmentUpdate(Input):
    """Fields to change; a new rule evaluates everybody again."""

    model_config = with_examples({"name": "忠实客户", "rule": EXAMPLE_RULE})

    name: Line = Field(default="", description="What staff call it; cannot be cleared.")
    description: Prose | None = Field(default=None, description="What it is for.")
    rule: RuleTree | None = Field(
        default=None,
        examples=[EXAMPLE_RULE],
        description="Who belongs to it; a new one is evaluated for everybody, a snapshot's as of now.",
    )
    archived: bool = Field(
        strict=True,
        default=False,
        description="true stops its upkeep and keeps its members as they are; false takes it up again.",
    )


class SegmentRetake(Input):
    """When the new picture is of."""

    model_config = with_examples({"as_of": "2026-11-01T00:00:00+08:00"}, {})

    as_of: Instant | None = Field(
        default=None, description="What relative times in the rule are relative to; now, if left out."
    )


class MembersChange(Input):
    """Members of a static segment."""

    model_config = with_examples({"customer_ids": ["01981a6e-0000-7000-8000-000000000001"]})

    customer_ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_MEMBERS)] = Field(
        description=f"1–{MAX_MEMBERS} customers; who is a member already, or is none, stays as they are."
    )


class CustomerSearch(Input):
    """Customers by rule, paged like every list."""

    model_config = with_examples(
        {"rule": EXAMPLE_RULE, "limit": 20, "order": "newest", "fields": ["id", "name", "tags"]}
    )

    rule: RuleTree = Field(
        examples=[EXAMPLE_RULE], description="Who to find; `GET /v1/rule-fields` lists what it can name."
    )
    limit: int = Field(default=DEFAULT_LIMIT, strict=True, ge=1, le=MAX_LIMIT, description="Customers of the page.")
    after: str | None = Field(default=None, max_length=2000, description="`page.next` of the page before this one.")
    before: str | None = Field(default=None, max_length=2000, description="`page.previous` of the page after this one.")
    count: Literal["exact"] | None = Field(default=None, description="`exact` adds `page.total`.")
    order: str | None = Field(
        default=None,
        max_length=80,
        examples=["newest"],
        description="As for `GET /v1/customers`, `attributes.<key>` too; newest first if left out.",
    )
    fields: list[Annotated[str, Field(max_length=64)]] | None = Field(
        default=None, min_length=1, max_length=100, description="Only these fields of each customer; all if left out."
    )


EXAMPLE_TEXT = "lifecycle in (repeat, loyal) and orders.count(last 90d) >= 3"


class RuleParse(Input):
    """A rule in words."""

    model_config = with_examples({"text": EXAMPLE_TEXT}, {"text": 'city = "上海" and not tag:wholesale'})

    # As sent: errors count its characters.
    text: Annotated[str, StringConstraints(strip_whitespace=False)] = Field(
        min_length=1,
        max_length=MAX_WRITTEN,
        examples=[EXAMPLE_TEXT],
        description="The text form: docs/domains/segments.md, In words.",
    )


class RuleDescribe(Input):
    """A rule to put into words."""

    model_config = with_examples({"rule": EXAMPLE_RULE})

    rule: RuleTree = Field(
        examples=[EXAMPLE_RULE], description="The rule; `GET /v1/rule-fields` lists what it can name."
    )


class RuleSentence(Wire):
    """A rule as people say it, without a full stop."""

    en: str = Field(
        description="English.",
        examples=["Lifecycle stage is “loyal”, and number of orders in the last 90 days is at least 3"],
    )
    zh: str = Field(description="Chinese.", examples=["生命周期为“忠诚客户”，且订单数量（近 90 天）不少于 3"])


class RuleInWords(Wire):
    """A rule, its text form and its sentence."""

    rule: dict[str, Any] = Field(description="The tree as it would be stored, with the version of the rule language.")
    text: str = Field(
        description="The text form as we write it; texts of up to 10,000 characters are read.", examples=[EXAMPLE_TEXT]
    )
    sentence: RuleSentence = Field(description="What it means.")


class Segment(Wire):
    """A group of customers: kept by a rule, by hand, or frozen."""

    id: ResourceId
    name: str = Field(description="What staff call it.")
    description: str | None = Field(description="What it is for.")
    kind: SegmentKind = Field(description="dynamic: kept by its rule; static: by hand; snapshot: frozen.")
    rule: dict[str, Any] | None = Field(
        description="Who belongs to it, with the version of the rule language; null when it is static."
    )
    rule_text: str | None = Field(
        default=None,
        examples=[EXAMPLE_TEXT],
        description="The rule's text form. Over REST only when `fields` names it.",
    )
    sentence: RuleSentence | None = Field(
        default=None, description="The rule as people say it. Over REST only when `fields` names it."
    )
    state: SegmentState = Field(
        description="draft: not evaluated yet; compiling: everybody is being evaluated; active: kept up to date; "
        "failed: `error` says why, the last good members stay; archived: left as it is."
    )
    error: str | None = Field(description="Why it failed; the last good members stay.")
    error_zh: str | None = Field(description="The same in Chinese.")
    as_of: Instant | None = Field(description="The moment a snapshot shows; null for others.")
    size: int = Field(description="Members now: those who entered less those who left.")
    last_sequence: int = Field(description="Number of the latest entry of its log.")
    total: int = Field(description="Customers that the full evaluation at work, or the last one, looks at.")
    processed: int = Field(description="Customers it has looked at so far.")
    evaluated_at: Instant | None = Field(description="When everybody was last evaluated; null before the first time.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class SegmentLogEntry(Wire):
    """Somebody entered or left."""

    id: ResourceId
    segment_id: UUID = Field(description="Which segment.")
    customer_id: UUID = Field(description="Who entered or left.")
    sequence: int = Field(description="1, 2, 3 … in each segment, without gaps.", ge=1)
    change: Literal["enter", "leave"] = Field(description="Which of the two.")
    cause: Cause = Field(
        description="rule: it was made or changed; event: something happened; scoring: a class or score changed; "
        "time: a window moved on or a day began; merge: two customers became one, or two again; manual: by hand; "
        "snapshot: it was taken; reconcile: the nightly check repaired it; clustering: the "
        "segment is a cluster."
    )
    cause_id: UUID | None = Field(
        description="The outbox message of an event or a scoring, the merge, the reconciliation, the clustering; null "
        "for others."
    )
    at: Instant = Field(description="When it was noticed.")


class SegmentReconciliation(Wire):
    """A nightly evaluation of everybody: what upkeep had missed."""

    id: ResourceId
    segment_id: UUID = Field(description="Which segment.")
    at: Instant = Field(description="When.")
    checked: int = Field(description="Customers evaluated.", ge=0)
    entered: int = Field(description="Who belonged to it and was not in: 0 unless upkeep has a fault.", ge=0)
    left: int = Field(description="Who was in and did not belong to it: 0 unless upkeep has a fault.", ge=0)
    duration_ms: int = Field(description="How long it took, in milliseconds.", ge=0)
    error: str | None = Field(description="Why the rule could not be evaluated; null otherwise.")
    error_zh: str | None = Field(description="The same in Chinese.")
