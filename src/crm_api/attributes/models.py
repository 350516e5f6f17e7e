"""Attributes: definitions, and the shapes services exchange."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from crm_api.core.errors import FieldError
from crm_api.core.models import CreatedAt, Input, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.rules import RuleType
from crm_api.core.text import Line, Prose, Slug, storable

AttributeEntity = Literal["customer"]
AttributeType = Literal["text", "number", "money", "date", "boolean", "choice", "multi_choice", "reference"]
ReferenceTarget = Literal["customer", "staff", "store", "product"]

PREFIX = "attributes."
"""What rules and orders put before an attribute's key."""
RULE_TYPES: Mapping[AttributeType, RuleType] = {
    "text": RuleType.TEXT,
    "number": RuleType.NUMBER,
    "money": RuleType.MONEY,
    "date": RuleType.DATE,
    "boolean": RuleType.BOOLEAN,
    "choice": RuleType.CHOICE,
    "multi_choice": RuleType.MULTI,
    "reference": RuleType.UUID,
}

MAX_DEFINITIONS = 200
"""Definitions of one entity, the archived ones included: values are one document beside each customer."""
MAX_CHOICES = 200
MAX_TEXT = 2000
DEFAULT_TEXT = 500
MAX_NUMBER = 9_007_199_254_740_991
"""Largest number that JSON carries exactly everywhere: 2^53 - 1."""

ChoiceValue = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\s\x00]+$"), AfterValidator(storable)
]

AttributeValues = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=64)], JsonValue],
    Field(max_length=MAX_DEFINITIONS, examples=[{"shoe_size": 40, "skin_type": "dry"}]),
]
"""Values by key, as sent: `crm_api.attributes.rules.read_values` checks them against the tenant's definitions."""


class Labels(Input):
    """A name for people in English and Chinese; one of the two will do for both."""

    model_config = with_examples({"en": "Shoe size", "zh": "鞋码"})

    en: Line | None = Field(default=None, examples=["Shoe size"], description="English; the Chinese one if left out.")
    zh: Line | None = Field(default=None, examples=["鞋码"], description="Chinese; the English one if left out.")

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if self.en is None and self.zh is None:
            raise PydanticCustomError("label_required", "Give the label in English or in Chinese")
        return self

    def both(self) -> tuple[str, str]:
        """Return the English and the Chinese name."""
        return self.en or self.zh or "", self.zh or self.en or ""


class LabelsShown(Wire):
    """A name for people in English and Chinese."""

    en: str = Field(examples=["Shoe size"], description="English.")
    zh: str = Field(examples=["鞋码"], description="Chinese.")


class AttributeChoiceInput(Input):
    """One of the values of a choice."""

    model_config = with_examples({"value": "dry", "label": {"en": "Dry", "zh": "干性"}})

    value: ChoiceValue = Field(
        examples=["dry"], description="What is stored and compared; keep it when the label changes."
    )
    label: Labels = Field(description="What people read.")
    archived: bool = Field(strict=True, default=False, description="Kept where it is chosen already, offered no more.")


class AttributeChoice(Wire):
    """One of the values of a choice."""

    value: str = Field(examples=["dry"], description="What is stored and compared.")
    label: LabelsShown = Field(description="What people read.")
    archived: bool = Field(description="Kept where it is chosen already, offered no more.")


class _Limits(Input):
    description: Prose | None = Field(default=None, description="What staff should enter, and what it is for.")
    minimum: float | None = Field(
        default=None,
        ge=-MAX_NUMBER,
        le=MAX_NUMBER,
        allow_inf_nan=False,
        strict=True,
        examples=[20],
        description="Least `number`, or least `money` in minor units.",
    )
    maximum: float | None = Field(
        default=None,
        ge=-MAX_NUMBER,
        le=MAX_NUMBER,
        allow_inf_nan=False,
        strict=True,
        examples=[60],
        description="Greatest `number`, or greatest `money` in minor units.",
    )
    max_length: int | None = Field(
        strict=True,
        default=None,
        ge=1,
        le=MAX_TEXT,
        examples=[100],
        description=f"Longest `text`; {DEFAULT_TEXT} if left out.",
    )


