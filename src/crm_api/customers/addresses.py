"""Where a customer's goods go: addresses, of which one is the default."""

from typing import Any
from uuid import UUID

from crm_api.core.errors import Conflict, NotFound
from crm_api.core.ids import new_id
from crm_api.customers import rules
from crm_api.customers.models import MAX_ADDRESSES, AddressInput, AddressUpdate
from crm_api.customers.repository import CustomerRepository
from crm_api.customers.telling import touch
from crm_api.db.uow import UnitOfWork

WRITE = "customers:write"


class AddressService:
    """Addresses of customers."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.customers = CustomerRepository(unit)

    async def add(self, customer_id: UUID, data: AddressInput) -> None:
        """Add an address.

        Raises:
            Conflict: the customer has the most there may be.

        """
        await self._lock(customer_id)
        if await self.customers.addresses_of(customer_id) >= MAX_ADDRESSES:
            raise Conflict(
                f"A customer has at most {MAX_ADDRESSES} addresses: remove one first",
                zh=f"每位客户最多 {MAX_ADDRESSES} 个地址：请先删除一个",
                code="too_many_addresses",
            )
        address_id = new_id()
        await self.customers.add_address(customer_id, {"id": address_id, **data.model_dump(exclude={"is_default"})})
        chosen = {"default_address_id": address_id} if data.is_default else {}
        await touch(
            self.unit,
            "customer.address_added",
            customer_id,
            data.model_dump(mode="json"),
            searchable=False,
            changes=chosen,
        )

    async def update(self, customer_id: UUID, address_id: UUID, data: AddressUpdate) -> None:
        """Change the parts of an address that were given."""
        await self._lock(customer_id)
        row = await self.customers.address(customer_id, address_id)
        if row is None:
            raise NotFound
        given = data.model_dump(mode="json", exclude_unset=True)
        parts = {name: value for name, value in given.items() if name != "is_default" and row[name] != value}
        if parts:
            rules.check_address({**dict(row), **parts})
            await self.customers.change_address(address_id, parts)
        changes: dict[str, Any] = {}
        if "is_default" in given:
            changes = await self._chosen(customer_id, address_id, is_default=data.is_default)
        if not parts and not changes:
            return
        await touch(
            self.unit,
            "customer.address_changed",
            customer_id,
            {"id": str(address_id), **given},
            before={name: row[name] for name in parts},
            searchable=False,
            changes=changes,
        )

    async def _chosen(self, customer_id: UUID, address_id: UUID, *, is_default: bool) -> dict[str, Any]:
        """Return what changes of the customer when an address is, or is not, the default from now on."""
        default = (await self.customers.get(customer_id))["default_address_id"]
        if is_default == (default == address_id):
            return {}
        return {"default_address_id": address_id if is_default else None}

    async def remove(self, customer_id: UUID, address_id: UUID) -> None:
        """Remove an address."""
        await self._lock(customer_id)
        row = await self.customers.address(customer_id, address_id)
        if row is None:
            raise NotFound
        await self.customers.remove_address(address_id)
        await touch(
            self.unit,
            "customer.address_removed",
            customer_id,
            rules.address_parts(dict(row)),
            searchable=False,
            changes=await self._chosen(customer_id, address_id, is_default=False),
        )

    async def _lock(self, customer_id: UUID) -> None:
        self.unit.actor.require(WRITE)
        await self.customers.get(customer_id, lock=True)
