"""The taxonomy of what cases are about, and the settings of a shop's cases: wire shapes."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field

from crm_api.accounts.models import Preset
from crm_api.complaints.models import CauseText, each_once
from crm_api.core.models import CreatedAt, Input, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Line, Prose

MAX_SKILLS = 20


def _skills(ids: list[UUID]) -> list[UUID]:
    return sorted(each_once(ids))


SkillIds = Annotated[list[UUID], Field(max_length=MAX_SKILLS), AfterValidator(_skills)]
_CAUSE = {
    "path": "Its place, from the general to the particular; what lies above it must be there.",
    "name": "What to show.",
    "description": "When to choose it.",
    "required_skill_ids": "What whoever handles such a case must be able to do; at most 20.",
    "archived": "Not to be chosen any more; cases that have it keep it.",
}


class CauseNameInput(Input):
    """A name in both languages."""

    en: Line = Field(description="In English.", examples=["Cold chain broken"])
    zh: Line = Field(description="In Chinese.", examples=["冷链断裂"])


class CauseName(Wire):
    """A name in both languages."""

    en: str = Field(description="In English.", examples=["Cold chain broken"])
    zh: str = Field(description="In Chinese.", examples=["冷链断裂"])


class ComplaintCauseCreate(Input):
    """A place of the taxonomy: what cases can be about, and why they happened."""

    model_config = with_examples(
        {"path": "quality/ice_melted", "name": {"en": "Ice melted", "zh": "冰袋融化"}},
    )

    path: CauseText = Field(description=_CAUSE["path"])
    name: CauseNameInput = Field(description=_CAUSE["name"])
    description: Prose | None = Field(default=None, description=_CAUSE["description"])
    required_skill_ids: SkillIds = Field(default_factory=list, description=_CAUSE["required_skill_ids"])


class ComplaintCauseUpdate(Input):
    """Fields to change; the path stays, because cases are kept by it."""

    model_config = with_examples({"name": {"en": "Thawed", "zh": "已解冻"}}, {"archived": True})

    name: CauseNameInput = Field(default_factory=lambda: CauseNameInput(en="-", zh="-"), description=_CAUSE["name"])
    description: Prose | None = Field(default=None, description=_CAUSE["description"])
    required_skill_ids: SkillIds = Field(default_factory=list, description=_CAUSE["required_skill_ids"])
    archived: bool = Field(strict=True, default=False, description=_CAUSE["archived"])


class ComplaintCausesAdopt(Input):
    """Which trade's taxonomy to take."""

    model_config = with_examples({"preset": "seafood"}, {})

    preset: Preset | None = Field(default=None, description="The trade; the shop's own when left out.")


class ComplaintCausesAdopted(Wire):
    """What was taken of a ready-made taxonomy."""

    preset: Preset = Field(description="The trade whose taxonomy it is.")
    added: int = Field(description="Places that were not there before.")


class ComplaintCause(Wire):
    """A place of the taxonomy."""

    id: ResourceId
    path: str = Field(description="Its place, from the general to the particular.", examples=["quality/cold_chain"])
    name: CauseName = Field(description=_CAUSE["name"])
    description: str | None = Field(description=_CAUSE["description"])
    required_skill_ids: list[UUID] = Field(description=_CAUSE["required_skill_ids"])
    archived: bool = Field(description=_CAUSE["archived"])
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


# -- settings ----------------------------------------------------------------------------------------------------------

_SETTING = {
    "reopen_days": "For how many days after its resolution a case can be reopened; later it takes a new, linked case.",
    "close_after_days": "After how many days a resolved case is closed by itself, if the customer was told, its cause "
    "is known and nothing is owed; null: never.",
    "resume_on_message": "Whether a message of the customer ends waiting for the customer.",
    "known_causes_only": "Whether `category` and `root_cause` must be in the taxonomy (422 `unknown_cause`); otherwise "
    "only what it has archived is refused.",
}
MAX_DAYS = 3650
Days = Annotated[int, Field(ge=0, le=MAX_DAYS, strict=True)]
SomeDays = Annotated[int, Field(ge=1, le=MAX_DAYS, strict=True)]


class ComplaintSettingsUpdate(Input):
    """Settings to change; one left out stays."""

    model_config = with_examples({"reopen_days": 15, "close_after_days": 7})

    reopen_days: Days = Field(default=30, description=_SETTING["reopen_days"])
    close_after_days: SomeDays | None = Field(default=None, description=_SETTING["close_after_days"])
    resume_on_message: bool = Field(strict=True, default=True, description=_SETTING["resume_on_message"])
    known_causes_only: bool = Field(strict=True, default=False, description=_SETTING["known_causes_only"])


class ComplaintSettings(Wire):
    """What holds for all cases of the shop."""

    reopen_days: int = Field(description=_SETTING["reopen_days"])
    close_after_days: int | None = Field(description=_SETTING["close_after_days"])
    resume_on_message: bool = Field(description=_SETTING["resume_on_message"])
    known_causes_only: bool = Field(description=_SETTING["known_causes_only"])
    version: Version
    updated_at: UpdatedAt
