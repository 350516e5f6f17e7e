"""One running subscription: from its document to the results it tells, whatever carries them."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson
from graphql import GraphQLError, OperationType

from crm_api.core.actor import Actor
from crm_api.core.messages import Message
from crm_api.db.plans import NOW_KEY
from crm_api.db.plans.cache import Trace
from crm_api.db.plans.plan import picked
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.web.graphql.engine import Engine, Prepared, Request, RequestError
from crm_api.web.graphql.hub import Hub, Listener
from crm_api.web.graphql.limits import Cost
from crm_api.web.graphql.parts import NOTHING, Call, Follower, Subscription
from crm_api.web.graphql.planner import PAYLOAD_KEY, Collected, Planner

WhoNow = Callable[[], Awaitable[Actor]]
"""Returns the caller as their key is now; raises Unauthenticated once it is none any more."""

ROOT: Final = "Subscription"


def is_subscription(engine: Engine, request: Request) -> bool:
    """Return whether the request asks for a stream.

    Raises:
        RequestError: it is not valid.

    """
    return (
        engine.operation(engine.prepare(request.query), request.operation_name).operation is OperationType.SUBSCRIPTION
    )


@dataclass(slots=True)
class Stream:
    """A subscription of one client."""

    engine: Engine
    database: Database
    hub: Hub
    who: WhoNow
    room: int
    prepared: Prepared
    field: Collected
    declared: Subscription
    subject: UUID
    extra: dict[str, Any]
    variables: dict[str, Any]
    operation_name: str | None

    async def results(self) -> AsyncGenerator[bytes]:
        """Yield results (``{"data": …}``) until there is nothing more to come.

        Raises:
            CrmError: the caller may not, or no longer; or there is no such thing (any more).
            SlowConsumer: results are not taken as fast as they come.
            GoingAway: the process ends.

        """
        actor = await self.who()
        follower = self.declared.follower()
        declared, subject = self.declared, self.subject
        listener = Listener(
            actor.tenant_id, lambda message: declared.concerns(message, subject), self.room, merges=declared.merges
        )
        async with self.hub.listening(listener):
            ended, results = await self._read(actor, follower, None)
            while True:
                for result in results:
                    yield result
                if ended:
                    return
                messages = [] if follower.behind else await listener.next()
                ended, results = await self._read(await self.who(), follower, messages)

    async def _read(
        self, actor: Actor, follower: Follower, messages: Sequence[Message] | None
    ) -> tuple[bool, list[bytes]]:
        # A replica may not know yet what the message is about.
        unit_of = self.database.write if self.database.settings.read_database_url else self.database.read
        async with unit_of(actor) as unit:
            call = Call(unit, id=self.subject, extra=self.extra)
            values = await (follower.first(call) if messages is None else follower.next(call, messages))
            results = [await self._result(unit, value) for value in values]
            return await follower.ended(call), results

    async def _result(self, unit: UnitOfWork, value: Any) -> bytes:
        variables = {**self.variables, NOW_KEY: unit.now()}
        if not isinstance(self.declared.returns, str):
            shown = picked(value, self._planner(unit.actor, variables).value_object(ROOT, self.field))
            return orjson.dumps({"data": {self.field.key: shown}})
        variables[PAYLOAD_KEY] = {self._name: value}
        plan = self.engine.plan(
            self.prepared,
            ("stream", self.operation_name, unit.actor.scopes),
            unit.actor.scopes,
            variables,
            lambda planner: planner.payload(ROOT, [self.field]),
        )
        row = await unit.fetch_plan(plan, variables)
        assert row is not None  # noqa: S101 - a select without FROM yields a row
        return b'{"data":' + plan.finish(row[0], variables[NOW_KEY]) + b"}"

    @property
    def _name(self) -> str:
        return self.engine.schema.notes[ROOT][self.field.name].name

    def _planner(self, actor: Actor, variables: dict[str, Any]) -> Planner:
        engine = self.engine
        cost = Cost(engine.limits.cost)
        return Planner(engine.schema, self.prepared.fragments, actor.scopes, Trace(variables), cost, typed=False)


async def open_stream(
    *, engine: Engine, request: Request, database: Database, hub: Hub, who: WhoNow, room: int
) -> Stream:
    """Return the stream a request asks for; nothing is read yet.

    Raises:
        RequestError: the request is not valid.
        CrmError: no valid key, or an argument is not valid.

    """
    actor = await who()
    prepared = engine.prepare(request.query)
    operation = engine.operation(prepared, request.operation_name)
    variables = engine.variables(operation, request.variables)
    planner = Planner(
        engine.schema, prepared.fragments, actor.scopes, Trace(variables), Cost(engine.limits.cost), typed=False
    )
    fields = planner.collect(ROOT, [operation.selection_set])
    note = engine.schema.notes[ROOT].get(fields[0].name) if len(fields) == 1 else None
    if note is None or note.stream is None:
        raise RequestError([GraphQLError("A subscription selects exactly one field.")], "graphql_validation_failed")
    given = {name: value.read(variables) for name, value in planner.arguments(ROOT, fields[0]).items()}
    subject = NOTHING if note.stream.target is None else given.pop(note.stream.argument)
    return Stream(
        engine,
        database,
        hub,
        who,
        room,
        prepared,
        fields[0],
        note.stream,
        subject,
        {name: value for name, value in given.items() if value is not None},
        variables,
        request.operation_name,
    )
