"""Standards of contact, and who is neglected by them: wire shapes."""

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import Field

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Caption

Dimension = Literal[
    "all", "tier", "frequency", "amount", "loyalty", "value", "activity", "grade", "lifecycle", "value_potential"
]
Days = Annotated[int, Field(ge=1, le=3650, strict=True)]

_STANDARD: Final = {
    "dimension": "Of which classification; `all` is every customer with an owner, `tier` a tier of the default loyalty "
    "programme.",
    "class_name": "Which class of it, such as `A` of `grade` or the code of a tier; `*` with `all`.",
    "every_days": "Their owner should speak with them at least every so many days.",
}


class ContactStandardCreate(Input):
    """How often customers of a class should hear from their owner."""

    model_config = with_examples({"dimension": "grade", "class_name": "A", "every_days": 14})

    dimension: Dimension = Field(description=_STANDARD["dimension"])
    class_name: Caption = Field(default="*", description=_STANDARD["class_name"])
    every_days: Days = Field(description=_STANDARD["every_days"])


class ContactStandardUpdate(Input):
    """What to change."""

    model_config = with_examples({"every_days": 21})

    every_days: Days = Field(description=_STANDARD["every_days"])


class ContactStandard(Wire):
    """How often customers of a class should hear from their owner."""

    id: ResourceId
    dimension: Dimension = Field(description=_STANDARD["dimension"])
    class_name: str = Field(description=_STANDARD["class_name"])
    every_days: int = Field(description=_STANDARD["every_days"])
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class NeglectedCustomer(Wire):
    """A customer whom nobody of the shop has spoken with for longer than the strictest standard allows."""

    id: UUID = Field(description="The customer's id.")
    name: str = Field(description="Full name.")
    owner_id: UUID = Field(description="Who should have spoken with them.")
    store_id: UUID | None = Field(description="Where they belong.")
    every_days: int = Field(description="The strictest standard of their classes.")
    contacted_at: Instant | None = Field(description="When somebody spoke with them last; null is never.")
    overdue_since: Instant = Field(
        description="Since when it is too long: counted from the last contact, or from when they got their owner."
    )
