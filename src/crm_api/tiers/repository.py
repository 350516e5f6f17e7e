"""Access to tier schemes, standings, their log, overrides and replays; and to what tiers are made from."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, FromClause, select

from crm_api.core.rules import RuleField, RuleType
from crm_api.customers.repository import CUSTOMER
from crm_api.customers.tables import customers
from crm_api.db import timeline
from crm_api.db.projections import (
    TENANT,
    Projection,
    asc,
    at_least,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    one,
    python,
    ref,
    sql,
)
from crm_api.db.repository import Repository
from crm_api.db.rules import Side, SqlField
from crm_api.segments.repository.catalogue import CUSTOMER_RULES
from crm_api.tiers.models import (
    LogCause,
    RunState,
    TierOverride,
    TierReplay,
    TierScheme,
    TierStanding,
    TierTransition,
)
from crm_api.tiers.rules import Fact, History, Override, Rules, Version
from crm_api.tiers.tables import (
    customer_tiers,
    tier_log,
    tier_overrides,
    tier_replays,
    tier_schemes,
)

SCOPE = "loyalty:read"

TIER_SCHEME = Projection(
    "TierScheme",
    table=tier_schemes,
    model=TierScheme,
    scope=SCOPE,
    description="The tiers of a loyalty programme and what makes them.",
    fields=columns("id", "programme_id", "name", "rules", "version", "created_at", "updated_at"),
)


def _is_shown(t: FromClause) -> ColumnElement[bool]:
    """Choose the default programme's standings of living customers."""
    owner = customers.alias()
    living = select(owner.c.id).where(
        owner.c.tenant_id == TENANT, owner.c.id == t.c.customer_id, owner.c.deleted_at.is_(None)
    )
    main: ColumnElement[bool] = t.c.main
    return main & living.exists()


def _rules_of(t: FromClause) -> ColumnElement[Any]:
    scheme = tier_schemes.alias()
    found = select(scheme.c.rules).where(scheme.c.tenant_id == TENANT, scheme.c.id == t.c.scheme_id)
    return found.scalar_subquery()


_NONE: Final[Mapping[str, Any]] = {"name": None, "multiplier": 1.0, "benefits": []}


def _shows(part: str) -> Any:
    """Show a part of the tier's definition."""

    def finish(row: Mapping[str, Any], _now: datetime) -> Any:
        tiers = row["rules"]["tiers"] if row["code"] else ()
        return next((each for each in tiers if each["code"] == row["code"]), _NONE)[part]

    return python(finish, needs={"code": column("code"), "rules": sql(_rules_of)})


TIER_STANDING = Projection(
    "TierStanding",
    table=customer_tiers,
    model=TierStanding,
    scope=SCOPE,
    description="A customer's tier in the shop's default loyalty programme.",
    where=_is_shown,
    fields={
        "customer_id": ref("customer_id", "Customer"),
        "scheme_id": ref("scheme_id", "TierScheme"),
        "override_id": ref("override_id", "TierOverride"),
        **columns("level", "code", "since", "until", "grace_until"),
        **{part: _shows(part) for part in _NONE},
    },
    relations={"customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Whose.")},
    orders={"highest": [desc("level")], "by_customer": [asc("customer_id")]},
    filters={
        "code": eq("code", str, description="Only this tier."),
        "level_from": at_least("level", int, description="This level or a higher one."),
    },
    node=False,
    version=None,
    key="customer_id",
)

TIER_TRANSITION = Projection(
    "TierTransition",
    table=tier_log,
    model=TierTransition,
    scope=SCOPE,
    description="A customer's tier changed.",
    fields={
        **columns("id", "from_level", "from_code", "to_level", "to_code", "cause", "at"),
        "customer_id": ref("customer_id", "Customer"),
        "scheme_id": ref("scheme_id", "TierScheme"),
    },
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "to_code": eq("to_code", str, description="Only changes to this tier."),
        "cause": eq("cause", LogCause, description="Only changes with this cause."),
        "at_from": at_least("at", description="At this time or later."),
    },
)

