"""The relay: nothing lost, nothing doubled, order kept, a bad message stops nobody."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg
import pytest

from crm_api.core.messages import Message
from crm_api.core.work import Subscriber
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.worker import relay as relay_module
from crm_api.worker.relay import Relay

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


@dataclass
class Recorder:
    """A subscriber whose effect is an audit row per message, so that effects roll back with their transaction."""

    bad: set[UUID] = field(default_factory=set)
    batches: list[int] = field(default_factory=list)

    def subscriber(self) -> Subscriber:
        return Subscriber(f"test.{uuid4().hex}", frozenset({"test.happened"}), self.handle)

    async def handle(self, unit: UnitOfWork, messages: Sequence[Message]) -> None:
        self.batches.append(len(messages))
        for message in messages:
            if message.subject_id in self.bad:
                raise ValueError("cannot handle this one")
            unit.audit("test.effect", "Test", message.subject_id)


async def emit(database: Database, tenant, subjects: Sequence[UUID], kind: str = "test.happened") -> None:
    async with database.write(tenant.actor) as unit:
        for subject in subjects:
            unit.emit(kind, subject, {})


async def start_here(database: Database, relay: Relay) -> Relay:
    """Put a relay's cursor at the end of the outbox: what other tests of this database left is not read again."""
    async with database.system() as connection:
        await connection.execute(
            "INSERT INTO outbox_cursors (subscriber, xid, message_id)"
            " VALUES ($1, pg_snapshot_xmin(pg_current_snapshot()), '00000000-0000-0000-0000-000000000000')",
            relay.subscriber.name,
        )
    return relay


async def effects(database: Database, tenant) -> list[UUID]:
    async with database.read(tenant.actor) as unit:
        rows = await unit.connection.fetch(
            "SELECT subject_id FROM audit_log WHERE tenant_id = $1 AND operation = 'test.effect' ORDER BY seq",
            tenant.id,
        )
    return [row[0] for row in rows]


async def drain(relay: Relay, wanted: int, database: Database, tenant) -> None:
    """Step until the wanted effects are there; other tests' transactions on the server may hold the feed back."""
    for _ in range(1500):
        await relay.step()
        if len(await effects(database, tenant)) >= wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the relay did not get there")


