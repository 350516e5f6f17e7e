"""A customer changed: stored, found by what is new about it, and told."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from crm_api.customers.repository import CustomerRepository, SearchKeyRepository
from crm_api.db.uow import UnitOfWork


async def touch(
    unit: UnitOfWork,
    operation: str,
    customer_id: UUID,
    after: dict[str, Any],
    *,
    before: dict[str, Any] | None = None,
    searchable: bool = True,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Give a customer its next version after one of its parts changed, and tell.

    Args:
        unit: the change's.
        operation: what happened.
        customer_id: to whom.
        after: the part, as plain values.
        before: what it was.
        searchable: whether the search box must learn something.
        changes: of the customer's own columns.

    """
    await CustomerRepository(unit).change(customer_id, changes or {})
    if searchable:
        await SearchKeyRepository(unit).refresh([customer_id])
    tell(unit, operation, customer_id, before=before, after=after)


def tell(
    unit: UnitOfWork,
    operation: str,
    customer_id: UUID,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Note a change in the audit log and announce it."""
    unit.audit(operation, "Customer", customer_id, before=before, after=after)
    unit.emit(operation, customer_id, {})