TIER_OVERRIDE = Projection(
    "TierOverride",
    table=tier_overrides,
    model=TierOverride,
    scope=SCOPE,
    description="A tier given by hand, with an end.",
    fields={
        **columns("id", "mode", "starts_at", "ends_at", "reason", "version", "created_at", "updated_at"),
        "tier": column("tier_code"),
        "customer_id": ref("customer_id", "Customer"),
        "scheme_id": ref("scheme_id", "TierScheme"),
    },
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "ends_from": at_least("ends_at", description="That hold until this time or longer."),
    },
)

TIER_REPLAY = Projection(
    "TierReplay",
    table=tier_replays,
    model=TierReplay,
    scope=SCOPE,
    description="Everybody's tier, worked out anew.",
    fields={
        **columns(
            "id",
            "state",
            "cause",
            "total",
            "processed",
            "moved",
            "error",
            "started_at",
            "finished_at",
            "version",
            "created_at",
            "updated_at",
        ),
        "scheme_id": ref("scheme_id", "TierScheme"),
    },
    filters={"state": eq("state", RunState)},
)

extend(
    CUSTOMER,
    relations={
        "tier": one(
            "TierStanding",
            on=lambda p, c: c.c.customer_id == p.c.id,
            description="The tier in the shop's default loyalty programme; null when it has no tiers.",
        ),
        "tier_transitions": many(
            "TierTransition",
            on=lambda p, c: c.c.customer_id == p.c.id,
            description="How the tier changed, newest first.",
        ),
    },
)

timeline.register(
    timeline.Source(
        kind="tier",
        scope=SCOPE,
        rows=tier_log,
        tenant=tier_log.c.tenant_id,
        customer=tier_log.c.customer_id,
        at=tier_log.c.at,
        id=tier_log.c.id,
        title=tier_log.c.to_code,
        data={name: tier_log.c[name] for name in ("from_code", "to_code", "cause")},
    )
)

_STANDING = Side(customer_tiers, lambda c, s: (s.c.customer_id == c.c.id) & s.c.main)

CUSTOMER_RULES.register(
    SqlField(
        RuleField("tier", RuleType.TEXT, "Tier, by its code", "会员等级（代码）", scope=SCOPE),
        lambda s: s.c.code,
        side=_STANDING,
    ),
    SqlField(
        RuleField(
            "tier_level", RuleType.INTEGER, "Level of the tier, 0 for none", "会员等级序号（0 为无）", scope=SCOPE
        ),
        lambda s: s.c.level,
        side=_STANDING,
        default=0,
    ),
)

# -- schemes -----------------------------------------------------------------------------------------------------------

_SCHEMES: Final = """
SELECT s.id, s.programme_id, p.is_default AS main, v.since, v.rules, v.time_zone AS zone
FROM tier_schemes s
JOIN loyalty_programmes p ON p.tenant_id = s.tenant_id AND p.id = s.programme_id
JOIN tier_scheme_versions v ON v.tenant_id = s.tenant_id AND v.scheme_id = s.id
WHERE s.tenant_id = $1 AND v.number >= (
  SELECT max(f.number) FROM tier_scheme_versions f
  WHERE f.tenant_id = s.tenant_id AND f.scheme_id = s.id AND f.since IS NULL
)
ORDER BY s.id, v.number
"""

_PROGRAMME: Final = """
SELECT p.id, coalesce(p.currency, t.currency) AS currency, p.time_zone
FROM loyalty_programmes p JOIN tenants t ON t.tenant_id = p.tenant_id
WHERE p.tenant_id = $1 AND CASE WHEN $2::uuid IS NULL THEN p.is_default ELSE p.id = $2 END
"""

_ADD_VERSION: Final = """
INSERT INTO tier_scheme_versions (tenant_id, scheme_id, number, since, rules, time_zone)
SELECT $1, $2, coalesce(max(v.number), 0) + 1, $3, $4, $5
FROM tier_scheme_versions v WHERE v.tenant_id = $1 AND v.scheme_id = $2
"""


