"""Reads behind "why": what a rule finds at one customer, how it narrows everybody down, who entered and left."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import select

from crm_api.core.paging import PageRequest
from crm_api.customers.tables import customers
from crm_api.db.plans import read_list
from crm_api.db.projections import at_least, below, extend, one
from crm_api.db.rule_explain import Counts, Explained, RuleFunnel, RuleProbe
from crm_api.db.uow import UnitOfWork
from crm_api.segments.repository import SEGMENT_LOG_ENTRY, Chosen
from crm_api.segments.tables import segment_log, segment_members

TOLD: Final = 10
"""Log entries beside an explanation."""

extend(
    SEGMENT_LOG_ENTRY,
    filters={
        "at_from": at_least("at", description="Noticed at this instant or later."),
        "at_before": below("at", description="Noticed before this instant."),
    },
    relations={
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who entered or left."),
        "segment": one("Segment", on=lambda p, c: c.c.id == p.c.segment_id, description="Which segment."),
    },
)


async def probe(unit: UnitOfWork, asked: RuleProbe, customer_id: UUID) -> list[Explained] | None:
    """Return what the parts of a rule find at a customer; None when there is no such customer (any more)."""
    c = customers.alias("c")
    found = await unit.fetch_one(
        select(*asked.columns(c, unit.tenant_id)).where(
            c.c.tenant_id == unit.tenant_id, c.c.id == customer_id, c.c.deleted_at.is_(None)
        )
    )
    return None if found is None else asked.read(dict(found.items()))


async def is_customer(unit: UnitOfWork, customer_id: UUID) -> bool:
    """Tell whether there is such a customer."""
    c = customers
    there = (c.c.tenant_id == unit.tenant_id, c.c.id == customer_id, c.c.deleted_at.is_(None))
    return await unit.fetch_one(select(c.c.id).where(*there)) is not None


async def count(unit: UnitOfWork, chosen: Chosen) -> Counts | None:
    """Return how a rule narrows all customers down; None when that takes longer than a statement may."""
    funnel, c = RuleFunnel(chosen.rules, chosen.rule, chosen.as_of), customers.alias("c")
    # Units that only read have as a rule no transaction that a cancelled statement would spoil.
    guard = unit.savepoint() if unit.connection.is_in_transaction() else nullcontext()
    try:
        async with guard:
            record = await unit.fetch_one(funnel.statement(c, unit.tenant_id, c.c.deleted_at.is_(None)))
    except asyncpg.QueryCanceledError:
        return None
    assert record is not None  # noqa: S101 - an aggregate without groups yields a row
    return funnel.read(dict(record.items()))


async def membership(unit: UnitOfWork, segment_id: UUID, customer_id: UUID) -> asyncpg.Record | None:
    """Return the stored membership (``entered_at``), or None."""
    m = segment_members
    return await unit.fetch_one(
        select(m.c.entered_at).where(
            m.c.tenant_id == unit.tenant_id, m.c.segment_id == segment_id, m.c.customer_id == customer_id
        )
    )


async def entries_after(unit: UnitOfWork, segment_id: UUID, sequence: int, limit: int) -> list[asyncpg.Record]:
    """Return ``id`` and ``sequence`` of the log entries behind a sequence number, the earliest first."""
    e = segment_log
    return await unit.fetch_all(
        select(e.c.id, e.c.sequence)
        .where(e.c.tenant_id == unit.tenant_id, e.c.segment_id == segment_id, e.c.sequence > sequence)
        .order_by(e.c.sequence)
        .limit(limit)
    )


async def transitions(
    unit: UnitOfWork, segment_id: UUID, customer_id: UUID, fields: Sequence[str] | None = None
) -> list[Mapping[str, Any]]:
    """Return the newest log entries of a customer in a segment, the newest first."""
    filters = {"segment_id": segment_id, "customer_id": customer_id}
    body = await read_list(unit, SEGMENT_LOG_ENTRY, PageRequest(TOLD), filters=filters, fields=fields)
    listed: list[Mapping[str, Any]] = orjson.loads(body)["data"]
    return listed
