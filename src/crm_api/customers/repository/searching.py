"""Search keys: written with every customer, made anew when what they are made of changes.

A higher domain that knows a customer by something more (the company a contact works for) registers a *source* and asks
`CustomerService.refresh_search` for the customers it changed.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import delete

from crm_api.customers import search
from crm_api.customers.tables import customer_search_keys
from crm_api.db.bulk import checks_planned_once
from crm_api.db.repository import Repository
from crm_api.db.uow import UnitOfWork

Source = Callable[[UnitOfWork, Sequence[UUID]], Awaitable[Mapping[UUID, Sequence[str]]]]
"""From customers' ids to what else each is found by; one statement however many they are."""

_SOURCES: dict[str, Source] = {}

_PARTS: Final = """
SELECT id AS customer_id, 'name' AS part, name AS value FROM customers
WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) AND deleted_at IS NULL
UNION ALL
SELECT customer_id, 'contact', value FROM contact_points WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])
UNION ALL
SELECT customer_id, 'identity', external_id FROM customer_identities
WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])
UNION ALL
SELECT customer_id, 'tag', tag FROM customer_tags WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])
ORDER BY 1, 2, 3
"""
# What 0.1 looked at for one or two characters, ``name``, stays empty now: the haystack answers them too.
_WRITE: Final = f"""
INSERT INTO customer_search_keys AS known (tenant_id, customer_id, name, haystack, keys_version)
SELECT $1, given.customer_id, '', given.haystack, {search.VERSION}
FROM unnest($2::uuid[], $3::text[]) AS given (customer_id, haystack)
ON CONFLICT (tenant_id, customer_id)
DO UPDATE SET name = '', haystack = excluded.haystack, keys_version = excluded.keys_version
"""  # noqa: S608 - a constant of ours
_OLD: Final = f"""
SELECT customer_id FROM customer_search_keys
WHERE tenant_id = $1 AND keys_version < {search.VERSION} ORDER BY customer_id LIMIT $2 FOR UPDATE SKIP LOCKED
"""  # noqa: S608
_COUNT_OLD: Final = f"""
SELECT count(*) FROM customer_search_keys WHERE tenant_id = $1 AND keys_version < {search.VERSION}
"""  # noqa: S608

_WHOSE_OLD: Final = f"SELECT DISTINCT tenant_id FROM customer_search_keys WHERE keys_version < {search.VERSION}"  # noqa: S608


def search_by(name: str, source: Source) -> None:
    """Register what else customers are found by."""
    _SOURCES[name] = source


async def tenants_to_rekey(connection: "asyncpg.Connection[asyncpg.Record]") -> list[UUID]:
    """Return whose keys are of older rules; ``connection`` is the system's."""
    return [row["tenant_id"] for row in await connection.fetch(_WHOSE_OLD)]


class SearchKeyRepository(Repository):
    """What the search box looks at."""

    table = customer_search_keys

    async def refresh(self, ids: Collection[UUID]) -> None:
        """Make the keys of these customers anew from what is stored; the deleted lose theirs."""
        wanted = sorted(set(ids))
        if not wanted:
            return
        parts: dict[UUID, dict[str, list[str]]] = {}
        for customer_id, part, value in await self.unit.connection.fetch(_PARTS, self.unit.tenant_id, wanted):
            parts.setdefault(customer_id, {}).setdefault(part, []).append(value)
        living = {each: found for each, found in parts.items() if "name" in found}
        others = await self.others(list(living))
        await self.write(
            {
                each: search.Known(
                    found["name"][0],
                    found.get("contact", ()),
                    found.get("identity", ()),
                    found.get("tag", ()),
                    others.get(each, ()),
                )
                for each, found in living.items()
            }
        )
        await self.forget([each for each in wanted if each not in living])

    async def others(self, ids: Sequence[UUID]) -> dict[UUID, list[str]]:
        """Return what other domains find these customers by."""
        found: dict[UUID, list[str]] = {}
        for source in _SOURCES.values() if ids else ():
            for customer_id, values in (await source(self.unit, ids)).items():
                found.setdefault(customer_id, []).extend(values)
        return found

    async def write(self, known: Mapping[UUID, search.Known]) -> None:
        """Make and store the keys of customers."""
        await self.store({customer_id: search.haystack(each) for customer_id, each in known.items()})

    async def store(self, haystacks: Mapping[UUID, str]) -> None:
        """Store the keys of customers; the same rows are locked in the same order by everybody."""
        if haystacks:
            ids = sorted(haystacks)
            async with checks_planned_once(self.unit):
                await self.unit.connection.execute(_WRITE, self.unit.tenant_id, ids, [haystacks[each] for each in ids])

    async def forget(self, ids: Collection[UUID]) -> None:
        """Drop the keys of customers who are not to be found."""
        t = customer_search_keys
        if ids:
            await self.unit.execute(delete(t).where(self.mine(t), t.c.customer_id.in_(ids)))

    async def rekey(self, limit: int) -> int:
        """Make keys of older rules anew; returns how many. What somebody else writes now is left to them."""
        rows = await self.unit.connection.fetch(_OLD, self.unit.tenant_id, limit)
        await self.refresh([row["customer_id"] for row in rows])
        return len(rows)

    async def old(self) -> int:
        """Return how many customers have keys of older rules."""
        count: int = await self.unit.connection.fetchval(_COUNT_OLD, self.unit.tenant_id)
        return count