class Scheme:
    """A scheme with its rules of all times.

    Attributes:
        main: whether its programme is the default one.
        versions: oldest first.

    """

    def __init__(self, row: asyncpg.Record) -> None:
        """Begin with what all versions share."""
        self.id: UUID = row["id"]
        self.programme_id: UUID = row["programme_id"]
        self.main: bool = row["main"]
        self.versions: list[Version] = []

    @property
    def rules(self) -> Rules:
        """Return the newest rules."""
        return self.versions[-1].rules

    @property
    def metrics(self) -> set[str]:
        """Return all metrics that any version counts."""
        return {each.rules.metric for each in self.versions}


_APPOINT: Final = """
UPDATE customer_tiers t SET main = p.is_default
FROM tier_schemes s JOIN loyalty_programmes p ON p.tenant_id = s.tenant_id AND p.id = s.programme_id
WHERE t.tenant_id = $1 AND s.tenant_id = $1 AND s.id = t.scheme_id AND t.main <> p.is_default
"""


class SchemeRepository(Repository):
    """Tier schemes of one tenant."""

    table = tier_schemes

    async def schemes(self) -> list[Scheme]:
        """Return all schemes, each with the versions that a replay needs."""
        found: dict[UUID, Scheme] = {}
        for row in await self.unit.connection.fetch(_SCHEMES, self.unit.tenant_id):
            scheme = found.setdefault(row["id"], Scheme(row))
            scheme.versions.append(Version(row["since"], Rules.of(row["rules"], row["zone"])))
        return list(found.values())

    async def appoint(self) -> bool:
        """Let the default programme's standings be those that rules mean; returns whether that changed any."""
        done: str = await self.unit.connection.execute(_APPOINT, self.unit.tenant_id)
        return done != "UPDATE 0"

    async def programme(self, programme_id: UUID | None) -> asyncpg.Record | None:
        """Return ``id``, ``currency`` (else the tenant's) and ``time_zone`` of a programme; None: the default one."""
        return await self.unit.connection.fetchrow(_PROGRAMME, self.unit.tenant_id, programme_id)

    async def has_code(self, code: str) -> bool:
        """Tell whether a tier has this code."""
        sql = (
            "SELECT EXISTS (SELECT FROM tier_schemes s, jsonb_array_elements(s.rules -> 'tiers') t "
            "WHERE s.tenant_id = $1 AND t ->> 'code' = $2)"
        )
        found: bool = await self.unit.connection.fetchval(sql, self.unit.tenant_id, code)
        return found

    async def add_version(self, scheme_id: UUID, since: datetime | None, rules: Mapping[str, Any], zone: str) -> None:
        """Keep rules; None: they hold from the beginning of all history."""
        await self.unit.connection.execute(_ADD_VERSION, self.unit.tenant_id, scheme_id, since, rules, zone)


# -- who stands where --------------------------------------------------------------------------------------------------

_LIVING: Final = """
SELECT id, created_at FROM customers WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) AND deleted_at IS NULL
"""

_OPEN: Final = """
INSERT INTO customer_tiers (tenant_id, scheme_id, customer_id, main)
SELECT $1, $2, g.id, $4 FROM unnest($3::uuid[]) AS g (id) ORDER BY g.id
ON CONFLICT DO NOTHING
"""

_LOCK: Final = """
SELECT customer_id, level, code, since, until, grace_until, override_id, next_at, warned_of, looked_at, main
FROM customer_tiers WHERE tenant_id = $1 AND scheme_id = $2 AND customer_id = ANY ($3::uuid[])
ORDER BY customer_id FOR NO KEY UPDATE
"""

_FORGET: Final = "DELETE FROM customer_tiers WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])"

