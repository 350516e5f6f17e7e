"""The engine: members follow rules, exactly once for every change.

Whoever changes members takes the tenant's turn first (`UpkeepRepository.take_turn`), so that evaluations never overlap:
members, log, size, messages and next flips of all segments concerned are written by one transaction after another. A
change in one segment reaches the segments that name it in the same transaction, those that are named first.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from graphlib import CycleError, TopologicalSorter
from time import perf_counter
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from crm_api.core.errors import CrmError, Unavailable
from crm_api.core.ids import new_id
from crm_api.core.messages import Message
from crm_api.core.rules import AsOf
from crm_api.db.failures import RETRYABLE, translate
from crm_api.db.uow import UnitOfWork
from crm_api.segments.repository import Chosen, SegmentRepository
from crm_api.segments.repository.catalogue import customer_rules
from crm_api.segments.repository.upkeep import EVERYBODY, Moves, Scope, UpkeepRepository, by_calendar
from crm_api.segments.touches import TYPES, Why, causes_of, customers_of

log = structlog.get_logger(__name__)

SUBSCRIBER: Final = "segments.keep"
CHUNK: Final = 50_000
"""Customers that a full evaluation looks at between two notes of its progress."""
FLIPS: Final = 2_000
"""Customers whose time has come that one transaction looks at."""
LATE: Final = timedelta(days=1)
"""How long a message may wait for its handling before a reconciliation calls what it missed a drift."""

_BY_HAND: Final = Why("manual")

Note = Callable[[int, int], Awaitable[None]]
"""``async def note(processed, total)``: tells others how far an evaluation is."""


class Overtaken(Exception):
    """The segment was changed while it was evaluated; what was found is of no use."""


class Upkeep:
    """Brings members in line with rules, inside a unit of work."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = UpkeepRepository(unit)
        self._as_of: AsOf | None = None
        self._growth: dict[UUID, int] = {}
        self._sequences: dict[UUID, int] = {}

    # -- messages --------------------------------------------------------------------------------------------------

    async def follow(self, messages: Sequence[Message]) -> None:
        """Look again at the customers that messages name, in all segments that are kept."""
        causes = causes_of(messages)
        if causes:
            await self.touch(causes, messages)

    async def touch(self, causes: dict[UUID, Why], messages: Sequence[Message] = ()) -> None:
        """Look again at customers, in all segments that are kept.

        Args:
            causes: whom to look at, each with what made it necessary.
            messages: those of merges are followed by static and snapshot segments too.

        """
        await self.repository.take_turn()
        for parent in await self.repository.parents_of(sorted(causes)):
            causes.setdefault(parent["customer_id"], causes[parent["child_id"]])
        changed = await self._pass_on(messages)
        for segment_id, gone in (await self.repository.gone_members(sorted(causes))).items():
            changed.setdefault(segment_id, set()).update(gone)
            await self._change_listed(segment_id, (), gone, causes.__getitem__)
        touched = set(causes)
        await self._spread(lambda _segment: touched, changed, causes.__getitem__)

    async def _pass_on(self, messages: Sequence[Message]) -> dict[UUID, set[UUID]]:
        """Give members of static and snapshot segments that were merged to the winner, and back."""
        changed: dict[UUID, set[UUID]] = {}
        for message in messages:
            if message.type not in {"customer.merged", "customer.unmerged"}:
                continue
            why = Why("merge", UUID(message.payload["merge_id"]))
            wanted = await (self._taken_over if message.type == "customer.merged" else self._given_back)(message)
            for segment_id, (enter, leave) in wanted.items():
                await self._change_listed(segment_id, enter, leave, _always(why))
                changed.setdefault(segment_id, set()).update(enter, leave)
        return changed

    async def _taken_over(self, message: Message) -> dict[UUID, tuple[set[UUID], set[UUID]]]:
        winner = UUID(message.payload["winner_id"])
        losers = {UUID(each) for each in message.payload["loser_ids"]}
        living = await self.repository.living([winner, *losers])
        found = {}
        for segment_id, members in (await self.repository.listed([winner, *losers])).items():
            leave = losers.intersection(members) - living
            enter = {winner} & living - set(members) if leave else set()
            if leave:
                found[segment_id] = (enter, leave)
        return found

    async def _given_back(self, message: Message) -> dict[UUID, tuple[set[UUID], set[UUID]]]:
        """Take back what the merge did, as far as it still stands."""
        found: dict[UUID, tuple[set[UUID], set[UUID]]] = {}
        for entry in await self.repository.passed_on(UUID(message.payload["merge_id"])):
            enter, leave = found.setdefault(entry["segment_id"], (set(), set()))
            (leave if entry["change"] == "enter" else enter).add(entry["customer_id"])
        for segment_id, (entering, leaving) in found.items():
            members = await self.repository.members_among(segment_id, [*entering, *leaving])
            living = await self.repository.living(sorted(entering))
            found[segment_id] = (entering & living - members, leaving & members)
        return found

    async def _change_listed(
        self, segment_id: UUID, enter: Iterable[UUID], leave: Iterable[UUID], why: Callable[[UUID], Why]
    ) -> None:
        row = await SegmentRepository(self.unit).get(segment_id)
        await self._move(row, Moves(sorted(enter), sorted(leave)), why)
        await self._grow(segment_id)

    async def change_members(
        self, segment_id: UUID, enter: Sequence[UUID], leave: Sequence[UUID], why: Why = _BY_HAND
    ) -> None:
        """Let customers enter and leave a static segment; the caller has taken the turn."""
        await self._change_listed(segment_id, enter, leave, _always(why))
        await self._spread(lambda _segment: set(), {segment_id: {*enter, *leave}}, _always(why))

    # -- everybody -------------------------------------------------------------------------------------------------

    async def evaluate(self, segment_id: UUID, why: Why, note: Note | None = None) -> None:
        """Bring all members of one segment in line with its rule, and with them the segments that name it.

        Raises:
            Overtaken: it was changed meanwhile: roll back; whoever changed it has queued another evaluation.

        """
        await self.repository.take_turn()
        row = await SegmentRepository(self.unit).find(segment_id)
        if row is None or row["kind"] == "static" or row["state"] in {"draft", "archived"}:
            return
        changed = await self._guarded(row, lambda: self._everybody(row, why, note))
        if changed is None:
            return
        fresh = await SegmentRepository(self.unit).get(segment_id, lock=True)
        if any(fresh[name] != row[name] for name in ("rule", "as_of", "state")):
            raise Overtaken
        await self._settle(row)
        await self._spread(lambda _segment: set(), {segment_id: changed}, _always(why))

    async def _everybody(self, row: asyncpg.Record, why: Why, note: Note | None) -> set[UUID]:
        chosen = await self._chosen(row)
        total = await self.repository.customers_total()
        changed: set[UUID] = set()
        after, processed = None, 0
        while True:
            upto = await self.repository.chunk_end(after, CHUNK) if note is not None and total > CHUNK else None
            scope = Scope(after=after, upto=upto)
            changed |= await self._bring_in_line(row, chosen, scope, _always(why))
            if upto is None:
                break
            after, processed = upto, processed + CHUNK
            if note is not None:
                await note(min(processed, total), total)
        await self.repository.settled(row["id"], {"total": total, "processed": total})
        await self._grow(row["id"])
        return changed

    async def _settle(self, row: asyncpg.Record) -> None:
        chosen = await self._chosen(row)
        now = await self._now()
        day_after = now.midnight(now.today() + timedelta(days=1))
        calendar_at = day_after if row["kind"] == "dynamic" and by_calendar(chosen) else None
        values = {"state": "active", "error": None, "error_zh": None}
        await self.repository.settled(row["id"], {**values, "evaluated_at": now.instant, "calendar_at": calendar_at})

    # -- time ------------------------------------------------------------------------------------------------------

    async def follow_time(self) -> int:
        """Look at customers whose membership may have changed by time alone; returns how many came due.

        At most `FLIPS` at a time: call again until it returns 0.
        """
        await self.repository.take_turn()
        due = await self.repository.due_flips(self.unit.now(), FLIPS)
        if due:
            await self.repository.forget_flips(due)
            wanted = {segment_id: set(ids) for segment_id, ids in due.items()}
            await self._spread(lambda segment_id: wanted.get(segment_id, set()), {}, _always(Why("time")))
        return sum(map(len, due.values()))

    # -- reconciliation --------------------------------------------------------------------------------------------

    async def reconcile(self, segment_id: UUID) -> None:
        """Evaluate everybody, repair what upkeep has missed, and report it.

        What upkeep will still come to (messages that wait, time that has just run out) is nothing it has missed.
        """
        began = perf_counter()
        await self.repository.take_turn()
        row = await SegmentRepository(self.unit).find(segment_id)
        if row is None or row["kind"] != "dynamic" or row["state"] not in {"active", "failed"}:
            return
        report_id = new_id()
        drift: list[Moves] = []
        changed = await self._guarded(row, lambda: self._repair(row, Why("reconcile", report_id), drift))
        if changed is not None:
            await self._settle(row)
            await self._spread(lambda _segment: set(), {segment_id: changed}, _always(Why("reconcile", report_id)))
        failed = {} if changed is not None else await self.repository.why_failed(segment_id)
        moves = drift[0] if drift and changed is not None else Moves((), ())
        report = {
            "id": report_id,
            "segment_id": segment_id,
            "at": self.unit.now(),
            "checked": await self.repository.customers_total() if changed is not None else 0,
            "entered": len(moves.entered),
            "left": len(moves.left),
            "duration_ms": round((perf_counter() - began) * 1000),
            **failed,
        }
        await self.repository.report(report)
        if moves and row["state"] == "active":
            log.warning(
                "segment_drift",
                tenant_id=str(self.unit.tenant_id),
                segment_id=str(segment_id),
                entered=len(moves.entered),
                left=len(moves.left),
            )

    async def _repair(self, row: asyncpg.Record, why: Why, drift: list[Moves]) -> set[UUID]:
        chosen = await self._chosen(row)
        moves = await self.repository.compare(row["id"], chosen, EVERYBODY)
        if moves:
            awaited = await self._awaited(row["id"])
            moves = Moves(
                [each for each in moves.entered if each not in awaited],
                [each for each in moves.left if each not in awaited],
            )
        drift.append(moves)
        await self._move(row, moves, _always(why))
        await self.repository.keep_flips(row["id"], chosen, EVERYBODY)
        await self._grow(row["id"])
        return moves.everyone()

    async def _awaited(self, segment_id: UUID) -> set[UUID]:
        """Return the customers that upkeep will look at anyway: a message about them waits, or their time has come."""
        now = self.unit.now()
        due = await self.repository.due_flips(now, 1_000_000)
        waiting = await self.repository.pending(SUBSCRIBER, TYPES, now - LATE)
        named = {each for row in waiting for each in customers_of(row["type"], row["subject_id"], row["payload"])}
        parents = await self.repository.parents_of(sorted(named))
        return named.union(due.get(segment_id, ()), (each["customer_id"] for each in parents))

    # -- steps -----------------------------------------------------------------------------------------------------

    async def _spread(
        self, wanted: Callable[[UUID], set[UUID]], changed: dict[UUID, set[UUID]], why: Callable[[UUID], Why]
    ) -> None:
        """Look at customers in every kept segment; also at those who moved in a segment that it names.

        Args:
            wanted: segment → customers to look at.
            changed: segment → customers who moved already; added to.
            why: customer → what made them move.

        """
        for row in in_order(await self.repository.active()):
            moved = (changed.get(each, set()) for each in row["needs"])
            look = sorted(wanted(row["id"]).union(*moved))
            if look:
                changed[row["id"]] = await self._guarded(row, lambda: self._some(row, look, why)) or set()  # noqa: B023

    async def _some(self, row: asyncpg.Record, look: Sequence[UUID], why: Callable[[UUID], Why]) -> set[UUID]:
        moved = await self._bring_in_line(row, await self._chosen(row), Scope(look), why)
        await self._grow(row["id"])
        return moved

    async def _bring_in_line(
        self, row: asyncpg.Record, chosen: Chosen, scope: Scope, why: Callable[[UUID], Why]
    ) -> set[UUID]:
        moves = await self.repository.compare(row["id"], chosen, scope)
        await self._move(row, moves, why)
        if row["kind"] == "dynamic":
            await self.repository.keep_flips(row["id"], chosen, scope)
        return moves.everyone()

    async def _move(self, row: asyncpg.Record, moves: Moves, why: Callable[[UUID], Why]) -> None:
        """Write what follows from moves but for the segment's own row, which others may want to read: see ``_grow``."""
        if not moves:
            return
        segment_id, at = row["id"], self.unit.now()
        whys = [why(customer_id) for ids in (moves.entered, moves.left) for customer_id in ids]
        sequence = self._sequences.get(segment_id, row["last_sequence"])
        await self.repository.move(segment_id, moves, at)
        await self.repository.tell(segment_id, moves, whys, sequence, at)
        self._sequences[segment_id] = sequence + len(whys)
        self._growth[segment_id] = self._growth.get(segment_id, 0) + len(moves.entered) - len(moves.left)

    async def _grow(self, segment_id: UUID) -> None:
        if segment_id in self._growth:
            await self.repository.grow(segment_id, self._growth.pop(segment_id), self._sequences[segment_id])

    async def _guarded(self, row: asyncpg.Record, work: Callable[[], Awaitable[set[UUID]]]) -> set[UUID] | None:
        """Return who moved; None when the segment could not be evaluated, which then says why and stays as it was."""
        segment_id = row["id"]
        before = self._sequences.get(segment_id)
        try:
            async with self.unit.savepoint():
                return await work()
        except Exception as error:
            if not _its_own_fault(error):
                raise
            self._growth.pop(segment_id, None)
            self._sequences.pop(segment_id, None)
            if before is not None:
                self._sequences[segment_id] = before
            english, chinese = reason_of(error, self.unit.settings.worker_statement_timeout_ms)
            log.warning(
                "segment_failed", segment_id=str(segment_id), tenant_id=str(self.unit.tenant_id), exc_info=error
            )
            await self.fail(segment_id, english, chinese)
            return None

    async def fail(self, segment_id: UUID, reason: str, reason_zh: str) -> None:
        """Say on the segment why it is not kept any more; its members stay as they were."""
        await self.repository.drop_flips(segment_id)
        values = {"state": "failed", "error": reason[:1000], "error_zh": reason_zh[:1000], "calendar_at": None}
        await self.repository.settled(segment_id, values)

    async def _chosen(self, row: asyncpg.Record) -> Chosen:
        """Check a stored rule: it may have become invalid, an attribute archived, or newer code may know better."""
        rules = await customer_rules(self.unit, row["rule"])
        now = await self._now()
        as_of = now if row["as_of"] is None else AsOf(row["as_of"], now.zone)
        return Chosen(rules, rules.check(row["rule"], pointer="/rule"), as_of)

    async def _now(self) -> AsOf:
        if self._as_of is None:
            self._as_of = AsOf(self.unit.now(), await SegmentRepository(self.unit).zone())
        return self._as_of


