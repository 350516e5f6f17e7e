"""What can be done with companies: who speaks for them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from crm_api.companies import rules
from crm_api.companies.models import MAX_CONTACTS, CompanyContactCreate, CompanyContactUpdate
from crm_api.companies.repository import CompanyRepository
from crm_api.core.errors import Conflict, NotFound
from crm_api.core.ids import new_id
from crm_api.customers.service import CustomerService, unknown_customer
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as

READ = "customers:read"
WRITE = "customers:write"

_TAKEN = {"uq_company_contacts_current": rules.already_contact()}
_FULL = Conflict(
    f"A company has at most {MAX_CONTACTS} contacts, ended ones included",
    zh=f"一家企业最多 {MAX_CONTACTS} 名联系人（含已结束）",
    code="too_many_contacts",
)


class CompanyService:
    """Contacts of companies; an ended contact stays as history."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = CompanyRepository(unit)

    async def add_contact(self, company_id: UUID, data: CompanyContactCreate) -> UUID:
        """Make a person a contact of a company; returns the contact's id.

        Raises:
            NotFound: no such company or person.
            Duplicate: the person is a contact in these days already.
            Invalid: a person in the company's place or the other way round, or days that cannot be.

        """
        self.unit.actor.require(WRITE)
        await self._check_kinds(company_id, data.customer_id)
        contacts = await self.repository.hold(company_id)
        if len(contacts) >= MAX_CONTACTS:
            raise _FULL
        today = await self.repository.today()
        rules.check_period(data.since, data.until, today, is_primary=data.is_primary)
        row = {**data.model_dump(), "id": new_id(), "company_id": company_id, "roles": _once(data.roles)}
        rules.check_overlap(row, contacts)
        if data.is_primary:
            await self.repository.resign(company_id, row["id"])
        with unique_as(_TAKEN):
            await self.repository.insert(row)
        await CustomerService(self.unit).refresh_search([data.customer_id])
        self._tell("company_contact.added", row, after=data.model_dump(mode="json"))
        contact_id: UUID = row["id"]
        return contact_id

    async def update_contact(
        self, contact_id: UUID, data: CompanyContactUpdate, *, expected_version: int | None = None
    ) -> None:
        """Change the fields that were given; a last day ends the contact, which stays as history.

        Raises:
            Duplicate: the new days overlap with another contact of the same person.
            Invalid: days that cannot be.

        """
        self.unit.actor.require(WRITE)
        before, contacts = await self.repository.hold_of(contact_id, expected_version=expected_version)
        given: dict[str, Any] = data.model_dump(exclude_unset=True)
        if "roles" in given:
            given["roles"] = _once(data.roles)
        if given.get("until") is not None:
            given.setdefault("is_primary", False)
        changes = {name: value for name, value in given.items() if before[name] != value}
        if not changes:
            return
        after = {**before, **changes}
        today = await self.repository.today()
        rules.check_period(after["since"], after["until"], today, is_primary=after["is_primary"])
        rules.check_overlap(after, contacts)
        if changes.get("is_primary"):
            await self.repository.resign(before["company_id"], contact_id)
        with unique_as(_TAKEN):
            await self.repository.change(contact_id, changes)
        was = {name: before[name] for name in changes}
        operation = "company_contact.ended" if changes.get("until") else "company_contact.updated"
        self._tell(operation, after, before=rules.plain(was), after=rules.plain(changes))

    async def remove_contact(self, contact_id: UUID, *, expected_version: int | None = None) -> None:
        """Remove a contact that was entered by mistake; one that is over is ended instead."""
        self.unit.actor.require(WRITE)
        before, _ = await self.repository.hold_of(contact_id, expected_version=expected_version)
        await self.repository.remove(contact_id)
        await CustomerService(self.unit).refresh_search([before["customer_id"]])
        shown = {name: before[name] for name in ("roles", "title", "is_primary", "since", "until")}
        self._tell("company_contact.removed", before, before=rules.plain(shown))

    async def rename(self, company_ids: Sequence[UUID]) -> None:
        """Let the search box find contacts by what their companies are called now."""
        await CustomerService(self.unit).refresh_search(await self.repository.people_of(company_ids))

    async def _check_kinds(self, company_id: UUID, person_id: UUID) -> None:
        kinds = await self.repository.kinds([company_id, person_id])
        if company_id not in kinds:
            raise NotFound
        if kinds[company_id] != "company":
            raise rules.wrong_kind("/path/customer_id", "company")
        if person_id not in kinds:
            raise unknown_customer("/customer_id")
        if kinds[person_id] != "person":
            raise rules.wrong_kind("/customer_id", "person")

    def _tell(
        self,
        operation: str,
        contact: Mapping[str, Any],
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        self.unit.audit(operation, "CompanyContact", contact["id"], before=before, after=after)
        told = {"company_id": str(contact["company_id"]), "customer_id": str(contact["customer_id"])}
        self.unit.emit(operation, contact["id"], told)


def _once(roles: list[str]) -> list[str]:
    return list(dict.fromkeys(roles))
