"""Subscriptions over real sockets: graphql-transport-ws by the websockets library, server-sent events by httpx."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from datetime import UTC, datetime
from uuid import UUID

import httpx
import orjson
import pytest
import pytest_asyncio
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from crm_api import admin
from crm_api.app import create_app
from crm_api.core.ids import new_id
from crm_api.core.messages import Message
from crm_api.db.pool import Database
from crm_api.exchange.runner import ImportRun
from crm_api.web.graphql.hub import GoingAway, Hub, Listener, SlowConsumer
from tests.support.api import make_tenant
from tests.support.command_line import running, wait_for
from tests.support.imports import order, orders_csv, start

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.database]

PROTOCOL = "graphql-transport-ws"
TIMELINE = "subscription($c: ID!) { customerTimeline(customerId: $c) { kind title data id } }"
PROGRESS = "subscription($i: ID!) { importProgress(id: $i) { id state processed } }"
PATIENCE = 30
"""Seconds: transactions of others on the same server hold messages back."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(settings):
    """The application as `crm-api serve` runs it, with little patience and small buffers; yields (port, settings)."""
    hurried = settings.model_copy(
        update={
            "key_cache_seconds": 0.5,
            "relay_poll_seconds": 0.05,
            "graphql_init_seconds": 0.5,
            "graphql_ping_seconds": 0.3,
            "graphql_send_seconds": 0.5,
            "graphql_connections_per_key": 3,
            "graphql_subscriptions": 2,
            "graphql_message_bytes": 4_096,
        }
    )
    database = await Database.open(hurried)
    app = create_app(hurried, database)
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)  # what is accepted inherits it
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, http="httptools", ws="websockets-sansio", log_level="critical", lifespan="on")
    serving = uvicorn.Server(config)
    serving.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(serving.serve(sockets=[listening]))
    while not serving.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield Server(listening.getsockname()[1], hurried, database, app)
    serving.should_exit = True
    await asyncio.wait_for(task, 20)
    await database.close()
    listening.close()


class Server:
    def __init__(self, port, settings, database, app):
        self.port, self.settings, self.database, self.app = port, settings, database, app

    def http(self, key):
        headers = {"authorization": f"Bearer {key}"}
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=PATIENCE)

    def socket(self, key=None, protocol=PROTOCOL, **how):
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        protocols = [protocol] if protocol else None
        url = f"ws://127.0.0.1:{self.port}/graphql"
        return connect(url, subprotocols=protocols, additional_headers=headers, ping_interval=None, **how)

    @contextlib.asynccontextmanager
    async def client(self, key):
        async with self.socket(key) as ws:
            talk = Talk(ws)
            await talk.send(type="connection_init")
            assert await talk.receive() == {"type": "connection_ack"}
            yield talk

    @contextlib.asynccontextmanager
    async def events(self, key, query, **variables):
        async with self.http(key) as http:
            body = {"query": query, "variables": variables}
            async with http.stream("POST", "/graphql", json=body, headers={"accept": "text/event-stream"}) as response:
                assert response.status_code == 200, await response.aread()
                assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
                yield parsed(response)


async def parsed(response):
    """Yield (event, data) and, for a comment, (None, None)."""
    event = data = None
    async for line in response.aiter_lines():
        if line == "" and event is not None:
            yield event, json.loads(data) if data else None
            event = data = None
        elif line.startswith(":"):
            yield None, None
        elif line.startswith("event:"):
            event = line[6:].strip()
        elif line.startswith("data:"):
            data = line[5:].strip()


async def next_event(stream):
    """Return the next event, comments aside."""
    while True:
        event, data = await asyncio.wait_for(anext(stream), PATIENCE)
        if event is not None:
            return event, data


class Talk:
    """A client's side of the protocol."""

    def __init__(self, ws):
        self.ws = ws

    async def send(self, **message):
        await self.ws.send(json.dumps(message))

    async def subscribe(self, operation_id, query, **variables):
        await self.send(id=operation_id, type="subscribe", payload={"query": query, "variables": variables})

    async def receive(self):
        """Return the next message, signs of life aside."""
        while True:
            message = json.loads(await asyncio.wait_for(self.ws.recv(), PATIENCE))
            if message["type"] != "ping":
                return message

    async def closed(self):
        """Return how the server closes."""
        try:
            while True:
                await asyncio.wait_for(self.ws.recv(), PATIENCE)
        except ConnectionClosed as closed:
            return closed.rcvd and (closed.rcvd.code, closed.rcvd.reason)


