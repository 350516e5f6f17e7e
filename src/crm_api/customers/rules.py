"""Normal forms of what identifies a customer: pure rules."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from crm_api.core import lunar
from crm_api.core.errors import FieldError, Invalid
from crm_api.customers.contact_rules import normal_value as normal_value  # noqa: PLC0414 - one of these rules
from crm_api.customers.models import CONSENT_AGE_YEARS, Birthday, ContactPointInput

BULK_COLUMNS = (
    "kind",
    "name",
    "gender",
    "occupation",
    "region",
    "city",
    "address",
    "notes",
    "age_range",
    "family",
    "source",
    "birth_calendar",
    "birth_year",
    "birth_month",
    "birth_day",
    "birth_leap_month",
)
"""What a bulk write can set of the customer itself."""


def normal_contact(point: ContactPointInput, pointer: str) -> str:
    """Return the stored form of a contact point's value; see `contact_rules.normal_value`."""
    return normal_value(point.kind, point.value, f"{pointer}/value")


def normal_contacts(points: list[ContactPointInput]) -> list[tuple[ContactPointInput, str]]:
    """Return each point with its stored value; repeats are dropped, faults are collected."""
    seen: dict[tuple[str, str], ContactPointInput] = {}
    errors: list[FieldError] = []
    for index, point in enumerate(points):
        try:
            value = normal_contact(point, f"/contact_points/{index}")
        except Invalid as error:
            errors.extend(error.errors)
        else:
            seen.setdefault((point.kind, value), point)
    if errors:
        raise Invalid(errors=errors)
    return [(point, value) for (_, value), point in seen.items()]


_BIRTH_PARTS = tuple((f"birth_{part}", part) for part in ("calendar", "year", "month", "day", "leap_month"))


def birth_columns(birthday: Birthday | None) -> dict[str, object]:
    """Return the birthday's columns."""
    return {column: getattr(birthday, part) if birthday else None for column, part in _BIRTH_PARTS}


def born_on(birthday: Birthday) -> date | None:
    """Return the solar day of birth; None when the year is not known, or is a lunar one that cannot be converted."""
    if birthday.year is None:
        return None
    if birthday.calendar == "solar":
        return date(birthday.year, birthday.month, birthday.day)
    if not lunar.FIRST_YEAR <= birthday.year <= lunar.LAST_YEAR:
        return None
    return lunar.solar_of(lunar.LunarDay(birthday.year, birthday.month, birthday.day, birthday.leap_month))


def is_child(born: date, today: date) -> bool:
    """Tell whether somebody is not yet 14, which in a common year one born on 29 February becomes on 1 March."""
    had_birthday = (today.month, today.day) >= (born.month, born.day)
    return today.year - born.year - (not had_birthday) < CONSENT_AGE_YEARS


ADDRESS_PARTS = ("label", "receiver", "phone", "province", "city", "district", "street", "postcode")


def address_parts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an address as plain values, for the audit log."""
    return {part: row[part] for part in ADDRESS_PARTS}


def check_address(row: Mapping[str, Any]) -> None:
    """Raise Invalid when nothing is left of an address that says where it is."""
    if not any(row[part] for part in ("province", "city", "district", "street")):
        raise Invalid.field(
            "", "address_empty", "An address needs a province, city, district or street", "地址至少要有省、市、区或街道"
        )
