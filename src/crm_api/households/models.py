"""Households: domain models and wire shapes."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from crm_api.core.models import CreatedAt, Day, Input, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Line
from crm_api.customers.models import Birthday, BirthdayShown

MemberRelation = Literal["mother", "father", "guardian", "grandparent", "spouse", "child", "other"]
Sex = Literal["female", "male"]

MAX_MEMBERS = 50
MAX_STAGES = 20
MAX_AGE_MONTHS = 1800


StageCode = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[^\s,\x00]+$", examples=["0-6m"])]


class HouseholdMemberCreate(Input):
    """Somebody who belongs to a household: a customer, or a child that is none."""

    model_config = with_examples(
        {"customer_id": "01981a6e-0000-7000-8000-000000000000", "relation": "grandparent"},
        {"relation": "child", "name": "小宝", "sex": "female", "birthday": {"year": 2024, "month": 3, "day": 1}},
        {"relation": "child", "due_date": "2025-12-24"},
    )

    customer_id: UUID | None = Field(
        default=None, description="The customer this is; null for a child that is no customer."
    )
    relation: MemberRelation = Field(description="What they are in the household.")
    name: Line | None = Field(default=None, description="The child's name, when known.")
    sex: Sex | None = Field(default=None, description="The child's, when known.")
    birthday: Birthday | None = Field(
        default=None, description="The child's: solar or lunar. Without its year there is no age and no stage."
    )
    due_date: Day | None = Field(default=None, description="When an unborn child is expected.")
    guardian_id: UUID | None = Field(
        default=None,
        description="The customer who answers for the child: an adult of the household. Left out: the mother, else the "
        "father, else the guardian of the household, if there is one.",
    )


class HouseholdMemberUpdate(Input):
    """Fields to change; a field left out stays, null clears it."""

    model_config = with_examples({"name": "小宝", "sex": "female"})

    relation: MemberRelation = Field(default="other", description="What they are in the household; cannot be cleared.")
    name: Line | None = Field(default=None, description="The child's name, when known.")
    sex: Sex | None = Field(default=None, description="The child's, when known.")
    birthday: Birthday | None = Field(
        default=None, description="Corrects the birthday of a child that is born; a birth is recorded by its own call."
    )
    due_date: Day | None = Field(default=None, description="When an unborn child is expected.")
    guardian_id: UUID | None = Field(
        default=None, description="The customer who answers for the child: an adult of the household."
    )


class ChildBirth(Input):
    """A child was born."""

    model_config = with_examples(
        {"birthday": {"year": 2025, "month": 12, "day": 18}, "sex": "male", "name": "小宝"},
    )

    birthday: Birthday = Field(description="The day of birth, with its year.")
    sex: Sex | None = Field(default=None, description="Left out: what is stored stays.")
    name: Line | None = Field(default=None, description="Left out: what is stored stays.")


class HouseholdCreate(Input):
    """A new household, with whoever is known of it."""

    model_config = with_examples(
        {
            "name": "王小明一家",
            "members": [
                {"customer_id": "01981a6e-0000-7000-8000-000000000000", "relation": "mother"},
                {"relation": "child", "due_date": "2025-12-24"},
            ],
        },
    )

    name: Annotated[Line, Field(examples=["王小明一家"])] = Field(description="As the shop calls the family.")
    members: list[HouseholdMemberCreate] = Field(
        default_factory=list, max_length=MAX_MEMBERS, description="Adults and children; more can be added later."
    )


class HouseholdUpdate(Input):
    """Fields to change; members are changed one by one."""

    model_config = with_examples({"name": "王家"})

    name: Line = Field(default="", description="As the shop calls the family; cannot be cleared.")


class HouseholdMember(Wire):
    """Somebody who belongs to a household: a customer, or a child that is none."""

    id: ResourceId
    household_id: UUID = Field(description="Where they belong.")
    customer_id: UUID | None = Field(description="The customer this is; null for a child that is no customer.")
    relation: MemberRelation = Field(description="What they are in the household.")
    name: str | None = Field(description="The customer's, or the child's when known.", examples=["小宝"])
    sex: Sex | None = Field(description="Of a child that is no customer, when known.")
    birthday: BirthdayShown | None = Field(description="Of a child that is no customer, as it was given.")
    born_on: date | None = Field(
        description="Day of birth in the solar calendar, a customer's included; null when the year is not known."
    )
    due_date: date | None = Field(description="When the child was or is expected.")
    guardian_id: UUID | None = Field(description="The customer who answers for the child.")
    age_months: int | None = Field(
        description="Of a child: whole months since birth, today in the tenant's time zone.", examples=[7]
    )
    stage: str | None = Field(
        description="Of a child: `pregnant` before the birth, `overdue` when the due date is long past and no birth is "
        "recorded, then the tenant's stages by age; null when neither day is known.",
        examples=["6-12m"],
    )
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class Household(Wire):
    """People who live together, as far as the shop knows them."""

    id: ResourceId
    name: str = Field(description="As the shop calls the family.", examples=["王小明一家"])
    members: list[HouseholdMember] = Field(description="Adults and children, in the order they were entered.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class HouseholdStageInput(Input):
    """From which age on a child is in a stage."""

    code: StageCode = Field(description="Name of the stage.")
    from_months: int = Field(
        ge=0, le=MAX_AGE_MONTHS, strict=True, description="Whole months of age at which it begins.", examples=[0]
    )


class HouseholdStage(Wire):
    """From which age on a child is in a stage."""

    code: str = Field(description="Name of the stage.", examples=["0-6m"])
    from_months: int = Field(description="Whole months of age at which it begins.", examples=[0])


class HouseholdSettings(Wire):
    """How children's ages become stages."""

    stages: list[HouseholdStage] = Field(description="By age, the first from birth; each lasts until the next begins.")
    overdue_after_days: int = Field(
        description="Days after the due date until a child whose birth nobody recorded is `overdue`.", examples=[14]
    )


class HouseholdSettingsUpdate(Input):
    """Fields to change; a field left out stays."""

    model_config = with_examples(
        {
            "stages": [
                {"code": "newborn", "from_months": 0},
                {"code": "infant", "from_months": 1},
                {"code": "toddler", "from_months": 12},
                {"code": "child", "from_months": 36},
            ],
            "overdue_after_days": 21,
        },
    )

    stages: list[HouseholdStageInput] = Field(
        default_factory=list,
        min_length=1,
        max_length=MAX_STAGES,
        description="By rising age, the first from 0; codes differ, `pregnant` and `overdue` are taken.",
    )
    overdue_after_days: int = Field(
        default=14, ge=0, le=90, strict=True, description="0–90 days after the due date.", examples=[14]
    )