@pytest_asyncio.fixture(loop_scope="module")
async def tenant(settings):
    return await make_tenant(settings)


async def customer_of(server, key, name="王小明"):
    async with server.http(key) as http:
        response = await http.post("/v1/customers", json={"name": name})
        assert response.status_code == 201, response.text
        return response.json()["id"]


async def say(server, key, customer_id, subject):
    body = {"customer_id": customer_id, "channel": "call", "direction": "inbound", "subject": subject}
    async with server.http(key) as http:
        response = await http.post("/v1/interactions", json=body)
        assert response.status_code == 201, response.text
        return response.json()["id"]


async def listening(server, count=1):
    """Wait until so many listen: what happens then is told."""
    async with asyncio.timeout(PATIENCE):
        while len(server.app.state.hub._listeners) < count:  # noqa: ASYNC110 - the hub has no event for it
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)  # the state before has been read


async def nobody(server):
    async with asyncio.timeout(PATIENCE):
        while server.app.state.hub._listeners or server.app.state.hub._open:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.01)


class TestDelivery:
    async def test_timeline_over_a_socket_in_order(self, server, tenant):
        customer = await customer_of(server, tenant.key)
        async with server.client(tenant.key) as talk:
            await talk.subscribe("a", TIMELINE, c=f"Customer:{customer}")
            await listening(server)
            said = [await say(server, tenant.key, customer, f"call {number}") for number in range(5)]
            told = [(await talk.receive())["payload"]["data"]["customerTimeline"] for _ in said]
            assert [each["title"] for each in told] == [f"call {number}" for number in range(5)]
            assert [each["id"] for each in told] == said
            await talk.send(id="a", type="complete")
        await nobody(server)

    async def test_timeline_over_events_tells_changes_too(self, server, tenant):
        customer = await customer_of(server, tenant.key)
        async with server.events(tenant.key, TIMELINE, c=f"Customer:{customer}") as stream:
            first = asyncio.create_task(next_event(stream))
            await listening(server)
            interaction = await say(server, tenant.key, customer, "first")
            event, body = await first
            assert (event, body["data"]["customerTimeline"]["title"]) == ("next", "first")
            async with server.http(tenant.key) as http:
                await http.patch(f"/v1/interactions/{interaction}", json={"subject": "mended"})
            assert (await next_event(stream))[1]["data"]["customerTimeline"]["title"] == "mended"
        await nobody(server)

    async def test_behaviour_events_are_told(self, server, tenant):
        customer = await customer_of(server, tenant.key)
        async with server.client(tenant.key) as talk:
            await talk.subscribe("a", TIMELINE, c=f"Customer:{customer}")
            await listening(server)
            async with server.http(tenant.key) as http:
                now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                sent = {
                    "id": str(new_id()),
                    "type": "search",
                    "occurred_at": now,
                    "customer": {"customer_id": customer},
                }
                await http.post("/v1/events/batch", json={"events": [sent]})
            told = (await talk.receive())["payload"]["data"]["customerTimeline"]
            assert (told["kind"], told["title"]) == ("event", "search")

    async def test_import_progress_ends_with_the_import(self, server, tenant):
        data = orders_csv(*(order(number) for number in range(10)))
        async with server.http(tenant.key) as http:
            import_id = (await start(http, data)).json()["id"]
        async with server.client(tenant.key) as talk:
            await talk.subscribe("p", PROGRESS, i=f"Import:{import_id}")
            first = (await talk.receive())["payload"]["data"]["importProgress"]
            assert first == {"id": f"Import:{import_id}", "state": "QUEUED", "processed": 0}
            await ImportRun(server.database, tenant.id, UUID(import_id), chunk=2).run()
            seen = []
            while (message := await talk.receive())["type"] == "next":
                seen.append(message["payload"]["data"]["importProgress"])
            assert message == {"id": "p", "type": "complete"}
            assert seen[-1]["state"] == "COMPLETED"
            assert [each["processed"] for each in seen] == sorted(each["processed"] for each in seen)

    async def test_import_that_has_ended_is_told_once(self, server, tenant):
        async with server.http(tenant.key) as http:
            import_id = (await start(http, orders_csv(order()))).json()["id"]
        await ImportRun(server.database, tenant.id, UUID(import_id)).run()
        async with server.events(tenant.key, PROGRESS, i=f"Import:{import_id}") as stream:
            told = [each async for each in stream if each[0] is not None]
        assert [each[0] for each in told] == ["next", "complete"]
        assert told[0][1]["data"]["importProgress"]["state"] == "COMPLETED"

    async def test_queries_and_mutations_are_answered_once(self, server, tenant):
        async with server.client(tenant.key) as talk:
            await talk.subscribe("q", "{ customers(first: 1) { totalCount } }")
            assert await talk.receive() == {
                "id": "q",
                "type": "next",
                "payload": {"data": {"customers": {"totalCount": 0}}},
            }
            assert await talk.receive() == {"id": "q", "type": "complete"}
            made = 'mutation { customerCreate(input: {name: "A"}) { customer { name } } }'
            await talk.subscribe("q", made)  # the id is free again
            assert (await talk.receive())["payload"]["data"]["customerCreate"]["customer"] == {"name": "A"}
        async with server.events(tenant.key, "{ customers(first: 1) { totalCount } }") as stream:
            told = [each async for each in stream if each[0] is not None]
        assert told == [("next", {"data": {"customers": {"totalCount": 1}}}), ("complete", None)]

    async def test_one_reader_serves_all(self, server, tenant):
        customer = await customer_of(server, tenant.key)
        async with server.client(tenant.key) as one, server.client(tenant.key) as two:
            for talk in (one, two):
                await talk.subscribe("a", TIMELINE, c=f"Customer:{customer}")
            await listening(server, 2)
            task = server.app.state.hub._task
            await say(server, tenant.key, customer, "to both")
            for talk in (one, two):
                assert (await talk.receive())["payload"]["data"]["customerTimeline"]["title"] == "to both"
            assert server.app.state.hub._task is task


