"""Service work whose workers are killed: clocks and their steps, follow-up tasks and compensations, each once."""

import asyncio
import os
import random
import time
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from standardwebhooks import Webhook

from crm_api.complaints.repository import ComplaintRepository
from crm_api.complaints.service import ComplaintService
from crm_api.db.pool import Database
from crm_api.loyalty.repository import drift
from crm_api.registry import subscribers
from crm_api.settings import Settings
from tests.complaints.desk import MINUTE, case, only
from tests.staff.shop import customers, post, staff
from tests.support.api import application, client_of, make_tenant
from tests.support.receivers import Provider, http_receiver
from tests.support.workers import Workplace
from tests.support.zygote import zygote

pytestmark = [pytest.mark.asyncio, pytest.mark.database, pytest.mark.slow]

KILLS = int(os.environ.get("CRM_TEST_SERVICE_KILLS", "4"))
CASES = int(os.environ.get("CRM_TEST_SERVICE_CASES", "18"))
CREW = 2
"""Workers at a time."""
SPREAD = KILLS
"""Seconds over which the clocks' moments come: no longer than it takes to kill so many."""
MOMENTS = ("complaint_clock", "loyalty_", "follow_ups", "any moment", "outbox_receipts", "any job")
"""When workers are killed, in turn: amid a transaction with such a statement, once a job has begun, or any time."""
WRITES = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1
AND backend_xid IS NOT NULL AND strpos(query, $2) > 0)
"""
POINTS = 100
SECRET = "whsec_" + b64encode(b"k" * 24).decode()

LIMITS = {"first_response": (27, 30, 90), "resolution": (48, 60, 80)}
"""Clock → the minutes after which it warns and is missed, and the per cent that the former are of the latter."""
STEPS = (("warn", 0, "notify"), ("breach", 0, "raise"), ("breach", 0, "reassign"), ("breach", 0, "webhook"))
STEPS += (("breach", 1, "notify"),)
NEXT = (27, 30, 31, 48, 60, 61)
"""How many minutes old a case is when something is announced; some are opened shortly before each."""


def moments(clock):
    """Yield what a clock announces: kind, step, and after how many minutes."""
    warned, missed, _ = LIMITS[clock]
    yield "warned", "", warned
    yield "breached", "", missed
    for at, after, action in STEPS:
        yield "escalated", f"{at}+{after}:{action}", after + (warned if at == "warn" else missed)


@dataclass
class Desk(Workplace):
    """A shop with cases, plans of follow-ups and compensations, and workers that live dangerously."""

    receiver: Provider = field(default_factory=Provider)
    policy: str = ""
    received: dict[UUID, datetime] = field(default_factory=dict)
    buyers: list[str] = field(default_factory=list)
    plans: list[UUID] = field(default_factory=list)
    owed: list[UUID] = field(default_factory=list)
    quiet_from: float = 0
    kills: int = 0
    over: bool = False

    async def rows(self, sql, *arguments):
        async with self.database.read(self.tenant.actor) as unit:
            return [tuple(row) for row in await unit.connection.fetch(sql, *arguments)]

    # -- what there is to do -------------------------------------------------------------------------------------------

    async def set_up(self):
        await staff(self.client, "甲", "乙", "丙", "丁")
        rule = {"name": "轮流", "target": "cases", "strategy": "round_robin", "online_only": False}
        await post(self.client, "/v1/assignment-rules", rule)
        clocks = [
            {"clock": clock, "targets": [{"minutes": missed, "natural": True}], "warn_percent": percent}
            for clock, (_, missed, percent) in LIMITS.items()
        ]
        more = {"notify": {"to": ["assignee"]}, "webhook": {"url": f"{self.receiver.url}/hook"}}
        steps = [
            {"at": at, "after_minutes": after, "action": action, **more.get(action, {})} for at, after, action in STEPS
        ]
        self.policy = (await only(self.client, *clocks, escalations=steps, secret=SECRET))["id"]
        self.buyers = await customers(self.client, CASES)
        self.receiver.pause = 0.02
        self.receiver.answers += [(500, b"", {})] * 3

    async def open_cases(self):
        """Open cases whose next moment comes while workers are killed; what came before is told at once."""
        for number, buyer in enumerate(self.buyers):
            age = NEXT[number % len(NEXT)] * MINUTE - timedelta(seconds=random.uniform(0.2, SPREAD))
            received = datetime.now(UTC) - age
            opened = await case(
                self.client, customer_id=buyer, received_at=received.isoformat(), kind="complaint", severity="S4"
            )
            self.received[UUID(opened["id"])] = received
        self.quiet_from = time.monotonic() + SPREAD

    async def bustle(self):
        """Bring the workers more to do all the while, and rivals: writes that refresh the same clocks."""
        while not self.over:
            await self.time_passes()
            case_of = f"/v1/complaints/{random.choice(list(self.received))}"
            await self.send(f"{case_of}/messages", {"direction": "internal", "body": "好的"})
            paid = await self.send(f"{case_of}/compensations", {"kind": "points", "points": POINTS})
            self.owed.append(UUID(paid["id"]))
            await self.plan()
            await self.reclock()
            await asyncio.sleep(0.4)

    async def plan(self):
        body = {"name": f"{len(self.plans)}", "cadences": [{"dimension": "all", "every_days": 14}]}
        made = await self.send("/v1/follow-up-plans", body)
        self.plans.append(UUID(made["id"]))
        # Two passes at once make the same tasks as one.
        await self.send(f"/v1/follow-up-plans/{made['id']}/make", {}, 202)

    async def reclock(self):
        """Have all cases swept: their limits have changed, if only in name."""
        await self.send(f"/v1/clock-policies/{self.policy}", {"note": str(random.random())}, 200, "PATCH")

    async def send(self, path, body, status=201, method="POST"):
        """Send it, again while whoever holds the case takes too long."""
        answer = await self.client.request(method, path, json=body)
        while answer.status_code == 503:
            await asyncio.sleep(0.05)
            answer = await self.client.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def time_passes(self):
        """Let schedules be due for whoever starts next, also those that somebody died at."""
        await self.value(
            "UPDATE pgqueuer_schedules SET next_run = now() - interval '1 second', status = 'queued' "
            "WHERE entrypoint IN ('complaints.clocks', 'followups.hourly')"
        )

    # -- the workers ---------------------------------------------------------------------------------------------------

    def start(self, name):
        url = f"{self.url}{'&' if '?' in self.url else '?'}application_name={name}"
        # Thirty relays that look oftener leave little time for the work.
        return self.worker(CRM_DATABASE_URL=url, CRM_RELAY_POLL_SECONDS=0.25, CRM_OUTBOUND_PRIVATE_HOSTS=True)

    async def live_and_die(self, name):
        """Kill one worker after another; the last one lives."""
        async with asyncpg.create_pool(self.url, min_size=1, max_size=1) as onlooker:
            while True:
                worker = self.start(name)
                await asyncio.to_thread(worker.wait_for, "worker_started")
                if self.kills >= KILLS:
                    break
                moment = MOMENTS[self.kills % len(MOMENTS)]
                self.kills += 1
                await self.come(moment, worker, lambda text: onlooker.fetchval(WRITES, name, text))
                await asyncio.to_thread(worker.kill)

    async def come(self, moment, worker, writes):
        if moment == "any moment":
            await asyncio.sleep(random.uniform(0, 0.6))
        elif moment == "any job":
            await asyncio.to_thread(worker.wait_for, "job_started")
            await asyncio.sleep(random.uniform(0, 0.2))
        else:
            await self.until(lambda: writes(moment), pause=0.001, what=moment)
            await asyncio.sleep(random.uniform(0, 0.01))

    async def all_is_quiet(self):
        return await self.idle() and not await self.value(
            "SELECT count(*) FROM complaints WHERE next_change_at <= now()"
        )


@pytest.fixture
def forked(tmp_path):
    with zygote(tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def desk(own_database_url, forked):
    settings = Settings(database_url=own_database_url, outbound_private_hosts=True)
    database = await Database.open(settings)
    tenant = await make_tenant(settings)
    async with (
        http_receiver() as receiver,
        application(settings, database) as app,
        client_of(app, tenant.key) as client,
    ):
        made = Desk(own_database_url, database, tenant, client, forked, receiver)
        await made.set_up()
        yield made
    await database.close()


async def test_everything_is_done_once_whoever_is_killed(desk):
    await desk.open_cases()
    async with asyncio.TaskGroup() as together:
        together.create_task(desk.bustle())
        await asyncio.gather(*(desk.live_and_die(f"worker-{number}") for number in range(CREW)))
        desk.over = True
    await asyncio.sleep(max(0, desk.quiet_from - time.monotonic()))
    ended = datetime.now(UTC)
    await desk.reclock()
    await desk.until(desk.all_is_quiet, what="the end of all work", seconds=180)
    await announced_once(desk, ended)
    await steps_are_taken_once(desk)
    await webhooks_are_called(desk)
    await tasks_are_made_once(desk)
    await compensations_are_paid_once(desk)
    await messages_are_handled_once(desk)


async def announced_once(desk, ended):
    """Each warning, missed limit and step that was due has its one row and its one message, and nothing else has."""
    rows = await desk.rows(
        "SELECT a.id, a.complaint_id, k.clock, k.cycle, a.what, a.step, a.at FROM complaint_clock_alerts a "
        "JOIN complaint_clocks k ON k.id = a.complaint_clock_id WHERE a.told_at >= a.at"
    )
    told = sorted(row[1:] for row in rows if row[-1] <= ended)
    due = sorted(
        (complaint_id, clock, 1, what, step, received + after * MINUTE)
        for complaint_id, received in desk.received.items()
        for clock in LIMITS
        for what, step, after in moments(clock)
        if received + after * MINUTE <= ended
    )
    assert told == due
    sent = await desk.rows(
        "SELECT (payload ->> 'alert_id')::uuid, subject_id, type FROM outbox WHERE payload ? 'alert_id'"
    )
    assert sorted(sent) == sorted((row[0], row[1], f"complaint.{row[4]}") for row in rows)
    assert await desk.rows("SELECT count(*) FROM complaint_clocks") == [(len(LIMITS) * CASES,)]


async def steps_are_taken_once(desk):
    """The log of each case has as many rises and changes of hands as were announced, and adds up to its row."""
    outcomes = await desk.rows("SELECT DISTINCT action, outcome FROM complaint_clock_alerts")
    done = {("raise", "done"), ("reassign", "done"), ("webhook", "done"), ("notify", "told"), (None, "told")}
    assert set(outcomes) == done
    async with desk.database.read(desk.tenant.actor) as unit:
        for complaint_id in desk.received:
            found = await ComplaintRepository(unit).case(complaint_id)
            assert found == await ComplaintService(unit).replayed(complaint_id)
            steps = Counter(dict(await unit.connection.fetch(_ANNOUNCED, complaint_id)))
            logged = [row["data"] for row in await unit.connection.fetch(_CHANGES, complaint_id)]
            assert found.severity == f"S{4 - steps['raise']}"
            assert sum("severity" in data for data in logged) == steps["raise"]
            assert sum("assignee_id" in data for data in logged) == steps["reassign"] + 1, "by the rules, when opened"
            assert len(logged) == steps["raise"] + steps["reassign"] + 1
    (handed,) = await desk.rows(
        "SELECT count(*), (SELECT count(*) FROM complaint_clock_alerts WHERE action = 'reassign') FROM outbox "
        "WHERE type = 'complaint.assigned' AND payload ->> 'cause' = 'escalated'"
    )
    assert handed[0] == handed[1] > 0


_ANNOUNCED = "SELECT action, count(*) FROM complaint_clock_alerts WHERE complaint_id = $1 AND step <> '' GROUP BY 1"
_CHANGES = "SELECT data FROM complaint_events WHERE complaint_id = $1 AND number > 1 ORDER BY number"


async def webhooks_are_called(desk):
    """Each is called at least once, under one id and with one content, whatever the receiver said first."""
    wanted = await desk.rows("SELECT id::text, complaint_id::text FROM complaint_clock_alerts WHERE action = 'webhook'")
    heard = {}
    for request in desk.receiver.requests:
        data = Webhook(SECRET).verify(request.body, request.headers)["data"]
        assert heard.setdefault(request.headers["webhook-id"], data) == data
    assert {(number, data["complaint_id"]) for number, data in heard.items()} == set(wanted)


async def tasks_are_made_once(desk):
    """Each customer has one task of each plan, whose next slot comes when that is closed, and it was told of once."""
    rows = await desk.rows("SELECT id, plan_id, customer_id FROM follow_ups")
    made = sorted(row[1:] for row in rows)
    assert made == sorted((plan_id, UUID(buyer)) for plan_id in desk.plans for buyer in desk.buyers)
    told = await desk.rows("SELECT subject_id FROM outbox WHERE type = 'follow_up.created'")
    assert sorted(told) == sorted((row[0],) for row in rows)


async def compensations_are_paid_once(desk):
    """Each is settled by one booking of its own, and told of once."""
    settled = await desk.rows("SELECT id, transaction_id FROM compensations WHERE state = 'settled'")
    assert sorted(row[0] for row in settled) == sorted(desk.owed)
    booked = await desk.rows("SELECT id FROM loyalty_transactions")
    assert sorted(booked) == sorted((row[1],) for row in settled)
    given = await desk.rows("SELECT source_id FROM loyalty_lots WHERE source_kind = 'compensation'")
    assert sorted(given) == sorted((each,) for each in desk.owed)
    told = await desk.rows("SELECT subject_id FROM outbox WHERE type = 'compensation.settled'")
    assert sorted(told) == sorted((each,) for each in desk.owed)
    assert await desk.rows("SELECT sum(available) FROM loyalty_wallets") == [(POINTS * len(desk.owed),)]
    async with desk.database.read(desk.tenant.actor) as unit:
        assert await drift(unit) == []


async def messages_are_handled_once(desk):
    """Every subscriber has a receipt for each message it wants, and gave none up."""
    assert await desk.value("SELECT count(*) FROM outbox_failures") == 0
    for subscriber in subscribers():
        received = await desk.value("SELECT count(*) FROM outbox_receipts WHERE subscriber = $1", subscriber.name)
        wanted = await desk.value("SELECT count(*) FROM outbox WHERE type = any($1)", list(subscriber.types))
        assert received == wanted, subscriber.name
