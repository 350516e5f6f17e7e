"""Access to what closes a case: settings, tellings, ratings, corrective actions."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Date,
    FromClause,
    Text,
    Uuid,
    any_,
    cast,
    delete,
    func,
    literal,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from crm_api.accounts.tables import tenants
from crm_api.channels.models import AddressKind
from crm_api.closing import models, rules
from crm_api.closing.tables import (
    closing_settings,
    complaint_ratings,
    complaint_tellings,
    corrective_action_complaints,
    corrective_actions,
)
from crm_api.complaints.repository import COMPLAINT
from crm_api.complaints.repository.causes import CauseRepository, SettingsRepository
from crm_api.complaints.tables import complaint_events, complaints
from crm_api.core.errors import NotFound, PreconditionFailed
from crm_api.customers.repository import CUSTOMER
from crm_api.customers.tables import contact_points
from crm_api.db import timeline
from crm_api.db.compile import compile_statement
from crm_api.db.projections import (
    NOW,
    TENANT,
    Filter,
    FilterValue,
    Projection,
    asc,
    at_least,
    below,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    one,
    ref,
    sql,
)
from crm_api.db.repository import Repository

SCOPE = "complaints:read"

CLOSING_SETTINGS = Projection(
    "ClosingSettings",
    table=closing_settings,
    model=models.ClosingSettings,
    scope=SCOPE,
    description="How the shop closes its cases: what is told by itself, and when customers are asked.",
    fields=columns(
        "tell_decision",
        "tell_result",
        "ask_rating",
        "ask_after_hours",
        "answer_days",
        "tell_by",
        "rating_page",
        "low_csat",
        "low_ces",
        "version",
        "updated_at",
    ),
    node=False,
    key="tenant_id",
)

TELLING = Projection(
    "ComplaintTelling",
    table=complaint_tellings,
    model=models.ComplaintTelling,
    scope=SCOPE,
    description="A decision or a result on its way to the customer.",
    fields={
        **columns(
            "id",
            "what",
            "cycle",
            "state",
            "channel",
            "reason",
            "subject",
            "body",
            "message_id",
            "told_at",
            "note",
            "version",
            "created_at",
            "updated_at",
        ),
        "complaint_id": ref("complaint_id", "Complaint"),
        "told_by": ref("told_by", "Staff"),
    },
    relations={"complaint": one("Complaint", on=lambda p, c: c.c.id == p.c.complaint_id, description="The case.")},
    filters={
        "complaint_id": eq_ref("complaint_id", "Complaint"),
        "what": eq("what", models.What),
        "state": eq("state", models.TellingState),
    },
)

RATING = Projection(
    "ComplaintRating",
    table=complaint_ratings,
    model=models.ComplaintRating,
    scope=SCOPE,
    description="What a customer thinks of how a case went.",
    fields={
        **columns(
            "id",
            "state",
            "ask_at",
            "channel",
            "reason",
            "message_id",
            "asked_at",
            "expires_at",
            "answered_at",
            "csat",
            "ces",
            "comment",
            "low",
            "suggestion",
            "version",
            "created_at",
            "updated_at",
        ),
        "complaint_id": ref("complaint_id", "Complaint"),
        "customer_id": ref("customer_id", "Customer"),
        "staff_id": ref("staff_id", "Staff"),
        "answered_by": ref("answered_by", "Staff"),
    },
    relations={
        "complaint": one("Complaint", on=lambda p, c: c.c.id == p.c.complaint_id, description="The case."),
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who is asked."),
        "staff": one("Staff", on=lambda p, c: c.c.id == p.c.staff_id, description="Who handled the case."),
    },
    filters={
        "complaint_id": eq_ref("complaint_id", "Complaint"),
        "customer_id": eq_ref("customer_id", "Customer"),
        "staff_id": eq_ref("staff_id", "Staff"),
        "state": eq("state", models.RatingState),
        "low": eq("low", bool),
        "answered_after": at_least("answered_at", description="Answered from this instant on."),
        "answered_before": below("answered_at", description="Answered before this instant."),
    },
)


def _today() -> ColumnElement[Any]:
    """Return the day it is in the tenant's zone."""
    zone = select(tenants.c.time_zone).where(tenants.c.tenant_id == TENANT).scalar_subquery()
    return cast(func.timezone(zone, NOW), Date)


def _overdue(t: FromClause) -> ColumnElement[bool]:
    return or_(*(t.c.state == each for each in rules.PENDING)) & (t.c.due_on < _today())


