"""Companies: their contacts and roll-ups, wire shapes."""

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import Field

from crm_api.core.models import CreatedAt, Day, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.money import Money
from crm_api.core.text import Line, Slug

MAX_ROLES = 20
MAX_CONTACTS = 1000

Role = Annotated[Slug, Field(examples=["buyer"])]
ROLES_TEXT = (
    "What they decide or do: `buyer`, `finance`, `decision_maker`, `receiving`, or names of the shop's own in the same "
    "form. Each once."
)


class CompanyContactCreate(Input):
    """A person who speaks for a company."""

    model_config = with_examples(
        {
            "customer_id": "01981a6e-0000-7000-8000-000000000000",
            "roles": ["buyer", "receiving"],
            "title": "采购经理",
            "is_primary": True,
            "since": "2024-03-01",
        },
    )

    customer_id: UUID = Field(description="The person: a customer too.")
    roles: list[Role] = Field(default_factory=list, max_length=MAX_ROLES, description=ROLES_TEXT)
    title: Line | None = Field(default=None, description="Their position, in the company's words.")
    is_primary: bool = Field(
        strict=True,
        default=False,
        description="Whom to call first; a company has one, so the one before is it no longer.",
    )
    since: Day | None = Field(
        default=None,
        description="First day, in the tenant's time zone; null for always. Orders the person placed before are not "
        "the company's.",
        examples=["2026-03-01"],
    )
    until: Day | None = Field(
        default=None, description="Last day, for a contact that is history already; null while it lasts."
    )


class CompanyContactUpdate(Input):
    """Fields to change; a field left out stays, null clears it."""

    model_config = with_examples({"roles": ["decision_maker"], "is_primary": True}, {"until": "2025-10-31"})

    roles: list[Role] = Field(default_factory=list, max_length=MAX_ROLES, description=ROLES_TEXT)
    title: Line | None = Field(default=None, description="Their position, in the company's words.")
    is_primary: bool = Field(
        strict=True,
        default=False,
        description="Whom to call first; a company has one, so the one before is it no longer.",
    )
    since: Day | None = Field(default=None, description="First day, in the tenant's time zone; null for always.")
    until: Day | None = Field(
        default=None, description="Last day: ends the contact, which stays as history; null takes that back."
    )


class CompanyContact(Wire):
    """A person who speaks, or spoke, for a company."""

    id: ResourceId
    company_id: UUID = Field(description="The company.")
    customer_id: UUID = Field(description="The person.")
    roles: list[str] = Field(description=ROLES_TEXT, examples=[["buyer"]])
    title: str | None = Field(description="Their position, in the company's words.")
    is_primary: bool = Field(description="Whom to call first.")
    since: date | None = Field(description="First day, in the tenant's time zone; null for always.")
    until: date | None = Field(description="Last day of a contact that ended; null while it lasts.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class CompanyPurchases(Wire):
    """What a company and its contacts have bought; each order counts once.

    A contact's orders count when they were placed while the person was a contact of this company.
    """

    order_count: int = Field(description="Orders, whatever became of them, without the cancelled ones.")
    paid_order_count: int = Field(description="Purchases: orders that are paid, shipped or completed.")
    first_order_at: Instant | None = Field(description="When the first purchase was placed.")
    last_order_at: Instant | None = Field(description="When the latest purchase was placed.")
    gross_spend: Money | None = Field(description="All that was ever paid, in one currency.")
    net_spend: Money | None = Field(description="Gross spend less refunds.")
    other_currency_order_count: int = Field(
        description="Purchases in other currencies; their amounts are not included."
    )


class CompanyPoints(Wire):
    """The points a company and its current contacts have together."""

    available: int = Field(description="Points that can be spent.", examples=[120])
    pending: int = Field(description="Points earned but not yet usable.", examples=[0])
    held: int = Field(description="Points set aside for a redemption in progress.", examples=[0])
    debt: int = Field(description="Points owed after a refund of points already spent; later points repay it.")


class CompanyRollup(Wire):
    """A company and its contacts taken together."""

    company_id: UUID = Field(description="The company.")
    contact_count: int = Field(description="People who are contacts now.")
    purchases_rollup: CompanyPurchases | None = Field(description="What all of them have bought. Takes `orders:read`.")
    points_rollup: CompanyPoints | None = Field(description="The points all of them have. Takes `loyalty:read`.")
