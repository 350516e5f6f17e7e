"""Access to candidates, runs and what they compare."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import func, literal_column, or_, select, update

from crm_api.core.ids import new_id
from crm_api.customers.repository import CUSTOMER
from crm_api.db.projections import (
    Filter,
    FilterValue,
    Projection,
    at_least,
    columns,
    desc,
    eq,
    extend,
    many,
    one,
    ref,
    sql,
)
from crm_api.db.repository import Repository
from crm_api.duplicates.models import CandidateState, DuplicateCandidate, DuplicateRun, RunState
from crm_api.duplicates.rules import VERSION, Features, Raw
from crm_api.duplicates.tables import duplicate_candidates, duplicate_features, duplicate_runs

READ = "duplicates:read"

DUPLICATE_RUN = Projection(
    "DuplicateRun",
    table=duplicate_runs,
    model=DuplicateRun,
    scope=READ,
    description="A search for duplicates.",
    fields={
        **columns("id", "kind", "state", "phase", "total", "processed", "changed", "compared", "found", "error"),
        **columns("started_at", "finished_at", "version", "created_at", "updated_at"),
        "skipped": sql(lambda t: _nullif_empty(t.c.skipped)),
    },
    filters={"state": eq("state", RunState)},
)


def _nullif_empty(value: Any) -> Any:
    return func.nullif(value, literal_column("'{}'::jsonb"))


def _either(t: Any, v: FilterValue) -> Any:
    return or_(t.c.first_id == v(), t.c.second_id == v())


DUPLICATE_CANDIDATE = Projection(
    "DuplicateCandidate",
    table=duplicate_candidates,
    model=DuplicateCandidate,
    scope=READ,
    description="Two customers who may be one.",
    fields={
        **columns(
            "id", "state", "score", "weight", "reasons", "note", "decided_at", "version", "created_at", "updated_at"
        ),
        "first_id": ref("first_id", "Customer"),
        "second_id": ref("second_id", "Customer"),
        "run_id": ref("run_id", "DuplicateRun"),
        "merge_id": ref("merge_id", "Merge"),
    },
    relations={
        "first": one(
            "Customer", on=lambda p, c: c.c.id == p.c.first_id, description="The customer known longer, while there."
        ),
        "second": one("Customer", on=lambda p, c: c.c.id == p.c.second_id, description="The other one, while there."),
        "merge": one("Merge", on=lambda p, c: c.c.id == p.c.merge_id, description="What it was accepted with."),
    },
    orders={"likeliest": [desc("weight"), desc("id")], "newest": [desc("id")]},
    filters={
        "state": eq("state", CandidateState),
        "customer_id": Filter(UUID, _either, ref="Customer", description="Only those with this customer."),
        "min_score": at_least("score", int, description="Only those at least so likely, 60–99."),
    },
)

extend(
    CUSTOMER,
    relations={
        "duplicate_candidates": many(
            "DuplicateCandidate",
            on=lambda p, c: or_(c.c.first_id == p.c.id, c.c.second_id == p.c.id),
            description="Who may be the same customer.",
        )
    },
)

_DONE_WITH = (
    """
    DELETE FROM duplicate_candidates d USING customers c
    WHERE d.tenant_id = $1 AND d.state = 'open' AND c.tenant_id = $1 AND c.id IN (d.first_id, d.second_id)
      AND c.deleted_at IS NOT NULL
    """,
    """
    DELETE FROM duplicate_keys k USING customers c
    WHERE k.tenant_id = $1 AND c.tenant_id = $1 AND c.id = k.customer_id AND c.deleted_at IS NOT NULL
    """,
    """
    DELETE FROM duplicate_features f USING customers c
    WHERE f.tenant_id = $1 AND c.tenant_id = $1 AND c.id = f.customer_id AND c.deleted_at IS NOT NULL
    """,
)
_FORGET = (
    """
    DELETE FROM duplicate_candidates
    WHERE tenant_id = $1 AND state = 'open' AND (first_id = ANY ($2::uuid[]) OR second_id = ANY ($2::uuid[]))
    """,
    "DELETE FROM duplicate_keys WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])",
    "DELETE FROM duplicate_features WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])",
)
_COUNT = "SELECT count(*)::int FROM customers WHERE tenant_id = $1 AND deleted_at IS NULL"
# Looked up row by row: joined, a plan made before there are statistics reads all features for every chunk.
_NEXT_CUSTOMERS: Final = f"""
SELECT c.id, c.version, c.name, c.kind, c.gender, c.region, c.city, c.address,
  c.birth_calendar, c.birth_year, c.birth_month, c.birth_day, c.birth_leap_month,
  (SELECT f.version = c.version AND f.rules_version = {VERSION} FROM duplicate_features f
   WHERE f.tenant_id = $1 AND f.customer_id = c.id) IS NOT TRUE AS is_stale
