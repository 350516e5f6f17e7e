"""Segments: inputs and wire shapes."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints
from pydantic.config import JsonDict

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.paging import DEFAULT_LIMIT, MAX_LIMIT
from crm_api.core.rules import MAX_WRITTEN, RuleTree
from crm_api.core.text import Line, Prose

SegmentState = Literal["compiling", "active", "failed", "archived"]
Cause = Literal["rule", "event", "scoring", "time"]

EXAMPLE_RULE: JsonDict = {
    "all": [
        {"field": "lifecycle", "op": "in", "value": ["repeat", "loyal"]},
        {"aggregate": "count", "of": "orders", "window": {"last_days": 90}, "op": "gte", "value": 3},
    ]
}


class SegmentCreate(Input):
    """A segment by rule."""

    model_config = with_examples({"name": "近期忠实客户", "description": "双十一回访名单", "rule": EXAMPLE_RULE})

    name: Annotated[Line, Field(examples=["Loyal and recent"])] = Field(
        description="What staff call it; unique in the tenant."
    )
    description: Prose | None = Field(default=None, description="What it is for.")
    rule: RuleTree = Field(
        examples=[EXAMPLE_RULE], description="Who belongs to it; `GET /v1/rule-fields` lists what it can name."
    )


class SegmentUpdate(Input):
    """Fields to change; a new rule evaluates everybody again."""

    model_config = with_examples({"name": "忠实客户", "rule": EXAMPLE_RULE})

    name: Line = Field(default="", description="What staff call it; cannot be cleared.")
    description: Prose | None = Field(default=None, description="What it is for.")
    rule: RuleTree | None = Field(
        default=None, examples=[EXAMPLE_RULE], description="Who belongs to it; a new one is evaluated for everybody."
    )
    archived: bool = Field(default=False, description="true stops its upkeep and keeps its members as they are.")


class CustomerSearch(Input):
    """Customers by rule, paged like every list."""

    model_config = with_examples(
        {"rule": EXAMPLE_RULE, "limit": 20, "order": "newest", "fields": ["id", "name", "tags"]}
    )

    rule: RuleTree = Field(
        examples=[EXAMPLE_RULE], description="Who to find; `GET /v1/rule-fields` lists what it can name."
    )
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Customers of the page.")
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
    zh: str = Field(description="Chinese.", examples=["生命周期为“loyal”，且订单数量（近 90 天）不少于 3"])


class RuleInWords(Wire):
    """A rule, its text form and its sentence."""

    rule: dict[str, Any] = Field(description="The tree as it would be stored, with the version of the rule language.")
    text: str = Field(
        description="The text form as we write it; texts of up to 10,000 characters are read.", examples=[EXAMPLE_TEXT]
    )
    sentence: RuleSentence = Field(description="What it means.")


class Segment(Wire):
    """A group of customers, kept by its rule."""

    id: ResourceId
    name: str = Field(description="What staff call it.")
    description: str | None = Field(description="What it is for.")
    rule: dict[str, Any] = Field(description="Who belongs to it, with the version of the rule language.")
    rule_text: str | None = Field(
        default=None,
        examples=[EXAMPLE_TEXT],
        description="The rule's text form. Over REST only when `fields` names it.",
    )
    sentence: RuleSentence | None = Field(
        default=None, description="The rule as people say it. Over REST only when `fields` names it."
    )
    state: SegmentState = Field(description="`compiling` until everybody has been evaluated once.")
    error: str | None = Field(description="Why it failed; the last good members stay.")
    size: int = Field(description="Members now.")
    evaluated_at: Instant | None = Field(description="When everybody was last evaluated; null before the first time.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class SegmentLogEntry(Wire):
    """Somebody entered or left."""

    id: ResourceId
    segment_id: UUID = Field(description="Which segment.")
    customer_id: UUID = Field(description="Who entered or left.")
    change: Literal["enter", "leave"] = Field(description="Which of the two.")
    cause: Cause = Field(description="rule: it was made or changed; event: something happened; scoring; time.")
    at: Instant = Field(description="When it was noticed.")
