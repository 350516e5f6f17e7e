"""Bases of the Pydantic models."""

from datetime import UTC, date, datetime
from typing import Annotated, Final
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError


class Input(BaseModel):
    """What a caller sends: unknown fields are rejected, so a typing mistake cannot pass silently."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, frozen=True)


class Wire(BaseModel):
    """What we answer. The bytes come from PostgreSQL; the model documents and checks them."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


def _written(value: object) -> object:
    """Refuse numbers: seconds, milliseconds or minutes? Nobody can tell, and Pydantic would guess."""
    if isinstance(value, (int, float)) or (isinstance(value, str) and value[:10].replace(".", "").isdecimal()):
        raise PydanticCustomError("datetime_parsing", "Write the time as RFC 3339, such as 2026-11-11T03:20:00+08:00")
    return value


_BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC)
_AFTER_ALL: Final = datetime.max.replace(tzinfo=UTC)


def _kept(value: date) -> date:
    """Refuse what cannot be stored as it is: no time in UTC, or what the driver writes as an infinity."""
    first, last = (_BEFORE_ALL, _AFTER_ALL) if isinstance(value, datetime) else (date.min, date.max)
    if first < value < last:
        return value
    raise PydanticCustomError("beyond_time", "This is too far off to be kept; for no limit leave the field out")


Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_written),
    AfterValidator(_kept),
    Field(description="RFC 3339 in UTC.", examples=["2026-11-11T03:20:00+00:00"]),
]
"""A moment, always with its offset when sent, always UTC when answered."""


def _day(value: object) -> object:
    """Refuse numbers and instants, which Pydantic would take for days of some zone."""
    if isinstance(value, date) or (isinstance(value, str) and len(value) == len("2026-01-31")):
        return value
    raise PydanticCustomError("date_parsing", "Write the day as 2026-01-31")


Day = Annotated[date, BeforeValidator(_day), AfterValidator(_kept), Field(examples=["2026-05-20"])]
"""A day of the calendar, without a time."""

FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2999


def _reckonable(value: date) -> date:
    """Refuse what lies so far off that days cannot be added or taken away."""
    if FIRST_YEAR <= value.year <= LAST_YEAR:
        return value
    raise PydanticCustomError("year_out_of_range", "The year lies between 1900 and 2999")


NearDay = Annotated[Day, AfterValidator(_reckonable)]
"""A day to reckon with: of the years 1900 to 2999."""

NearInstant = Annotated[Instant, AfterValidator(_reckonable)]
"""A moment to reckon with: of the years 1900 to 2999."""

ResourceId = Annotated[UUID, Field(description="UUIDv7, made here; later ones sort after earlier ones.")]
Version = Annotated[int, Field(description="Grows by one with each change; the ETag.")]
CreatedAt = Annotated[Instant, Field(description="When it was first stored here (RFC 3339, UTC).")]
UpdatedAt = Annotated[Instant, Field(description="When it was last changed here (RFC 3339, UTC).")]


def with_examples(*bodies: JsonDict) -> ConfigDict:
    """Return the configuration of an input whose documentation shows these whole bodies."""
    return ConfigDict(json_schema_extra={"examples": [*bodies]})


__all__ = [
    "CreatedAt",
    "Day",
    "Input",
    "Instant",
    "NearDay",
    "NearInstant",
    "ResourceId",
    "UpdatedAt",
    "Version",
    "Wire",
    "datetime",
    "with_examples",
]