CHANGES = """subscription($s: ID!, $after: BigInt) { segmentChanges(segmentId: $s, after: $after) {
  sequence change cause segmentId customer { name } } }"""


async def static_segment(server, key, name="list"):
    async with server.http(key) as http:
        response = await http.post("/v1/segments", json={"name": name, "kind": "static"})
        assert response.status_code == 201, response.text
        return response.json()["id"]


async def let(server, key, segment, *customers, method="POST"):
    async with server.http(key) as http:
        body = {"customer_ids": list(customers)}
        response = await http.request(method, f"/v1/segments/{segment}/members", json=body)
        assert response.is_success, response.text


async def changes_told(talk, count):
    messages = [await talk.receive() for _ in range(count)]
    assert {each["type"] for each in messages} == {"next"}, messages
    return [each["payload"]["data"]["segmentChanges"] for each in messages]


class TestSegmentChanges:
    async def test_every_entry_in_order_and_on_again_behind_the_last(self, server, tenant):
        segment, other = [await static_segment(server, tenant.key, name) for name in ("a", "b")]
        people = [await customer_of(server, tenant.key, f"c{number}") for number in range(3)]
        await let(server, tenant.key, segment, people[0])
        async with server.client(tenant.key) as talk:
            await talk.subscribe("s", CHANGES, s=f"Segment:{segment}")
            await listening(server)
            await let(server, tenant.key, other, *people)
            await let(server, tenant.key, segment, *people[1:])
            await let(server, tenant.key, segment, people[0], method="DELETE")
            told = await changes_told(talk, 3)
            assert [(each["sequence"], each["change"], each["customer"]["name"]) for each in told] == [
                (2, "ENTER", "c1"),
                (3, "ENTER", "c2"),
                (4, "LEAVE", "c0"),
            ]
            assert {(each["segmentId"], each["cause"]) for each in told} == {(f"Segment:{segment}", "MANUAL")}
        await let(server, tenant.key, segment, people[0])  # while nobody listens
        async with server.events(tenant.key, CHANGES, s=f"Segment:{segment}", after=3) as stream:
            missed = [(await next_event(stream))[1]["data"]["segmentChanges"]["sequence"] for _ in range(2)]
            await let(server, tenant.key, segment, people[1], method="DELETE")
            assert [*missed, (await next_event(stream))[1]["data"]["segmentChanges"]["sequence"]] == [4, 5, 6]
        await nobody(server)

    async def test_a_crowd_is_told_in_pages_and_makes_nobody_slow(self, server, tenant):
        segment = await static_segment(server, tenant.key)
        async with server.http(tenant.key) as http:
            made = await http.post("/v1/customers/batch", json={"items": [{"name": f"c{n}"} for n in range(450)]})
            people = [each["id"] for each in made.json()["results"]]
        assert len(people) > 2 * server.settings.graphql_queue
        async with server.client(tenant.key) as talk:
            await talk.subscribe("s", CHANGES, s=f"Segment:{segment}", after=0)
            await listening(server)
            await let(server, tenant.key, segment, *people)
            told = await changes_told(talk, 450)
            assert [each["sequence"] for each in told] == list(range(1, 451))

    async def test_who_may_not_and_what_is_not_there(self, server, tenant, settings):
        segment = await static_segment(server, tenant.key)
        stranger = await make_tenant(settings)
        narrow = (await admin.create_key(settings, tenant.id, frozenset({"customers:read"}))).api_key
        for key, variables, code in (
            (stranger.key, {}, "not_found"),
            (narrow, {}, "forbidden"),
            (tenant.key, {"after": 1}, "invalid"),
            (tenant.key, {"after": -1}, "invalid"),
        ):
            async with server.client(key) as talk:
                await talk.subscribe("s", CHANGES, s=f"Segment:{segment}", **variables)
                message = await talk.receive()
                assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", code)