FROM customers c
WHERE c.tenant_id = $1 AND c.deleted_at IS NULL AND c.id > $2 ORDER BY c.id LIMIT $3
"""  # noqa: S608 - a constant of ours
_CONTACTS = (
    "SELECT customer_id, kind, value FROM contact_points WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])"
)
_IDENTITIES = (
    "SELECT customer_id, platform, external_id FROM customer_identities "
    "WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])"
)
_ADDRESSES = (
    "SELECT customer_id, concat_ws(' ', district, street) FROM customer_addresses "
    "WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])"
)
_FORGET_KEYS = "DELETE FROM duplicate_keys WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])"
_WRITE_KEYS = """
INSERT INTO duplicate_keys (tenant_id, key, customer_id)
SELECT $1, * FROM unnest($2::text[], $3::uuid[]) AS given (key, customer_id) ON CONFLICT DO NOTHING
"""
# What changed in other ways than those compared is no news: the run that compared it before is kept.
_WRITE_FEATURES: Final = f"""
INSERT INTO duplicate_features AS known (tenant_id, customer_id, version, rules_version, run_id, features)
SELECT $1, given.customer_id, given.version, {VERSION}, $5, given.features::jsonb
FROM unnest($2::uuid[], $3::int[], $4::text[]) AS given (customer_id, version, features)
ON CONFLICT (tenant_id, customer_id) DO UPDATE SET version = excluded.version, rules_version = excluded.rules_version,
  run_id = CASE WHEN known.features = excluded.features THEN known.run_id ELSE excluded.run_id END,
  features = excluded.features
RETURNING customer_id, run_id = $5 AS is_news
"""  # noqa: S608
_ALL_BLOCKS = """
SELECT key, count(*)::int AS size FROM duplicate_keys WHERE tenant_id = $1 AND key > $2
GROUP BY key HAVING count(*) > 1 ORDER BY key LIMIT $3
"""
_NEWS_BLOCKS = """
SELECT n.key, (SELECT count(*)::int FROM duplicate_keys k WHERE k.tenant_id = $1 AND k.key = n.key) AS size
FROM (
  SELECT DISTINCT k.key FROM duplicate_features f
  JOIN duplicate_keys k ON k.tenant_id = $1 AND k.customer_id = f.customer_id
  WHERE f.tenant_id = $1 AND f.run_id = $4 AND k.key > $2 ORDER BY k.key LIMIT $3
) n ORDER BY n.key
"""
_MEMBERS = """
SELECT key, customer_id FROM duplicate_keys WHERE tenant_id = $1 AND key = ANY ($2::text[]) ORDER BY key, customer_id
"""
_FEATURES = """
SELECT customer_id, run_id, features FROM duplicate_features WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])
"""
_PROPOSE = """
INSERT INTO duplicate_candidates AS known
  (tenant_id, id, first_id, second_id, score, weight, reasons, fingerprint, run_id)
SELECT $1, given.id, given.first_id, given.second_id, given.score, given.weight, given.reasons::jsonb,
  given.fingerprint, $2
FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::smallint[], $7::real[], $8::text[], $9::text[])
  AS given (id, first_id, second_id, score, weight, reasons, fingerprint)
