"""Customers: domain models and wire shapes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, JsonValue, SkipValidation, model_validator
from pydantic_core import PydanticCustomError

from crm_api.attributes.models import AttributeValues
from crm_api.core import lunar
from crm_api.core.batch import MAX_ITEMS, Mode, Ref
from crm_api.core.errors import FieldError
from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import AccountId, Caption, Line, Prose, Slug

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

CONSENT_AGE_YEARS = 14
"""Below this age a guardian consents (PIPL, article 31)."""

MAX_CONTACT_POINTS = 50
MAX_TAGS = 100
MAX_INTERESTS = 50
MAX_ADDRESSES = 20

AgeRange = Literal["under_18", "18_24", "25_34", "35_44", "45_54", "55_64", "65_plus"]


class Birthday(Input):
    """A birthday: solar or lunar, the year optional."""

    model_config = with_examples({"calendar": "lunar", "month": 8, "day": 15})

    calendar: Literal["solar", "lunar"] = Field(
        default="solar", description="Which calendar year, month and day are in."
    )
    year: int | None = Field(
        strict=True, default=None, ge=1850, le=2100, examples=[1990], description="Null when it is not known."
    )
    month: int = Field(strict=True, ge=1, le=12, examples=[8], description="1–12, of that calendar.")
    day: int = Field(strict=True, ge=1, le=31, examples=[15], description="1–31 solar, 1–30 lunar.")
    leap_month: bool = Field(strict=True, default=False, description="Lunar leap month (闰月).")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.calendar == "lunar":
            if self.day > 30:  # noqa: PLR2004 - the longest lunar month
                msg = "a lunar month has at most 30 days"
                raise ValueError(msg)
            self._exists_in_lunar_year()
            return self
        if self.leap_month:
            msg = "only a lunar month can be a leap month"
            raise ValueError(msg)
        days = [31, 29 if self._may_be_leap() else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        if self.day > days[self.month - 1]:
            msg = f"month {self.month} has no day {self.day}"
            raise ValueError(msg)
        return self

    def _exists_in_lunar_year(self) -> None:
        year = self.year
        if year is None or not lunar.FIRST_YEAR <= year <= lunar.LAST_YEAR:
            return
        days = lunar.days_in_month(year, self.month, leap=self.leap_month)
        if days is None:
            raise PydanticCustomError(
                "no_leap_month", "Lunar year {year} has no leap month {month}", {"year": year, "month": self.month}
            )
        if self.day > days:
            raise PydanticCustomError(
                "no_such_day",
                "Month {month} of lunar year {year} has {days} days",
                {"year": year, "month": self.month, "days": days},
            )

    def _may_be_leap(self) -> bool:
        year = self.year
        return year is None or (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))


class BirthdayShown(Wire):
    """A birthday: solar or lunar, the year optional."""

    calendar: Literal["solar", "lunar"] = Field(description="Which calendar year, month and day are in.")
    year: int | None = Field(description="Null when it is not known.")
    month: int = Field(description="1–12, of that calendar.")
    day: int = Field(description="1–31 solar, 1–30 lunar.")
    leap_month: bool = Field(description="Lunar leap month (闰月).")


class ContactPointInput(Input):
    """A way to reach the customer."""

    model_config = with_examples({"kind": "email", "value": "xiaoming.wang@example.com"})

    kind: ContactKind = Field(description="What `value` is; each platform's account has its own.")
    value: Line = Field(examples=["138 1234 5678"], description="Phones are stored as E.164 (default region CN).")
    is_primary: bool = Field(
        strict=True,
        default=False,
        description="Whether to try this one first among those of its kind; where none is, the oldest is tried first.",
    )


class ContactPoint(Wire):
    """A way to reach the customer, normalised."""

    id: ResourceId
    kind: ContactKind = Field(description="What `value` is; each platform's account has its own.")
    value: str = Field(
        examples=["+8613812345678"],
        description="As it is dialled or addressed: phones in E.164, e-mail in lower case.",
    )
    is_primary: bool = Field(
        description="Whether to try this one first among those of its kind; where none is, the oldest is tried first."
    )
    verified_at: Instant | None = Field(description="When the customer proved it; null until then.")


class IdentityInput(Input):
    """Who the customer is on another platform; unique in the tenant."""

    model_config = with_examples({"platform": "douyin", "external_id": "dy_20261111"})

    platform: Annotated[Slug, Field(examples=["taobao"])] = Field(description="Lower-case name of the platform.")
    external_id: Annotated[AccountId, Field(examples=["tb_10086"])] = Field(
        description="The customer's id there, no white space; not a masked one such as t***b, which many people share."
    )


class Identity(Wire):
    """Who the customer is on another platform."""

    id: ResourceId
    platform: str = Field(description="Lower-case name of the platform.")
    external_id: str = Field(description="The customer's id there.")


class _AddressParts(Input):
    label: Caption | None = Field(
        default=None, examples=["家"], description="What the customer calls it: home, office."
    )
    receiver: Line | None = Field(default=None, examples=["王小明"], description="Who takes the parcel there.")
    phone: Caption | None = Field(
        default=None, examples=["138 1234 5678"], description="To call there, as written; not a contact point."
    )
    province: Line | None = Field(default=None, examples=["上海市"], description="Province, municipality or state.")
    city: Line | None = Field(default=None, examples=["上海市"], description="City or prefecture.")
    district: Line | None = Field(default=None, examples=["浦东新区"], description="District or county.")
    street: Line | None = Field(
        default=None, examples=["世纪大道 100 号 2 单元 501"], description="Street, building and door."
    )
    postcode: Caption | None = Field(default=None, examples=["200120"], description="Postal code.")


class AddressInput(_AddressParts):
    """Where the customer lives, works or has parcels sent."""

    model_config = with_examples(
        {
            "label": "家",
            "receiver": "王小明",
            "phone": "138 1234 5678",
            "province": "上海市",
            "city": "上海市",
            "district": "浦东新区",
            "street": "世纪大道 100 号 2 单元 501",
            "postcode": "200120",
            "is_default": True,
        }
    )

    is_default: bool = Field(
        strict=True,
        default=False,
        description="Whether parcels go there if nothing else is said; of several, the last counts.",
    )

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if not any((self.province, self.city, self.district, self.street)):
            raise PydanticCustomError("address_empty", "Give at least a province, city, district or street")
        return self


class AddressUpdate(_AddressParts):
    """Parts of an address to change; a part left out stays, null clears it."""

    model_config = with_examples({"street": "世纪大道 200 号", "is_default": True})

    is_default: bool = Field(
        strict=True, default=False, description="true makes it the default, false takes that away."
    )


class Address(Wire):
    """Where the customer lives, works or has parcels sent."""

    id: ResourceId
    label: str | None = Field(description="What the customer calls it: home, office.")
    receiver: str | None = Field(description="Who takes the parcel there.")
    phone: str | None = Field(description="To call there, as written.")
    province: str | None = Field(description="Province, municipality or state.")
    city: str | None = Field(description="City or prefecture.")
    district: str | None = Field(description="District or county.")
    street: str | None = Field(description="Street, building and door.")
    postcode: str | None = Field(description="Postal code.")
    is_default: bool = Field(description="Whether parcels go there if nothing else is said.")


class _Profile(Input):
    gender: Gender | None = Field(default=None, description="Null when not known.")
    birthday: Birthday | None = Field(default=None, description="Null when not known.")
    occupation: Line | None = Field(default=None, description="What the customer does for a living.")
    region: Line | None = Field(default=None, description="Province or state.")
    city: Line | None = Field(default=None, description="City of residence.")
    address: Line | None = Field(default=None, description="Street address, in one line.")
    preferences: Prose | None = Field(default=None, description="Likes and dislikes, free text.")
    special_requirements: Prose | None = Field(default=None, description="What staff must observe, such as allergies.")
    price_sensitivity: PriceSensitivity | None = Field(
        default=None, description="How much the price decides; null when not judged."
    )
    notes: Prose | None = Field(default=None, description="Anything else staff should know.")
    age_range: AgeRange | None = Field(default=None, description="As judged or told, when the birthday is not known.")
    family: Prose | None = Field(default=None, description="Who lives with the customer, in words.")
    interests: list[Tag] = Field(
        default_factory=list,
        max_length=MAX_INTERESTS,
        examples=[["露营", "烘焙"]],
        description="What the customer likes to do; a change replaces all.",
    )
    attributes: AttributeValues = Field(
        default_factory=dict,
        description="The shop's own fields by key, as `GET /v1/attribute-definitions` lists them. A change sets the "
        "keys given, null clears one.",
    )
    source: Line | None = Field(default=None, description="How the customer was won.")
    owner_id: UUID | None = Field(
        default=None, description="The staff member who looks after this customer; must be active."
    )
    store_id: UUID | None = Field(default=None, description="The store the customer belongs to.")


class CustomerCreate(_Profile):
    """A new customer."""

    model_config = with_examples(
        {
            "name": "王小明",
            "gender": "male",
            "birthday": {"calendar": "lunar", "year": 1990, "month": 8, "day": 15},
            "region": "上海",
            "city": "上海",
            "preferences": "喜欢鲜活海鲜，周末送货",
            "special_requirements": "花生过敏",
            "source": "抖音直播间",
            "contact_points": [{"kind": "mobile", "value": "138 1234 5678", "is_primary": True}],
            "identities": [{"platform": "taobao", "external_id": "tb_10086"}],
            "tags": ["vip", "海鲜"],
        },
        {"kind": "company", "name": "浦东幼儿园", "city": "上海"},
    )

    kind: CustomerKind = Field(default="person", description="A person, or a company that buys.")
    name: Annotated[Line, Field(examples=["王小明"])] = Field(description="Full name, or the company's.")
    contact_points: list[ContactPointInput] = Field(
        default_factory=list, max_length=MAX_CONTACT_POINTS, description="Phones, e-mail addresses and chat accounts."
    )
    identities: list[IdentityInput] = Field(
        default_factory=list, max_length=MAX_CONTACT_POINTS, description="Who the customer is on selling platforms."
    )
    addresses: list[AddressInput] = Field(
        default_factory=list, max_length=MAX_ADDRESSES, description="Where the customer lives or has parcels sent."
    )
    tags: list[Tag] = Field(default_factory=list, max_length=MAX_TAGS, description="Free labels, without commas.")


class CustomerBatchItem(CustomerCreate):
    """A new customer of a batch."""

    model_config = with_examples({"ref": "row-17", "name": "王小明", "city": "上海", "tags": ["vip"]})

    ref: Ref = None


class CustomerBatch(Input):
    """New customers, up to 1,000."""

    model_config = with_examples(
        {"mode": "per_item", "items": [{"ref": "row-17", "name": "王小明"}, {"ref": "row-18", "name": "李雷"}]}
    )

    mode: Mode = "all_or_none"
    items: list[SkipValidation[CustomerBatchItem]] = Field(
        min_length=1, max_length=MAX_ITEMS, description="Each as for `POST /v1/customers`."
    )


class CustomerUpdate(_Profile):
    """Fields to change; a field left out stays, null clears it."""

    model_config = with_examples({"city": "杭州", "price_sensitivity": "low", "notes": None, "tags": ["vip", "生日券"]})

    name: Line = Field(default="", description="Full name, or the company's; cannot be cleared.")
    blacklisted: bool = Field(
        strict=True,
        default=False,
        description="Put there by staff; seen by rules and screens, blocks nothing by itself.",
    )
    tags: list[Tag] = Field(default_factory=list, max_length=MAX_TAGS, description="Replaces all tags.")


class Customer(Wire):
    """A person or a company that buys."""

    id: ResourceId
    kind: CustomerKind = Field(description="A person, or a company that buys.")
    name: str = Field(examples=["王小明"], description="Full name, or the company's.")
    gender: Gender | None = Field(description="Null when not known.")
    birthday: BirthdayShown | None = Field(description="Null when not known.")
    occupation: str | None = Field(description="What the customer does for a living.")
    region: str | None = Field(description="Province or state.")
    city: str | None = Field(description="City of residence.")
    address: str | None = Field(description="Street address, in one line.")
    preferences: str | None = Field(description="Likes and dislikes, free text.")
    special_requirements: str | None = Field(description="What staff must observe, such as allergies.")
    price_sensitivity: PriceSensitivity | None = Field(description="How much the price decides; null when not judged.")
    notes: str | None = Field(description="Anything else staff should know.")
    next_birthday: date | None = Field(
        default=None,
        description="When the birthday is celebrated next, today included, in the shop's time zone; docs/domains/"
        "customers.md says what becomes of days a year lacks. Over REST only when `fields` names it.",
    )
    age_range: AgeRange | None = Field(description="As judged or told, when the birthday is not known.")
    family: str | None = Field(description="Who lives with the customer, in words.")
    interests: list[str] = Field(examples=[["露营", "烘焙"]], description="What the customer likes to do.")
    attributes: dict[str, JsonValue] = Field(
        examples=[{"shoe_size": 40, "skin_type": "dry"}],
        description="The shop's own fields by key; one without a value is not there.",
    )
    addresses: list[Address] = Field(description="Where the customer lives or has parcels sent.")
    source: str | None = Field(description="How the customer was won.")
    blacklisted: bool = Field(description="Put there by staff; seen by rules and screens, blocks nothing by itself.")
    owner_id: UUID | None = Field(description="The staff member who looks after this customer.")
    store_id: UUID | None = Field(description="The store the customer belongs to.")
    contact_points: list[ContactPoint] = Field(description="Phones, e-mail addresses and chat accounts, normalised.")
    identities: list[Identity] = Field(description="Who the customer is on selling platforms.")
    tags: list[str] = Field(examples=[["vip"]], description="Free labels, by name.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


# -- what services exchange --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CustomerRow:
    """One row of a bulk write. What is missing leaves what is stored as it is.

    Attributes:
        profile: columns of the customer that are plain text: ``name``, ``gender``, ``city`` …
        kind: what a new customer becomes; known ones stay what they are.
        customer_id: our own id of the customer the row means.
        birthday: the birthday.
        mobile: as written; stored as E.164.
        email: as written.
        platform: with ``external_id``, who the customer is there.
        external_id: see ``platform``.
        tags: added to those the customer has.
        attributes: the tenant's own, by key: text is read as a cell of a file, anything else as JSON values are;
            an empty text says nothing, None clears.
        lacking: required attributes the row does not give; found by the service.
        is_child: whether the birthday is that of a child under 14; found by the service.

    """

    profile: Mapping[str, str]
    birthday: Birthday | None = None
    mobile: str | None = None
    email: str | None = None
    platform: str | None = None
    external_id: str | None = None
    tags: tuple[str, ...] = ()
    kind: CustomerKind = "person"
    customer_id: UUID | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    lacking: tuple[FieldError, ...] = ()
    is_child: bool = False


MatchKey = Literal["id", "identity", "mobile", "email"]
DEFAULT_KEYS: tuple[MatchKey, ...] = ("id", "identity", "mobile", "email")
BulkMode = Literal["upsert", "create_only", "update_only"]


@dataclass(frozen=True, slots=True)
class CustomerRowVerdict:
    """What became of one row.

    Attributes:
        customer_id: the customer, None when the row failed.
        verdict: what happened; ``duplicate`` is a row that may only create but means somebody known.
        errors: why it failed; pointers name the row's attributes (``/mobile``).
        journal: what the row changed, for ``CustomerBulkService.undo_many``.

    """

    customer_id: UUID | None
    verdict: Literal["created", "updated", "unchanged", "duplicate", "failed"]
    errors: tuple[FieldError, ...] = ()
    journal: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PointChange:
    """What becomes of a stored contact point.

    Attributes:
        id: which.
        kind: its kind from now on; None removes it.
        value: its value, in normal form.
        is_primary: whether it is tried first among those of its kind.

    """

    id: UUID
    kind: ContactKind | None
    value: str
    is_primary: bool