class TestRights:
    async def test_other_tenants_customer_looks_like_none(self, server, tenant, settings):
        other = await make_tenant(settings)
        customer = await customer_of(server, tenant.key)
        async with server.client(other.key) as talk:
            for wanted in (customer, str(new_id())):
                await talk.subscribe("a", TIMELINE, c=f"Customer:{wanted}")
                message = await talk.receive()
                assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "not_found")

    async def test_other_tenants_messages_are_not_told(self, server, tenant, settings):
        other = await make_tenant(settings)
        mine, theirs = await customer_of(server, tenant.key), await customer_of(server, other.key)
        async with server.client(tenant.key) as talk:
            await talk.subscribe("a", TIMELINE, c=f"Customer:{mine}")
            await listening(server)
            await say(server, other.key, theirs, "secret")
            await say(server, tenant.key, mine, "mine")
            assert (await talk.receive())["payload"]["data"]["customerTimeline"]["title"] == "mine"

    async def test_scope_is_refused_at_once(self, server, tenant, settings):
        customer = await customer_of(server, tenant.key)
        key = (await admin.create_key(settings, tenant.id, frozenset({"orders:read"}))).api_key
        async with server.client(key) as talk:
            await talk.subscribe("a", TIMELINE, c=f"Customer:{customer}")
            message = await talk.receive()
            assert message["payload"][0]["extensions"] == {"code": "forbidden", "required_scope": "customers:read"}
            await talk.subscribe("b", PROGRESS, i=f"Import:{new_id()}")
            message = await talk.receive()
            assert message["payload"][0]["extensions"] == {"code": "forbidden", "required_scope": "imports:read"}
        async with server.events(key, TIMELINE, c=f"Customer:{customer}") as stream:
            assert (await next_event(stream))[1]["errors"][0]["extensions"]["code"] == "forbidden"
            assert await next_event(stream) == ("complete", None)

    async def test_entries_of_other_scopes_are_not_told(self, server, tenant, settings):
        customer = await customer_of(server, tenant.key)
        key = (await admin.create_key(settings, tenant.id, frozenset({"customers:read", "orders:read"}))).api_key
        async with server.client(key) as talk:
            await talk.subscribe("a", TIMELINE, c=f"Customer:{customer}")
            await listening(server)
            await say(server, tenant.key, customer, "not for this key")
            async with server.http(tenant.key) as http:
                paid = {
                    "customer_id": customer,
                    "status": "paid",
                    "total": {"amount": 1, "currency": "CNY"},
                    "placed_at": "2026-05-01T00:00:00Z",
                }
                assert (await http.put("/v1/orders/taobao/X1", json=paid)).status_code in {200, 201}
            told = (await talk.receive())["payload"]["data"]["customerTimeline"]
            assert (told["kind"], told["title"]) == ("order", "X1")

    @pytest.mark.parametrize("transport", ["socket", "events"])
    async def test_revoked_key_ends_the_stream(self, server, tenant, settings, transport):
        customer = await customer_of(server, tenant.key)
        made = await admin.create_key(settings, tenant.id, frozenset({"customers:read"}))
        if transport == "socket":
            async with server.client(made.api_key) as talk:
                await talk.subscribe("a", TIMELINE, c=f"Customer:{customer}")
                await listening(server)
                await admin.revoke_key(settings, tenant.id, made.key_id)
                revoked = time.monotonic()
                assert (await talk.closed())[0] == 4403
        else:
            async with server.events(made.api_key, TIMELINE, c=f"Customer:{customer}") as stream:
                first = asyncio.create_task(next_event(stream))
                await listening(server)
                await admin.revoke_key(settings, tenant.id, made.key_id)
                revoked = time.monotonic()
                assert (await first)[1]["errors"][0]["extensions"]["code"] == "unauthenticated"
                assert await next_event(stream) == ("complete", None)
        assert time.monotonic() - revoked < server.settings.key_cache_seconds + 2  # a busy machine's two seconds


