"""Normal forms of what identifies a customer: pure rules."""

import unicodedata

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from crm_api.core.errors import FieldError, Invalid
from crm_api.customers.models import Birthday, ContactPointInput

DEFAULT_REGION = "CN"


def normal_text(text: str) -> str:
    """Return text as the search box compares it: NFKC, lower case."""
    return unicodedata.normalize("NFKC", text).lower()


def normal_contact(point: ContactPointInput, pointer: str) -> str:
    """Return the stored form of a contact point's value.

    Phones become E.164 by the phonenumbers library (region CN unless a country code is given), e-mail addresses their
    normalised lower-case form, outside ids stay as they are.

    Raises:
        Invalid: the value cannot be one; the error points at ``pointer``.

    """
    if point.kind in {"mobile", "landline"}:
        return _phone(point.value, pointer)
    if point.kind == "email":
        return _email(point.value, pointer)
    return point.value


def _phone(value: str, pointer: str) -> str:
    try:
        number = phonenumbers.parse(value, DEFAULT_REGION)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_valid_number(number):
        raise Invalid.field(
            f"{pointer}/value", "invalid_phone", "This is not a valid phone number", "这不是有效的电话号码"
        )
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _email(value: str, pointer: str) -> str:
    try:
        return validate_email(value, check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise Invalid.field(f"{pointer}/value", "invalid_email", str(error), "这不是有效的邮箱地址") from None


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


def haystack(name: str, contacts: list[str], identities: list[str]) -> str:
    """Return the text that the search box looks through; parts are separated so that no match spans two."""
    return "\n".join(normal_text(part) for part in (name, *contacts, *identities))


def birth_columns(birthday: Birthday | None) -> dict[str, object]:
    """Return the birthday's columns."""
    parts = ("calendar", "year", "month", "day", "leap_month")
    return {f"birth_{part}": getattr(birthday, part) if birthday else None for part in parts}
