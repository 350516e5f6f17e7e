"""From what a client sent to rows: every event checked alone, all of them in one pass."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from crm_api.core.errors import FieldError
from crm_api.events import rules
from crm_api.events.models import MAX_PROPERTIES, MAX_PROPERTIES_BYTES, EventInput, Mark, Refusal
from crm_api.events.repository import Span, properties_text
from crm_api.web.validation import field_errors

_ALL: Final = TypeAdapter(list[EventInput])


@dataclass(slots=True)
class Draft:
    """An event on its way into the table."""

    index: int
    id: UUID
    given: EventInput
    properties: str
    customer_id: UUID | None = None
    stated: bool = False

    def row(self) -> tuple[Any, ...]:
        """Return the values of ``repository.STORED``."""
        given = self.given
        event_id = None if str(self.id) == given.id else given.id
        return (
            self.id,
            event_id,
            given.type,
            given.occurred_at,
            given.device_id,
            self.customer_id,
            self.stated,
            given.session_id,
            given.sku,
            given.url,
            given.dwell_ms,
            self.properties,
        )


@dataclass(slots=True)
class Desk:
    """The events of one batch: those that are still good, and those that are not."""

    drafts: list[Draft] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    duplicates: int = 0

    @classmethod
    def open(cls, sent: Sequence[Any], now: datetime, retention_days: int) -> "Desk":
        """Check what was sent."""
        desk = cls()
        seen: set[UUID] = set()
        for index, given in desk._parsed(sent):
            fault, properties = _fault(given, now, retention_days)
            if fault is not None:
                desk.refuse(index, given.id, [fault])
                continue
            row_id = rules.row_id(given.id)
            if row_id in seen:
                desk.duplicates += 1
                continue
            seen.add(row_id)
            desk.drafts.append(Draft(index, row_id, given, properties))
        return desk

    def _parsed(self, sent: Sequence[Any]) -> Iterable[tuple[int, EventInput]]:
        """Return what passes the model; Pydantic checks the whole list at once, and again without the wrong ones."""
        kept = list(enumerate(sent))
        try:
            return enumerate(_ALL.validate_python(sent))
        except ValidationError as error:
            wrong: dict[int, list[Mapping[str, Any]]] = {}
            for each in error.errors(include_url=False, include_input=False):
                wrong.setdefault(int(each["loc"][0]), []).append({**each, "loc": ("body", *each["loc"][1:])})
        for index, found in wrong.items():
            self.refuse(index, _id_of(sent[index]), field_errors(found))
        kept = [(index, each) for index, each in kept if index not in wrong]
        given = _ALL.validate_python([each for _, each in kept])
        return zip((index for index, _ in kept), given, strict=True)

    def refuse(self, index: int, event_id: str | None, errors: Sequence[FieldError]) -> None:
        """Note an event that is not stored; the errors point into the batch."""
        placed = [
            FieldError(f"/events/{index}{each.pointer}", each.code, each.message, each.message_zh) for each in errors
        ]
        self.refused.append(Refusal(index, event_id, placed))

    def forget(self, known: set[UUID]) -> None:
        """Leave out what is stored already."""
        if known:
            kept = [each for each in self.drafts if each.id not in known]
            self.duplicates += len(self.drafts) - len(kept)
            self.drafts = kept

    def devices(self) -> set[str]:
        """Return the devices of all drafts."""
        return {each.given.device_id for each in self.drafts if each.given.device_id is not None}

    def named(self) -> tuple[set[UUID], set[tuple[str, str]]]:
        """Return the customers the events name: our ids, and platforms' ids."""
        ids: set[UUID] = set()
        pairs: set[tuple[str, str]] = set()
        for each in self.drafts:
            who = each.given.customer
            if who is None:
                continue
            if who.customer_id is not None:
                ids.add(who.customer_id)
            elif who.platform is not None and who.external_id is not None:
                pairs.add((who.platform, who.external_id))
        return ids, pairs

    def state(self, living: Mapping[UUID, UUID], by_identity: Mapping[tuple[str, str], UUID]) -> None:
        """Give events to the customers they name; who names nobody we know is refused."""
        kept = []
        for each in self.drafts:
            who = each.given.customer
            if who is not None:
                found = (
                    by_identity.get((who.platform or "", who.external_id or ""))
                    if who.customer_id is None
                    else living.get(who.customer_id)
                )
                if found is None:
                    self.refuse(each.index, each.given.id, [_UNKNOWN])
                    continue
                each.customer_id, each.stated = found, True
            kept.append(each)
        self.drafts = kept

    def spans(self) -> list[Span]:
        """Return the devices whose owner matters, with the times of their first and last event."""
        found: dict[str, tuple[datetime, datetime]] = {}
        for each in self.drafts:
            device, at = each.given.device_id, each.given.occurred_at
            if device is None or each.stated:
                continue
            low, high = found.get(device, (at, at))
            found[device] = (min(low, at), max(high, at))
        return [(device, *span) for device, span in found.items()]

    def attribute(self, marks: Mapping[str, Sequence[Mark]]) -> None:
        """Give the others to whoever their device belonged to at the time."""
        if not marks:
            return
        for each in self.drafts:
            device = each.given.device_id
            if device is not None and device in marks and not each.stated:
                each.customer_id = rules.owner_at(marks[device], each.given.occurred_at)

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows, in an order in which two equal batches do not wait for each other in a circle."""
        return sorted((each.row() for each in self.drafts), key=lambda row: row[0].int)

    def customers(self) -> list[UUID]:
        """Return whose events these are."""
        return sorted({each.customer_id for each in self.drafts if each.customer_id is not None})


_UNKNOWN: Final = FieldError("/customer", "unknown_customer", "There is no such customer", "没有此客户")


def _id_of(sent: Any) -> str | None:
    given = sent.get("id") if isinstance(sent, dict) else None
    return given[:100] if isinstance(given, str) else None


def _fault(given: EventInput, now: datetime, retention_days: int) -> tuple[FieldError | None, str]:
    if given.device_id is None and given.customer is None:
        return FieldError(
            "/device_id", "required", "Send device_id, customer or both", "请提供 device_id 或 customer"
        ), ""
    properties = properties_text(given.properties) if given.properties else "{}"
    if len(given.properties) > MAX_PROPERTIES or len(properties.encode()) > MAX_PROPERTIES_BYTES:
        message = f"At most {MAX_PROPERTIES} names and {MAX_PROPERTIES_BYTES:,} bytes"
        zh = f"最多 {MAX_PROPERTIES} 项、{MAX_PROPERTIES_BYTES:,} 字节"
        return FieldError("/properties", "too_long", message, zh), ""
    return rules.time_fault(given.occurred_at, now, retention_days), properties
