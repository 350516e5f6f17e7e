"""Keeping members in line with rules: whom to look at, who enters and leaves, and when to look again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Text,
    Uuid,
    any_,
    cast,
    delete,
    exists,
    false,
    func,
    null,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from crm_api.core.errors import Unavailable
from crm_api.core.ids import new_id
from crm_api.customers.tables import customers
from crm_api.db.bulk import checks_planned_once
from crm_api.db.repository import Repository
from crm_api.db.rule_flips import flip_statements, looks_at_days
from crm_api.db.rule_values import bind
from crm_api.db.schema import INSTANT
from crm_api.db.tables import outbox, outbox_receipts
from crm_api.households.tables import household_members
from crm_api.segments.repository import Chosen
from crm_api.segments.tables import (
    segment_dependencies,
    segment_flips,
    segment_log,
    segment_members,
    segment_reconciliations,
    segments,
)
from crm_api.segments.touches import Why

_IDS: Final = ARRAY(Uuid())
_TYPES: Final = ARRAY(Text())

_ENTER: Final = """
INSERT INTO segment_members (tenant_id, segment_id, customer_id, entered_at)
SELECT $1, $2, each, $4 FROM unnest($3::uuid[]) AS each
"""
_TELL: Final = """
WITH moved AS (
  SELECT m.id, m.customer_id, m.cause, m.cause_id, $7::bigint + m.place AS sequence, m.place <= $8 AS entered
  FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::uuid[]) WITH ORDINALITY
       AS m (id, customer_id, cause, cause_id, place)
), logged AS (
  INSERT INTO segment_log (tenant_id, id, segment_id, customer_id, sequence, change, cause, cause_id, at)
  SELECT $1, id, $2::uuid, customer_id, sequence, CASE WHEN entered THEN 'enter' ELSE 'leave' END, cause, cause_id, $9
  FROM moved
)
INSERT INTO outbox (tenant_id, id, type, subject_id, payload, occurred_at)
SELECT $1, id, CASE WHEN entered THEN 'segment.entered' ELSE 'segment.left' END, customer_id,
       jsonb_build_object('segment_id', $2::uuid, 'sequence', sequence, 'cause', cause, 'cause_id', cause_id), $9
FROM moved
"""
"""One entry of the log and one message for each who moved, both with the same id.

