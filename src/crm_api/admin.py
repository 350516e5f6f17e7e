"""What the command line does to tenants and keys: the operations that need no key because they make the first one."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, get_args
from uuid import UUID
from zoneinfo import available_timezones

from crm_api import presets
from crm_api.accounts.models import Preset, Tenant
from crm_api.accounts.repository import KeyRepository, TenantRepository
from crm_api.accounts.service import KeyService, all_tenants
from crm_api.churn.backtests import backtest_now
from crm_api.churn.models import ChurnBacktestCreate
from crm_api.core.actor import ADMIN, Actor
from crm_api.core.errors import Invalid
from crm_api.core.ids import new_id
from crm_api.core.money import currencies
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.registry import preset_loaders, subscribers
from crm_api.settings import Settings
from crm_api.worker import outbox

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CreatedTenant:
    """A new tenant and its first key, which is shown only now."""

    tenant_id: UUID
    api_key: str


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key, which is shown only now."""

    key_id: UUID
    api_key: str


async def create_tenant(
    settings: Settings,
    name: str,
    preset: str = "retail",
    *,
    currency: str = "CNY",
    time_zone: str = "Asia/Shanghai",
    database: Database | None = None,
) -> CreatedTenant:
    """Create a tenant with everything its industry preset brings, and its first admin key, in one transaction.

    Args:
        settings: name the database.
        name: of the merchant.
        preset: industry preset.
        currency: ISO 4217; points are earned in it.
        time_zone: IANA name; business days are in it.
        database: open pools to use; ones of its own otherwise.

    Raises:
        Invalid: there is no such preset, currency or time zone.

    """
    _check(preset, currency, time_zone)
    tenant_id = new_id()
    content = presets.load(preset)
    content.get("loyalty", {})["currency"] = currency

    async def work(unit: UnitOfWork) -> str:
        await TenantRepository(unit).add({"name": name, "preset": preset, "currency": currency, "time_zone": time_zone})
        for load in preset_loaders():
            await load(unit, content)
        _, key = await KeyService(unit).create("first admin key", frozenset({ADMIN}))
        unit.audit("tenant.created", "Tenant", tenant_id, after={"name": name, "preset": preset})
        return key

    key = await _in_database(settings, tenant_id, work, database)
    return CreatedTenant(tenant_id, key)


@cache
def _zones() -> frozenset[str]:
    """Return the names of all zones: looked up on disk, hundreds of files."""
    return frozenset(available_timezones())


def _check(preset: str, currency: str, time_zone: str) -> None:
    if preset not in get_args(Preset):
        known = ", ".join(get_args(Preset))
        raise Invalid.field("/preset", "unknown_choice", f"There is no preset '{preset}': choose from {known}")
    if currency not in currencies():
        raise Invalid.field("/currency", "unknown_currency", f"'{currency}' is not a currency in use (ISO 4217)")
    if time_zone not in _zones():
        raise Invalid.field("/time_zone", "unknown_time_zone", f"'{time_zone}' is not an IANA time zone")


async def create_key(
    settings: Settings,
    tenant_id: UUID,
    scopes: frozenset[str],
    name: str = "key",
    expires_at: datetime | None = None,
) -> CreatedKey:
    """Create a key for an existing tenant."""

    async def work(unit: UnitOfWork) -> CreatedKey:
        await TenantRepository(unit).current()
        return CreatedKey(*await KeyService(unit).create(name, scopes, expires_at))

    return await _in_database(settings, tenant_id, work)


async def list_keys(settings: Settings, tenant_id: UUID) -> list[dict[str, object]]:
    """Return the tenant's keys without their secrets."""

    async def work(unit: UnitOfWork) -> list[dict[str, object]]:
        return [dict(row) for row in await KeyRepository(unit).all()]

    return await _in_database(settings, tenant_id, work)


async def revoke_key(settings: Settings, tenant_id: UUID, key_id: UUID) -> None:
    """Make a key useless."""

    async def work(unit: UnitOfWork) -> None:
        await KeyService(unit).revoke(key_id)

    await _in_database(settings, tenant_id, work)


async def list_tenants(settings: Settings) -> list[Tenant]:
    """Return every tenant, oldest first."""
    database = await Database.open(settings)
    try:
        async with database.system() as connection:
            return await all_tenants(connection)
    finally:
        await database.close()


async def outbox_status(settings: Settings) -> list[outbox.SubscriberStatus]:
    """Return how far every subscriber is."""
    names = [each.name for each in subscribers()]
    async with _system(settings) as connection:
        return await outbox.status(connection, names)


async def outbox_failures(settings: Settings, subscriber: str | None, limit: int) -> list[dict[str, object]]:
    """Return messages that failed, newest first."""
    async with _system(settings) as connection:
        return await outbox.failures(connection, subscriber, limit)


async def outbox_retry(settings: Settings, subscriber: str | None, message_id: UUID | None) -> int:
    """Have failed messages tried again; returns how many."""
    database = await Database.open(settings)
    try:
        return await outbox.retry(database, subscriber, message_id)
    finally:
        await database.close()


async def outbox_rebase(settings: Settings) -> None:
    """Mend the order of messages after a backup was restored on another server."""
    database = await Database.open(settings, worker=True)
    try:
        await outbox.rebase(database, always=True)
    finally:
        await database.close()


async def churn_backtest(
    settings: Settings,
    tenant_id: UUID | None,
    data: ChurnBacktestCreate,
    report: Callable[[int, Mapping[str, Any]], Awaitable[None]],
) -> dict[str, Any]:
    """Test a tenant's churn warnings on its past and store nothing; returns plan and result as JSON.

    Args:
        settings: name the database.
        tenant_id: whose; None where there is only one.
        data: what to test.
        report: called after each cut with the number of cuts done and its figures.

    Raises:
        Invalid: there is no such tenant, the last horizon is not over yet, or there are no purchases.

    """
    database = await Database.open(settings, worker=True)
    try:
        return await backtest_now(database, await _which(database, tenant_id), data, report)
    finally:
        await database.close()


async def _which(database: Database, tenant_id: UUID | None) -> UUID:
    async with database.system() as connection:
        known = [tenant.id for tenant in await all_tenants(connection)]
    if tenant_id is None and len(known) == 1:
        return known[0]
    if tenant_id is None:
        message = f"There are {len(known)} tenants: choose one of `crm-api tenants list` with --tenant"
        raise Invalid.field("/tenant", "required", message)
    if tenant_id not in known:
        message = f"There is no tenant {tenant_id}: `crm-api tenants list` shows them"
        raise Invalid.field("/tenant", "not_found", message)
    return tenant_id


@asynccontextmanager
async def _system(settings: Settings) -> AsyncIterator[Any]:
    database = await Database.open(settings)
    try:
        async with database.system() as connection:
            yield connection
    finally:
        await database.close()


async def _in_database(
    settings: Settings,
    tenant_id: UUID,
    work: Callable[[UnitOfWork], Awaitable[T]],
    database: Database | None = None,
) -> T:
    if database is not None:
        return await database.run(Actor.system(tenant_id), work)
    opened = await Database.open(settings)
    try:
        return await opened.run(Actor.system(tenant_id), work)
    finally:
        await opened.close()
