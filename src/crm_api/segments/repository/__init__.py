"""Access to segments; what rules about customers can name beyond the profile."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Uuid,
    any_,
    delete,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from crm_api.accounts.repository import TenantRepository
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
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    ref,
)
from crm_api.db.repository import Repository
from crm_api.db.rules import SqlRules
from crm_api.db.uow import UnitOfWork
from crm_api.segments.models import Segment, SegmentLogEntry, SegmentState
from crm_api.segments.repository.words import IN_WORDS
from crm_api.segments.tables import segment_log, segment_members, segments


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
    description="A group of customers, kept by its rule.",
    fields={
        **columns(
            "id",
            "name",
            "description",
            "rule",
            "state",
            "error",
            "size",
            "evaluated_at",
            "version",
            "created_at",
            "updated_at",
        ),
        **IN_WORDS,
    },
    filters={"state": eq("state", SegmentState)},
    relations={
        "members": many(
            "Customer",
            on=lambda segment, customer: _in_segment(customer.c.id, segment.c.id),
            description="Newest first.",
        ),
    },
)

SEGMENT_LOG_ENTRY = Projection(
    "SegmentLogEntry",
    table=segment_log,
    model=SegmentLogEntry,
    scope="segments:read",
    description="Somebody entered or left a segment.",
    fields={
        **columns("id", "change", "cause", "at"),
        "segment_id": ref("segment_id", "Segment"),
        "customer_id": ref("customer_id", "Customer"),
    },
    orders={"newest": [desc("id")]},
    filters={"segment_id": eq_ref("segment_id", "Segment"), "customer_id": eq_ref("customer_id", "Customer")},
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
    """Segments and who is in them."""

    table = segments

    async def active(self) -> list[asyncpg.Record]:
        """Return the segments to keep, locked in order of id against other evaluations."""
        statement = select(segments).where(self.mine(), segments.c.state == "active").order_by(segments.c.id)
        return await self.unit.fetch_all(statement.with_for_update(key_share=True))

    async def zone(self) -> ZoneInfo:
        """Return the tenant's time zone."""
        return ZoneInfo((await TenantRepository(self.unit).current()).time_zone)

    async def evaluate(
        self, segment_id: UUID, chosen: Chosen, touched: Sequence[UUID] | None = None
    ) -> tuple[list[UUID], list[UUID]]:
        """Bring members in line with the rule; returns who entered and who left.

        Args:
            segment_id: locked by the caller.
            chosen: the rule.
            touched: look at these customers only; everybody when None.

        """
        tenant, member, c = self.unit.tenant_id, segment_members, customers.alias("c")
        conditions = [chosen.predicate(c, tenant), c.c.deleted_at.is_(None)]
        ours = [member.c.tenant_id == tenant, member.c.segment_id == segment_id]
        if touched is not None:
            wanted: Any = literal(list(touched), ARRAY(Uuid))
            conditions.append(c.c.id == any_(wanted))
            ours.append(member.c.customer_id == any_(wanted))
        matching = select(c.c.id).where(*conditions).cte("matching").prefix_with("MATERIALIZED")
        entered = (
            insert(member)
            .from_select(
                ["tenant_id", "segment_id", "customer_id"],
                select(literal(tenant, Uuid), literal(segment_id, Uuid), matching.c.id),
            )
            .on_conflict_do_nothing()
            .returning(member.c.customer_id)
            .cte("entered")
        )
        gone = (
            delete(member)
            .where(*ours, ~select(matching.c.id).where(matching.c.id == member.c.customer_id).exists())
            .returning(member.c.customer_id)
            .cte("gone")
        )
        rows = await self.unit.fetch_all(
            union_all(
                select(literal(True).label("entered"), entered.c.customer_id),
                select(literal(False), gone.c.customer_id),
            )
        )
        return [row[1] for row in rows if row[0]], [row[1] for row in rows if not row[0]]

    async def log(self, rows: list[dict[str, Any]]) -> None:
        """Append to the enter/leave log."""
        await self.insert_many(rows, segment_log)

    async def evaluated(self, segment_id: UUID, at: datetime, growth: int) -> None:
        """Note that members are right as of ``at``; not a change of the segment itself, so its version stays."""
        await self.unit.execute(
            update(segments)
            .where(self.by_id(segment_id))
            .values(state="active", error=None, size=segments.c.size + growth, evaluated_at=at)
        )

    async def failed(self, segment_id: UUID, error: str) -> None:
        """Note why it could not be evaluated; the members stay as they were."""
        await self.unit.execute(
            update(segments).where(self.by_id(segment_id)).values(state="failed", error=error[:1000])
        )


async def list_customers(unit: UnitOfWork, page: PageRequest, *, rule: Chosen | None = None, **options: Any) -> bytes:
    """Return the body of one page of customers, by rule or by the projection's own filters."""

    def where(t: FromClause) -> ColumnElement[bool]:
        assert rule is not None  # noqa: S101 - only called with a rule
        return rule.predicate(t, unit.tenant_id)

    return await read_list(unit, CUSTOMER, page, where=None if rule is None else where, **options)
