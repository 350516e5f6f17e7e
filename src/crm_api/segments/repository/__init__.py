"""Access to segments; what rules about customers can name beyond the profile."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
from sqlalchemy import ColumnElement, FromClause, Uuid, any_, delete, func, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY

from crm_api.accounts.repository import TenantRepository
from crm_api.core.errors import Unavailable
from crm_api.core.paging import PageRequest
from crm_api.core.rules import AsOf, Rule
from crm_api.customers.repository import CUSTOMER
from crm_api.customers.tables import customers
from crm_api.db.plans import read_list
from crm_api.db.projections import (
    TENANT,
    Filter,
    FilterValue,
    Projection,
    asc,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    ref,
)
from crm_api.db.repository import Repository
from crm_api.db.rule_values import bind
from crm_api.db.rules import SqlRules
from crm_api.db.uow import UnitOfWork
from crm_api.segments.models import Segment, SegmentKind, SegmentLogEntry, SegmentReconciliation, SegmentState
from crm_api.segments.repository.words import IN_WORDS
from crm_api.segments.tables import (
    segment_dependencies,
    segment_log,
    segment_members,
    segment_reconciliations,
    segments,
)


def _in_segment(customer_id: ColumnElement[Any], segment_id: ColumnElement[Any]) -> ColumnElement[bool]:
    member = segment_members.alias()
    found = select(member.c.customer_id).where(
        member.c.tenant_id == TENANT, member.c.segment_id == segment_id, member.c.customer_id == customer_id
    )
    return found.exists()


SEGMENT = Projection(
    "Segment",
    table=segments,
    model=Segment,
    scope="segments:read",
    description="A group of customers: kept by a rule, by hand, or frozen.",
    fields={
        **columns(
            "id",
            "name",
            "description",
            "kind",
            "rule",
            "state",
            "error",
            "error_zh",
            "as_of",
            "size",
            "last_sequence",
            "total",
            "processed",
            "evaluated_at",
            "version",
            "created_at",
            "updated_at",
        ),
        **IN_WORDS,
    },
    filters={"state": eq("state", SegmentState), "kind": eq("kind", SegmentKind)},
    relations={
        "members": many(
            "Customer",
            on=lambda segment, customer: _in_segment(customer.c.id, segment.c.id),
            description="Newest first.",
        ),
    },
)


def _was(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    """Keep the entries of a customer, also those made under an id that was merged into it since."""
    c, asked = customers.alias(), v(None, Uuid())
    old = select(c.c.id).where(c.c.tenant_id == TENANT, c.c.merged_into_id == asked)
    ids = func.array(union_all(old, select(asked)).scalar_subquery(), type_=ARRAY(Uuid()))
    return t.c.customer_id == any_(ids)


SEGMENT_LOG_ENTRY = Projection(
    "SegmentLogEntry",
    table=segment_log,
    model=SegmentLogEntry,
    scope="segments:read",
    description="Somebody entered or left a segment.",
    fields={
        **columns("id", "sequence", "change", "cause", "cause_id", "at"),
        "segment_id": ref("segment_id", "Segment"),
        "customer_id": ref("customer_id", "Customer"),
    },
    orders={"newest": [desc("id")], "sequence": [asc("segment_id"), asc("sequence", nulls="last"), asc("id")]},
    filters={
        "segment_id": eq_ref("segment_id", "Segment"),
        "customer_id": Filter(
            UUID,
            _was,
            ref="Customer",
            description="Entries of this customer, and of those merged into it, under the ids they had then.",
        ),
    },
)

SEGMENT_RECONCILIATION = Projection(
    "SegmentReconciliation",
    table=segment_reconciliations,
    model=SegmentReconciliation,
    scope="segments:read",
    description="A nightly evaluation of everybody.",
    fields={
        **columns("id", "at", "checked", "entered", "left", "duration_ms", "error", "error_zh"),
        "segment_id": ref("segment_id", "Segment"),
    },
    orders={"newest": [desc("id")]},
    filters={"segment_id": eq_ref("segment_id", "Segment")},
)


def _is_member(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    member = segment_members
    return t.c.id.in_(
        select(member.c.customer_id).where(member.c.tenant_id == TENANT, member.c.segment_id == v(None, Uuid()))
    )


extend(
    CUSTOMER,
    relations={
        "segments": many(
            "Segment",
            on=lambda customer, segment: _in_segment(customer.c.id, segment.c.id),
            description="Newest first.",
        ),
    },
    filters={
        "segment_id": Filter(
            UUID,
            _is_member,
            ref="Segment",
            description="Members of this segment; takes `segments:read`.",
            scope="segments:read",
        )
    },
)


_HOLD_GRAPH: Final = "SELECT pg_advisory_xact_lock(hashtextextended('crm segment graph ' || $1, 0))"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A checked rule with all it takes to become SQL.

    Attributes:
        rules: the catalogue it was checked against, the tenant's attributes among it.
        rule: the rule.
        as_of: what relative times are relative to.

    """

    rules: SqlRules
    rule: Rule
    as_of: AsOf

    def predicate(self, row: FromClause, tenant: UUID) -> ColumnElement[bool]:
        """Return the rule as one predicate over a customer's row."""
        return self.rules.predicate(self.rule, row, self.as_of, tenant)


