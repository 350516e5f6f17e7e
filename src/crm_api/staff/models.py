"""Teams, skills, shifts, training, assignment and rebalancing: wire shapes."""

from datetime import date
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from crm_api.core.models import (
    CreatedAt,
    Input,
    Instant,
    NearDay,
    NearInstant,
    ResourceId,
    UpdatedAt,
    Version,
    Wire,
    with_examples,
)
from crm_api.core.text import Caption, Line, Prose
from crm_api.staff.assignment import Obstacle as Obstacle  # noqa: PLC0414 - cases wait for the same reasons
from crm_api.staff.assignment import Strategy

ShiftKind = Literal["work", "absence"]
SkillSource = Literal["manual", "training"]
Target = Literal["customers", "cases"]
OwnerCause = Literal["opening", "edited", "handover", "rule", "rebalancing", "rebalancing_undone"]
RebalancingState = Literal["proposed", "approved", "rejected", "applied", "undone"]
RebalancingCause = Literal["asked", "left"]
MoveState = Literal["planned", "applied", "skipped", "returned", "stayed"]

MAX_MEMBERS: Final = 500
MAX_MOVES: Final = 10_000
FACTS: Final[dict[Target, tuple[str, ...]]] = {
    "customers": ("store_id", "source", "kind", "tags", "city"),
    "cases": ("store_id", "kind", "category", "severity", "channel"),
}
"""What the conditions of a rule can ask for."""

_ID = "01981a6e-0000-7000-8000-000000000000"


def _once(ids: list[UUID]) -> list[UUID]:
    if len({*ids}) != len(ids):
        raise PydanticCustomError("repeated_value", "Give each only once")
    return ids


StaffIds = Annotated[list[UUID], Field(max_length=MAX_MEMBERS), AfterValidator(_once)]
SkillIds = Annotated[list[UUID], Field(max_length=20), AfterValidator(_once)]
Level = Annotated[int, Field(ge=1, le=5, strict=True)]
Score = Annotated[float, Field(ge=0, le=100, strict=True, allow_inf_nan=False)]
Value = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Conditions = Annotated[dict[Caption, Annotated[list[Value], Field(min_length=1, max_length=100)]], Field(max_length=10)]

# -- teams, skills, shifts -----------------------------------------------------------------------------------------

_TEAM: Final = {
    "name": "What it is called; unique in the tenant.",
    "lead_id": "Who leads it.",
    "store_id": "Where it works; null for no one place.",
    "member_ids": "Its members; at most 500. Replaces all when given.",
    "archived": "true when it is not used any more.",
}


class TeamCreate(Input):
    """People who work together."""

    model_config = with_examples({"name": "美容一组", "member_ids": []})

    name: Annotated[Line, Field(examples=["美容一组"])] = Field(description=_TEAM["name"])
    lead_id: UUID | None = Field(default=None, description=_TEAM["lead_id"])
    store_id: UUID | None = Field(default=None, description=_TEAM["store_id"])
    member_ids: StaffIds = Field(default_factory=list, description=_TEAM["member_ids"])


class TeamUpdate(Input):
    """Fields to change; a field left out stays, null clears it."""

    model_config = with_examples({"name": "美容二组"})

    name: Line = Field(default="", description=_TEAM["name"])
    lead_id: UUID | None = Field(default=None, description=_TEAM["lead_id"])
    store_id: UUID | None = Field(default=None, description=_TEAM["store_id"])
    member_ids: StaffIds = Field(default_factory=list, description=_TEAM["member_ids"])
    archived: bool = Field(default=False, strict=True, description=_TEAM["archived"])


class Team(Wire):
    """People who work together."""

    id: ResourceId
    name: str = Field(description=_TEAM["name"])
    lead_id: UUID | None = Field(description=_TEAM["lead_id"])
    store_id: UUID | None = Field(description=_TEAM["store_id"])
    member_ids: list[UUID] = Field(description="Its members, in the order of their ids.")
    archived: bool = Field(description=_TEAM["archived"])
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


_SKILL: Final = {
    "name": "What it is called; unique in the tenant.",
    "description": "What who has it can do.",
    "archived": "true when it is not used any more.",
}


class SkillCreate(Input):
    """Something not everybody can do."""

    model_config = with_examples({"name": "敏感肌护理"})

    name: Annotated[Line, Field(examples=["敏感肌护理"])] = Field(description=_SKILL["name"])
    description: Prose | None = Field(default=None, description=_SKILL["description"])


