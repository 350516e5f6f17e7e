"""Orders, events, birthdays and what is told from outside, as subjects of earning."""

from datetime import date, datetime
from typing import Any, Final
from uuid import UUID, uuid5

from crm_api.core.lunar import lunar_of
from crm_api.earning.engine import Subject
from crm_api.earning.models import OrderTrigger, Trigger
from crm_api.earning.rules import Occasion

_NAMES: Final = UUID("019ac2a0-0032-7000-8000-000000000032")
"""Makes ids of what has none of its own; never changes."""


def of_order(trigger: OrderTrigger, row: Any, now: datetime) -> Subject:
    """Return an order as a subject, from `OccasionRepository.orders`; one that is not paid yet as if it were now."""
    unpaid = not row["paid_announced"]
    moment = row["completed_at"] if trigger == "order_completed" else row["paid_at"] or row["placed_at"]
    occasion = Occasion(
        row["customer_id"],
        now if unpaid or moment is None else moment,
        row["currency"],
        row["total_amount"] if unpaid else row["paid_amount"],
        row["shipping_amount"],
        row["tax_amount"],
        row["paid_by_points_amount"],
        row["paid_by_vouchers_amount"],
        lines_amount=row["lines_amount"],
    )
    return Subject(row["id"], row["id"], occasion, row["quantity"], row["id"])


def of_event(row: Any) -> Subject:
    """Return an event as a subject, from `OccasionRepository.events`."""
    occasion = Occasion(row["customer_id"], row["occurred_at"])
    return Subject(row["id"], row["id"], occasion, event_type=row["type"], reference=str(row["id"]))


def of_sign_up(customer_id: UUID, at: datetime) -> Subject:
    """Return a new customer as a subject."""
    return Subject(customer_id, customer_id, Occasion(customer_id, at))


def birthday_year(day: date, *, lunar: bool) -> str:
    """Return the year a celebration belongs to, in the birthday's own calendar.

    A lunar birthday of the last months falls into the first weeks of the next solar year, so that a solar year may hold
    two of them, or none; a lunar year holds each once.
    """
    found = lunar_of(day) if lunar else None
    return str(day.year if found is None else found.year)


def of_birthday(customer_id: UUID, year: str, at: datetime) -> Subject:
    """Return a birthday as a subject."""
    subject_id = uuid5(_NAMES, f"birthday:{customer_id}:{year}")
    return Subject(subject_id, customer_id, Occasion(customer_id, at), reference=year)


def named(trigger: Trigger, reference: str) -> UUID:
    """Return the id of what was told from outside."""
    return uuid5(_NAMES, f"{trigger}:{reference}")