# $4, $5, $6: whether orders, points and visits are asked for; $3: the programme of the points.
_FACTS: Final = """
SELECT o.customer_id, 'order' AS kind, coalesce(o.paid_at, o.placed_at) AS at,
  o.paid_amount - o.refunded_amount AS value, o.currency
FROM orders o
WHERE $4 AND o.tenant_id = $1 AND o.customer_id = ANY ($2::uuid[]) AND o.paid_amount > o.refunded_amount
  AND o.status IN ('paid', 'shipped', 'completed', 'refunded')
UNION ALL
SELECT w.customer_id, 'points', l.earned_at, greatest(0, l.granted - l.reversed + coalesce((
    SELECT sum(m.points) FROM loyalty_lot_movements m
    JOIN loyalty_transactions t ON t.tenant_id = m.tenant_id AND t.id = m.transaction_id
    WHERE m.tenant_id = $1 AND m.lot_id = l.id AND m.points < 0 AND t.type = 'adjust'
  ), 0))::bigint, NULL
FROM loyalty_wallets w JOIN loyalty_lots l ON l.tenant_id = w.tenant_id AND l.wallet_id = w.id
WHERE $5 AND w.tenant_id = $1 AND w.customer_id = ANY ($2::uuid[]) AND w.programme_id = $3 AND w.kind = 'qualifying'
UNION ALL
SELECT i.customer_id, 'visit', i.occurred_at, 1, NULL
FROM interactions i
WHERE $6 AND i.tenant_id = $1 AND i.customer_id = ANY ($2::uuid[]) AND i.channel = 'in_store'
  AND i.direction = 'inbound'
"""

_OVERRIDES: Final = """
SELECT customer_id, id, tier_code, mode, starts_at, ends_at FROM tier_overrides
WHERE tenant_id = $1 AND scheme_id = $2 AND customer_id = ANY ($3::uuid[]) AND starts_at < ends_at
"""

_WRITTEN: Final = (
    ("customer_id", "uuid"),
    ("level", "smallint"),
    ("code", "text"),
    ("since", "timestamptz"),
    ("until", "timestamptz"),
    ("grace_until", "timestamptz"),
    ("override_id", "uuid"),
    ("next_at", "timestamptz"),
    ("warned_of", "timestamptz"),
    ("main", "boolean"),
)
_WRITE: Final = f"""
UPDATE customer_tiers t SET {", ".join(f"{name} = g.{name}" for name, _ in _WRITTEN[1:])}, looked_at = $3
FROM unnest({", ".join(f"${n}::{kind}[]" for n, (_, kind) in enumerate(_WRITTEN, start=4))})
  AS g ({", ".join(name for name, _ in _WRITTEN)})
WHERE t.tenant_id = $1 AND t.scheme_id = $2 AND t.customer_id = g.customer_id
"""  # noqa: S608 - constants of this module

_DUE: Final = """
SELECT customer_id FROM customer_tiers WHERE tenant_id = $1 AND next_at <= $2
ORDER BY next_at, customer_id LIMIT $3
"""

_CURRENT: Final = """
SELECT t.customer_id, t.level, t.code, s.rules
FROM customer_tiers t JOIN tier_schemes s ON s.tenant_id = t.tenant_id AND s.id = t.scheme_id
JOIN loyalty_programmes p ON p.tenant_id = s.tenant_id AND p.id = s.programme_id
WHERE t.tenant_id = $1 AND t.customer_id = ANY ($2::uuid[])
  AND CASE WHEN $3::uuid IS NULL THEN p.is_default ELSE p.id = $3 END
"""