Not through the unit's buffer: a full evaluation may move 200,000, and as rows they never become objects of ours.
"""

_TAKE_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended('crm segments ' || $1, 0))"
_BE_PATIENT: Final = "SET LOCAL lock_timeout = 0"
_CUSTOM_PLANS: Final = "SET LOCAL plan_cache_mode = force_custom_plan"
_LOOK_PATIENTLY: Final = f"{_BE_PATIENT}; {_CUSTOM_PLANS}"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom to look at: these customers, or everybody, or everybody in a stretch of ids.

    Attributes:
        ids: only these; None for everybody.
        after: only ids behind this one.
        upto: only ids up to this one.

    """

    ids: Sequence[UUID] | None = None
    after: UUID | None = None
    upto: UUID | None = None

    def of(self, column: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        """Return the conditions on a column of customers' ids."""
        conditions: list[ColumnElement[bool]] = []
        if self.ids is not None:
            conditions.append(column == any_(bind(list(self.ids), _IDS)))
        if self.after is not None:
            conditions.append(column > bind(self.after, Uuid()))
        if self.upto is not None:
            conditions.append(column <= bind(self.upto, Uuid()))
        return conditions


EVERYBODY: Final = Scope()


@dataclass(frozen=True, slots=True)
class Moves:
    """Who entered a segment and who left it, each in the order of their ids."""

    entered: Sequence[UUID]
    left: Sequence[UUID]

    def __bool__(self) -> bool:
        """Tell whether anybody moved."""
        return bool(self.entered or self.left)

    def everyone(self) -> set[UUID]:
        """Return all who moved."""
        return {*self.entered, *self.left}


NOBODY: Final = Moves((), ())


class UpkeepRepository(Repository):
    """What evaluations read and write. All of it is done in turn: see ``take_turn``."""

    table = segments

    # -- taking turns ----------------------------------------------------------------------------------------------

    async def take_turn(self, *, patient: bool = True) -> None:
        """Wait until no other transaction changes members of this tenant, and keep others waiting until the end.

        One at a time for the whole tenant: a change in one segment reaches those that name it in the same transaction,
        so evaluations of different segments are not independent.

        Args:
            patient: wait as long as a statement may take, and plan each statement for the values it is given.

        Raises:
            Unavailable: code ``segments_busy``: others took longer than the impatient wait for a lock.

        """
        if patient:
            await self.unit.connection.execute(_LOOK_PATIENTLY)
            self.unit.plans_for_arrays = True
        try:
            await self.unit.connection.execute(_TAKE_TURN, str(self.unit.tenant_id))
        except asyncpg.LockNotAvailableError:
            raise Unavailable(
                "A segment is being evaluated for everybody: members can be changed in a few seconds, try again then",
                zh="正在全量计算分群：请几秒后再增减成员",
                code="segments_busy",
            ) from None

    # -- which segments --------------------------------------------------------------------------------------------

    async def active(self) -> list[asyncpg.Record]:
        """Return the dynamic segments that are kept, each with ``needs``, the ids of those its rule names."""
        d = segment_dependencies
        needs = select(func.array_agg(d.c.needs_id)).where(self.mine(d), d.c.segment_id == segments.c.id)
        statement = select(segments, func.coalesce(needs.scalar_subquery(), bind([], _IDS)).label("needs"))
        kept = (segments.c.state == "active", segments.c.kind == "dynamic")
        return await self.unit.fetch_all(statement.where(self.mine(), *kept).order_by(segments.c.id))

    async def naming(self, entries: Iterable[str]) -> list[UUID]:
        """Return the kept segments whose rules name one of these fields or collections."""
        quoted = [f'%"{each}%' for each in sorted(entries)]
        names = cast(segments.c.rule, Text()).like(any_(bind(quoted, _TYPES)))
        kept = (segments.c.state == "active", segments.c.kind == "dynamic", names)
        rows = await self.unit.fetch_all(select(segments.c.id).where(self.mine(), *kept).order_by(segments.c.id))
        return [row["id"] for row in rows]

    async def unready(self, segment_id: UUID) -> bool:
        """Tell whether a segment that the rule names is being evaluated for the first time or anew."""
        d, other = segment_dependencies, segments.alias()
        found = exists().where(
            self.mine(d), d.c.segment_id == segment_id, other.c.tenant_id == d.c.tenant_id, other.c.id == d.c.needs_id
        )
        return bool(await self.unit.fetch_value(select(found.where(other.c.state == "compiling"))))

    # -- customers -------------------------------------------------------------------------------------------------

    async def customers_total(self) -> int:
        """Return how many customers there are to evaluate."""
        c = customers
        return int(await self.unit.fetch_value(select(func.count()).where(self.mine(c), c.c.deleted_at.is_(None))))

    async def chunk_end(self, after: UUID | None, size: int) -> UUID | None:
        """Return the id so many customers further on; None when fewer are left."""
        c = customers
        statement = select(c.c.id).where(self.mine(c)).order_by(c.c.id).offset(size - 1).limit(1)
        if after is not None:
            statement = statement.where(c.c.id > after)
        found: UUID | None = await self.unit.fetch_value(statement)
        return found

    async def gone_members(self, among: Sequence[UUID]) -> dict[UUID, list[UUID]]:
        """Return segment → members among these customers who were deleted, where no rule lets them go by itself."""
        m, c = segment_members, customers
        kept_by_rule = (segments.c.state == "active") & (segments.c.kind == "dynamic")
        statement = select(m.c.segment_id, m.c.customer_id).where(
            self.mine(m),
            m.c.customer_id == any_(bind(list(among), _IDS)),
            c.c.tenant_id == m.c.tenant_id,
            c.c.id == m.c.customer_id,
            c.c.deleted_at.is_not(None),
            segments.c.tenant_id == m.c.tenant_id,
            segments.c.id == m.c.segment_id,
            ~kept_by_rule,
        )
        return _by_segment(await self.unit.fetch_all(statement))

    async def listed(self, among: Sequence[UUID]) -> dict[UUID, list[UUID]]:
        """Return static or snapshot segment → its members among these customers."""
        m = segment_members
        statement = select(m.c.segment_id, m.c.customer_id).where(
            self.mine(m),
            m.c.customer_id == any_(bind(list(among), _IDS)),
            segments.c.tenant_id == m.c.tenant_id,
            segments.c.id == m.c.segment_id,
            segments.c.kind != "dynamic",
        )
        return _by_segment(await self.unit.fetch_all(statement))

    async def passed_on(self, merge_id: UUID) -> list[asyncpg.Record]:
        """Return what a merge did to static and snapshot segments: ``segment_id``, ``customer_id``, ``change``."""
        g = segment_log
        statement = select(g.c.segment_id, g.c.customer_id, g.c.change).where(
            self.mine(g),
            g.c.cause_id == merge_id,
            g.c.cause == "merge",
            segments.c.tenant_id == g.c.tenant_id,
            segments.c.id == g.c.segment_id,
            segments.c.kind != "dynamic",
        )
        return await self.unit.fetch_all(statement.order_by(g.c.segment_id, g.c.sequence))

    async def living(self, ids: Sequence[UUID]) -> set[UUID]:
        """Return those of these customers that are there."""
        c = customers
        alive = (self.mine(c), c.c.id == any_(bind(list(ids), _IDS)), c.c.deleted_at.is_(None))
        return {row["id"] for row in await self.unit.fetch_all(select(c.c.id).where(*alive))}

    async def members_among(self, segment_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
        """Return those of these customers that are members."""
        m = segment_members
        mine = (self.mine(m), m.c.segment_id == segment_id, m.c.customer_id == any_(bind(list(ids), _IDS)))
        return {row["customer_id"] for row in await self.unit.fetch_all(select(m.c.customer_id).where(*mine))}

    async def parents_of(self, ids: Sequence[UUID]) -> list[asyncpg.Record]:
        """Return who shares a household with children among these customers: ``customer_id``, ``child_id``.

        What is known of a child that is a customer stands in its own profile, and rules about its parents see it.
        """
        child, other = household_members.alias(), household_members.alias()
        statement = select(other.c.customer_id, child.c.customer_id.label("child_id")).where(
            child.c.tenant_id == self.unit.tenant_id,
            child.c.customer_id == any_(bind(list(ids), _IDS)),
            child.c.relation == "child",
            other.c.tenant_id == child.c.tenant_id,
            other.c.household_id == child.c.household_id,
            other.c.relation != "child",
            other.c.customer_id.is_not(None),
        )
        return await self.unit.fetch_all(statement)

    # -- evaluation ------------------------------------------------------------------------------------------------

    async def compare(self, segment_id: UUID, chosen: Chosen, scope: Scope) -> Moves:
        """Return who in scope must enter and leave so that the members are those the rule selects; changes nothing."""
        rows = await self.unit.fetch_all(self.comparison(segment_id, chosen, scope))
        return Moves(
            sorted(row["customer_id"] for row in rows if row["entered"]),
            sorted(row["customer_id"] for row in rows if not row["entered"]),
        )

    def comparison(self, segment_id: UUID, chosen: Chosen, scope: Scope) -> Any:
        """Return the statement of ``compare``."""
        c, member = customers.alias("c"), segment_members
        matching = (
            select(c.c.id)
            .where(chosen.predicate(c, self.unit.tenant_id), c.c.deleted_at.is_(None), *scope.of(c.c.id))
            .cte("matching")
            .prefix_with("MATERIALIZED")
        )
        mine = [self.mine(member), member.c.segment_id == bind(segment_id, Uuid()), *scope.of(member.c.customer_id)]
        # Counted together, not by two anti-joins: the planner thinks that a rule selects a handful, and would compare
        # every member with everybody selected (9 s instead of 0.2 for 36,000 members).
        both = union_all(
            select(matching.c.id.label("customer_id"), true().label("belongs"), false().label("member")),
            select(member.c.customer_id, false(), true()).where(*mine),
        ).subquery("both")
        belongs, is_member = func.bool_or(both.c.belongs), func.bool_or(both.c.member)
        moved = select(both.c.customer_id, belongs.label("entered")).group_by(both.c.customer_id)
        return moved.having(belongs != is_member)

    async def move(self, segment_id: UUID, moves: Moves, at: datetime) -> None:
        """Let customers enter and leave."""
        if moves.entered:
            async with checks_planned_once(self.unit):
                await self.unit.connection.execute(_ENTER, self.unit.tenant_id, segment_id, moves.entered, at)
        if moves.left:
            m = segment_members
            gone = (self.mine(m), m.c.segment_id == segment_id, m.c.customer_id == any_(bind(list(moves.left), _IDS)))
            await self.unit.execute(delete(m).where(*gone))

    async def tell(self, segment_id: UUID, moves: Moves, whys: Sequence[Why], last_sequence: int, at: datetime) -> None:
        """Append to the enter/leave log and put each entry's message into the outbox.

        Args:
            segment_id: of which segment.
            moves: who entered and left.
            whys: what made them, those who entered first.
            last_sequence: of the log so far.
            at: when it was noticed.

        """
        ids = [new_id() for _ in whys]
        causes, cause_ids = [each.cause for each in whys], [each.id for each in whys]
        moved = [*moves.entered, *moves.left]
        numbered = (last_sequence, len(moves.entered), at)
        async with checks_planned_once(self.unit):
            await self.unit.connection.execute(
                _TELL, self.unit.tenant_id, segment_id, ids, moved, causes, cause_ids, *numbered
            )

    async def grow(self, segment_id: UUID, growth: int, last_sequence: int) -> None:
        """Note the new size and the last entry of the log; not a change of the segment itself, so its version stays."""
        await self.unit.execute(
            update(segments)
            .where(self.by_id(segment_id))
            .values(size=segments.c.size + growth, last_sequence=last_sequence)
        )

    async def settled(self, segment_id: UUID, values: Mapping[str, Any]) -> None:
        """Note how a full evaluation went; not a change of the segment itself either."""
        await self.unit.execute(update(segments).where(self.by_id(segment_id)).values(**values))

    # -- time ------------------------------------------------------------------------------------------------------

    async def keep_flips(self, segment_id: UUID, chosen: Chosen, scope: Scope) -> None:
        """Store when to look at the customers in scope again, because of time alone."""
        f, tenant = segment_flips, self.unit.tenant_id
        mine = [self.mine(f), f.c.segment_id == bind(segment_id, Uuid()), *scope.of(f.c.customer_id)]
        found = self.next_flips(chosen, scope)
        if found is None and scope.ids is not None:
            return  # a full evaluation by this rule left none
        if found is None:
            await self.unit.execute(delete(f).where(*mine))
            return
        following = found.subquery("following")
        no_time = cast(null(), INSTANT)
        both = union_all(
            select(following.c.customer_id, following.c.at.label("wanted"), no_time.label("stored")),
            select(f.c.customer_id, no_time, f.c.at).where(*mine),
        ).subquery("both")
        wanted, stored = func.max(both.c.wanted), func.max(both.c.stored)
        changed = (
            select(both.c.customer_id, wanted.label("at"))
            .group_by(both.c.customer_id)
            .having(wanted.is_distinct_from(stored))
            .cte("changed")
            .prefix_with("MATERIALIZED")
        )
        # An array, not a join: of a segment's flips, too, the planner expects a handful.
        gone = func.array(select(changed.c.customer_id).where(changed.c.at.is_(None)).scalar_subquery(), type_=_IDS)
        mine = [self.mine(f), f.c.segment_id == bind(segment_id, Uuid()), f.c.customer_id == any_(gone)]
        outdated = delete(f).where(*mine).cte("outdated")
        values = select(bind(tenant, Uuid()), bind(segment_id, Uuid()), changed.c.customer_id, changed.c.at)
        key = ["tenant_id", "segment_id", "customer_id"]
        fresh = insert(f).from_select([*key, "at"], values.where(changed.c.at.is_not(None)))
        upserted = fresh.on_conflict_do_update(index_elements=key, set_={"at": fresh.excluded.at})
        await self.unit.execute(upserted.add_cte(outdated))

    def next_flips(self, chosen: Chosen, scope: Scope) -> Any:
        """Return a statement: customer_id, at; None when time alone changes nothing from one hour to the next."""
        c = customers.alias("c")
        looked_at = [c.c.deleted_at.is_(None), *scope.of(c.c.id)]
        found = flip_statements(chosen.rule, chosen.rules, c, chosen.as_of, self.unit.tenant_id, looked_at)
        if not found:
            return None
        every: FromClause = union_all(*found).subquery("every")
        earliest = func.min(every.c.at).label("at")
        due = select(every.c.customer_id, earliest).where(every.c.at.is_not(None))
        return due.group_by(every.c.customer_id)

    async def drop_flips(self, segment_id: UUID) -> None:
        """Forget when to look again."""
        f = segment_flips
        await self.unit.execute(delete(f).where(self.mine(f), f.c.segment_id == segment_id))

    async def due_flips(self, now: datetime, limit: int) -> dict[UUID, list[UUID]]:
        """Return segment → customers whose membership may have changed by time alone, those due longest first."""
        f = segment_flips
        statement = select(f.c.segment_id, f.c.customer_id).where(self.mine(f), f.c.at <= now)
        return _by_segment(await self.unit.fetch_all(statement.order_by(f.c.at).limit(limit)))

    async def forget_flips(self, due: Mapping[UUID, Sequence[UUID]]) -> None:
        """Drop flips that came due; whoever is looked at gets new ones."""
        f = segment_flips
        for segment_id, ids in due.items():
            mine = (self.mine(f), f.c.segment_id == segment_id, f.c.customer_id == any_(bind(list(ids), _IDS)))
            await self.unit.execute(delete(f).where(*mine))

    async def due_by_calendar(self, now: datetime) -> list[UUID]:
        """Return the active segments for which a day has begun."""
        due = (segments.c.state == "active", segments.c.calendar_at <= now)
        rows = await self.unit.fetch_all(select(segments.c.id).where(self.mine(), *due).order_by(segments.c.id))
        return [row["id"] for row in rows]

    # -- reconciliation --------------------------------------------------------------------------------------------

    async def due_for_reconciliation(self, since: datetime) -> list[UUID]:
        """Return the kept and the failed segments that nobody looked at as a whole since then."""
        r = segment_reconciliations
        done = exists().where(self.mine(r), r.c.segment_id == segments.c.id, r.c.at >= since)
        due = (segments.c.kind == "dynamic", segments.c.state.in_(("active", "failed")), ~done)
        rows = await self.unit.fetch_all(select(segments.c.id).where(self.mine(), *due).order_by(segments.c.id))
        return [row["id"] for row in rows]

    async def pending(self, subscriber: str, types: Iterable[str], since: datetime) -> list[asyncpg.Record]:
        """Return messages of these types since then that the subscriber has not handled yet."""
        o, r = outbox, outbox_receipts
        handled = exists().where(self.mine(r), r.c.subscriber == subscriber, r.c.message_id == o.c.id)
        wanted = (self.mine(o), o.c.type == any_(bind(sorted(types), _TYPES)), o.c.occurred_at >= since, ~handled)
        return await self.unit.fetch_all(select(o.c.type, o.c.subject_id, o.c.payload).where(*wanted))

    async def why_failed(self, segment_id: UUID) -> dict[str, Any]:
        """Return the reason that stands on a segment."""
        row = await self.unit.fetch_one(select(segments.c.error, segments.c.error_zh).where(self.by_id(segment_id)))
        return dict(row or {})

    async def report(self, row: Mapping[str, Any]) -> None:
        """Store what a reconciliation found."""
        await self.insert(row, segment_reconciliations)


def by_calendar(chosen: Chosen) -> bool:
    """Tell whether the beginning of a day may change who is in."""
    return looks_at_days(chosen.rule, chosen.rules)


def _by_segment(rows: Iterable[asyncpg.Record]) -> dict[UUID, list[UUID]]:
    found: dict[UUID, list[UUID]] = {}
    for row in rows:
        found.setdefault(row["segment_id"], []).append(row["customer_id"])
    return found
