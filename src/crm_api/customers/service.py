"""What can be done with customers."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from crm_api.accounts.service import AccountService
from crm_api.attributes.service import AttributeValues, merged
from crm_api.core.batch import BatchMode, Done, Item, Result
from crm_api.core.errors import Duplicate, FieldError, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.customers import rules, search
from crm_api.customers.bulk import CustomerBulkService as CustomerBulkService  # noqa: PLC0414 - rows tell of customers
from crm_api.customers.contact_points import (
    ContactPointService as ContactPointService,  # noqa: PLC0414 - proved, cleaned and added by others
)
from crm_api.customers.contact_rules import phone_patterns as phone_patterns  # noqa: PLC0414 - quality judges by them
from crm_api.customers.drafts import flat
from crm_api.customers.matching import Guard, IdentityPair, Point
from crm_api.customers.minors import Minors
from crm_api.customers.minors import guardians_agree_by as guardians_agree_by  # noqa: PLC0414 - the ledger registers
from crm_api.customers.models import ContactKind, CustomerCreate, CustomerUpdate, IdentityInput
from crm_api.customers.owners import CustomerOwnerService as CustomerOwnerService  # noqa: PLC0414 - staff hand over
from crm_api.customers.pinyin import Reading, readings
from crm_api.customers.repository import CustomerRepository, Owner, SearchKeyRepository
from crm_api.customers.telling import tell, touch
from crm_api.db.batch import run_batch
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


class CustomerService:
    """Customers, their outside identities and tags."""

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
            tell(self.unit, "customer.created", customer_id, after=data.model_dump(mode="json"))
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
        tell(self.unit, "customer.updated", customer_id, before=was, after=became)

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
        tell(self.unit, "customer.deleted", customer_id, before={"identities": freed})

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
        await touch(self.unit, "customer.identity_added", customer_id, data.model_dump())

    async def remove_identity(self, customer_id: UUID, identity_id: UUID) -> None:
        """Remove an outside identity."""
        await self._lock(customer_id)
        removed = await self.repository.remove_identity(customer_id, identity_id)
        if removed is None:
            raise NotFound
        await touch(self.unit, "customer.identity_removed", customer_id, dict(removed))

    async def add_tag(self, customer_id: UUID, tag: str) -> None:
        """Add a tag; adding it again changes nothing."""
        await self._lock(customer_id)
        if await self.repository.add_tag(customer_id, tag):
            await touch(self.unit, "customer.tag_added", customer_id, {"tag": tag})

    async def remove_tag(self, customer_id: UUID, tag: str) -> None:
        """Remove a tag; removing one that is not there changes nothing."""
        await self._lock(customer_id)
        if await self.repository.remove_tag(customer_id, tag):
            await touch(self.unit, "customer.tag_removed", customer_id, {"tag": tag})

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
            tell(self.unit, "customer.created", customer_id, after=after)
        found |= created
        lost = [key for key in wanted if key not in found]
        if lost:
            found |= await self.repository.by_identities(lost)
        return found, set(created.values())

    async def _lock(self, customer_id: UUID) -> None:
        self.unit.actor.require(WRITE)
        await self.repository.get(customer_id, lock=True)


def _placed(data: CustomerCreate) -> list[tuple[int, str, str]]:
    """Return each contact point once: where it stands, its kind and its stored value."""
    points = data.contact_points
    return [(points.index(point), point.kind, value) for point, value in rules.normal_contacts(points)]


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