class SkillUpdate(Input):
    """Fields to change; a field left out stays, null clears it."""

    model_config = with_examples({"description": "能独立处理过敏反应"})

    name: Line = Field(default="", description=_SKILL["name"])
    description: Prose | None = Field(default=None, description=_SKILL["description"])
    archived: bool = Field(default=False, strict=True, description=_SKILL["archived"])


class Skill(Wire):
    """Something not everybody can do."""

    id: ResourceId
    name: str = Field(description=_SKILL["name"])
    description: str | None = Field(description=_SKILL["description"])
    archived: bool = Field(description=_SKILL["archived"])
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class StaffSkillInput(Input):
    """How well somebody can do something."""

    model_config = with_examples({"level": 3}, {"level": 2, "expires_on": "2027-06-30"})

    level: Level = Field(default=1, description="1 beginner – 5 expert.")
    expires_on: NearDay | None = Field(default=None, description="The last day it counts; null is for good.")


class StaffSkill(Wire):
    """What a staff member can do, and since when it is known."""

    id: ResourceId
    staff_id: UUID = Field(description="Who.")
    skill_id: UUID = Field(description="What.")
    level: int = Field(description="1 beginner – 5 expert.")
    source: SkillSource = Field(description="`training`: granted by passing a course.")
    course_id: UUID | None = Field(description="The course that granted it.")
    expires_on: date | None = Field(description="The last day it counts; null is for good.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


_SHIFT: Final = {
    "staff_id": "Who.",
    "store_id": "Where; null is where they always work.",
    "kind": "`absence` (holiday, illness) counts before any shift and before `availability`.",
    "starts_at": "From this instant on.",
    "ends_at": "Until before this instant.",
    "note": "Anything the rota should say.",
}


class ShiftCreate(Input):
    """Time at work, or away."""

    model_config = with_examples(
        {
            "staff_id": _ID,
            "kind": "work",
            "starts_at": "2026-11-23T09:00:00+08:00",
            "ends_at": "2026-11-23T18:00:00+08:00",
        }
    )

    staff_id: UUID = Field(description=_SHIFT["staff_id"])
    store_id: UUID | None = Field(default=None, description=_SHIFT["store_id"])
    kind: ShiftKind = Field(default="work", description=_SHIFT["kind"])
    starts_at: NearInstant = Field(description=_SHIFT["starts_at"])
    ends_at: NearInstant = Field(description=_SHIFT["ends_at"])
    note: Line | None = Field(default=None, description=_SHIFT["note"])


class ShiftUpdate(Input):
    """Fields to change; a field left out stays, null clears it."""

    model_config = with_examples({"note": "换班"})

    store_id: UUID | None = Field(default=None, description=_SHIFT["store_id"])
    starts_at: NearInstant = Field(default=None, description=_SHIFT["starts_at"])  # type: ignore[assignment]
    ends_at: NearInstant = Field(default=None, description=_SHIFT["ends_at"])  # type: ignore[assignment]
    note: Line | None = Field(default=None, description=_SHIFT["note"])


class Shift(Wire):
    """Time at work, or away."""

    id: ResourceId
    staff_id: UUID = Field(description=_SHIFT["staff_id"])
    store_id: UUID | None = Field(description=_SHIFT["store_id"])
    kind: ShiftKind = Field(description=_SHIFT["kind"])
    starts_at: Instant = Field(description=_SHIFT["starts_at"])
    ends_at: Instant = Field(description=_SHIFT["ends_at"])
    note: str | None = Field(description=_SHIFT["note"])
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


# -- training ------------------------------------------------------------------------------------------------------

_COURSE: Final = {
    "name": "What it is called; unique in the tenant.",
    "description": "What is taught.",
    "pass_score": "Passed from this score on, 0–100.",
    "skill_id": "The skill that passing it grants; null grants none.",
    "skill_level": "At which level, 1–5; one who is better already stays so.",
    "valid_days": "For so many days from the day it was passed; null is for good.",
    "archived": "true when it is not given any more.",
}
Days = Annotated[int, Field(ge=1, le=3650, strict=True)]


class CourseCreate(Input):
    """A training course."""

    model_config = with_examples({"name": "敏感肌护理认证", "pass_score": 80, "valid_days": 365})

    name: Annotated[Line, Field(examples=["敏感肌护理认证"])] = Field(description=_COURSE["name"])
    description: Prose | None = Field(default=None, description=_COURSE["description"])
    pass_score: Score = Field(default=60, description=_COURSE["pass_score"])
    skill_id: UUID | None = Field(default=None, description=_COURSE["skill_id"])
    skill_level: Level = Field(default=1, description=_COURSE["skill_level"])
    valid_days: Days | None = Field(default=None, description=_COURSE["valid_days"])


class CourseUpdate(Input):
    """Fields to change; a field left out stays, null clears it. What was passed stays passed."""

    model_config = with_examples({"pass_score": 85})

    name: Line = Field(default="", description=_COURSE["name"])
    description: Prose | None = Field(default=None, description=_COURSE["description"])
    pass_score: Score = Field(default=60, description=_COURSE["pass_score"])
    skill_id: UUID | None = Field(default=None, description=_COURSE["skill_id"])
    skill_level: Level = Field(default=1, description=_COURSE["skill_level"])
    valid_days: Days | None = Field(default=None, description=_COURSE["valid_days"])
    archived: bool = Field(default=False, strict=True, description=_COURSE["archived"])


class Course(Wire):
    """A training course."""

    id: ResourceId
    name: str = Field(description=_COURSE["name"])
    description: str | None = Field(description=_COURSE["description"])
    pass_score: float = Field(description=_COURSE["pass_score"])
    skill_id: UUID | None = Field(description=_COURSE["skill_id"])
    skill_level: int = Field(description=_COURSE["skill_level"])
    valid_days: int | None = Field(description=_COURSE["valid_days"])
    archived: bool = Field(description=_COURSE["archived"])
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class CompletionCreate(Input):
    """Somebody has finished a course, with a score."""

    model_config = with_examples({"staff_id": _ID, "score": 92.5})

    staff_id: UUID = Field(description="Who.")
    score: Score = Field(description="0–100.")
    completed_at: NearInstant | None = Field(default=None, description="Now when left out; not in the future.")
    note: Line | None = Field(default=None, description="What the trainer says.")


class CourseCompletion(Wire):
    """A finished course: every attempt, passed or not."""

    id: ResourceId
    course_id: UUID = Field(description="Which course.")
    staff_id: UUID = Field(description="Who.")
    score: float = Field(description="0–100.")
    passed: bool = Field(description="Whether the score reached the pass score of then.")
    completed_at: Instant = Field(description="When it was finished.")
    note: str | None = Field(description="What the trainer says.")
    created_at: CreatedAt


# -- assignment ----------------------------------------------------------------------------------------------------

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
    "sticky": "Who had the customer before gets them again, when eligible.",
    "online_only": "Only who is at work now. Usual for cases; a customer can wait for the morning.",
}
Position = Annotated[int, Field(ge=0, le=100_000, strict=True)]


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
    sticky: bool = Field(default=True, strict=True, description=_RULE["sticky"])
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
    sticky: bool = Field(default=True, strict=True, description=_RULE["sticky"])
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


