"""What can be done with customers."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from crm_api.accounts.service import AccountService
from crm_api.attributes.service import AttributeValues, merged
from crm_api.core.batch import BatchMode, Done, Item, Result
from crm_api.core.errors import Conflict, Duplicate, FieldError, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.core.undo import Entry, Undone
from crm_api.customers import rules, search
from crm_api.customers.contact_rules import filed, is_masked
from crm_api.customers.contact_rules import phone_patterns as phone_patterns  # noqa: PLC0414 - quality judges by them
from crm_api.customers.drafts import Draft, ImportDesk, Pair, flat
from crm_api.customers.errors import AlreadyVerified, ContactPointTaken, NotVerifiable
from crm_api.customers.matching import Guard, IdentityPair, Point
from crm_api.customers.minors import Minors
from crm_api.customers.minors import guardians_agree_by as guardians_agree_by  # noqa: PLC0414 - the ledger registers
from crm_api.customers.models import (
    DEFAULT_KEYS,
    MAX_ADDRESSES,
    AddressInput,
    AddressUpdate,
    BulkMode,
    ContactKind,
    ContactPointInput,
    CustomerCreate,
    CustomerRow,
    CustomerRowVerdict,
    CustomerUpdate,
    IdentityInput,
    MatchKey,
    PointChange,
)
from crm_api.customers.owners import CustomerOwnerService as CustomerOwnerService  # noqa: PLC0414 - staff hand over
from crm_api.customers.pinyin import Reading, readings
from crm_api.customers.repository import (
    ContactClaimRepository,
    CustomerBulkRepository,
    CustomerRepository,
    Owner,
    SearchKeyRepository,
)
from crm_api.customers.undo import UndoDesk, write_undone
from crm_api.db.batch import run_batch
from crm_api.db.ownership import Merged
from crm_api.db.plans.aliases import successors
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as

READ = "customers:read"
WRITE = "customers:write"

_IDENTITY_TAKEN = {
    "uq_customer_identities_external": Duplicate(
        errors=[
            FieldError(
                "/identities",
                "duplicate",
                "Another customer has this identity on that platform",
                "该平台身份已属于其他客户",
            )
        ]
    )
}
_CONTACT_TAKEN = {
    "uq_contact_points_customer": Duplicate(
        errors=[
            FieldError("/value", "duplicate", "The customer has this contact point already", "该客户已有此联系方式")
        ]
    )
}


class CustomerService:
    """Customers, their contact points, outside identities and tags."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = CustomerRepository(unit)

    async def create(self, data: CustomerCreate, *, allow_duplicate: bool = False) -> UUID:
        """Create a customer; returns its id.

        Args:
            data: the customer.
            allow_duplicate: even when living customers have one of its contact points; see `customers.matching`.

        Raises:
            Invalid: a phone or e-mail address cannot be one, there is no such store or active owner, or an
                attribute's value is wrong or missing.
            Duplicate: an outside identity belongs to another customer.
            DuplicateCustomer: a living customer has a contact point.
            GuardianConsentRequired: the birthday is a child's; see `customers.minors`.

        """
        self.unit.actor.require(WRITE)
        await AccountService(self.unit).require_active(data.owner_id, "/owner_id")
        await Minors(self.unit).check(data.birthday)
        points = [Point(f"/contact_points/{place}/value", kind, value) for place, kind, value in _placed(data)]
        pairs = [
            IdentityPair(f"/identities/{place}", given.platform, given.external_id)
            for place, given in enumerate(data.identities)
        ]
        guard = Guard(self.unit, allow_duplicate=allow_duplicate)
        if pairs:  # what has both in common with others is told both
            await guard.check(points, pairs)
            return (await self._create(data))[0]
        customer_id, owners = await self._create(data, guard.claims(points))
        guard.refuse(points, owners)
        return customer_id

    async def batch(
        self, items: Sequence[Item[CustomerCreate]], mode: BatchMode, *, allow_duplicate: bool = False
    ) -> list[Result]:
        """Create customers, each as `create` does; see `crm_api.db.batch.run_batch`."""
        self.unit.actor.require(WRITE)

        async def work(data: CustomerCreate) -> Done:
            return Done(await self.create(data, allow_duplicate=allow_duplicate))

        return await run_batch(self.unit, items, mode, work)

    async def _create(
        self, data: CustomerCreate, claims: Sequence[tuple[str, str]] = (), *, brought_along: bool = False
    ) -> tuple[UUID, Sequence[Owner]]:
        """Create a customer unless others have a contact point that it claims; returns its id, and those others.

        Who is brought along by something else, such as an order, needs none of the shop's required attributes.
        """
        customer_id = new_id()
        values = AttributeValues(self.unit, "customer")
        profile = data.model_dump(exclude={"birthday", "contact_points", "identities", "tags", "addresses"})
        profile["attributes"] = await values.of_new(data.attributes) if data.attributes else {}
        contacts = [
            {"id": new_id(), "kind": point.kind, "value": value, "is_primary": point.is_primary}
            for point, value in rules.normal_contacts(data.contact_points)
        ]
        identities = [{"id": new_id(), **identity.model_dump()} for identity in data.identities]
        addresses = [{"id": new_id(), **address.model_dump(exclude={"is_default"})} for address in data.addresses]
        chosen = [row["id"] for row, given in zip(addresses, data.addresses, strict=True) if given.is_default]
        profile["default_address_id"] = chosen[-1] if chosen else None
        with unique_as(_IDENTITY_TAKEN):
            added = await self.repository.add(
                {"id": customer_id, **profile, **rules.birth_columns(data.birthday)},
                contacts,
                identities,
                sorted(set(data.tags)),
                addresses,
                claims,
            )
        if added.required and not brought_along and not data.attributes and not added.owners:
            await values.of_new({})  # says what is missing
        if not added.owners:
            self._tell("customer.created", customer_id, after=data.model_dump(mode="json"))
        return customer_id, added.owners

    async def update(self, customer_id: UUID, data: CustomerUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields that were given; what is as it was already leaves no trace.

        Raises:
            Invalid: there is no such store or active owner, or an attribute's value is wrong.
            GuardianConsentRequired: the new birthday is a child's; see `customers.minors`.

        """
        self.unit.actor.require(WRITE)
        before = await self.repository.get(customer_id, lock=True, expected_version=expected_version)
        given = data.model_fields_set
        wanted: dict[str, Any] = data.model_dump(include=given - {"birthday", "tags", "attributes"})
        if "birthday" in given:
            wanted |= rules.birth_columns(data.birthday)
        changes = {name: value for name, value in wanted.items() if before[name] != value}
        await AccountService(self.unit).require_active(changes.get("owner_id"), "/owner_id")
        if any(name.startswith("birth_") for name in changes):
            await Minors(self.unit).check(data.birthday, customer_id)
        was: dict[str, Any] = {name: before[name] for name in changes}
        became: dict[str, Any] = dict(changes)
        if "attributes" in given:
            known = before["attributes"]
            news = await AttributeValues(self.unit, "customer").changes(known, data.attributes)
            was |= flat({key: known.get(key) for key in news})
            became |= flat(news)
            if news:
                changes["attributes"] = merged(known, news)
        if "tags" in given:
            tags = sorted(set(data.tags))
            known = await self.repository.tags_of(customer_id)
            if tags != known:
                was["tags"], became["tags"] = known, tags
                await self.repository.set_tags(customer_id, tags)
        if not became:
            return
        await self.repository.change(customer_id, changes)
        if became.keys() & {"name", "tags"}:
            await SearchKeyRepository(self.unit).refresh([customer_id])
        self._tell("customer.updated", customer_id, before=was, after=became)

    async def name_placeholder(self, customer_id: UUID, name: str, placeholders: frozenset[str]) -> bool:
        """Give a customer the name a platform knows, where so far only a placeholder stands; tells whether it did."""
        self.unit.actor.require(WRITE)
        row = await self.repository.get(customer_id, lock=True)
        if row["name"] not in placeholders or name in placeholders:
            return False
        await self.update(customer_id, CustomerUpdate(name=name))
        return True

    async def delete(self, customer_id: UUID, *, expected_version: int | None = None) -> None:
        """Delete softly: the customer disappears from every list and frees its outside identities.

        The ledgers keep their rows; the platform's next order of the same buyer makes a new customer.
        """
        self.unit.actor.require(WRITE)
        await self.repository.get(customer_id, lock=True, expected_version=expected_version)
        freed = await self.repository.soft_delete(customer_id)
        self._tell("customer.deleted", customer_id, before={"identities": freed})

    async def add_contact_point(
        self, customer_id: UUID, data: ContactPointInput, *, allow_duplicate: bool = False
    ) -> None:
        """Add a phone, e-mail address or account.

        Raises:
            Duplicate: the customer has it already.
            DuplicateCustomer: another living customer has it; not with ``allow_duplicate``.

        """
        self.unit.actor.require(WRITE)
        value = rules.normal_contact(data, "")
        # Values are locked before the customer, as bulk writes do: two writers cannot wait for each other.
        guard = Guard(self.unit, allow_duplicate=allow_duplicate, own=customer_id)
        await guard.check([Point("/value", data.kind, value)])
        await self._lock(customer_id)
        row = {"id": new_id(), "kind": data.kind, "value": value, "is_primary": data.is_primary}
        with unique_as(_CONTACT_TAKEN):
            await self.repository.add_contact(customer_id, row)
        await self._touched("customer.contact_point_added", customer_id, data.model_dump(mode="json"))

    async def remove_contact_point(self, customer_id: UUID, contact_id: UUID) -> None:
        """Remove a contact point."""
        await self._lock(customer_id)
        removed = await self.repository.remove_contact(customer_id, contact_id)
        if removed is None:
            raise NotFound
        await self._touched("customer.contact_point_removed", customer_id, dict(removed))

    async def add_address(self, customer_id: UUID, data: AddressInput) -> None:
        """Add an address.

        Raises:
            Conflict: the customer has the most there may be.

        """
        await self._lock(customer_id)
        if await self.repository.addresses_of(customer_id) >= MAX_ADDRESSES:
            raise Conflict(
                f"A customer has at most {MAX_ADDRESSES} addresses: remove one first",
                zh=f"每位客户最多 {MAX_ADDRESSES} 个地址：请先删除一个",
                code="too_many_addresses",
            )
        address_id = new_id()
        await self.repository.add_address(customer_id, {"id": address_id, **data.model_dump(exclude={"is_default"})})
        chosen = {"default_address_id": address_id} if data.is_default else {}
        await self._touched(
            "customer.address_added", customer_id, data.model_dump(mode="json"), searchable=False, changes=chosen
        )

    async def update_address(self, customer_id: UUID, address_id: UUID, data: AddressUpdate) -> None:
        """Change the parts of an address that were given."""
        await self._lock(customer_id)
        row = await self.repository.address(customer_id, address_id)
        if row is None:
            raise NotFound
        given = data.model_dump(mode="json", exclude_unset=True)
        parts = {name: value for name, value in given.items() if name != "is_default" and row[name] != value}
        if parts:
            rules.check_address({**dict(row), **parts})
            await self.repository.change_address(address_id, parts)
        changes: dict[str, Any] = {}
        if "is_default" in given:
            changes = await self._chosen(customer_id, address_id, is_default=data.is_default)
        if not parts and not changes:
            return
        await self._touched(
            "customer.address_changed",
            customer_id,
            {"id": str(address_id), **given},
            before={name: row[name] for name in parts},
            searchable=False,
            changes=changes,
        )

    async def _chosen(self, customer_id: UUID, address_id: UUID, *, is_default: bool) -> dict[str, Any]:
        """Return what changes of the customer when an address is, or is not, the default from now on."""
        default = (await self.repository.get(customer_id))["default_address_id"]
        if is_default == (default == address_id):
            return {}
        return {"default_address_id": address_id if is_default else None}

    async def remove_address(self, customer_id: UUID, address_id: UUID) -> None:
        """Remove an address."""
        await self._lock(customer_id)
        row = await self.repository.address(customer_id, address_id)
        if row is None:
            raise NotFound
        await self.repository.remove_address(address_id)
        await self._touched(
            "customer.address_removed",
            customer_id,
            rules.address_parts(dict(row)),
            searchable=False,
            changes=await self._chosen(customer_id, address_id, is_default=False),
        )

    async def add_identity(self, customer_id: UUID, data: IdentityInput) -> None:
        """Add an outside identity; it is unique in the tenant.

        Raises:
            Duplicate: it is another customer's, who is named among ``matches``, or the customer's already.

        """
        await self._lock(customer_id)
        pair = IdentityPair("/external_id", data.platform, data.external_id)
        await Guard(self.unit, own=customer_id).check([], [pair])
        with unique_as(_IDENTITY_TAKEN):
            await self.repository.add_identity(customer_id, {"id": new_id(), **data.model_dump()})
        await self._touched("customer.identity_added", customer_id, data.model_dump())

    async def remove_identity(self, customer_id: UUID, identity_id: UUID) -> None:
        """Remove an outside identity."""
        await self._lock(customer_id)
        removed = await self.repository.remove_identity(customer_id, identity_id)
        if removed is None:
            raise NotFound
        await self._touched("customer.identity_removed", customer_id, dict(removed))

    async def add_tag(self, customer_id: UUID, tag: str) -> None:
        """Add a tag; adding it again changes nothing."""
        await self._lock(customer_id)
        if await self.repository.add_tag(customer_id, tag):
            await self._touched("customer.tag_added", customer_id, {"tag": tag})

    async def remove_tag(self, customer_id: UUID, tag: str) -> None:
        """Remove a tag; removing one that is not there changes nothing."""
        await self._lock(customer_id)
        if await self.repository.remove_tag(customer_id, tag):
            await self._touched("customer.tag_removed", customer_id, {"tag": tag})

    async def refresh_search(self, customer_ids: Collection[UUID], *, hidden: Collection[UUID] = ()) -> None:
        """Make the search keys of customers anew: for domains that add to them (`search_by`) and changed something.

        Args:
            customer_ids: whose keys.
            hidden: who is not to be found from now on.

        """
        keys = SearchKeyRepository(self.unit)
        await keys.refresh(customer_ids)
        await keys.forget(hidden)

    async def rekey(self, limit: int) -> tuple[int, int]:
        """Make search keys of older rules anew; returns how many now, and how many are left."""
        keys = SearchKeyRepository(self.unit)
        return await keys.rekey(limit), await keys.old()

    async def require_living(self, customer_id: UUID, pointer: str = "/customer_id") -> None:
        """Raise unless the customer exists: for domains that attach something to it."""
        if await self.repository.find(customer_id) is None:
            raise unknown_customer(pointer)

    async def owner_of(self, customer_id: UUID, *, lock: bool = False) -> UUID | None:
        """Return who looks after a customer, who with ``lock`` is held until the unit ends.

        Raises:
            NotFound: there is no such customer.

        """
        owner_id: UUID | None = (await self.repository.get(customer_id, lock=lock))["owner_id"]
        return owner_id

    async def resolve(self, platform: str, external_id: str, name: str) -> tuple[UUID, bool]:
        """Return the customer known by an outside identity, creating one when there is none.

        Safe against rivals: who inserts the identity first wins, the other uses the winner's customer.

        Returns:
            The customer's id, and whether it was created now.

        """
        known = await self.repository.by_identity(platform, external_id)
        if known is not None:
            return known, False
        self.unit.actor.require(WRITE)
        identity = IdentityInput(platform=platform, external_id=external_id)
        try:
            async with self.unit.savepoint():
                data = CustomerCreate(name=name, source=platform, identities=[identity])
                customer_id, _ = await self._create(data, brought_along=True)
                return customer_id, True
        except Duplicate:
            rival = await self.repository.by_identity(platform, external_id)
            if rival is None:  # the rival rolled back
                raise
            return rival, False

    async def add_stranger(self, platform: str, name: str) -> UUID:
        """Create a customer of whom a platform hides who it is, and whom nothing identifies; returns its id."""
        self.unit.actor.require(WRITE)
        customer_id, _ = await self._create(CustomerCreate(name=name, source=platform), brought_along=True)
        return customer_id

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
            self._tell(operation, draft.id, before=before, after=draft.after())

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
            self._tell(operation, draft.id, before=draft.before, after=draft.undone())
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

    async def resolve_many(self, wanted: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], UUID]:
        """Return the customers known by outside identities, creating those there are none for.

        Set-based: two statements when all are known, three when some are new, however many there are.

        Args:
            wanted: (platform, outside id) to the name a new customer gets; well-formed already.

        """
        found, _ = await self.resolve_and_tell(wanted)
        return found

    async def resolve_and_tell(
        self, wanted: Mapping[tuple[str, str], str]
    ) -> tuple[dict[tuple[str, str], UUID], set[UUID]]:
        """Do as `resolve_many` does; returns also which customers were created now."""
        found = await self.repository.by_identities(list(wanted))
        missing = sorted((*key, name) for key, name in wanted.items() if key not in found)
        if not missing:
            return found, set()
        self.unit.actor.require(WRITE)
        created = await self.repository.add_by_identities(missing)
        for (platform, external_id), customer_id in created.items():
            identity = {"platform": platform, "external_id": external_id}
            after = {"name": wanted[platform, external_id], "source": platform, "identities": [identity]}
            self._tell("customer.created", customer_id, after=after)
        found |= created
        lost = [key for key in wanted if key not in found]
        if lost:
            found |= await self.repository.by_identities(lost)
        return found, set(created.values())

    async def _lock(self, customer_id: UUID) -> None:
        self.unit.actor.require(WRITE)
        await self.repository.get(customer_id, lock=True)

    async def _touched(
        self,
        operation: str,
        customer_id: UUID,
        after: dict[str, Any],
        *,
        before: dict[str, Any] | None = None,
        searchable: bool = True,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        await self.repository.change(customer_id, changes or {})
        if searchable:
            await SearchKeyRepository(self.unit).refresh([customer_id])
        self._tell(operation, customer_id, before=before, after=after)

    def _tell(
        self,
        operation: str,
        customer_id: UUID,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> None:
        self.unit.audit(operation, "Customer", customer_id, before=before, after=after)
        self.unit.emit(operation, customer_id, {})


class ContactPointService:
    """Proved contact points: for the domain that sends codes, and for merges."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.claims = ContactClaimRepository(unit)

    async def to_verify(self, customer_id: UUID, contact_id: UUID) -> tuple[ContactKind, str]:
        """Return kind and value of a living customer's contact point that is not proved yet; holds the customer.

        Raises:
            NotFound: there is no such customer or contact point.
            NotVerifiable: it hides most of itself, so that many people share it.
            AlreadyVerified: the customer has proved it.
            ContactPointTaken: another customer has.

        """
        self.unit.actor.require(WRITE)
        await CustomerRepository(self.unit).get(customer_id, lock=True)
        point = await self.claims.of(customer_id, contact_id)
        if point is None:
            raise NotFound
        if is_masked(point["kind"], point["value"]):
            raise NotVerifiable
        if point["claimed"]:
            raise AlreadyVerified
        owner = await self.claims.owner(point["kind"], point["value"])
        if owner is not None:
            raise ContactPointTaken(owner)
        return point["kind"], point["value"]

    async def verify(self, customer_id: UUID, contact_id: UUID) -> None:
        """Note that a contact point was proved; ``to_verify`` came before it in the same unit.

        Raises:
            ContactPointTaken: another customer was faster.

        """
        kind, value = await self.to_verify(customer_id, contact_id)
        try:
            async with self.unit.savepoint():
                with unique_as({"uq_contact_points_claimed": ContactPointTaken(None)}):
                    await self.claims.claim(contact_id, self.unit.now())
        except ContactPointTaken:
            raise ContactPointTaken(await self.claims.owner(kind, value)) from None
        await CustomerRepository(self.unit).change(customer_id, {})
        told = {"contact_point_id": str(contact_id), "kind": kind}
        self.unit.audit("customer.contact_point_verified", "Customer", customer_id, after=told)
        self.unit.emit("customer.contact_point_verified", customer_id, told)

    async def mend(self, customer_id: UUID, changes: Sequence[PointChange]) -> None:
        """Change and remove contact points of a customer as a clean-up decided; one deleted meanwhile is left alone.

        A verification stays with its contact point, for the address is the same, only written otherwise; unless
        another customer has proved that way of writing it.
        """
        self.unit.actor.require(WRITE)
        customers = CustomerRepository(self.unit)
        if await customers.find(customer_id, lock=True) is None:
            return
        before = await self.claims.mend(customer_id, changes)
        await customers.change(customer_id, {})
        await SearchKeyRepository(self.unit).refresh([customer_id])
        after = [
            {"id": str(each.id), "kind": each.kind, "value": each.value, "is_primary": each.is_primary}
            for each in changes
            if each.kind is not None
        ]
        self.unit.audit(
            "customer.contact_points_cleaned",
            "Customer",
            customer_id,
            before={"contact_points": before},
            after={"contact_points": after},
        )
        self.unit.emit("customer.updated", customer_id, {})

    async def pass_on(self, merged: Merged) -> dict[str, Any]:
        """Give the winner of a merge the losers' verifications; returns what ``give_back`` needs."""
        pairs = await self.claims.pass_on(merged.winner_id, merged.loser_ids)
        return {"passed_on": [[str(loser), str(winner)] for loser, winner in pairs]} if pairs else {}

    async def give_back(self, merged: Merged) -> None:
        """Undo ``pass_on`` when the merge is undone."""
        pairs = [(UUID(loser), UUID(winner)) for loser, winner in merged.notes.get("passed_on", ())]
        if pairs:
            await self.claims.give_back(pairs)


def _placed(data: CustomerCreate) -> list[tuple[int, str, str]]:
    """Return each contact point once: where it stands, its kind and its stored value."""
    points = data.contact_points
    return [(points.index(point), point.kind, value) for point, value in rules.normal_contacts(points)]


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


def normal_form(kind: ContactKind, value: str, pointer: str) -> str:
    """Return the stored form of a contact point's value: for domains that look for one.

    Raises:
        Invalid: the value cannot be one; the error points at ``pointer``.

    """
    return rules.normal_value(kind, value, pointer)


def search_text(text: str) -> str:
    """Return text as the search box compares it: for domains that compare names."""
    return search.compact(text)


def spoken(name: str) -> tuple[Reading, ...]:
    """Return the ways to read a Chinese name in pinyin, the likeliest first; none when nothing in it is Chinese."""
    return readings(name)


def unknown_customer(pointer: str) -> NotFound:
    """Return the error for a customer that is not there."""
    return NotFound(
        "There is no such customer",
        zh="没有此客户",
        errors=[FieldError(pointer, "unknown_customer", "There is no such customer", "没有此客户")],
    )


def normal_address(kind: ContactKind, value: str) -> str:
    """Return the stored form of an address, or the address itself when it cannot be one: for comparisons."""
    try:
        return rules.normal_value(kind, value, "")
    except Invalid:
        return value