class TestProtocol:
    async def test_key_may_come_in_the_payload(self, server, tenant):
        async with server.socket() as ws:
            talk = Talk(ws)
            await talk.send(type="connection_init", payload={"Authorization": f"Bearer {tenant.key}"})
            assert await talk.receive() == {"type": "connection_ack"}

    @pytest.mark.parametrize("payload", [{}, {"payload": {"authorization": "Bearer crm_no"}}, {"payload": 1}])
    async def test_no_valid_key(self, server, payload):
        async with server.socket() as ws:
            talk = Talk(ws)
            await talk.send(type="connection_init", **payload)
            assert (await talk.closed())[0] == 4403

    async def test_unauthorized_before_the_acknowledgement(self, server, tenant):
        async with server.socket(tenant.key) as ws:
            talk = Talk(ws)
            await talk.subscribe("a", "{ __typename }")
            assert await talk.closed() == (4401, "Unauthorized")

    async def test_initialisation_times_out(self, server, tenant):
        async with server.socket(tenant.key) as ws:
            assert await Talk(ws).closed() == (4408, "Connection initialisation timeout")

    async def test_second_initialisation(self, server, tenant):
        async with server.client(tenant.key) as talk:
            await talk.send(type="connection_init")
            assert await talk.closed() == (4429, "Too many initialisation requests")

    async def test_id_in_use(self, server, tenant):
        customer = await customer_of(server, tenant.key)
        async with server.client(tenant.key) as talk:
            await talk.subscribe("a", TIMELINE, c=f"Customer:{customer}")
            await talk.subscribe("a", TIMELINE, c=f"Customer:{customer}")
            assert await talk.closed() == (4409, "Subscriber for a already exists")
        await nobody(server)

    @pytest.mark.parametrize(
        "text",
        [
            "{",
            "1",
            "{}",
            '{"type": 1}',
            '{"type": "start"}',
            '{"type": "subscribe", "payload": {"query": "{ __typename }"}}',
            '{"type": "subscribe", "id": "", "payload": {"query": "{ __typename }"}}',
            '{"type": "subscribe", "id": "a"}',
            '{"type": "subscribe", "id": "a", "payload": {"query": 1}}',
            '{"type": "subscribe", "id": "a", "payload": {"query": "{ __typename }", "variables": []}}',
            '{"type": "complete"}',
            '{"type": "ping", "type": "pong"}',
            b"\x00",
        ],
    )
    async def test_invalid_message(self, server, tenant, text):
        async with server.client(tenant.key) as talk:
            await talk.ws.send(text)
            assert (await talk.closed())[0] == 4400

    async def test_other_protocol(self, server, tenant):
        for protocol in ("graphql-ws", None):
            async with server.socket(tenant.key, protocol) as ws:
                assert await Talk(ws).closed() == (4406, "Subprotocol not acceptable")

    async def test_signs_of_life(self, server, tenant):
        async with server.client(tenant.key) as talk:
            await talk.send(type="ping", payload={"x": 1})
            assert await talk.receive() == {"type": "pong", "payload": {"x": 1}}
            await talk.send(type="pong")
            assert json.loads(await asyncio.wait_for(talk.ws.recv(), 5)) == {"type": "ping"}
        customer = await customer_of(server, tenant.key)
        async with server.events(tenant.key, TIMELINE, c=f"Customer:{customer}") as stream:
            assert await asyncio.wait_for(anext(stream), 5) == (None, None)

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("subscription {", "graphql_parse_failed"),
            ("subscription { nothing }", "graphql_validation_failed"),
            ('subscription { a: customerTimeline(customerId: "Order:1") { id } }', "invalid"),
            ('subscription { __typename importProgress(id: "Import:1") { id } }', "graphql_validation_failed"),
            ("subscription($c: ID!) { customerTimeline(customerId: $c) { id } }", "bad_request"),
        ],
    )
    async def test_wrong_documents(self, server, tenant, query, code):
        async with server.client(tenant.key) as talk:
            await talk.subscribe("a", query)
            message = await talk.receive()
            assert (message["id"], message["type"]) == ("a", "error")
            assert message["payload"][0]["extensions"]["code"] == code
        async with server.events(tenant.key, query) as stream:
            event, body = await next_event(stream)
            assert (event, body["errors"][0]["extensions"]["code"]) == ("next", code)
            assert await next_event(stream) == ("complete", None)

    async def test_document_limits_hold(self, server, tenant):
        aliases = " ".join(f"a{number}: kind" for number in range(60))
        async with server.client(tenant.key) as talk:
            await talk.subscribe("a", f'subscription {{ customerTimeline(customerId: "Customer:1") {{ {aliases} }} }}')
            assert (await talk.receive())["payload"][0]["extensions"]["code"] == "graphql_limit_exceeded"

    async def test_plain_post_tells_where_to_go(self, server, tenant):
        async with server.http(tenant.key) as http:
            body = {"query": TIMELINE, "variables": {"c": f"Customer:{new_id()}"}}
            answer = await http.post("/graphql", json=body)
            assert answer.json()["errors"][0]["extensions"]["code"] == "subscription_transport"
            refused = await http.post("/graphql", content=b"{", headers={"accept": "text/event-stream"})
            assert refused.status_code == 415
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
            answer = await http.post("/graphql", json=body, headers={"accept": "text/event-stream"})
            assert (answer.status_code, answer.headers["content-type"]) == (401, "application/json; charset=utf-8")


