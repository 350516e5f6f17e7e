"""Teams, skills, shifts and training: wire shapes."""

from datetime import date
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field
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
from crm_api.core.text import Line, Prose
from crm_api.staff.assignment import Obstacle as Obstacle  # noqa: PLC0414 - cases wait for the same reasons

ShiftKind = Literal["work", "absence"]
SkillSource = Literal["manual", "training"]

MAX_MEMBERS: Final = 500
_ID = "01981a6e-0000-7000-8000-000000000000"


def _once(ids: list[UUID]) -> list[UUID]:
    if len({*ids}) != len(ids):
        raise PydanticCustomError("repeated_value", "Give each only once")
    return ids


StaffIds = Annotated[list[UUID], Field(max_length=MAX_MEMBERS), AfterValidator(_once)]
SkillIds = Annotated[list[UUID], Field(max_length=20), AfterValidator(_once)]
Level = Annotated[int, Field(ge=1, le=5, strict=True)]
Score = Annotated[float, Field(ge=0, le=100, strict=True, allow_inf_nan=False)]

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
