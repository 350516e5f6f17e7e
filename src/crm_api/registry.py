"""The one list of domains, low to high: only this module knows them all.

Importing it loads every table, projection and GraphQL part. A domain takes part by the file names it has: ``tables``,
``repository`` (projections), ``rest`` (``router``), ``graphql``, ``jobs`` (``JOBS``, ``SUBSCRIBERS``, ``SCHEDULES``),
``presets`` (``load``) and ``ownership`` (what of its tables belongs to a customer).
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from fastapi import APIRouter

from crm_api.core.work import Job, Schedule, Subscriber
from crm_api.db import tables as _plumbing  # noqa: F401 - the outbox, audit log and idempotency tables
from crm_api.db.uow import UnitOfWork

DOMAINS = (
    "accounts",
    "attributes",
    "calendars",
    "channels",
    "customers",
    "consent",
    "verification",
    "catalogue",
    "orders",
    "events",
    "interactions",
    "forms",
    "staff",
    "complaints",
    "closing",
    "loyalty",
    "households",
    "companies",
    "patterns",
    "classifications",
    "segments",
    "clusters",
    "lifetime",
    "churn",
    "tiers",
    "vouchers",
    "rewards",
    "earning",
    "referrals",
    "loyalty_reports",
    "neglect",
    "compensations",
    "complaint_reports",
    "followups",
    "merges",
    "duplicates",
    "privacy",
    "quality",
    "exchange",
    "exports",
    "integrations",
)
"""Low to high: a domain may use only those before it."""


@cache
def parts(name: str) -> tuple[ModuleType, ...]:
    """Return the module called ``name`` of every domain that has one."""
    found = (f"crm_api.{domain}.{name}" for domain in DOMAINS if find_spec(f"crm_api.{domain}") is not None)
    return tuple(import_module(module) for module in found if find_spec(module) is not None)


def routers() -> list[APIRouter]:
    """Return every domain's REST router."""
    return [module.router for module in parts("rest")]


def preset_loaders() -> list[Callable[[UnitOfWork, Mapping[str, Any]], Awaitable[None]]]:
    """Return what fills a new tenant from its industry preset, in domain order."""
    return [module.load for module in parts("presets")]


def subscribers() -> list[Subscriber]:
    """Return every domain's reactions to messages."""
    return [each for module in parts("jobs") for each in getattr(module, "SUBSCRIBERS", ())]


def jobs() -> list[Job]:
    """Return every domain's long work."""
    return [each for module in parts("jobs") for each in getattr(module, "JOBS", ())]


def schedules() -> list[Schedule]:
    """Return every domain's work by the clock."""
    return [each for module in parts("jobs") for each in getattr(module, "SCHEDULES", ())]


for _part in ("tables", "repository", "ownership"):
    parts(_part)