class TestLimits:
    async def test_too_long_a_message(self, server, tenant):
        async with server.client(tenant.key) as talk:
            await talk.send(type="ping", payload={"x": "y" * 5_000})
            assert (await talk.closed())[0] == 1009

    async def test_too_many_operations(self, server, tenant):
        customer = await customer_of(server, tenant.key)
        async with server.client(tenant.key) as talk:
            for operation in "abc":
                await talk.subscribe(operation, TIMELINE, c=f"Customer:{customer}")
            message = await talk.receive()
            assert (message["id"], message["payload"][0]["extensions"]["code"]) == ("c", "too_many_subscriptions")

    async def test_too_many_connections_of_a_key(self, server, tenant):
        await nobody(server)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(server.client(tenant.key))
            async with server.socket(tenant.key) as ws:
                talk = Talk(ws)
                await talk.send(type="connection_init")
                assert (await talk.closed())[0] == 1013
            async with server.http(tenant.key) as http:
                body = {"query": "{ __typename }"}
                refused = await http.post("/graphql", json=body, headers={"accept": "text/event-stream"})
                assert refused.status_code == 429
                assert refused.json()["errors"][0]["extensions"]["code"] == "too_many_connections"
        await nobody(server)

    @pytest.mark.parametrize("transport", ["socket", "events"])
    async def test_who_does_not_read_is_dropped(self, server, tenant, transport):
        await nobody(server)
        customer = await customer_of(server, tenant.key)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        query = {"query": TIMELINE, "variables": {"c": f"Customer:{customer}"}}
        for piece, answer in _by_hand(transport, tenant.key, query):
            writer.write(piece)
            if answer:
                await asyncio.wait_for(reader.readuntil(answer), PATIENCE)
        await listening(server)
        writer.transport.pause_reading()
        async with server.http(tenant.key) as http:
            for _ in range(12):
                await http.post("/v1/events/batch", json={"events": [_long(customer) for _ in range(50)]})
                await asyncio.sleep(0.1)
        await nobody(server)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        del reader


