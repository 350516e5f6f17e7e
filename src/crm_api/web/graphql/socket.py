"""GraphQL over a WebSocket: the protocol graphql-transport-ws, for subscriptions, queries and mutations.

The key comes with the handshake (``Authorization``) or, for browsers, which cannot set headers, in the payload of
``connection_init``: ``{"authorization": "Bearer crm_…"}``. Close codes are the protocol's (4400 invalid message, 4401
not acknowledged, 4403 no valid key, 4406 other protocol, 4408 no ``connection_init``, 4409 id in use, 4429 a second
``connection_init``) and some of WebSocket's own: 1001 this process ends, 1008 the client does not read, 1009 too long
a message, 1013 too many connections of this key.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from crm_api.core.actor import Actor
from crm_api.core.errors import BadRequest, Locale, MalformedBody, TooManyRequests, Unauthenticated
from crm_api.core.ids import new_id
from crm_api.db.failures import translate
from crm_api.web.auth import Caller
from crm_api.web.graphql.engine import Engine, Request
from crm_api.web.graphql.hub import STREAMS, GoingAway, Hub, SlowConsumer
from crm_api.web.graphql.sse import error_body
from crm_api.web.graphql.streams import is_subscription, open_stream
from crm_api.web.problems import locale_of
from crm_api.web.units import parse_json

log = structlog.get_logger(__name__)

PROTOCOL: Final = "graphql-transport-ws"
MAX_ID: Final = 200


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How much one client may ask of us.

    Attributes:
        subscriptions: at a time on one connection.
        message_bytes: of what a client sends.
        init_seconds: until ``connection_init`` must have come.
        ping_seconds: between signs of life.
        send_seconds: a client may take to read.
        check_seconds: between looks at the key.
        queue: messages that may wait for one client.

    """

    subscriptions: int = 20
    message_bytes: int = 65_536
    init_seconds: float = 10.0
    ping_seconds: float = 20.0
    send_seconds: float = 10.0
    check_seconds: float = 2.5
    queue: int = 100