# -- rebalancing ---------------------------------------------------------------------------------------------------


class RebalancingCreate(Input):
    """Whose customers to spread anew; nothing moves before it is approved and applied."""

    model_config = with_examples({"keep_tags": ["vip"], "keep_active_days": 30}, {"leaving_ids": [_ID]})

    team_id: UUID | None = Field(default=None, description="Members of this team take part.")
    store_id: UUID | None = Field(default=None, description="Staff of this store take part.")
    staff_ids: StaffIds = Field(
        default_factory=list, description="These take part. Neither team, store nor these: all active staff."
    )
    leaving_ids: StaffIds = Field(
        default_factory=list, description="These give all their customers away; inactive staff always do."
    )
    keep_tags: list[Caption] = Field(
        default_factory=list, max_length=50, description="Customers with one of these tags stay with their owner."
    )
    keep_customer_ids: list[UUID] = Field(
        default_factory=list, max_length=MAX_MOVES, description="These customers stay with their owner."
    )
    keep_active_days: int | None = Field(
        default=None,
        ge=1,
        le=3650,
        strict=True,
        description="Customers whom their owner spoke with in the last so many days stay. Customers of those who leave "
        "go whatever is said.",
    )
    max_moves: int = Field(default=1_000, ge=1, le=MAX_MOVES, strict=True, description="At most so many change hands.")
    note: Prose | None = Field(default=None, description="Why; the handover note of all who change hands.")


class Load(Wire):
    """What one member carries."""

    staff_id: UUID = Field(description="Who.")
    customers: int = Field(description="How many customers they look after.")


