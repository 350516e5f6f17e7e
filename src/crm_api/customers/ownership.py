"""What of a customer's own tables becomes of a merge, an export and an erasure."""

from crm_api.customers.service import ContactPointService
from crm_api.customers.tables import (
    contact_points,
    customer_addresses,
    customer_identities,
    customer_search_keys,
    customer_tags,
)
from crm_api.db.ownership import Merged, MergeHook, Notes, Owned, on_merge, own
from crm_api.db.uow import UnitOfWork

own(
    Owned(contact_points, on_merge="unite", same=("kind", "value"), erase="delete"),
    Owned(customer_addresses, erase="delete"),
    Owned(customer_identities, erase="delete"),
    Owned(customer_tags, on_merge="unite", same=("tag",), erase="delete"),
    Owned(customer_search_keys, on_merge="stay", why="made anew from the rows", erase="delete", export=False),
)


async def _pass_on(unit: UnitOfWork, merged: Merged) -> Notes | None:
    return await ContactPointService(unit).pass_on(merged)


async def _give_back(unit: UnitOfWork, merged: Merged) -> Notes | None:
    await ContactPointService(unit).give_back(merged)
    return None


on_merge(MergeHook("customers.verified", merged=_pass_on, undone=_give_back))
