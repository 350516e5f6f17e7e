"""Normal forms of what identifies a customer: pure rules."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from crm_api.core.errors import FieldError, Invalid
from crm_api.customers.models import Birthday, ContactKind, ContactPointInput

DEFAULT_REGION = "CN"
CHINESE_MOBILE_DIGITS = 11

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
    """Return the stored form of a contact point's value.

    Phones become E.164 by the phonenumbers library (region CN unless a country code is given), e-mail addresses their
    normalised lower-case form, outside ids stay as they are.

    Raises:
        Invalid: the value cannot be one; the error points at ``pointer``.

    """
    return normal_value(point.kind, point.value, f"{pointer}/value")


def normal_value(kind: ContactKind, value: str, pointer: str) -> str:
    """Return the stored form of a value of this kind; see ``normal_contact``."""
    if kind in {"mobile", "landline"}:
        return _phone(value, pointer)
    if kind == "email":
        return _email(value, pointer)
    return value


@cache
def _chinese_mobile() -> re.Pattern[str]:
    """Return the library's own pattern of Chinese mobile numbers: parsing each costs 60 times as much."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(DEFAULT_REGION)
    mobile = metadata.mobile if metadata is not None else None
    pattern = mobile.national_number_pattern if mobile is not None else None
    return re.compile(pattern or "(?!)")  # matches nothing, should the library forget China


def _phone(value: str, pointer: str) -> str:
    if len(value) == CHINESE_MOBILE_DIGITS and _chinese_mobile().fullmatch(value):
        return "+86" + value
    try:
        number = phonenumbers.parse(value, DEFAULT_REGION)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_valid_number(number):
        raise Invalid.field(pointer, "invalid_phone", "This is not a valid phone number", "这不是有效的电话号码")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _email(value: str, pointer: str) -> str:
    try:
        return validate_email(value, check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise Invalid.field(pointer, "invalid_email", str(error), "这不是有效的邮箱地址") from None


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


def birth_columns(birthday: Birthday | None) -> dict[str, object]:
    """Return the birthday's columns."""
    parts = ("calendar", "year", "month", "day", "leap_month")
    return {f"birth_{part}": getattr(birthday, part) if birthday else None for part in parts}


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