def _long(customer):
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    given = {"type": "page_view", "occurred_at": now, "url": "/" + "x" * 1_900}
    return {"id": str(new_id()), "customer": {"customer_id": customer}, **given}


def _by_hand(transport, key, query):
    body = orjson.dumps(query)
    if transport == "events":
        head = (
            f"POST /graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\naccept: text/event-stream\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return [(head.encode() + body, b"\r\n\r\n")]
    head = (
        f"GET /graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: Upgrade\r\n"
        f"upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"sec-websocket-protocol: {PROTOCOL}\r\n\r\n"
    )
    subscribe = orjson.dumps({"id": "a", "type": "subscribe", "payload": query})
    init = orjson.dumps({"type": "connection_init"})
    return [(head.encode(), b"\r\n\r\n"), (_frame(init), b"connection_ack"), (_frame(subscribe), b"")]


def _frame(text):
    length = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    return b"\x81" + length + b"\0\0\0\0" + text  # masked by zeros


class TestHub:
    async def test_full_queue_ends_the_listener(self):
        listener = Listener(new_id(), lambda _: True, room=2)
        message = _message(listener.tenant_id)
        for _ in range(3):
            listener.offer(message)
        with pytest.raises(SlowConsumer):
            await listener.next()

    async def test_other_tenants_messages_are_not_even_offered(self):
        listener = Listener(new_id(), lambda _: True, room=2)
        listener.offer(_message(new_id()))
        listener.offer(_message(listener.tenant_id))
        assert len(await listener.next()) == 1

    async def test_closed_hub_takes_nobody(self, server):
        hub = Hub(server.database, poll_seconds=0.05, per_key=1)
        listener = Listener(new_id(), lambda _: True, room=2)
        async with hub.listening(listener):
            hub.close()
            with pytest.raises(GoingAway):
                await listener.next()
        with pytest.raises(GoingAway):
            async with hub.listening(listener):
                pass
        await hub._task

    async def test_nothing_that_commits_late_is_passed_over(self, server, tenant):
        """A transaction that began first and commits last is told last, but told."""
        hub = Hub(server.database, poll_seconds=0.02, per_key=1)
        listener = Listener(tenant.id, lambda message: message.type == "test.told", room=10)
        async with hub.listening(listener):
            async with server.database.write(tenant.actor) as slow:
                first = slow.emit("test.told", new_id(), {})
                await slow.flush()
                async with server.database.write(tenant.actor) as quick:
                    second = quick.emit("test.told", new_id(), {})
                await asyncio.sleep(0.3)
            found = []
            while len(found) < 2:
                found += [each.id for each in await asyncio.wait_for(listener.next(), PATIENCE)]
        assert found == [first, second]
        hub.close()
        await hub._task


def _message(tenant_id):
    return Message(new_id(), tenant_id, "x", new_id(), {}, datetime.now(UTC))


@pytest.mark.edge
class TestShutdown:
    async def test_streams_end_politely(self, settings, database_url, tenant):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with running("serve", "--port", str(port), CRM_DATABASE_URL=database_url, CRM_LOG_LEVEL="error") as process:
            await asyncio.to_thread(wait_for, f"http://127.0.0.1:{port}/livez", process=process)
            server = Server(port, settings, None, None)
            customer = await customer_of(server, tenant.key)
            async with (
                server.client(tenant.key) as talk,
                server.events(tenant.key, TIMELINE, c=f"Customer:{customer}") as stream,
            ):
                await talk.subscribe("a", TIMELINE, c=f"Customer:{customer}")
                reading = asyncio.create_task(_all(stream))
                await asyncio.sleep(1)
                os.kill(process.pid, signal.SIGTERM)
                assert (await talk.closed())[0] in {1001, 1012}
                assert await asyncio.wait_for(reading, PATIENCE) == []  # it ended, and without `complete`
            await asyncio.to_thread(process.wait, 20)
            assert process.returncode in {0, -signal.SIGTERM}  # uvicorn raises the signal again when all is done


async def _all(stream):
    return [each async for each in stream if each[0] is not None]
