"""What of a customer's own tables becomes of a merge, an export and an erasure."""

from uuid import UUID

from crm_api.customers.contact_points import ContactPointService
from crm_api.customers.repository.merging import PrimaryContactRepository
from crm_api.customers.service import CustomerService
from crm_api.customers.tables import (
    contact_points,
    customer_addresses,
    customer_identities,
    customer_search_keys,
    customer_tags,
    customers,
)
from crm_api.db.ownership import Merged, MergeHook, Notes, Owned, on_merge, own
from crm_api.db.uow import UnitOfWork

own(
    # Who became a loser earlier becomes who the loser becomes: an alias never leads to another alias.
    Owned(customers, column="merged_into_id", why="ids that are aliases", export=False),
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


async def _find_winner(unit: UnitOfWork, merged: Merged) -> Notes | None:
    await CustomerService(unit).refresh_search([merged.winner_id], hidden=merged.loser_ids)
    return None


async def _find_all(unit: UnitOfWork, merged: Merged) -> Notes | None:
    await CustomerService(unit).refresh_search(merged.sides)
    return None


on_merge(
    MergeHook("customers.verified", merged=_pass_on, undone=_give_back),
    MergeHook("customers.search", merged=_find_winner, undone=_find_all),
)


async def _demote(unit: UnitOfWork, merged: Merged) -> Notes | None:
    demoted = await PrimaryContactRepository(unit).demote(merged.winner_id, merged.loser_ids)
    return {"demoted": [str(each) for each in demoted]} if demoted else None


async def _promote(unit: UnitOfWork, merged: Merged) -> Notes | None:
    demoted = [UUID(each) for each in merged.notes.get("demoted", ())]
    if demoted:
        await PrimaryContactRepository(unit).promote(demoted)
    return None


on_merge(MergeHook("customers.primary", before=_demote, undone=_promote))
