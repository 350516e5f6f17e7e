"""Tickets, visitors and answers: pure rules.

A ticket is what the public form hands out with itself and wants back with the answers::

    base64url(number[16] ‖ issued[8, milliseconds] ‖ HMAC-SHA256(secret, form ‖ number ‖ issued)[16])

It proves that the form was loaded, tells how long it took to fill in, and makes sending it again harmless. It is no
secret of the visitor's and lasts a day.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from crm_api.core.errors import FieldError, Invalid
from crm_api.core.text import FROM_OUTSIDE, Line, Prose

TICKET_LASTS = timedelta(days=1)
_NUMBER, _ISSUED, _MAC = 16, 8, 16

BAD_TICKET = Invalid.field(
    "/ticket", "bad_ticket", "Load the form again and send its new ticket", "请重新加载表单并使用新的 ticket"
)
OLD_TICKET = Invalid.field(
    "/ticket",
    "ticket_expired",
    "The form was loaded more than a day ago: load it again",
    "表单加载已超过一天：请重新加载",
)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A form that was loaded.

    Attributes:
        number: unique to the loading.
        issued_at: when.

    """

    number: UUID
    issued_at: datetime


def _mac(secret: bytes, form_id: UUID, body: bytes) -> bytes:
    return hmac.digest(secret, form_id.bytes + body, hashlib.sha256)[:_MAC]


def write_ticket(secret: bytes, form_id: UUID, ticket: Ticket) -> str:
    """Return the ticket as text."""
    issued = int(ticket.issued_at.timestamp() * 1000).to_bytes(_ISSUED)
    body = ticket.number.bytes + issued
    return base64.urlsafe_b64encode(body + _mac(secret, form_id, body)).decode().rstrip("=")


def read_ticket(secret: bytes, form_id: UUID, text: str, now: datetime) -> Ticket:
    """Return the ticket that was handed out.

    Raises:
        Invalid: it is not ours, is another form's, or is older than a day.

    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BAD_TICKET from None
    body, mac = raw[: _NUMBER + _ISSUED], raw[_NUMBER + _ISSUED :]
    if not hmac.compare_digest(mac, _mac(secret, form_id, body)):
        raise BAD_TICKET
    issued = datetime.fromtimestamp(int.from_bytes(body[_NUMBER:]) / 1000, UTC)
    if now - issued > TICKET_LASTS:
        raise OLD_TICKET
    return Ticket(UUID(bytes=body[:_NUMBER]), issued)


def visitor(secret: bytes, address: str) -> str:
    """Return what is kept of a visitor's network address: enough to count, not enough to find."""
    return hmac.new(secret, address.encode(), hashlib.sha256).hexdigest()[:32]


_LINE: TypeAdapter[str] = TypeAdapter(Line)
_PROSE: TypeAdapter[str] = TypeAdapter(Prose)


def check_answers(fields: Sequence[Mapping[str, Any]], answers: Mapping[str, Any]) -> dict[str, str]:
    """Return the answers that were given, trimmed.

    Raises:
        Invalid: names every answer that is unknown, missing, too long, or none of the choices.

    """
    known = {field["key"]: field for field in fields}
    errors = [
        FieldError(f"/answers/{key}", "unknown_field", "The form has no such field", "表单没有此字段")
        for key in answers
        if key not in known
    ]
    given: dict[str, str] = {}
    for key, field in known.items():
        value = answers.get(key)
        if value is None or not value.strip():
            if field["required"]:
                errors.append(FieldError(f"/answers/{key}", "required", "This field is required", "此项必填"))
            continue
        try:
            kind = _PROSE if field["type"] == "long_text" else _LINE
            given[key] = kind.validate_python(value.strip(), context=FROM_OUTSIDE)
        except ValidationError:
            errors.append(FieldError(f"/answers/{key}", "too_long", "This text is too long", "文本过长"))
            continue
        if field["type"] == "choice" and given[key] not in field["choices"]:
            errors.append(FieldError(f"/answers/{key}", "unknown_choice", "Pick one of the choices", "请从选项中选择"))
    if errors:
        raise Invalid(errors=errors)
    return given


def readable(fields: Sequence[Mapping[str, Any]], answers: Mapping[str, str]) -> str:
    """Return the answers as staff read them: one line for each, in the form's order."""
    return "\n".join(f"{field['label']}: {answers[field['key']]}" for field in fields if field["key"] in answers)
