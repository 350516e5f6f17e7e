"""Who may be a contact, and when: pure rules."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from crm_api.core.errors import Duplicate, FieldError, Invalid

Row = Mapping[str, Any]


def check_period(since: date | None, until: date | None, today: date, *, is_primary: bool) -> None:
    """Raise Invalid for days that lie ahead or run backwards, and for a primary contact that has ended.

    A contact is current until a last day is written, so that day cannot lie ahead: what is stored then says by itself,
    without a clock, who speaks for the company now.
    """
    errors = [
        FieldError(
            f"/{name}", "in_future", "This day lies ahead: send it when it has come", "该日期晚于今天：请到时再提交"
        )
        for name, day in (("since", since), ("until", until))
        if day is not None and day > today
    ]
    if since is not None and until is not None and until < since:
        errors.append(
            FieldError("/until", "range_reversed", "The contact ends before it begins", "结束日期早于开始日期")
        )
    if until is not None and is_primary:
        errors.append(
            FieldError(
                "/is_primary",
                "contact_ended",
                "A contact that has ended is not primary",
                "已结束的联系人不能为首要联系人",
            )
        )
    if errors:
        raise Invalid(errors=errors)


def check_overlap(contact: Row, others: Iterable[Row]) -> None:
    """Raise Duplicate when the person is a contact of the company in the same days already.

    Raises:
        Duplicate: ``contact_id`` in the answer is the one there is.

    """
    for other in others:
        if other["customer_id"] == contact["customer_id"] and other["id"] != contact["id"] and _overlap(contact, other):
            raise already_contact(other["id"])


def already_contact(contact_id: UUID | None = None) -> Duplicate:
    """Return the error for a contact that there is."""
    message, zh = "The person is a contact of this company in these days already", "该客户在此期间已是该企业的联系人"
    return Duplicate(
        message,
        zh=zh,
        errors=[FieldError("/customer_id", "duplicate", message, zh)],
        extra={} if contact_id is None else {"contact_id": str(contact_id)},
    )


def _overlap(one: Row, other: Row) -> bool:
    starts_late = one["since"] is not None and other["until"] is not None and one["since"] > other["until"]
    ends_early = one["until"] is not None and other["since"] is not None and one["until"] < other["since"]
    return not (starts_late or ends_early)


def wrong_kind(pointer: str, wanted: str) -> Invalid:
    """Return the error for a person in the company's place, or a company in the person's."""
    if wanted == "company":
        return Invalid.field(pointer, "not_a_company", "This customer is a person", "该客户是个人，不是企业")
    return Invalid.field(pointer, "not_a_person", "A contact is a person, not a company", "联系人须为个人，不能是企业")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns as JSON has them."""
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in values.items()}
