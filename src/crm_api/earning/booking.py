"""What happens when something happened: decided once, kept, and given to the ledger."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from crm_api.core.errors import Conflict, Invalid
from crm_api.customers.service import unknown_customer
from crm_api.db.uow import UnitOfWork
from crm_api.earning import rules, subjects
from crm_api.earning.engine import Engine, Subject, Verdict, book_of
from crm_api.earning.models import EarningCreate, Trigger
from crm_api.earning.repository import Book, EarningRepository, OccasionRepository
from crm_api.earning.rules import Occasion
from crm_api.loyalty.service import Kind, LoyaltyService, OrderNews, Programme, Source

WRITE = "loyalty:write"
LATE: Final = timedelta(days=30)
"""Events and outside occasions told of later than this earn nothing: who looks for new ones looks no further back."""

SKEW: Final = timedelta(days=1)
"""How far somebody's clock may run ahead of ours."""

CHUNK: Final = 500


class EarningService:
    """Everything that earns points: each occasion once, however often it is told of."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = EarningRepository(unit)
        self.occasions = OccasionRepository(unit)
        self.ledger = LoyaltyService(unit)

    # -- orders ----------------------------------------------------------------------------------------------------

    async def take_in(self, news: Sequence[OrderNews]) -> None:
        """Bring points up to date with what happened to orders; those that were paid earn by the rules.

        Without rules and limits the ledger's own formula stands, and nothing is kept here. What an order earned that is
        somebody else's now counts under the caps of that customer.
        """
        await self.ledger.take_in(await self._priced(news))
        moved = {each.order_id for each in news if each.moved}
        if moved:
            await self.repository.hand_on(moved)

    async def _priced(self, news: Sequence[OrderNews]) -> list[OrderNews]:
        paid = {each.order_id for each in news if each.paid_amount is not None}
        ready = await self._ready("order_paid") if paid else None
        if ready is None:
            return list(news)
        verdicts = {each.subject.order_id: each for each in await self._orders(*ready, paid)}
        return [_told(each, verdicts.get(each.order_id)) for each in news]

    async def _orders(self, engine: Engine, book: Book, order_ids: Collection[UUID]) -> list[Verdict]:
        rows = await self.occasions.orders(order_ids)
        await self.repository.take_turns({row["customer_id"] for row in rows.values()})
        decided, granted = await self.repository.known("order_paid", rows), await self.repository.granted(rows)
        now, settled = self.unit.now(), {*decided, *granted}
        fresh = [subjects.of_order("order_paid", row, now) for each, row in rows.items() if each not in settled]
        verdicts = await engine.judge("order_paid", fresh, book)
        await self._keep("order_paid", verdicts)
        for order_id, known in granted.items():
            if rows[order_id]["paid_amount"] > known["paid_amount"]:
                subject = subjects.of_order("order_paid", rows[order_id], now)
                verdicts += await self._anew(engine, book, subject, decided.get(order_id))
        return verdicts

    async def _anew(self, engine: Engine, book: Book, subject: Subject, known: asyncpg.Record | None) -> list[Verdict]:
        """Decide about an order of which more was paid since, by the rules of its moment: it earns what is more."""
        had = await self.repository.awards(known["id"]) if known else {}
        verdicts = await engine.judge("order_paid", [subject], book, had=had)
        if known is None:
            await self._keep("order_paid", verdicts)
            return verdicts
        for each in verdicts:
            more = [
                {**award, "earning_id": known["id"], "points": award["points"] - had.get(award["rule_id"], 0)}
                for award in each.awards()
            ]
            values = {name: max(known[name], getattr(each, name)) for name in ("points", "qualifying")}
            if any(values[name] > known[name] for name in values):
                told = each.row("order_paid")["decisions"]
                await self.repository.put(known["id"], {**values, "decisions": told})
                await self.repository.add([], [award for award in more if award["points"] > 0])
        return verdicts

    async def complete(self, order_ids: Collection[UUID]) -> None:
        """Let orders that are completed earn by the rules that wait for it, and take back what refunds cost them."""
        ready = await self._ready("order_completed")
        if ready is None:
            return
        engine, book = ready
        if all(each.terms.trigger != "order_completed" for each in book.versions):
            return
        rows = await self.occasions.orders(order_ids)
        done = {each: row for each, row in rows.items() if row["status"] in {"completed", "refunded"}}
        now = self.unit.now()
        # What was refunded before it was completed was never completed.
        fresh = [
            subjects.of_order("order_completed", row, now) for row in done.values() if row["status"] == "completed"
        ]
        earned = await self.repository.buyers_of_completed(order_ids)
        await self._grant(
            "order_completed", engine, fresh, book, {*earned, *(row["customer_id"] for row in rows.values())}
        )
        await self._take_back(order_ids, rows)

    async def _take_back(self, order_ids: Collection[UUID], rows: Mapping[UUID, Any]) -> None:
        """Take back of what completed orders earned, by the total refunded: any split of a refund ends alike."""
        for found in await self.repository.of_completed(order_ids):
            row, earning = rows.get(found["order_id"]), dict(found)
            if row is not None and row["customer_id"] != earning["customer_id"]:
                earning |= await self._hand_on(earning, row["customer_id"])
            gone = row is None or row["status"] in {"cancelled", "pending_payment"}
            totals = {}
            for kind, name in (("points", "taken_back"), ("qualifying", "qualifying_taken_back")):
                paid, refunded = (0, 0) if row is None else (row["paid_amount"], row["refunded_amount"])
                total = rules.share_taken_back(earning[kind], paid, refunded, cancelled=gone)
                granted = earning["transaction_id" if kind == "points" else "qualifying_transaction_id"]
                if granted is not None and total > earning[name]:
                    key = f"earning:{earning['id']}:{name}:{total}"
                    await self.ledger.take_back(granted, total - earning[name], key=key)
                    totals[name] = total
            if totals:
                await self.repository.put(earning["id"], totals)

    async def _hand_on(self, earning: Mapping[str, Any], customer_id: UUID) -> dict[str, Any]:
        """Let what is left of what an order earned be somebody else's; returns what is new of it."""
        new: dict[str, Any] = {"customer_id": customer_id}
        kinds: tuple[tuple[Kind, str, str, str], ...] = (
            ("spendable", "points", "taken_back", "transaction_id"),
            ("qualifying", "qualifying", "qualifying_taken_back", "qualifying_transaction_id"),
        )
        for kind, points, back, name in kinds:
            granted, left = earning[name], earning[points] - earning[back]
            if granted is not None and left:
                key = f"earning:moved:{granted}"
                await self.ledger.take_back(granted, left, key=f"{key}:from")
                new[name] = await self.ledger.grant(
                    customer_id,
                    left,
                    key=f"{key}:to",
                    source=Source("earning_rule", earning["id"]),
                    kind=kind,
                    earned_at=earning["occurred_at"],
                    order_id=earning["order_id"],
                )
        await self.repository.put(earning["id"], new)
        return new

    # -- events, people, birthdays ---------------------------------------------------------------------------------

    async def events(self, customer_ids: Collection[UUID]) -> None:
        """Let events of customers earn that nothing was decided about yet."""
        ready = await self._ready("event")
        if ready is None:
            return
        engine, book = ready
        types = {each.terms.event_type for each in book.versions if each.terms.event_type is not None}
        begun = min(each.effective_from for each in book.versions)
        since = max(begun, self.unit.now() - LATE)
        await self.repository.take_turns(customer_ids)
        found = await self.occasions.events(customer_ids, types, since)
        await self._grant("event", engine, [subjects.of_event(row) for row in found], book)

    async def sign_ups(self, people: Mapping[UUID, datetime]) -> None:
        """Let customers earn who became known, each at a time."""
        ready = await self._ready("sign_up")
        if ready is None:
            return
        engine, book = ready
        living = await self.occasions.living(people)
        # Who was merged before we heard of it is who they became: known for longer than today.
        fresh = [subjects.of_sign_up(each, at) for each, at in people.items() if living.get(each) == each]
        await self._grant("sign_up", engine, fresh, book)

    async def birthdays(self, people: Mapping[UUID, str], at: datetime) -> None:
        """Let customers earn for their birthday of a year, once, whoever they were merged with."""
        ready = await self._ready("birthday")
        if ready is None:
            return
        engine, book = ready
        await self.repository.take_turns(people)
        had: set[UUID] = set()
        for year in sorted(set(people.values())):
            had |= await self.repository.with_birthday([each for each, of in people.items() if of == year], year)
        fresh = [subjects.of_birthday(each, year, at) for each, year in people.items() if each not in had]
        await self._grant("birthday", engine, fresh, book)

    # -- told from outside -----------------------------------------------------------------------------------------

    async def record(self, data: EarningCreate) -> UUID:
        """Let a customer earn for something that happened outside; returns the earning's id, the same when told again.

        Raises:
            NotFound: there is no such customer.
            Conflict: no rule listens to it (``no_rule``), or the reference was somebody else's (``key_reused``).
            Invalid: it happened too long ago, or in the future.

        """
        self.unit.actor.require(WRITE)
        now = self.unit.now()
        at = data.occurred_at or now
        if not now - LATE <= at <= now + SKEW:
            raise Invalid.field(
                "/occurred_at",
                "impossible_date",
                f"This lies in the future, or more than {LATE.days} days ago",
                f"时间在未来，或早于 {LATE.days} 天前",
            )
        customer_id = (await self.occasions.living([data.customer_id])).get(data.customer_id)
        if customer_id is None:
            raise unknown_customer("/customer_id")
        subject_id = subjects.named(data.trigger, data.reference)
        await self.repository.take_turns([customer_id])
        known = (await self.repository.known(data.trigger, [subject_id])).get(subject_id)
        if known is not None:
            return _same(known, customer_id)
        ready = await self._ready(data.trigger)
        if ready is None or not rules.in_force(ready[1].versions, at):
            raise Conflict(
                f"No earning rule with trigger {data.trigger} is in force: make one and activate it",
                zh=f"没有生效中的 {data.trigger} 积分规则：请先创建并启用",
                code="no_rule",
            )
        occasion = Occasion(customer_id, at)
        if data.amount is not None:
            occasion = replace(occasion, currency=data.amount.currency, paid=data.amount.amount)
        subject = Subject(subject_id, customer_id, occasion, reference=data.reference, reason=data.reason)
        engine, book = ready
        [verdict] = await self._grant(data.trigger, engine, [subject], book)
        return verdict.id

    # -- parts -----------------------------------------------------------------------------------------------------

    async def _ready(self, trigger: Trigger) -> tuple[Engine, Book] | None:
        """Return what decides, or None when no rule and no limit can matter."""
        book = await book_of(self.unit, trigger)
        if book.is_empty or (trigger != "order_paid" and not book.versions):
            return None
        programme = await self._programme()
        return None if programme is None else (Engine(self.unit, programme), book)

    async def _programme(self) -> Programme | None:
        try:
            return await self.ledger.programme()
        except Conflict:
            return None

    async def _grant(
        self,
        trigger: Trigger,
        engine: Engine,
        fresh: Sequence[Subject],
        book: Book,
        also: Collection[UUID] = (),
    ) -> list[Verdict]:
        """Decide about subjects, give the ledger what they earn, and keep both; those decided before are left out.

        Wallets are locked at once and in the order everybody keeps, those of ``also`` these customers too.
        """
        await self.repository.take_turns({each.occasion.customer_id for each in fresh})
        known = await self.repository.known(trigger, [each.id for each in fresh]) if fresh else {}
        verdicts = await engine.judge(trigger, [each for each in fresh if each.id not in known], book)
        earning: dict[Kind, set[UUID]] = {
            "spendable": {each.subject.occasion.customer_id for each in verdicts if each.points},
            "qualifying": {each.subject.occasion.customer_id for each in verdicts if each.qualifying},
        }
        await self.ledger.lock_wallets(earning, also)
        booked = {each.id: await self._book(trigger, each) for each in verdicts}
        await self._keep(trigger, verdicts, booked)
        return verdicts

    async def _book(self, trigger: Trigger, verdict: Verdict) -> dict[str, UUID]:
        about, booked = verdict.subject, dict[str, UUID]()
        kinds: tuple[tuple[Kind, int, str], ...] = (
            ("spendable", verdict.points, "transaction_id"),
            ("qualifying", verdict.qualifying, "qualifying_transaction_id"),
        )
        for kind, points, name in kinds:
            if points:
                booked[name] = await self.ledger.grant(
                    about.occasion.customer_id,
                    points,
                    key=f"earning:{trigger}:{about.id}:{kind}",
                    reason=verdict.reason,
                    source=Source("earning_rule", verdict.id),
                    kind=kind,
                    earned_at=about.occasion.at,
                    order_id=about.order_id,
                )
        return booked

    async def _keep(
        self, trigger: Trigger, verdicts: Sequence[Verdict], booked: Mapping[UUID, Mapping[str, UUID]] | None = None
    ) -> None:
        none = {"transaction_id": None, "qualifying_transaction_id": None}
        rows = [{**each.row(trigger), **none, **(booked or {}).get(each.id, {})} for each in verdicts]
        await self.repository.add(rows, [award for each in verdicts for award in each.awards()])
        for each in verdicts:
            told = {"trigger": trigger, "points": each.points, "qualifying": each.qualifying}
            customer_id = each.subject.occasion.customer_id
            self.unit.audit("earning.recorded", "Earning", each.id, after={**told, "customer_id": str(customer_id)})
            self.unit.emit("earning.recorded", each.id, {**told, "customer_id": str(customer_id)})


def _told(news: OrderNews, verdict: Verdict | None) -> OrderNews:
    """Let news of a payment say what it earns; an order that is gone earns nothing."""
    if news.paid_amount is None:
        return news
    if verdict is None:
        return replace(news, points=0, qualifying=0)
    return replace(news, points=verdict.points, qualifying=verdict.qualifying)


def _same(known: asyncpg.Record, customer_id: UUID) -> UUID:
    if known["customer_id"] != customer_id:
        raise Conflict("The reference was used for another customer", zh="该编号已用于其他客户", code="key_reused")
    found: UUID = known["id"]
    return found


def days_to_see(last: date | None, today: date, most: int = 7) -> list[date]:
    """Return the days whose birthdays are to be seen to: those since the last one, a week back at most."""
    first = today if last is None else max(last + timedelta(days=1), today - timedelta(days=most - 1))
    return [first + timedelta(days=offset) for offset in range((today - first).days + 1)]