def _overdue_is(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return _overdue(t) if v.variant else not_(_overdue(t))


def _at_or_below(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    """Keep what is about a cause or one within it: ``quality`` is about ``quality/cold_chain`` too."""
    return or_(t.c.cause == v(None, Text()), func.starts_with(t.c.cause, v(lambda cause: f"{cause}/", Text())))


def _actions_of(complaint_id: Any) -> Any:
    link = corrective_action_complaints
    return select(link.c.action_id).where(link.c.tenant_id == TENANT, link.c.complaint_id == complaint_id)


def _complaints_of(action_id: Any) -> Any:
    link = corrective_action_complaints
    return select(link.c.complaint_id).where(link.c.tenant_id == TENANT, link.c.action_id == action_id)


def _complaint_count(t: FromClause) -> ColumnElement[Any]:
    link = corrective_action_complaints
    return (
        select(func.count())
        .select_from(link)
        .where(link.c.tenant_id == TENANT, link.c.action_id == t.c.id)
        .correlate(t)
        .scalar_subquery()
    )


CORRECTIVE_ACTION = Projection(
    "CorrectiveAction",
    table=corrective_actions,
    model=models.CorrectiveAction,
    scope=SCOPE,
    description="Something done so that a cause brings no more complaints.",
    fields={
        **columns(
            "id",
            "title",
            "description",
            "cause",
            "due_on",
            "state",
            "done_at",
            "outcome",
            "verified_at",
            "verification",
            "cancelled_at",
            "reason",
            "version",
            "created_at",
            "updated_at",
        ),
        "owner_id": ref("owner_id", "Staff"),
        "done_by": ref("done_by", "Staff"),
        "verified_by": ref("verified_by", "Staff"),
        "overdue": sql(_overdue),
        "complaint_count": sql(_complaint_count),
    },
    relations={
        "owner": one("Staff", on=lambda p, c: c.c.id == p.c.owner_id, description="Who sees to it."),
        "complaints": many(
            "Complaint", on=lambda p, c: c.c.id.in_(_complaints_of(p.c.id)), description="The cases it is about."
        ),
    },
    orders={"newest": [desc("id")], "due": [asc("due_on")]},
    filters={
        "cause": Filter(str, _at_or_below, description="About this cause, or one within it."),
        "owner_id": eq_ref("owner_id", "Staff"),
        "state": eq("state", models.ActionState),
        "overdue": Filter(bool, _overdue_is, variant=bool, description="Whether its day has passed undone."),
        "complaint_id": Filter(
            UUID, lambda t, v: t.c.id.in_(_actions_of(v(None, Uuid()))), ref="Complaint", description="About this case."
        ),
    },
)

extend(
    COMPLAINT,
    relations={
        "tellings": many(
            "ComplaintTelling",
            on=lambda p, c: c.c.complaint_id == p.c.id,
            description="What the customer was told of it, or is to be told.",
        ),
        "rating": one(
            "ComplaintRating",
            on=lambda p, c: c.c.complaint_id == p.c.id,
            description="What the customer thinks of it; null before it was resolved.",
        ),
        "corrective_actions": many(
            "CorrectiveAction",
            on=lambda p, c: c.c.id.in_(_actions_of(p.c.id)),
            description="What is done so that it does not happen again.",
        ),
    },
)
extend(
    CUSTOMER,
    relations={
        "complaint_ratings": many(
            "ComplaintRating", on=lambda p, c: c.c.customer_id == p.c.id, description="What they think of their cases."
        )
    },
)

timeline.register(
    timeline.Source(
        kind="complaint_rating",
        scope=SCOPE,
        rows=complaint_ratings,
        tenant=complaint_ratings.c.tenant_id,
        customer=complaint_ratings.c.customer_id,
        at=complaint_ratings.c.answered_at,
        id=complaint_ratings.c.id,
        title=complaint_ratings.c.comment,
        data={name: complaint_ratings.c[name] for name in ("complaint_id", "csat", "ces", "low", "suggestion")},
        where=(complaint_ratings.c.answered_at.is_not(None),),
    )
)
timeline.register(
    timeline.Source(
        kind="complaint_telling",
        scope=SCOPE,
        rows=complaint_tellings.join(
            complaints,
            (complaints.c.tenant_id == complaint_tellings.c.tenant_id)
            & (complaints.c.id == complaint_tellings.c.complaint_id),
        ),
        tenant=complaints.c.tenant_id,
        customer=complaints.c.customer_id,
        at=complaint_tellings.c.told_at,
        id=complaint_tellings.c.id,
        title=complaint_tellings.c.subject,
        data={name: complaint_tellings.c[name] for name in ("complaint_id", "what", "channel")},
        where=(complaint_tellings.c.told_at.is_not(None),),
    )
)


class ClosingSettingsRepository(Repository):
    """The tenant's settings."""

    table = closing_settings

    async def settings(self, *, lock: bool = False) -> asyncpg.Record:
        """Return the settings; every tenant has them."""
        statement = select(closing_settings).where(self.mine())
        row = await self.unit.fetch_one(statement.with_for_update(key_share=True) if lock else statement)
        if row is None:
            raise NotFound
        return row

    async def begin(self) -> None:
        """Give a new tenant the defaults."""
        await self.unit.execute(insert(closing_settings).values(tenant_id=self.unit.tenant_id).on_conflict_do_nothing())

    async def store(self, changes: Mapping[str, Any], expected_version: int | None) -> asyncpg.Record:
        """Store changes; returns the settings as they were.

        Raises:
            PreconditionFailed: their version is not the expected one.

        """
        before = await self.settings(lock=True)
        if expected_version is not None and expected_version != before["version"]:
            raise PreconditionFailed
        if any(before[name] != value for name, value in changes.items()):
            await self.unit.execute(
                update(closing_settings)
                .where(self.mine())
                .values(**changes, version=closing_settings.c.version + 1, updated_at=func.now())
            )
        return before


_CASE = ("id", "customer_id", "assignee_id", "kind", "state", "severity", "subject", "decision", "reason")
_MOMENTS = ("reopened", "resolved_at", "decision_told_at", "merged_into_id", "root_cause", "category")


def _cycle() -> ColumnElement[Any]:
    """Return how often the case was decided anew: each decision is told for itself."""
    e = complaint_events
    return (
        select(func.count())
        .select_from(e)
        .where(
            e.c.tenant_id == complaints.c.tenant_id,
            e.c.complaint_id == complaints.c.id,
            or_(e.c.action == "propose", e.c.action == "reopen"),
        )
        .scalar_subquery()
        .label("cycle")
    )


_ROOTS = """
WITH RECURSIVE up AS (
  SELECT id, merged_into_id FROM complaints WHERE tenant_id = $1 AND id = ANY ($2::uuid[])
  UNION
  SELECT k.id, k.merged_into_id FROM up JOIN complaints k ON k.tenant_id = $1 AND k.id = up.merged_into_id
)
SELECT id FROM up WHERE merged_into_id IS NULL ORDER BY id
"""
_OTHERS = """
WITH RECURSIVE below AS (
  SELECT id, customer_id, assignee_id, subject FROM complaints WHERE tenant_id = $1 AND merged_into_id = $2
  UNION
  SELECT k.id, k.customer_id, k.assignee_id, k.subject
  FROM below JOIN complaints k ON k.tenant_id = $1 AND k.merged_into_id = below.id
)
SELECT DISTINCT ON (customer_id) id, customer_id, assignee_id, subject
FROM below WHERE customer_id <> $3 ORDER BY customer_id, id
"""


class CaseRepository(Repository):
    """Cases, as far as closing them goes."""

    table = complaints

    async def case(self, complaint_id: UUID, *, lock: bool = False) -> dict[str, Any]:
        """Return a case; ``lock`` holds it against other writers.

        Raises:
            NotFound: there is none.

        """
        shown = (*(complaints.c[name] for name in (*_CASE, *_MOMENTS)), _cycle())
        statement = select(*shown).where(self.by_id(complaint_id))
        row = await self.unit.fetch_one(statement.with_for_update(key_share=True) if lock else statement)
        if row is None:
            raise NotFound
        return dict(row)

    async def roots(self, ids: Sequence[UUID]) -> list[UUID]:
        """Return these cases, or what they were merged into, in key order."""
        rows = await self.unit.connection.fetch(_ROOTS, self.unit.tenant_id, list(ids))
        return [row["id"] for row in rows]

    async def others(self, case: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return a case of each other customer whose case was merged into this one."""
        rows = await self.unit.connection.fetch(_OTHERS, self.unit.tenant_id, case["id"], case["customer_id"])
        return [dict(row) for row in rows]

    async def known(self, ids: Iterable[UUID]) -> set[UUID]:
        """Return which of these cases there are."""
        rows = await self.unit.fetch_all(
            select(complaints.c.id).where(self.mine(), complaints.c.id == any_(literal(list(ids), ARRAY(Uuid))))
        )
        return {row["id"] for row in rows}

    async def address_of(self, customer_id: UUID, kind: AddressKind) -> str | None:
        """Return where a customer is written to: the primary address, then one that was proved, then the oldest."""
        point = contact_points
        found: str | None = await self.unit.fetch_value(
            select(point.c.value)
            .where(self.mine(point), point.c.customer_id == customer_id, point.c.kind == kind)
            .order_by(point.c.is_primary.desc(), point.c.verified_at.is_(None), point.c.id)
            .limit(1)
        )
        return found

    async def reopen_days(self) -> int:
        """Return how long after its resolution a case can be reopened."""
        days: int = (await SettingsRepository(self.unit).row())["reopen_days"]
        return days

    async def is_cause(self, path: str) -> bool:
        """Tell whether cases may have this cause."""
        return path in await CauseRepository(self.unit).usable([path])


class TellingRepository(Repository):
    """Tellings."""

    table = complaint_tellings

    async def of(self, complaint_id: UUID, what: str, cycle: int) -> asyncpg.Record | None:
        """Return what is told of a case this time; the caller holds the case."""
        t = complaint_tellings
        return await self.unit.fetch_one(
            select(t).where(self.mine(), t.c.complaint_id == complaint_id, t.c.what == what, t.c.cycle == cycle)
        )

    async def supersede(self, complaint_id: UUID, cycle: int) -> None:
        """Take what nobody has told of a case's earlier decisions off the shop's list; the caller holds the case."""
        t = complaint_tellings
        await self.unit.execute(
            update(t)
            .where(self.mine(), t.c.complaint_id == complaint_id, t.c.cycle < cycle, t.c.state == "to_tell")
            .values(state="superseded", version=t.c.version + 1, updated_at=func.now())
        )

    async def latest(self, complaint_id: UUID) -> UUID:
        """Return the telling of the latest decision of a case that has one; the caller holds the case."""
        t = complaint_tellings
        found: UUID = await self.unit.fetch_value(
            select(t.c.id)
            .where(self.mine(), t.c.complaint_id == complaint_id)
            .order_by(t.c.cycle.desc(), t.c.id.desc())
            .limit(1)
        )
        return found

    async def waiting(self, complaint_ids: Sequence[UUID]) -> list[asyncpg.Record]:
        """Return the decisions of these cases that the shop has still to tell."""
        t = complaint_tellings
        return await self.unit.fetch_all(
            select(t.c.id, t.c.complaint_id, t.c.cycle)
            .where(
                self.mine(),
                t.c.complaint_id == any_(literal(list(complaint_ids), ARRAY(Uuid))),
                t.c.state == "to_tell",
                t.c.what == "decision",
            )
            .order_by(t.c.complaint_id, t.c.id)
        )

    async def sent_as(self, message_ids: Sequence[UUID]) -> list[asyncpg.Record]:
        """Return the tellings that left as these messages, in key order."""
        t = complaint_tellings
        return await self.unit.fetch_all(
            select(t.c.id, t.c.complaint_id, t.c.message_id)
            .where(self.mine(), t.c.message_id == any_(literal(list(message_ids), ARRAY(Uuid))))
            .order_by(t.c.complaint_id, t.c.id)
        )


_DUE = """
SELECT id FROM complaint_ratings
WHERE tenant_id = $1 AND state = 'planned' AND ask_at <= $2 ORDER BY ask_at, id LIMIT $3 FOR UPDATE SKIP LOCKED
"""
_EXPIRE = """
UPDATE complaint_ratings r SET state = 'expired', version = r.version + 1, updated_at = now()
FROM (
  SELECT id FROM complaint_ratings
  WHERE tenant_id = $1 AND state = 'asked' AND expires_at <= $2 ORDER BY expires_at, id LIMIT $3 FOR UPDATE SKIP LOCKED
) due
WHERE r.tenant_id = $1 AND r.id = due.id
RETURNING r.id, r.complaint_id, r.customer_id
"""
_SATISFACTION = """
SELECT staff_id, count(*)::int AS answers, round(avg(csat), 2)::float8 AS csat, round(avg(ces), 2)::float8 AS ces,
  count(*) FILTER (WHERE low)::int AS low
FROM complaint_ratings
WHERE tenant_id = $1 AND staff_id = ANY ($2::uuid[]) AND answered_at >= $3 AND answered_at < $4
GROUP BY staff_id
"""


class RatingRepository(Repository):
    """Ratings."""

    table = complaint_ratings

    async def of(self, complaint_id: UUID) -> asyncpg.Record | None:
        """Return the rating of a case, held until the unit ends; None when there is none yet."""
        return await self.unit.fetch_one(
            select(complaint_ratings)
            .where(self.mine(), complaint_ratings.c.complaint_id == complaint_id)
            .with_for_update(key_share=True)
        )

    async def plan(self, rating_id: UUID, case: Mapping[str, Any], ask_at: datetime) -> None:
        """Plan to ask about a case. One that was planned is put off; one that was asked stays as it is."""
        row = {
            "tenant_id": self.unit.tenant_id,
            "id": rating_id,
            "complaint_id": case["id"],
            "customer_id": case["customer_id"],
            "staff_id": case["assignee_id"],
            "state": "planned",
            "ask_at": ask_at,
        }
        planned = complaint_ratings.c.state == "planned"
        await self.unit.execute(
            insert(complaint_ratings)
            .values(row)
            .on_conflict_do_update(index_elements=["tenant_id", "complaint_id"], set_={"ask_at": ask_at}, where=planned)
        )

    async def due(self, now: datetime, limit: int) -> list[UUID]:
        """Return ratings that should be asked by now, held; those that another worker holds are its own."""
        rows = await self.unit.connection.fetch(_DUE, self.unit.tenant_id, now, limit)
        return [row["id"] for row in rows]

    async def expire(self, now: datetime, limit: int) -> list[asyncpg.Record]:
        """Close what can be answered no more; returns them."""
        return await self.unit.connection.fetch(_EXPIRE, self.unit.tenant_id, now, limit)

    async def sent_as(self, message_ids: Sequence[UUID]) -> list[asyncpg.Record]:
        """Return the questions that left as these messages."""
        t = complaint_ratings
        return await self.unit.fetch_all(
            select(t)
            .where(self.mine(), t.c.message_id == any_(literal(list(message_ids), ARRAY(Uuid))))
            .order_by(t.c.id)
            .with_for_update(key_share=True)
        )

    async def satisfaction(self, staff_ids: Sequence[UUID], since: datetime, until: datetime) -> list[asyncpg.Record]:
        """Return how content customers were, by who handled their cases."""
        return await self.unit.connection.fetch(_SATISFACTION, self.unit.tenant_id, list(staff_ids), since, until)


async def find_rating(connection: Any, rating_id: UUID) -> list[asyncpg.Record]:
    """Return ratings with this id on a system connection: no tenant is known yet."""
    statement = select(complaint_ratings).where(complaint_ratings.c.id == rating_id)
    text, values = compile_statement(statement)
    found: list[asyncpg.Record] = await connection.fetch(text, *values)
    return found


_OVERDUE = """
UPDATE corrective_actions a SET overdue_told_at = $2
FROM (
  SELECT id FROM corrective_actions
  WHERE tenant_id = $1 AND state IN ('open', 'in_progress') AND due_on < $3 AND overdue_told_at IS NULL
  ORDER BY due_on, id LIMIT $4 FOR UPDATE SKIP LOCKED
) late
WHERE a.tenant_id = $1 AND a.id = late.id
RETURNING a.id, a.cause, a.owner_id, a.due_on
"""


class ActionRepository(Repository):
    """Corrective actions."""

    table = corrective_actions

    async def link_all(self, action_id: UUID, complaint_ids: Sequence[UUID]) -> None:
        """Say that a new action is about these cases."""
        if complaint_ids:
            rows = [{"action_id": action_id, "complaint_id": each} for each in complaint_ids]
            await self.insert_many(rows, corrective_action_complaints)

    async def link(self, action_id: UUID, complaint_id: UUID) -> bool:
        """Say that an action is about a case; returns whether that was new."""
        row = {"tenant_id": self.unit.tenant_id, "action_id": action_id, "complaint_id": complaint_id}
        return bool(await self.unit.execute(insert(corrective_action_complaints).on_conflict_do_nothing(), row))

    async def unlink(self, action_id: UUID, complaint_id: UUID) -> bool:
        """Take that back; returns whether it was said."""
        link = corrective_action_complaints
        gone = delete(link).where(self.mine(link), link.c.action_id == action_id, link.c.complaint_id == complaint_id)
        return bool(await self.unit.execute(gone))

    async def mark_overdue(self, now: datetime, today: date, limit: int) -> list[asyncpg.Record]:
        """Note that the day of some actions has passed; returns those of which nobody was told before."""
        return await self.unit.connection.fetch(_OVERDUE, self.unit.tenant_id, now, today, limit)