class SegmentRepository(Repository):
    """Segments and which of them name which."""

    table = segments

    async def zone(self) -> ZoneInfo:
        """Return the tenant's time zone."""
        return ZoneInfo((await TenantRepository(self.unit).current()).time_zone)

    async def hold_graph(self) -> None:
        """Keep others from changing which segments name which, until the unit ends."""
        await self.unit.connection.execute(_HOLD_GRAPH, str(self.unit.tenant_id))

    async def named(self, ids: Sequence[UUID]) -> dict[UUID, asyncpg.Record]:
        """Return those of these segments that there are: ``id``, ``name``, ``state``."""
        wanted = (self.mine(), segments.c.id == any_(bind(list(ids), ARRAY(Uuid()))))
        statement = select(segments.c.id, segments.c.name, segments.c.state).where(*wanted)
        return {row["id"]: row for row in await self.unit.fetch_all(statement)}

    async def edges(self) -> list[tuple[UUID, UUID]]:
        """Return (segment, segment that its rule names) for all."""
        d = segment_dependencies
        rows = await self.unit.fetch_all(select(d.c.segment_id, d.c.needs_id).where(self.mine(d)))
        return [(row["segment_id"], row["needs_id"]) for row in rows]

    async def set_needs(self, segment_id: UUID, ids: Iterable[UUID]) -> None:
        """Store which segments a segment's rule names."""
        d = segment_dependencies
        await self.unit.execute(delete(d).where(self.mine(d), d.c.segment_id == segment_id))
        await self.insert_many([{"segment_id": segment_id, "needs_id": each} for each in sorted(ids)], d)

    async def needed_by(self, segment_id: UUID) -> list[str]:
        """Return the names of segments, not archived, whose rules name this one."""
        d = segment_dependencies
        statement = select(segments.c.name).where(
            self.mine(d),
            d.c.needs_id == segment_id,
            segments.c.tenant_id == d.c.tenant_id,
            segments.c.id == d.c.segment_id,
            segments.c.state != "archived",
        )
        return [row["name"] for row in await self.unit.fetch_all(statement.order_by(segments.c.name))]


async def list_customers(unit: UnitOfWork, page: PageRequest, *, rule: Chosen | None = None, **options: Any) -> bytes:
    """Return the body of one page of customers, by rule or by the projection's own filters.

    Raises:
        Unavailable: code ``rule_slow``: the rule takes longer than a statement may.

    """
    if rule is None:
        return await read_list(unit, CUSTOMER, page, **options)

    def where(t: FromClause) -> ColumnElement[bool]:
        return rule.predicate(t, unit.tenant_id)

    try:
        return await read_list(unit, CUSTOMER, page, where=where, **options)
    except asyncpg.QueryCanceledError:
        # Not "the database is busy": coming back later rarely helps, another rule or a segment does.
        seconds = f"{unit.settings.statement_timeout_ms / 1000:g}"
        raise Unavailable(
            f"The rule takes longer than {seconds} seconds over all customers: make it simpler, or make a segment of "
            "it, which is evaluated in the background",
            zh=f"规则在全部客户上计算超过 {seconds} 秒：请简化规则，或保存为分群由后台计算",
            code="rule_slow",
        ) from None