class AttributeDefinitionCreate(_Limits):
    """A new attribute."""

    model_config = with_examples(
        {
            "key": "shoe_size",
            "type": "number",
            "label": {"en": "Shoe size", "zh": "鞋码"},
            "minimum": 20,
            "maximum": 60,
        },
        {
            "key": "skin_type",
            "type": "choice",
            "label": {"zh": "肤质"},
            "choices": [
                {"value": "dry", "label": {"en": "Dry", "zh": "干性"}},
                {"value": "oily", "label": {"en": "Oily", "zh": "油性"}},
            ],
        },
    )

    entity: AttributeEntity = Field(
        default="customer", description="What has the attribute; companies are customers too."
    )
    key: Annotated[Slug, Field(examples=["shoe_size"])] = Field(
        description="Name in JSON, rules and filters; it stays as it is."
    )
    type: AttributeType = Field(description="Of the values; it can be changed while no customer has one.")
    label: Labels = Field(description="What people read.")
    choices: list[AttributeChoiceInput] = Field(
        default_factory=list,
        max_length=MAX_CHOICES,
        description="For `choice` and `multi_choice`, in the order screens show them.",
    )
    refers_to: ReferenceTarget | None = Field(default=None, description="For `reference`: what the value is the id of.")
    required: bool = Field(
        strict=True, default=False, description="Whoever creates a customer must give it, and nobody can clear it."
    )


class AttributeDefinitionUpdate(_Limits):
    """Fields to change; a field left out stays, null clears a limit or the description."""

    model_config = with_examples({"label": {"en": "Shoe size (EU)", "zh": "鞋码（欧码）"}, "maximum": 50})

    type: AttributeType = Field(default="text", description="Refused with 409 while any customer has a value.")
    label: Labels = Field(default_factory=lambda: Labels(en="-"), description="What people read.")
    choices: list[AttributeChoiceInput] = Field(
        default_factory=list,
        max_length=MAX_CHOICES,
        description="Replaces all choices; one that is in use can be archived but not taken out.",
    )
    refers_to: ReferenceTarget | None = Field(
        default=None, description="Refused with 409 while any customer has a value."
    )
    required: bool = Field(
        strict=True, default=False, description="From now on; customers without a value stay as they are."
    )
    archived: bool = Field(
        strict=True,
        default=False,
        description="Archived attributes keep their values but take no new ones; rules cannot name them.",
    )


class AttributeDefinition(Wire):
    """A field that the shop added."""

    id: ResourceId
    entity: AttributeEntity = Field(description="What has the attribute; companies are customers too.")
    key: str = Field(examples=["shoe_size"], description="Name in JSON, rules and filters.")
    type: AttributeType = Field(description="Of the values.")
    label: LabelsShown = Field(description="What people read.")
    description: str | None = Field(description="What staff should enter, and what it is for.")
    choices: list[AttributeChoice] = Field(description="For `choice` and `multi_choice`; empty otherwise.")
    refers_to: ReferenceTarget | None = Field(description="For `reference`: what the value is the id of.")
    required: bool = Field(description="Whoever creates a customer must give it, and nobody can clear it.")
    minimum: float | None = Field(description="Least `number`, or least `money` in minor units.")
    maximum: float | None = Field(description="Greatest `number`, or greatest `money` in minor units.")
    max_length: int | None = Field(description=f"Longest `text`; null is {DEFAULT_TEXT}.")
    archived: bool = Field(description="Keeps its values, takes no new ones; rules cannot name it.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


# -- what services exchange --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the values of a choice, with its labels."""

    value: str
    label_en: str
    label_zh: str
    archived: bool = False

    def stored(self) -> dict[str, Any]:
        """Return what the column ``choices`` holds of it."""
        return {
            "value": self.value,
            "label": {"en": self.label_en, "zh": self.label_zh},
            "archived": self.archived,
        }


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition as the other domains see it; the fields mean what they mean in `AttributeDefinition`."""

    id: UUID
    entity: str
    key: str
    type: AttributeType
    label_en: str
    label_zh: str
    description: str | None = None
    choices: tuple[Choice, ...] = ()
    refers_to: str | None = None
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None
    archived: bool = False

    @property
    def offered(self) -> tuple[str, ...]:
        """The values that may be chosen now."""
        return tuple(choice.value for choice in self.choices if not choice.archived)


@dataclass(frozen=True, slots=True)
class CheckedValues:
    """What one row of many says of attributes.

    Attributes:
        values: as they are stored, None for one to clear; empty when there are errors.
        errors: what is wrong with what is given.
        lacking: what is wrong should the row make something new: required attributes it does not give.

    """

    values: dict[str, Any]
    errors: list[FieldError]
    lacking: list[FieldError]


Definitions = Mapping[str, Definition]
"""By key, in the order they were made."""