class StandingRepository(Repository):
    """Who stands where, and what that is made from."""

    table = customer_tiers

    async def living(self, ids: Iterable[UUID]) -> dict[UUID, datetime]:
        """Return those of the customers that are there, and since when they are known."""
        rows = await self.unit.connection.fetch(_LIVING, self.unit.tenant_id, list(ids))
        return {row["id"]: row["created_at"] for row in rows}

    async def lock(self, scheme: Scheme, ids: Sequence[UUID]) -> dict[UUID, asyncpg.Record]:
        """Lock standings in the order of the customers' ids, making those that are missing."""
        ordered = sorted(ids)
        await self.unit.connection.execute(_OPEN, self.unit.tenant_id, scheme.id, ordered, scheme.main)
        rows = await self.unit.connection.fetch(_LOCK, self.unit.tenant_id, scheme.id, ordered)
        return {row["customer_id"]: row for row in rows}

    async def forget(self, ids: Sequence[UUID]) -> None:
        """Drop the standings of customers who are no more."""
        await self.unit.connection.execute(_FORGET, self.unit.tenant_id, sorted(ids))

    async def histories(self, scheme: Scheme, known_since: Mapping[UUID, datetime]) -> dict[UUID, History]:
        """Return what counts of each of these customers."""
        metrics = scheme.metrics
        asked = bool(metrics - {"qualifying_points"}), "qualifying_points" in metrics, "visits" in metrics
        facts: dict[UUID, list[Fact]] = {customer_id: [] for customer_id in known_since}
        rows = await self.unit.connection.fetch(
            _FACTS, self.unit.tenant_id, list(known_since), scheme.programme_id, *asked
        )
        for row in rows:
            facts[row["customer_id"]].append(Fact(row["kind"], row["at"], row["value"], row["currency"]))
        return {each: History(known_since[each], tuple(found)) for each, found in facts.items()}

    async def overrides(self, scheme_id: UUID, ids: Sequence[UUID]) -> dict[UUID, list[Override]]:
        """Return what was given by hand, ended or not."""
        found: dict[UUID, list[Override]] = {}
        for row in await self.unit.connection.fetch(_OVERRIDES, self.unit.tenant_id, scheme_id, list(ids)):
            override = Override(row["id"], row["tier_code"], row["mode"], row["starts_at"], row["ends_at"])
            found.setdefault(row["customer_id"], []).append(override)
        return found

    async def write(self, scheme_id: UUID, now: datetime, rows: Sequence[tuple[Any, ...]]) -> None:
        """Store standings: a tuple in the order of ``_WRITTEN`` each."""
        if rows:
            arrays = (list(each) for each in zip(*rows, strict=True))
            await self.unit.connection.execute(_WRITE, self.unit.tenant_id, scheme_id, now, *arrays)

    async def log(self, rows: list[dict[str, Any]]) -> None:
        """Append to the log."""
        await self.insert_many(rows, tier_log)

    async def due(self, now: datetime, limit: int) -> list[UUID]:
        """Return customers whose tier may have changed by time alone."""
        rows = await self.unit.connection.fetch(_DUE, self.unit.tenant_id, now, limit)
        return [row["customer_id"] for row in rows]

    async def current(self, ids: Iterable[UUID], programme_id: UUID | None) -> list[asyncpg.Record]:
        """Return customer, level, code and the scheme's rules of those who have a standing."""
        found: list[asyncpg.Record] = await self.unit.connection.fetch(
            _CURRENT, self.unit.tenant_id, list(ids), programme_id
        )
        return found


# -- overrides and replays ---------------------------------------------------------------------------------------------


class OverrideRepository(Repository):
    """Tiers given by hand."""

    table = tier_overrides


_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended('crm tiers ' || $1, 0))"
_MUST_WAIT: Final = """
SELECT EXISTS (
  SELECT FROM tier_replays
  WHERE tenant_id = $1 AND id <> $2 AND (state = 'running' OR (state = 'queued' AND id < $2))
)
"""
_TOTAL: Final = "SELECT count(*) FROM customers WHERE tenant_id = $1 AND deleted_at IS NULL"
_AFTER: Final = """
SELECT id FROM customers WHERE tenant_id = $1 AND deleted_at IS NULL AND id > $2 ORDER BY id LIMIT $3
"""


class ReplayRepository(Repository):
    """Replays of everybody's tier."""

    table = tier_replays

    async def must_wait(self, replay_id: UUID) -> bool:
        """Return whether another replay goes first; until the end of the unit nobody else is told."""
        await self.unit.connection.execute(_TURN, str(self.unit.tenant_id))
        return bool(await self.unit.connection.fetchval(_MUST_WAIT, self.unit.tenant_id, replay_id))

    async def total(self) -> int:
        """Return the number of customers."""
        counted: int = await self.unit.connection.fetchval(_TOTAL, self.unit.tenant_id)
        return counted

    async def after(self, cursor: UUID | None, size: int) -> list[UUID]:
        """Return the next customers, in the order of their ids."""
        rows = await self.unit.connection.fetch(_AFTER, self.unit.tenant_id, cursor or UUID(int=0), size)
        return [row["id"] for row in rows]