class Closing(Exception):
    """The connection must end."""

    def __init__(self, code: int, reason: str) -> None:
        """Say why."""
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(slots=True)
class Connection:
    """One client's connection."""

    socket: WebSocket
    engine: Engine
    hub: Hub
    limits: StreamLimits
    caller: Caller | None = None
    locale: Locale = "en"
    running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    verdict: Closing | None = None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self) -> None:
        """Talk until one side ends it."""
        self.locale = locale_of(self.socket.headers.get("accept-language", ""))
        offered = self.socket.scope.get("subprotocols") or []
        await self.socket.accept(PROTOCOL if PROTOCOL in offered else None)
        end: Closing | None = None
        try:
            if PROTOCOL not in offered:
                raise Closing(4406, "Subprotocol not acceptable")  # noqa: TRY301
            await self._talk()
        except Closing as closing:
            end = closing
        except WebSocketDisconnect:
            pass
        finally:
            await self._end(end)

    async def _end(self, end: Closing | None) -> None:
        tasks = list(self.running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if end is None or self.socket.client_state is WebSocketState.DISCONNECTED:
            return
        log.info("socket_closed", code=end.code, reason=end.reason)
        with suppress(TimeoutError, RuntimeError, WebSocketDisconnect, OSError):
            async with asyncio.timeout(self.limits.send_seconds):
                # A reason may have 123 bytes.
                await self.socket.close(end.code, end.reason.encode()[:123].decode(errors="ignore"))

    async def _talk(self) -> None:
        try:
            async with asyncio.timeout(self.limits.init_seconds):
                actor = await self._begin()
        except TimeoutError:
            raise Closing(4408, "Connection initialisation timeout") from None
        try:
            with self.hub.admitted(actor.id), STREAMS.labels("websocket").track_inprogress():
                await self._send({"type": "connection_ack"})
                await self._both()
        except TooManyRequests as error:
            raise Closing(1013, error.localized("en")) from None

    async def _both(self) -> None:
        """Listen to the client and watch over the connection, until either has had enough."""
        works = (self._listen(), self._keep_alive(), self._watch(), self._leave(), self._stopping())
        tasks = [asyncio.create_task(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    # -- beginning -------------------------------------------------------------------------------------------------

    async def _begin(self) -> Actor:
        while True:
            message = await self._receive()
            if message["type"] == "connection_init":
                return await self._authenticate(message.get("payload"))
            if message["type"] == "subscribe":
                raise Closing(4401, "Unauthorized")
            await self._sign_of_life(message)

    async def _authenticate(self, payload: Any) -> Actor:
        given = {str(name).lower(): value for name, value in payload.items()} if isinstance(payload, dict) else {}
        header = given.get("authorization", self.socket.headers.get("authorization", ""))
        if isinstance(given.get("accept-language"), str):
            self.locale = locale_of(given["accept-language"])
        request_id = str(new_id())
        state = self.socket.app.state
        self.caller = Caller(
            state.stream_keys, state.db, header if isinstance(header, str) else "", request_id, self.locale
        )
        try:
            return await self.caller.now()
        except Unauthenticated as error:
            raise Closing(4403, error.localized("en")) from None
        except Exception as error:
            if translate(error) is None:
                raise
            raise Closing(1013, "Temporarily unavailable: try again shortly") from None

    # -- what comes in ---------------------------------------------------------------------------------------------

    async def _receive(self) -> dict[str, Any]:
        event = await self.socket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", 1005))
        text = event.get("text")
        if text is None:
            raise Closing(4400, "Send text messages")
        raw = text.encode("utf-8", "surrogatepass")
        if len(raw) > self.limits.message_bytes:
            raise Closing(1009, f"A message may have at most {self.limits.message_bytes} bytes")
        try:
            message = parse_json(raw)
        except (MalformedBody, ValueError):
            raise Closing(4400, "This is not a JSON message") from None
        except Exception as error:
            if translate(error) is None:
                raise
            raise Closing(4400, "The message cannot be read") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Closing(4400, "A message is an object with a type")
        return message

    async def _listen(self) -> None:
        while True:
            message = await self._receive()
            match message["type"]:
                case "connection_init":
                    raise Closing(4429, "Too many initialisation requests")
                case "subscribe":
                    await self._subscribe(message)
                case "complete":
                    task = self.running.pop(_id_of(message), None)
                    if task is not None:
                        task.cancel()
                case _:
                    await self._sign_of_life(message)

    async def _sign_of_life(self, message: Mapping[str, Any]) -> None:
        if message["type"] not in {"ping", "pong"}:
            raise Closing(4400, f"There is no message of type {message['type'][:50]}")
        if message["type"] == "ping":
            payload = {"payload": message["payload"]} if "payload" in message else {}
            await self._send({"type": "pong", **payload})

    async def _subscribe(self, message: Mapping[str, Any]) -> None:
        operation_id, request = _id_of(message), _request_of(message.get("payload"))
        if operation_id in self.running:
            raise Closing(4409, f"Subscriber for {operation_id} already exists")
        if len(self.running) >= self.limits.subscriptions:
            error = BadRequest(
                f"A connection may have {self.limits.subscriptions} operations at a time: complete one first",
                zh=f"每个连接最多同时进行 {self.limits.subscriptions} 个操作：请先结束一个",
                code="too_many_subscriptions",
            )
            await self._refuse(operation_id, error)
            return
        task = asyncio.create_task(self._run(operation_id, request))
        self.running[operation_id] = task
        task.add_done_callback(lambda done: self._over(operation_id, done))

    def _over(self, operation_id: str, task: asyncio.Task[None]) -> None:
        if self.running.get(operation_id) is task:
            del self.running[operation_id]

    # -- operations ------------------------------------------------------------------------------------------------

    async def _run(self, operation_id: str, request: Request) -> None:
        try:
            if is_subscription(self.engine, request):
                await self._stream(operation_id, request)
            else:
                await self._answer(operation_id, request)
        except (SlowConsumer, TimeoutError):
            self._stop(_SLOW)
        except WebSocketDisconnect:
            pass  # `_listen` hears of it too
        except GoingAway:
            pass  # `_leave` says good-bye for the whole connection
        except Unauthenticated as error:
            self._stop(Closing(4403, error.localized("en")))
        except Exception as error:  # noqa: BLE001 - what it is, is told
            with suppress(TimeoutError):
                await self._refuse(operation_id, error)

    async def _stream(self, operation_id: str, request: Request) -> None:
        caller = self.caller
        assert caller is not None  # noqa: S101 - nothing runs before the key is known
        database = self.socket.app.state.db
        stream = await open_stream(
            engine=self.engine, request=request, database=database, hub=self.hub, who=caller.now, room=self.limits.queue
        )
        async with aclosing(stream.results()) as results:
            async for result in results:
                await self._next(operation_id, result)
        await self._complete(operation_id)

    async def _answer(self, operation_id: str, request: Request) -> None:
        assert self.caller is not None  # noqa: S101 - nothing runs before the key is known
        answer = await self.engine.run(request, await self.caller.now(), self.socket.app.state.db)
        if not answer.executed:
            errors = orjson.loads(answer.body)["errors"]
            await self._send({"id": operation_id, "type": "error", "payload": errors})
            return
        await self._next(operation_id, answer.body)
        await self._complete(operation_id)

    async def _refuse(self, operation_id: str, error: Exception) -> None:
        errors = orjson.loads(error_body(error, self.locale))["errors"]
        await self._send({"id": operation_id, "type": "error", "payload": errors})

    async def _next(self, operation_id: str, result: bytes) -> None:
        await self._write(b'{"id":' + orjson.dumps(operation_id) + b',"type":"next","payload":' + result + b"}")

    async def _complete(self, operation_id: str) -> None:
        # From here on the id may be used again, even before the task has ended.
        self.running.pop(operation_id, None)
        await self._send({"id": operation_id, "type": "complete"})

    # -- watching over it ------------------------------------------------------------------------------------------

    def _stop(self, closing: Closing) -> None:
        self.verdict = self.verdict or closing
        self.stopped.set()

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(self.limits.ping_seconds)
            try:
                await self._send({"type": "ping"})
            except TimeoutError:
                raise _SLOW from None

    async def _watch(self) -> None:
        assert self.caller is not None  # noqa: S101 - nothing runs before the key is known
        while True:
            await asyncio.sleep(self.limits.check_seconds)
            try:
                await self.caller.now()
            except Unauthenticated as error:
                raise Closing(4403, error.localized("en")) from None
            except Exception as error:
                if translate(error) is None:
                    raise

    async def _leave(self) -> None:
        await self.hub.closing.wait()
        raise Closing(1001, "Going away: connect again")

    async def _stopping(self) -> None:
        await self.stopped.wait()
        assert self.verdict is not None  # noqa: S101 - set together
        raise self.verdict

    async def _send(self, message: Mapping[str, Any]) -> None:
        await self._write(orjson.dumps(message))

    async def _write(self, data: bytes) -> None:
        async with self.lock, asyncio.timeout(self.limits.send_seconds):
            await self.socket.send_text(data.decode())


_SLOW: Final = Closing(1008, "Slow consumer: results are not read as fast as they come")


def _id_of(message: Mapping[str, Any]) -> str:
    operation_id = message.get("id")
    if not isinstance(operation_id, str) or not 0 < len(operation_id) <= MAX_ID:
        raise Closing(4400, f"The id is a text of 1 to {MAX_ID} characters")
    return operation_id


def _request_of(payload: Any) -> Request:
    if not isinstance(payload, dict) or not isinstance(payload.get("query"), str):
        raise Closing(4400, "The payload is an object with the text of a query")
    variables, name = payload.get("variables"), payload.get("operationName")
    if not isinstance(variables, (dict, type(None))) or not isinstance(name, (str, type(None))):
        raise Closing(4400, "Variables are an object, the operation's name is a text")
    return Request(payload["query"], variables or {}, name or None)
