"""Who gets what comes in, and who looks after whom: wire shapes of assignment."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Caption, Line, Prose
from crm_api.staff.assignment import Obstacle, Strategy
from crm_api.staff.models import SkillIds

Target = Literal["customers", "cases"]
OwnerCause = Literal["opening", "edited", "handover", "rule", "rebalancing", "rebalancing_undone"]

FACTS: Final[dict[Target, tuple[str, ...]]] = {
    "customers": ("store_id", "source", "kind", "tags", "city"),
    "cases": ("store_id", "kind", "category", "severity", "channel"),
}
"""What the conditions of a rule can ask for."""

_ID = "01981a6e-0000-7000-8000-000000000000"

Value = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Conditions = Annotated[dict[Caption, Annotated[list[Value], Field(min_length=1, max_length=100)]], Field(max_length=10)]
Position = Annotated[int, Field(ge=0, le=100_000, strict=True)]

_RULE: Final = {
    "name": "What it is called; unique in the tenant.",
    "target": "What it hands out: new `customers`, or `cases` (complaints and the like).",
    "position": "The lowest is asked first; the first that finds somebody decides.",
    "active": "false: it is passed over.",
    "conditions": "Fact → values, one of which it must have. Facts of customers: `store_id`, `source`, `kind`, `tags`, "
    "`city`; of cases: `store_id`, `kind`, `category`, `severity`, `channel`. Empty: all.",
    "team_id": "Only members of this team; null is everybody.",
    "same_store": "Only staff of the customer's, or case's, own store.",
    "required_skill_ids": "Only who has all of these skills today.",
    "strategy": "`round_robin`: one after the other; `least_load`: whoever has least; `weighted`: by `weight`.",
    "sticky": "Who had the customer before gets them again, when eligible, and nobody's turn passes.",
    "online_only": "Only who is at work now. Usual for cases; a customer can wait for the morning.",
}


class AssignmentRuleCreate(Input):
    """Who gets what comes in."""

    model_config = with_examples({"name": "新客轮流", "target": "customers", "strategy": "round_robin"})

    name: Annotated[Line, Field(examples=["新客轮流"])] = Field(description=_RULE["name"])
    target: Target = Field(default="customers", description=_RULE["target"])
    position: Position = Field(default=100, description=_RULE["position"])
    active: bool = Field(default=True, strict=True, description=_RULE["active"])
    conditions: Conditions = Field(
        default_factory=dict, description=_RULE["conditions"], examples=[{"source": ["douyin"]}]
    )
    team_id: UUID | None = Field(default=None, description=_RULE["team_id"])
    same_store: bool = Field(default=False, strict=True, description=_RULE["same_store"])
    required_skill_ids: SkillIds = Field(default_factory=list, description=_RULE["required_skill_ids"])
    strategy: Strategy = Field(default="round_robin", description=_RULE["strategy"])
    sticky: bool = Field(default=False, strict=True, description=_RULE["sticky"])
    online_only: bool | None = Field(
        default=None, strict=True, description=_RULE["online_only"] + " Left out: true for cases, false for customers."
    )


class AssignmentRuleUpdate(Input):
    """Fields to change; a field left out stays, null clears it."""

    model_config = with_examples({"strategy": "least_load"})

    name: Line = Field(default="", description=_RULE["name"])
    position: Position = Field(default=100, description=_RULE["position"])
    active: bool = Field(default=True, strict=True, description=_RULE["active"])
    conditions: Conditions = Field(
        default_factory=dict, description=_RULE["conditions"], examples=[{"source": ["douyin"]}]
    )
    team_id: UUID | None = Field(default=None, description=_RULE["team_id"])
    same_store: bool = Field(default=False, strict=True, description=_RULE["same_store"])
    required_skill_ids: SkillIds = Field(default_factory=list, description=_RULE["required_skill_ids"])
    strategy: Strategy = Field(default="round_robin", description=_RULE["strategy"])
    sticky: bool = Field(default=False, strict=True, description=_RULE["sticky"])
    online_only: bool = Field(default=False, strict=True, description=_RULE["online_only"])


class AssignmentRule(Wire):
    """Who gets what comes in."""

    id: ResourceId
    name: str = Field(description=_RULE["name"])
    target: Target = Field(description=_RULE["target"])
    position: int = Field(description=_RULE["position"])
    active: bool = Field(description=_RULE["active"])
    conditions: dict[str, Any] = Field(description=_RULE["conditions"], examples=[{"source": ["douyin"]}])
    team_id: UUID | None = Field(description=_RULE["team_id"])
    same_store: bool = Field(description=_RULE["same_store"])
    required_skill_ids: list[UUID] = Field(description=_RULE["required_skill_ids"])
    strategy: Strategy = Field(description=_RULE["strategy"])
    sticky: bool = Field(description=_RULE["sticky"])
    online_only: bool = Field(description=_RULE["online_only"])
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class OwnerInput(Input):
    """Who looks after a customer from now on."""

    model_config = with_examples({"owner_id": _ID, "note": "对芒果过敏；每月第一个周六来"})

    owner_id: UUID | None = Field(description="The new owner, who must be active; null is nobody.")
    note: Prose | None = Field(default=None, description="The handover note: what the next one must know.")


class AssignmentOutcome(Wire):
    """What came of asking the rules."""

    staff_id: UUID | None = Field(description="Who looks after the customer now; null when nobody could be found.")
    rule_id: UUID | None = Field(description="The rule that decided, or was for the customer; null when none was.")
    reason: Obstacle | None = Field(description="What was lacking, when nobody could be found.")


class CustomerOwnership(Wire):
    """Who looked after a customer, and until when."""

    id: ResourceId
    customer_id: UUID = Field(description="Whom.")
    owner_id: UUID | None = Field(description="Who looked after them from then on; null is nobody.")
    previous_owner_id: UUID | None = Field(description="Who did before; null is nobody.")
    cause: OwnerCause = Field(
        description="`opening`: was so when the history began; `edited`: written with the customer, by an import or a "
        "merge; `handover`: by hand, here; `rule`: by a rule of assignment; `rebalancing`, and its undoing."
    )
    by_id: UUID | None = Field(description="The rule or the rebalancing that did it.")
    note: str | None = Field(description="The handover note.")
    at: Instant = Field(description="From when.")
    until: Instant | None = Field(description="Until when; null for the present one.")


class OwnerQueueEntry(Wire):
    """A customer whom no rule has found anybody for yet."""

    id: ResourceId
    customer_id: UUID = Field(description="Who is waiting.")
    rule_id: UUID = Field(description="The rule that was for them.")
    reason: Obstacle = Field(description="What was lacking.")
    since: Instant = Field(description="Since when they have been waiting.")