class Rebalancing(Wire):
    """A proposal to spread customers anew, with the load before and after, and what became of it."""

    id: ResourceId
    state: RebalancingState = Field(description="proposed → approved → applied → undone, or rejected.")
    cause: RebalancingCause = Field(description="`left`: made by itself when somebody with customers became inactive.")
    options: dict[str, Any] = Field(description="What was asked for.", examples=[{"max_moves": 1000}])
    before: list[Load] = Field(description="Loads when it was proposed, of all who take part.")
    after: list[Load] = Field(description="Loads after all planned moves.")
    gini_before: float = Field(description="Gini coefficient of loads per weight of those who stay: 0 is even.")
    gini_after: float = Field(description="The same after all planned moves.")
    planned: int = Field(description="Customers who would change hands.")
    unplaced: int = Field(description="Customers who should, but there is no room, or `max_moves` is reached.")
    kept: int = Field(description="Customers who stay by an exception.")
    moved: int = Field(description="Customers who changed hands when it was applied.")
    skipped: int = Field(
        description="Customers who had another owner by then, or were gone, or whose taker has no room or has left."
    )
    returned: int = Field(description="Customers who went back when it was undone.")
    stayed: int = Field(
        description="Customers who did not: they had another owner by then, were gone, or who had them before has left."
    )
    note: str | None = Field(description="Why; the handover note of all who change hands.")
    decision_note: str | None = Field(description="What was said when it was approved or rejected.")
    decided_by: UUID | None = Field(description="The key that approved or rejected it.")
    decided_at: Instant | None = Field(description="When it was approved or rejected.")
    applied_at: Instant | None = Field(description="When it was applied.")
    undone_at: Instant | None = Field(description="When it was undone.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class RebalancingDecision(Input):
    """A word with a decision."""

    model_config = with_examples({"note": "同意，月底前完成交接"})

    note: Prose | None = Field(default=None, description="Why.")


class RebalancingMove(Wire):
    """One customer of a rebalancing."""

    id: ResourceId
    rebalancing_id: UUID = Field(description="Of which proposal.")
    customer_id: UUID = Field(description="Who changes hands.")
    from_staff_id: UUID = Field(description="Who had them when it was proposed.")
    to_staff_id: UUID = Field(description="Who gets them.")
    state: MoveState = Field(
        description="planned; applied, or `skipped` (had another owner by then, was gone, or `to_staff_id` had no room "
        "or had left); "
        "returned, or `stayed` (had another owner when it was undone, was gone, or `from_staff_id` has left)."
    )


# -- the report ----------------------------------------------------------------------------------------------------


class PerformanceQuery(Input):
    """Whose work, and when."""

    model_config = with_examples({"since": "2026-10-01T00:00:00+08:00", "until": "2026-11-01T00:00:00+08:00"})

    since: NearInstant | None = Field(
        default=None, description="From this instant on; 30 days before `until` if left out."
    )
    until: NearInstant | None = Field(
        default=None, description="Until before this instant, at most 400 days later; now if left out."
    )
    team_id: UUID | None = Field(default=None, description="Only members of this team.")
    store_id: UUID | None = Field(default=None, description="Only staff of this store.")


class StaffPerformance(Wire):
    """What a staff member did in a period."""

    staff_id: UUID = Field(description="Who.")
    name: str = Field(description="Full name.")
    customers: int = Field(description="Customers they look after now.")
    gained: int = Field(description="Customers they were given in the period.")
    lost: int = Field(description="Customers who went to somebody else, or nobody, in the period.")
    interactions: int = Field(description="Calls, visits and messages of theirs.")
    customers_contacted: int = Field(description="Different customers they spoke with.")
    coverage: float | None = Field(
        description="Share of the customers they look after whom they spoke with; null when there are none."
    )
    orders: int = Field(description="Orders they sold, as far as paid for.")
    sales: list[dict[str, Any]] = Field(
        description="Paid minus refunded, by currency.", examples=[[{"amount": 129900, "currency": "CNY"}]]
    )
    retained: int = Field(description="Of the customers they look after who had bought before: who bought again.")
    retainable: int = Field(description="Customers they look after who had bought before the period.")
    retention: float | None = Field(description="retained ÷ retainable; null when there are none.")
    courses_passed: int = Field(description="Courses they passed in the period.")
    more: dict[str, Any] = Field(
        description="Measures of other domains, as far as the key may see them.", examples=[{"cases_closed": 12}]
    )


class StaffPerformanceReport(Wire):
    """What everybody did in a period."""

    since: Instant = Field(description="From this instant on.")
    until: Instant = Field(description="Until before this instant.")
    staff: list[StaffPerformance] = Field(
        description="One for each active staff member, and for who has left but spoke or sold in the period; by name."
    )