def _always(why: Why) -> Callable[[UUID], Why]:
    return lambda _customer: why


def in_order(rows: Sequence[asyncpg.Record]) -> list[asyncpg.Record]:
    """Return segments so that each comes after those it names."""
    known = {row["id"]: row for row in rows}
    graph: Mapping[UUID, set[UUID]] = {row["id"]: {*row["needs"]} & known.keys() for row in rows}
    with suppress(CycleError):
        return [known[each] for each in TopologicalSorter(graph).static_order()]
    return list(rows)  # refused on writing; were there one all the same, the others shall not suffer


def last_due(now: AsOf, hour: int) -> datetime:
    """Return the latest moment up to now at which the tenant's clock showed the full hour."""
    begin = now.midnight(now.today()) + timedelta(hours=hour)
    return begin if begin <= now.instant else now.midnight(now.today() - timedelta(days=1)) + timedelta(hours=hour)


def reason_of(error: Exception, timeout_ms: int) -> tuple[str, str]:
    """Return why a segment could not be evaluated, in English and Chinese; nothing of our insides."""
    if isinstance(error, asyncpg.QueryCanceledError):
        seconds = timeout_ms // 1000
        return (
            f"Evaluating the rule took longer than {seconds} seconds: make it simpler",
            f"规则计算超过 {seconds} 秒：请简化规则",
        )
    if isinstance(error, CrmError):
        first = error.errors[0] if error.errors else None
        if first is None:
            return error.message, error.message_zh
        return f"{first.message} ({first.pointer})", f"{first.message_zh or first.message}（{first.pointer}）"
    if isinstance(error, asyncpg.DataError):
        return "A value is out of range: change the rule", "数值超出范围：请修改规则"
    return "The rule cannot be evaluated: internal error", "规则无法计算：内部错误"


def _its_own_fault(error: Exception) -> bool:
    """Tell whether it is the rule that fails, not the database that is away or a race that was lost."""
    if isinstance(error, (Overtaken, *RETRYABLE)):
        return False
    return isinstance(error, asyncpg.QueryCanceledError) or not isinstance(translate(error), Unavailable)
