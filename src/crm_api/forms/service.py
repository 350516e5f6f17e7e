"""What can be done with capture forms.

Whoever fills in a form is a stranger. So a submission may create a customer, or be noted in the history of the one with
that mobile or e-mail; it never changes what is known of a customer already.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from crm_api.consent.models import ConsentCreate, Proof
from crm_api.consent.service import ConsentService
from crm_api.core.actor import Actor
from crm_api.core.errors import FieldError, Invalid, NotFound, TooManyRequests
from crm_api.core.ids import new_id
from crm_api.core.text import as_line
from crm_api.customers.models import ContactPointInput, CustomerCreate
from crm_api.customers.service import CustomerService, normal_form
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.forms import rules
from crm_api.forms.models import FormCreate, FormUpdate, PublicForm, PublicText, SubmissionCreate
from crm_api.forms.repository import FormRepository, SubmissionRepository, find_form
from crm_api.interactions.models import InteractionCreate
from crm_api.interactions.service import InteractionService

WRITE = "forms:write"
HOUR = timedelta(hours=1)
UNNAMED = "访客"
"""Name of a customer whose form asked for none; the tail of the number follows."""


@dataclass(frozen=True, slots=True)
class Visit:
    """How a submission came.

    Attributes:
        address: the visitor's network address.
        request_id: of the request.

    """

    address: str
    request_id: str


class FormService:
    """Forms."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = FormRepository(unit)

    async def create(self, data: FormCreate) -> UUID:
        """Add a form; returns its id, which stands in its public address.

        Raises:
            Invalid: there is no such consent text.

        """
        self.unit.actor.require(WRITE)
        await self._check_texts(data.consent_text_ids)
        form_id = new_id()
        row = data.model_dump()
        await self.repository.insert({"id": form_id, **row, "secret": secrets.token_bytes(32)})
        self._tell("form.created", form_id, after=row)
        return form_id

    async def update(self, form_id: UUID, data: FormUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given.

        Raises:
            Invalid: there is no such consent text.

        """
        self.unit.actor.require(WRITE)
        before = await self.repository.get(form_id, lock=True, expected_version=expected_version)
        changes = data.model_dump(include=data.model_fields_set)  # whole fields, with the defaults of their parts
        await self._check_texts(changes.get("consent_text_ids", ()))
        await self.repository.change(form_id, changes)
        self._tell("form.updated", form_id, before={name: before[name] for name in changes}, after=changes)

    async def _check_texts(self, ids: Sequence[UUID]) -> None:
        known = {row["id"] for row in await self.repository.texts(ids)}
        errors = [_unknown_text("consent_text_ids", index) for index, each in enumerate(ids) if each not in known]
        if errors:
            raise Invalid(errors=errors)

    def _tell(
        self,
        operation: str,
        form_id: UUID,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> None:
        self.unit.audit(operation, "CaptureForm", form_id, before=before, after=after)
        self.unit.emit(operation, form_id, {})


class SubmissionService:
    """What visitors send."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = SubmissionRepository(unit)

    async def submit(self, form: Mapping[str, Any], data: SubmissionCreate, visit: Visit) -> UUID:
        """Take a submission; returns its id. The same ticket again gives the same id and does nothing.

        A filled trap or inhuman speed makes it spam: kept for staff to look at, with no other effect, and answered as
        any other.

        Raises:
            Invalid: the ticket is not good, or the answers do not fit the form.
            TooManyRequests: the form, or this visitor, had its fill for this hour.

        """
        now = self.unit.now()
        ticket = rules.read_ticket(form["secret"], form["id"], data.ticket, now)
        answers = rules.check_answers(form["fields"], data.answers)
        _check_consents(form, data.consents)
        await self.repository.hold(form["id"])
        known = await self.repository.by_ticket(form["id"], ticket.number)
        if known is not None:
            return UUID(str(known["id"]))
        visitor = rules.visitor(form["secret"], visit.address)
        await self._check_limits(form, visitor)
        submission_id = new_id()
        hurried = now - ticket.issued_at < timedelta(seconds=form["minimum_seconds"])
        row = {
            "id": submission_id,
            "form_id": form["id"],
            "ticket": ticket.number,
            "state": "spam",
            "answers": answers,
            "consents": list(dict.fromkeys(data.consents)),
            "visitor": visitor,
            "submitted_at": now,
        }
        if not (data.website or hurried):
            row |= {"state": "accepted"} | await self._take_in(form, row)
        await self.repository.insert(row)
        self._tell(row)
        return submission_id

    async def accept(self, submission_id: UUID) -> None:
        """Treat a submission that was taken for spam as any other; doing so again changes nothing."""
        self.unit.actor.require(WRITE)
        row = await self.repository.get(submission_id, lock=True)
        if row["state"] == "accepted":
            return
        form = await FormRepository(self.unit).get(row["form_id"])
        done = {"state": "accepted"} | await self._take_in(dict(form), dict(row))
        await self.repository.set(submission_id, **done)
        self._tell({**row, **done})

    async def _check_limits(self, form: Mapping[str, Any], visitor: str) -> None:
        everybody, same = await self.repository.recent(form["id"], visitor, self.unit.now() - HOUR)
        if everybody >= form["hourly_limit"] or same >= form["visitor_hourly_limit"]:
            raise TooManyRequests(
                "Too many submissions: try again in an hour",
                zh="提交过于频繁：请一小时后再试",
                retry_after=int(HOUR.total_seconds()),
            )

    async def _take_in(self, form: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
        """Find or make the customer, note the answers and the consent."""
        profile, contacts = _mapped(form["fields"], row["answers"])
        customer_id = await self.repository.customer_with(contacts)
        is_new = customer_id is None
        if customer_id is None:
            customer_id = await self._create_customer(form, profile, contacts)
        interaction_id = await InteractionService(self.unit).log(
            InteractionCreate(
                customer_id=customer_id,
                channel="web",
                direction="inbound",
                subject=as_line(form["title"]),
                body=rules.readable(form["fields"], row["answers"]),
                occurred_at=row["submitted_at"],
            )
        )
        await self._note_consents(form, row, customer_id)
        return {"customer_id": customer_id, "interaction_id": interaction_id, "new_customer": is_new}

    async def _create_customer(
        self, form: Mapping[str, Any], profile: dict[str, str], contacts: list[tuple[str, str]]
    ) -> UUID:
        tail = contacts[0][1][-4:] if contacts[0][0] == "mobile" else contacts[0][1].partition("@")[0]
        return await CustomerService(self.unit).create(
            CustomerCreate(
                **{"name": f"{UNNAMED} {tail}", **profile},
                source=form["source"] and as_line(form["source"]),
                tags=form["tags"],
                contact_points=[ContactPointInput(kind=kind, value=value) for kind, value in contacts],
            ),
            allow_duplicate=True,  # strangers are not told whom we know
        )

    async def _note_consents(self, form: Mapping[str, Any], row: Mapping[str, Any], customer_id: UUID) -> None:
        for text in await FormRepository(self.unit).texts(row["consents"]):
            await ConsentService(self.unit).record(
                customer_id,
                ConsentCreate(
                    purpose=text["purpose"],
                    action="granted",
                    text_id=text["id"],
                    source="form",
                    proof=Proof(details={"form_id": str(form["id"]), "submission_id": str(row["id"])}),
                    at=row["submitted_at"],
                ),
            )

    def _tell(self, row: Mapping[str, Any]) -> None:
        shown = {
            "form_id": str(row["form_id"]),
            "state": row["state"],
            "customer_id": str(row["customer_id"]) if row.get("customer_id") else None,
        }
        operation = "form.submitted" if row["state"] == "accepted" else "form.spam_received"
        self.unit.audit(operation, "FormSubmission", row["id"], after=shown)
        self.unit.emit(operation, row["id"], shown)


def _unknown_text(name: str, index: int) -> FieldError:
    return FieldError(f"/{name}/{index}", "unknown_consent_text", "There is no such consent text", "没有此同意条款")


def _check_consents(form: Mapping[str, Any], given: Sequence[UUID]) -> None:
    errors = [
        _unknown_text("consents", index) for index, each in enumerate(given) if each not in form["consent_text_ids"]
    ]
    if errors:
        raise Invalid(errors=errors)


def _mapped(fields: list[dict[str, Any]], answers: Mapping[str, str]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the customer's profile and contact points that the answers give, in normal form.

    Raises:
        Invalid: a phone number or address cannot be one, or there is neither.

    """
    profile: dict[str, str] = {}
    contacts: list[tuple[str, str]] = []
    errors: list[FieldError] = []
    for field in fields:
        value = answers.get(field["key"])
        if value is None or field["maps_to"] is None:
            continue
        if field["maps_to"] not in {"mobile", "email"}:
            # Of what a field of the profile takes in one line, the form may have asked in several.
            profile[field["maps_to"]] = value if field["maps_to"] == "preferences" else as_line(value)
            continue
        try:
            contacts.append((field["maps_to"], normal_form(field["maps_to"], value, f"/answers/{field['key']}")))
        except Invalid as error:
            errors += error.errors
    if errors:
        raise Invalid(errors=errors)
    if not contacts:
        raise Invalid.field(
            "/answers", "no_contact", "Give a mobile number or an e-mail address", "请提供手机号或电子邮箱"
        )
    return profile, sorted(contacts, key=lambda contact: contact[0] != "mobile")


# -- without a key -----------------------------------------------------------------------------------------------------


async def show(database: Database, form_id: UUID) -> tuple[PublicForm, frozenset[str]]:
    """Return an active form as visitors see it, with a fresh ticket, and the origins that may post to it.

    Raises:
        NotFound: there is no such form, or it is switched off.

    """
    form = await _active(database, form_id)
    async with database.read(Actor.system(form["tenant_id"])) as unit:
        texts = await FormRepository(unit).texts(form["consent_text_ids"])
    ticket = rules.write_ticket(form["secret"], form["id"], rules.Ticket(new_id(), database.clock.now()))
    shown = PublicForm(
        title=form["title"],
        description=form["description"],
        fields=form["fields"],
        consents=[PublicText(**{name: text[name] for name in ("id", "purpose", "title", "body")}) for text in texts],
        ticket=ticket,
    )
    return shown, frozenset(form["allowed_origins"])


async def submit(database: Database, form_id: UUID, data: SubmissionCreate, visit: Visit) -> UUID:
    """Take a submission in the name of the form's tenant; see `SubmissionService.submit`.

    Raises:
        NotFound: there is no such form, or it is switched off.

    """
    form = await _active(database, form_id)

    async def work(unit: UnitOfWork) -> UUID:
        return await SubmissionService(unit).submit(form, data, visit)

    return await database.run(Actor.system(form["tenant_id"], visit.request_id), work)


async def origins(database: Database, form_id: UUID) -> frozenset[str]:
    """Return the origins that may post to a form; empty for any."""
    return frozenset((await _active(database, form_id))["allowed_origins"])


async def _active(database: Database, form_id: UUID) -> Any:
    async with database.system() as connection:
        form = await find_form(connection, form_id)
    if form is None:
        raise NotFound
    return form