class TestRelay:
    async def test_each_message_has_one_effect_in_order(self, database, tenant):
        recorder = Recorder()
        relay = await start_here(database, Relay(database, recorder.subscriber(), batch=3))
        subjects = [uuid4() for _ in range(10)]
        for subject in subjects:
            await emit(database, tenant, [subject])
            await emit(database, tenant, [uuid4()], kind="test.other")
        await drain(relay, 10, database, tenant)
        for _ in range(5):
            await relay.step()
        assert await effects(database, tenant) == subjects

    async def test_a_slow_transaction_is_not_jumped_over(self, database, tenant):
        recorder = Recorder()
        relay = await start_here(database, Relay(database, recorder.subscriber()))
        early, late = uuid4(), uuid4()
        async with database.write(tenant.actor) as slow:
            slow.emit("test.happened", early, {})
            await slow.flush()
            await emit(database, tenant, [late])
            for _ in range(5):
                await relay.step()
            assert late not in await effects(database, tenant), "the slow transaction may still commit before it"
        await drain(relay, 2, database, tenant)
        assert await effects(database, tenant) == [early, late]

    async def test_transactions_go_by_number_not_by_text(self, database, tenant):
        recorder = Recorder()
        relay = Relay(database, recorder.subscriber(), batch=1)
        subjects = [uuid4() for _ in range(3)]
        async with database.write(tenant.actor) as unit:
            for xid, subject in zip(("9", "10", "100"), subjects, strict=True):
                await unit.connection.execute(
                    "INSERT INTO outbox (tenant_id, id, xid, type, subject_id, payload, occurred_at)"
                    " VALUES ($1, $2, $3::text::xid8, 'test.happened', $4, '{}', now())",
                    tenant.id,
                    uuid4(),
                    xid,
                    subject,
                )
        await drain(relay, 3, database, tenant)
        assert await effects(database, tenant) == subjects

    async def test_many_writers_and_two_relays_lose_and_double_nothing(self, database, tenant):
        recorder = Recorder()
        subscriber = recorder.subscriber()
        relays = [Relay(database, subscriber, batch=7) for _ in range(2)]
        await start_here(database, relays[0])
        subjects = [uuid4() for _ in range(120)]
        done = asyncio.Event()

        async def read(relay: Relay) -> None:
            while not done.is_set():
                await relay.step()
                await asyncio.sleep(0)

        readers = [asyncio.create_task(read(relay)) for relay in relays]
        await asyncio.gather(*(emit(database, tenant, [subject]) for subject in subjects))
        for _ in range(1500):
            if len(await effects(database, tenant)) >= len(subjects):
                break
            await asyncio.sleep(0.02)
        done.set()
        await asyncio.gather(*readers)
        assert sorted(await effects(database, tenant)) == sorted(subjects)

    async def test_killed_between_effect_and_cursor(self, database, tenant, monkeypatch):
        recorder = Recorder()
        relay = await start_here(database, Relay(database, recorder.subscriber()))
        subjects = [uuid4() for _ in range(5)]
        await emit(database, tenant, subjects)
        with monkeypatch.context() as patch:
            patch.setattr(relay_module, "_ADVANCE", "SELECT 1/0, $1::text, $2::text, $3::uuid")
            for _ in range(1500):
                with contextlib.suppress(asyncpg.DivisionByZeroError):
                    await relay.step()
                if await effects(database, tenant) == subjects:
                    break
                await asyncio.sleep(0.02)
        assert await effects(database, tenant) == subjects
        for _ in range(5):
            await relay.step()
        assert await effects(database, tenant) == subjects

    async def test_a_bad_message_stops_nobody_and_is_kept(self, database, tenant, other_tenant, monkeypatch):
        monkeypatch.setattr(relay_module, "ATTEMPTS", 2)
        bad = uuid4()
        recorder = Recorder(bad={bad})
        subscriber = recorder.subscriber()
        relay = await start_here(database, Relay(database, subscriber))
        good = [uuid4(), uuid4()]
        await emit(database, tenant, [good[0], bad, good[1]])
        await emit(database, other_tenant, [uuid4()])
        await drain(relay, 2, database, tenant)
        await drain(relay, 1, database, other_tenant)
        assert await effects(database, tenant) == good
        failure = await self._failure(database, tenant, subscriber.name)
        assert (failure["attempts"], failure["error"]) == (1, "ValueError: cannot handle this one")
        await self._retry_until(relay, database, tenant, subscriber.name, attempts=2)
        failure = await self._failure(database, tenant, subscriber.name)
        assert failure["next_attempt_at"] is None, "given up: it waits for a person"

    async def test_a_mended_message_is_forgiven(self, database, tenant):
        bad = uuid4()
        recorder = Recorder(bad={bad})
        subscriber = recorder.subscriber()
        relay = await start_here(database, Relay(database, subscriber))
        await emit(database, tenant, [bad])
        for _ in range(1500):
            await relay.step()
            if await self._failure(database, tenant, subscriber.name):
                break
            await asyncio.sleep(0.02)
        recorder.bad.clear()
        for _ in range(100):
            await relay.retry_failures()
            if await effects(database, tenant):
                break
            await asyncio.sleep(0.05)
        assert await effects(database, tenant) == [bad]
        assert await self._failure(database, tenant, subscriber.name) is None

    async def _failure(self, database, tenant, name):
        async with database.read(tenant.actor) as unit:
            return await unit.connection.fetchrow(
                "SELECT attempts, error, next_attempt_at FROM outbox_failures WHERE tenant_id = $1 AND subscriber = $2",
                tenant.id,
                name,
            )

    async def _retry_until(self, relay, database, tenant, name, *, attempts):
        for _ in range(100):
            await relay.retry_failures()
            if (await self._failure(database, tenant, name))["attempts"] >= attempts:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("not retried")
