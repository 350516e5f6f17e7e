"""Customers by the thousand: rows of files and of other things, recognised and written by a few statements."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from crm_api.attributes.service import AttributeValues
from crm_api.core.errors import FieldError, Invalid
from crm_api.core.undo import Entry, Undone
from crm_api.customers.contact_rules import filed
from crm_api.customers.drafts import Draft, ImportDesk, Pair
from crm_api.customers.minors import Minors
from crm_api.customers.models import DEFAULT_KEYS, BulkMode, ContactKind, CustomerRow, CustomerRowVerdict, MatchKey
from crm_api.customers.repository import CustomerBulkRepository
from crm_api.customers.telling import tell
from crm_api.customers.undo import UndoDesk, write_undone
from crm_api.db.plans.aliases import successors
from crm_api.db.uow import UnitOfWork

READ = "customers:read"
WRITE = "customers:write"


class CustomerBulkService:
    """Many customers at once: for imports, and for domains whose rows tell of customers."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit

    async def import_many(
        self,
        rows: Sequence[CustomerRow],
        *,
        match_by: Sequence[MatchKey] = DEFAULT_KEYS,
        mode: BulkMode = "upsert",
    ) -> list[CustomerRowVerdict]:
        """Create or update customers from rows, a few statements for all of them; returns a verdict for each.

        A row means the customer with its id; without one, the customer who has its outside identity; if nobody has,
        the one living customer with its mobile number; then the one with its e-mail address; otherwise a new one,
        which needs a name. A wrong row fails alone. Later rows see what earlier ones did. Customers are held until
        the unit ends.

        Args:
            rows: what is known.
            match_by: what rows are recognised by instead, first of these first.
            mode: whether rows may create, change, or both.

        """
        self.unit.actor.require(WRITE)
        bulk = CustomerBulkRepository(self.unit)
        await bulk.begin_bulk()
        rows, prepared = await self._prepared(rows)
        desk = await self._open_desk(bulk, rows, [contacts for contacts, _ in prepared])
        desk.match_by, desk.mode = match_by, mode
        if any(row.is_child for row in rows):
            desk.guarded = await Minors(self.unit).agreed(desk.drafts)
        verdicts = [
            CustomerRowVerdict(None, "failed", tuple(errors)) if errors else desk.decide(row, contacts)
            for row, (contacts, errors) in zip(rows, prepared, strict=True)
        ]
        touched = [draft for draft in desk.drafts.values() if draft.changed]
        await bulk.write(touched, meanwhile=lambda: self._tell_all(touched))
        return verdicts

    def _tell_all(self, drafts: Iterable[Draft]) -> None:
        for draft in drafts:
            before = None if draft.is_new else draft.before
            operation = "customer.created" if draft.is_new else "customer.updated"
            tell(self.unit, operation, draft.id, before=before, after=draft.after())

    async def _prepared(
        self, rows: Sequence[CustomerRow]
    ) -> tuple[list[CustomerRow], list[tuple[list[Pair], list[FieldError]]]]:
        """Return the rows with attributes as they are stored, and beside each its contact points and its faults."""
        checked = await AttributeValues(self.unit, "customer").of_rows([row.attributes for row in rows])
        children = await Minors(self.unit).places([row.birthday for row in rows])
        made, prepared = [], []
        for place, (row, each) in enumerate(zip(rows, checked, strict=True)):
            contacts, errors = _contacts_of(row)
            news: dict[str, Any] = {"is_child": True} if place in children else {}
            if row.attributes or each.values or each.lacking:
                news |= {"attributes": each.values, "lacking": tuple(each.lacking)}
            made.append(replace(row, **news) if news else row)
            prepared.append((contacts, [*errors, *each.errors]))
        return made, prepared

    async def undo_many(self, entries: Sequence[Entry]) -> list[Undone]:
        """Take back what rows of `import_many` did, in the order given; returns a verdict for each.

        A created customer is deleted softly, as `delete` does it; a changed one gets its values back. What was changed
        since is left alone and reported. Customers are held until the unit ends.
        """
        self.unit.actor.require(WRITE)
        bulk = CustomerBulkRepository(self.unit)
        await bulk.begin_bulk()
        desk = UndoDesk(await bulk.load(sorted({entry.resource_id for entry in entries})))
        verdicts = [desk.decide(entry) for entry in entries]
        for draft in await write_undone(bulk, desk.drafts.values()):
            operation = "customer.deleted" if draft.is_deleted else "customer.updated"
            tell(self.unit, operation, draft.id, before=draft.before, after=draft.undone())
        return verdicts

    async def locate_many(self, rows: Sequence[CustomerRow]) -> list[UUID | FieldError]:
        """Return the customer each row means, by its id, outside identity, mobile number or e-mail address; or why not.

        For rows of other things that hang on customers; nothing is created.
        """
        self.unit.actor.require(READ)
        bulk = CustomerBulkRepository(self.unit)
        prepared = [_contacts_of(row) for row in rows]
        desk = await self._open_desk(bulk, rows, [contacts for contacts, _ in prepared])
        return [
            errors[0] if errors else desk.locate(row, contacts)
            for row, (contacts, errors) in zip(rows, prepared, strict=True)
        ]

    async def find_or_make(self, rows: Sequence[CustomerRow]) -> list[CustomerRowVerdict]:
        """Return the customer each row means, as `locate_many` does, making one of it when nobody is meant.

        For rows of other things that tell of customers by the way: who is known stays as it is. Rows must have a name.

        Returns:
            Verdicts ``unchanged`` (known), ``created`` (the first row of a new one) or ``failed``.

        """
        self.unit.actor.require(WRITE)
        bulk = CustomerBulkRepository(self.unit)
        await bulk.begin_bulk()
        prepared = [_contacts_of(row) for row in rows]
        desk = await self._open_desk(bulk, rows, [contacts for contacts, _ in prepared])
        verdicts = [
            CustomerRowVerdict(None, "failed", tuple(errors)) if errors else desk.admit(row, contacts)
            for row, (contacts, errors) in zip(rows, prepared, strict=True)
        ]
        made = [draft for draft in desk.drafts.values() if draft.is_new]
        await bulk.write(made, meanwhile=lambda: self._tell_all(made))
        return verdicts

    async def _open_desk(
        self, bulk: CustomerBulkRepository, rows: Sequence[CustomerRow], contacts: Sequence[list[Pair]]
    ) -> ImportDesk:
        identities = {(row.platform, row.external_id) for row in rows if row.platform and row.external_id}
        by_identity = await bulk.by_identities(sorted(identities))
        by_contact = await bulk.by_contacts(sorted({pair for pairs in contacts for pair in pairs}))
        ids = {*by_identity.values(), *(each for owners in by_contact.values() for each in owners)}
        named = {row.customer_id for row in rows if row.customer_id is not None}
        aliases = await successors(self.unit, named)
        drafts = await bulk.load(sorted({*ids, *named, *aliases.values()}))
        by_contact = {
            contact: {owner for owner in owners if not drafts[owner].is_deleted}
            for contact, owners in by_contact.items()
        }
        return ImportDesk(drafts, by_identity, by_contact, aliases)

    async def keys_of_many(self, rows: Sequence[CustomerRow]) -> list[set[str]]:
        """Return for each row what it may be recognised by, and the customers who have any of that.

        Two rows without a common key never mean the same customer, whatever the other rows between them do.
        """
        self.unit.actor.require(READ)
        bulk = CustomerBulkRepository(self.unit)
        contacts = [_contacts_of(row)[0] for row in rows]
        identities = {(row.platform, row.external_id) for row in rows if row.platform and row.external_id}
        by_identity = await bulk.by_identities(sorted(identities))
        by_contact = await bulk.by_contacts(sorted({pair for pairs in contacts for pair in pairs}))
        aliases = await successors(self.unit, {row.customer_id for row in rows if row.customer_id is not None})
        found = []
        for row, pairs in zip(rows, contacts, strict=True):
            identity = (row.platform or "", row.external_id or "")
            known = {owner for pair in pairs for owner in by_contact.get(pair, ())}
            known |= {by_identity[identity]} if identity in by_identity else set()
            known |= {aliases.get(row.customer_id, row.customer_id)} if row.customer_id is not None else set()
            keys = {f"{kind}:{value}" for kind, value in pairs} | {f"id:{each}" for each in known}
            found.append(keys | ({f"identity:{identity}"} if all(identity) else set()))
        return found


def _contacts_of(row: CustomerRow) -> tuple[list[Pair], list[FieldError]]:
    """Return the row's contact points in normal form, best key first, and what is wrong with them."""
    contacts: list[Pair] = []
    errors: list[FieldError] = []
    given: tuple[tuple[ContactKind, str | None], ...] = (("mobile", row.mobile), ("email", row.email))
    for kind, value in given:
        if value is None:
            continue
        try:
            contacts.append(filed(kind, value, f"/{kind}"))
        except Invalid as error:
            errors.extend(error.errors)
    return contacts, errors