ORDER BY given.first_id, given.second_id
ON CONFLICT (tenant_id, first_id, second_id) DO UPDATE SET
  score = excluded.score, weight = excluded.weight, reasons = excluded.reasons, fingerprint = excluded.fingerprint,
  run_id = excluded.run_id,
  state = 'open', decided_at = NULL, decided_by = NULL, note = NULL,
  version = CASE WHEN known.state = 'open' AND known.fingerprint = excluded.fingerprint
    THEN known.version ELSE known.version + 1 END,
  updated_at = CASE WHEN known.state = 'open' AND known.fingerprint = excluded.fingerprint
    THEN known.updated_at ELSE now() END
WHERE known.run_id <> excluded.run_id AND (
  known.state = 'open'
  OR known.state = 'rejected' AND known.fingerprint <> excluded.fingerprint AND known.weight < excluded.weight)
"""
_OUTDATED = """
DELETE FROM duplicate_candidates d
WHERE d.tenant_id = $1 AND d.state = 'open' AND d.run_id <> $2
  AND ($3 OR EXISTS (
    SELECT FROM duplicate_features f
    WHERE f.tenant_id = $1 AND f.customer_id IN (d.first_id, d.second_id) AND f.run_id = $2))
"""

NOBODY: Final = UUID(int=0)


class Found(NamedTuple):
    """A pair to propose, in the order of the columns; reasons as JSON."""

    first_id: UUID
    second_id: UUID
    score: int
    weight: float
    reasons: str
    fingerprint: str


class FeatureRepository(Repository):
    """What is compared, made from customers a chunk at a time."""

    table = duplicate_features

    async def count(self) -> int:
        """Return how many customers there are."""
        count: int = await self.unit.connection.fetchval(_COUNT, self.unit.tenant_id)
        return count

    async def drop_deleted(self) -> None:
        """Forget what was known of customers who are gone."""
        for statement in _DONE_WITH:
            await self.unit.connection.execute(statement, self.unit.tenant_id)

    async def forget(self, ids: Sequence[UUID]) -> None:
        """Forget customers: what is compared of them, and proposals nobody has decided."""
        for statement in _FORGET:
            await self.unit.connection.execute(statement, self.unit.tenant_id, ids)

    async def next(self, after: UUID, limit: int) -> list[asyncpg.Record]:
        """Return the customers after an id, in order, and of each whether its features are stale."""
        return await self.unit.connection.fetch(_NEXT_CUSTOMERS, self.unit.tenant_id, after, limit)

    async def raw(self, rows: Sequence[asyncpg.Record]) -> dict[UUID, Raw]:
        """Return what features are made of; three statements however many customers."""
        ids = [row["id"] for row in rows]
        contacts = await self._of(_CONTACTS, ids)
        identities = await self._of(_IDENTITIES, ids)
        addresses = await self._of(_ADDRESSES, ids)
        return {
            row["id"]: Raw(
                name=row["name"],
                kind=row["kind"],
                gender=row["gender"],
                birth=_birth(row),
                region=row["region"],
                city=row["city"],
                addresses=[
                    each for each in (row["address"], *(text for (text,) in addresses.get(row["id"], ()))) if each
                ],
                contacts=contacts.get(row["id"], ()),
                identities=identities.get(row["id"], ()),
            )
            for row in rows
        }

    async def _of(self, statement: str, ids: Sequence[UUID]) -> dict[UUID, list[Any]]:
        found: dict[UUID, list[Any]] = {}
        for customer_id, *values in await self.unit.connection.fetch(statement, self.unit.tenant_id, ids):
            found.setdefault(customer_id, []).append(tuple(values))
        return found

    async def write(
        self,
        run_id: UUID,
        versions: Mapping[UUID, int],
        features: Mapping[UUID, Features],
        keys: Mapping[UUID, list[str]],
    ) -> int:
        """Store features and keys; returns how many of the customers are news."""
        ids = sorted(features)
        tenant_id, connection = self.unit.tenant_id, self.unit.connection
        packed = [orjson.dumps(features[each].dump()).decode() for each in ids]
        rows = await connection.fetch(_WRITE_FEATURES, tenant_id, ids, [versions[each] for each in ids], packed, run_id)
        news = [row["customer_id"] for row in rows if row["is_news"]]
        await connection.execute(_FORGET_KEYS, tenant_id, news)
        pairs = [(key, each) for each in news for key in keys[each]]
        await connection.execute(_WRITE_KEYS, tenant_id, [key for key, _ in pairs], [each for _, each in pairs])
        return len(news)

    async def blocks(self, run_id: UUID, after: str, limit: int, *, everybody: bool) -> list[tuple[str, int]]:
        """Return the next keys that several customers share, and how many; only those with news unless everybody."""
        if everybody:
            rows = await self.unit.connection.fetch(_ALL_BLOCKS, self.unit.tenant_id, after, limit)
        else:
            rows = await self.unit.connection.fetch(_NEWS_BLOCKS, self.unit.tenant_id, after, limit, run_id)
        return [(row["key"], row["size"]) for row in rows]

    async def members(self, keys: Sequence[str]) -> dict[str, list[UUID]]:
        """Return key → the customers who have it, in the order of their ids."""
        found: dict[str, list[UUID]] = {}
        for key, customer_id in await self.unit.connection.fetch(_MEMBERS, self.unit.tenant_id, keys):
            found.setdefault(key, []).append(customer_id)
        return found

    async def load(self, ids: Iterable[UUID]) -> dict[UUID, tuple[UUID, dict[str, Any]]]:
        """Return customer → the run that made its features, and the features as stored."""
        rows = await self.unit.connection.fetch(_FEATURES, self.unit.tenant_id, sorted(ids))
        return {row["customer_id"]: (row["run_id"], row["features"]) for row in rows}


def _birth(row: asyncpg.Record) -> Any:
    if row["birth_calendar"] is None:
        return None
    parts = (row[f"birth_{part}"] for part in ("calendar", "year", "month", "day"))
    return (*parts, bool(row["birth_leap_month"]))


class CandidateRepository(Repository):
    """Pairs that may be one customer."""

    table = duplicate_candidates

    async def propose(self, run_id: UUID, rows: Sequence[Found]) -> int:
        """Store pairs; returns how many this run had not found before.

        What was decided stays decided; a rejected pair comes back only when its data changed and now speak louder.
        """
        if not rows:
            return 0
        given = [list(values) for values in zip(*((new_id(), *row) for row in rows), strict=True)]
        status = await self.unit.connection.execute(_PROPOSE, self.unit.tenant_id, run_id, *given)
        return int(status.rpartition(" ")[2])

    async def drop_outdated(self, run_id: UUID, *, everybody: bool) -> None:
        """Drop open pairs that this run looked at and did not find again."""
        await self.unit.connection.execute(_OUTDATED, self.unit.tenant_id, run_id, everybody)

    async def undone(self, merge_id: UUID) -> list[UUID]:
        """Note that the merge of an accepted pair was taken back: they are two; returns the pair's id."""
        t = duplicate_candidates
        statement = (
            update(t)
            .where(self.mine(), t.c.merge_id == merge_id, t.c.state == "accepted")
            .values(state="rejected", decided_at=self.unit.now(), version=t.c.version + 1, updated_at=self.unit.now())
            .returning(t.c.id)
        )
        return [row["id"] for row in await self.unit.fetch_all(statement)]


class RunRepository(Repository):
    """Searches for duplicates."""

    table = duplicate_runs

    async def active(self) -> UUID | None:
        """Return the run that is queued or at work, or None; holds back who wants to start another."""
        await self.unit.connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"duplicates.run:{self.unit.tenant_id}"
        )
        t = duplicate_runs
        found: UUID | None = await self.unit.fetch_value(
            select(t.c.id).where(self.mine(), t.c.state.in_(["queued", "running"])).limit(1)
        )
        return found
