"""Customers: domain models and wire shapes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from crm_api.core.errors import FieldError
from crm_api.core.models import Input, Instant, Wire
from crm_api.core.text import Line, Prose, Slug, Token

CustomerKind = Literal["person", "company"]
Gender = Literal["female", "male", "other"]
PriceSensitivity = Literal["low", "medium", "high"]
ContactKind = Literal[
    "mobile",
    "landline",
    "email",
    "wechat_openid",
    "wechat_unionid",
    "wecom_external_userid",
    "taobao_buyer",
    "douyin_open_id",
    "weibo",
]
Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\s,\x00][^,\x00]*$", examples=["vip"])]

MAX_CONTACT_POINTS = 50
MAX_TAGS = 100


class Birthday(Input):
    """A birthday: solar or lunar, the year optional."""

    calendar: Literal["solar", "lunar"] = "solar"
    year: int | None = Field(default=None, ge=1850, le=2100, examples=[1990])
    month: int = Field(ge=1, le=12, examples=[8])
    day: int = Field(ge=1, le=31, examples=[15])
    leap_month: bool = Field(default=False, description="Lunar leap month (闰月).")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.calendar == "lunar":
            if self.day > 30:  # noqa: PLR2004 - the longest lunar month
                msg = "a lunar month has at most 30 days"
                raise ValueError(msg)
            return self
        if self.leap_month:
            msg = "only a lunar month can be a leap month"
            raise ValueError(msg)
        days = [31, 29 if self._may_be_leap() else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        if self.day > days[self.month - 1]:
            msg = f"month {self.month} has no day {self.day}"
            raise ValueError(msg)
        return self

    def _may_be_leap(self) -> bool:
        year = self.year
        return year is None or (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))


class BirthdayShown(Wire):
    """A birthday: solar or lunar, the year optional."""

    calendar: Literal["solar", "lunar"]
    year: int | None
    month: int
    day: int
    leap_month: bool


class ContactPointInput(Input):
    """A way to reach the customer."""

    kind: ContactKind
    value: Annotated[
        Line, Field(examples=["138 1234 5678"], description="Phones are stored as E.164 (default region CN).")
    ]
    is_primary: bool = False


class ContactPoint(Wire):
    """A way to reach the customer, normalised."""

    id: UUID
    kind: ContactKind
    value: str = Field(examples=["+8613812345678"])
    is_primary: bool
    verified_at: Instant | None


class IdentityInput(Input):
    """Who the customer is on another platform; unique in the tenant."""

    platform: Annotated[Slug, Field(examples=["taobao"])]
    external_id: Annotated[Token, Field(examples=["tb_10086"])]


class Identity(Wire):
    """Who the customer is on another platform."""

    id: UUID
    platform: str
    external_id: str


class _Profile(Input):
    gender: Gender | None = None
    birthday: Birthday | None = None
    occupation: Line | None = None
    region: Line | None = None
    city: Line | None = None
    address: Line | None = None
    preferences: Prose | None = None
    special_requirements: Prose | None = None
    price_sensitivity: PriceSensitivity | None = None
    notes: Prose | None = None
    source: Line | None = Field(default=None, description="How the customer was won.")
    owner_id: UUID | None = Field(default=None, description="The staff member who looks after this customer.")
    store_id: UUID | None = None


class CustomerCreate(_Profile):
    """A new customer."""

    kind: CustomerKind = "person"
    name: Annotated[Line, Field(examples=["王小明"])]
    contact_points: list[ContactPointInput] = Field(default_factory=list, max_length=MAX_CONTACT_POINTS)
    identities: list[IdentityInput] = Field(default_factory=list, max_length=MAX_CONTACT_POINTS)
    tags: list[Tag] = Field(default_factory=list, max_length=MAX_TAGS)


class CustomerUpdate(_Profile):
    """Fields to change; a field left out stays, null clears it."""

    name: Line = ""
    blacklisted: bool = False
    tags: list[Tag] = Field(default_factory=list, max_length=MAX_TAGS, description="Replaces all tags.")


class Customer(Wire):
    """A person or a company that buys."""

    id: UUID
    kind: CustomerKind
    name: str = Field(examples=["王小明"])
    gender: Gender | None
    birthday: BirthdayShown | None
    occupation: str | None
    region: str | None
    city: str | None
    address: str | None
    preferences: str | None
    special_requirements: str | None
    price_sensitivity: PriceSensitivity | None
    notes: str | None
    source: str | None
    blacklisted: bool
    owner_id: UUID | None
    store_id: UUID | None
    contact_points: list[ContactPoint]
    identities: list[Identity]
    tags: list[str] = Field(examples=[["vip"]])
    version: int
    created_at: Instant
    updated_at: Instant


# -- what services exchange --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CustomerRow:
    """One row of a bulk write. What is missing leaves what is stored as it is.

    Attributes:
        profile: columns of the customer that are plain text: ``name``, ``gender``, ``city`` …
        birthday: the birthday.
        mobile: as written; stored as E.164.
        email: as written.
        platform: with ``external_id``, who the customer is there.
        external_id: see ``platform``.
        tags: added to those the customer has.

    """

    profile: Mapping[str, str]
    birthday: Birthday | None = None
    mobile: str | None = None
    email: str | None = None
    platform: str | None = None
    external_id: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CustomerRowVerdict:
    """What became of one row.

    Attributes:
        customer_id: the customer, None when the row failed.
        verdict: what happened.
        errors: why it failed; pointers name the row's attributes (``/mobile``).

    """

    customer_id: UUID | None
    verdict: Literal["created", "updated", "unchanged", "failed"]
    errors: tuple[FieldError, ...] = ()
