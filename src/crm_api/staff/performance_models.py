"""The report of staff: whose work is asked for, and what it answers."""

from typing import Any
from uuid import UUID

from pydantic import Field

from crm_api.core.models import Input, Instant, NearInstant, Wire, with_examples


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
