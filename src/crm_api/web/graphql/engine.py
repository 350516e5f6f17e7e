"""Runs GraphQL requests: from a plan when it can, through the ordinary executor when it must.

Both ways end in the same planner. The fast way plans the whole operation as one statement and passes PostgreSQL's
bytes on. The executor is used for mutations, introspection, computed fields, and whenever a request meets an error
(so that errors come out as the specification wants them, beside whatever else was asked); its root resolvers plan
their own field, and everything below them is already read.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import UUID

import orjson
import structlog
from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    execute,
    parse,
    validate,
)
from graphql.execution.values import VariableValues, get_variable_values

from crm_api.core.actor import Actor
from crm_api.core.errors import CrmError, IdempotencyKeyReused, Locale, NotFound, Unavailable
from crm_api.db import idempotency
from crm_api.db.failures import translate
from crm_api.db.plans import NOW_KEY, Plan
from crm_api.db.plans.cache import LRU, Shapes, Trace
from crm_api.db.pool import Database
from crm_api.db.projections import on_change
from crm_api.db.uow import UnitOfWork
from crm_api.web import aliases
from crm_api.web.graphql import keyed
from crm_api.web.graphql.errors import CODES, extensions, shown
from crm_api.web.graphql.limits import Cost, Limits, Meter, TooMuch
from crm_api.web.graphql.notes import ApiSchema
from crm_api.web.graphql.planner import VALUES_KEY, NotPlannable, Planner

log = structlog.get_logger(__name__)
T = TypeVar("T")

CACHED_BYTES: Final = 64 * 2**20
"""Bound on the memory of all cached documents."""

TOKEN_BYTES: Final = 600
"""What a token of a document costs once it is parsed (measured: 400 to 560 bytes)."""

PLAN_BYTES: Final = 64 * 2**20
"""Bound on the memory of all plans: beyond it every document is forgotten, and the useful ones come back."""

_LISTEN: Final = (
    "A subscription needs a stream: send it with 'Accept: text/event-stream', or over a WebSocket "
    "(graphql-transport-ws)."
)

_UNPLANNED: Final = Plan("", ())
"""Stands in the cache for an operation that needs the executor."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it came; ``key`` is its Idempotency-Key."""

    query: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation_name: str | None = None
    read_only: bool = False
    key: str | None = None
    force_fallback: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A response body; ``status`` is what the newer media type wants, ``executed`` whether the query ran at all."""

    body: bytes
    status: int = 200
    executed: bool = True
    retry_after: int | None = None
    replayed: bool = False


@dataclass(slots=True, eq=False)
class Prepared:
    """A document that was parsed, measured and validated, with its plans."""

    document: DocumentNode
    operations: dict[str | None, OperationDefinitionNode]
    fragments: dict[str, FragmentDefinitionNode]
    plans: LRU[Any, Shapes[Plan]] = field(default_factory=lambda: LRU(64))


@dataclass(slots=True, eq=False)
class Context:
    """What resolvers know of the request."""

    engine: "Engine"
    database: Database
    actor: Actor
    prepared: Prepared
    operation_name: str | None
    variables: dict[str, Any]
    attempt: keyed.Attempt | None = None
    names: aliases.Names = field(default_factory=dict)
    asked: set[UUID] = field(default_factory=set)

    async def names_of(self, given: Mapping[str, Any]) -> aliases.Names:
        """Return what answers for old ids among the arguments of a mutation that did not find something.

        With an Idempotency-Key its transaction is still open: then the whole request runs again; see ``_keyed``.
        """
        if self.attempt is not None:
            self.asked |= aliases.ids_in(given)
            return {}
        return await aliases.look_up(self.database, self.actor, aliases.ids_in(given))

    async def under_new_ids(self, attempt: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """Run a transaction; again with the ids that answer for old ones when something was not found."""
        try:
            return await self.database.run(self.actor, attempt)
        except NotFound:
            self.names = await aliases.look_up(self.database, self.actor, self.asked)
            if not self.names:
                raise
        return await self.database.run(self.actor, attempt)

    def planner(self) -> Planner:
        """Return a planner for one request: what it plans is not kept."""
        trace, cost = Trace(self.variables), Cost(self.engine.limits.cost)
        schema, fragments = self.engine.schema, self.prepared.fragments
        return Planner(schema, fragments, self.actor.scopes, trace, cost, typed=True)

    async def write(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """Do a mutation's work in its transaction."""
        if self.attempt is not None:
            return await self.attempt.run(work)
        return await self.database.run(self.actor, work)


class RequestError(Exception):
    """The request cannot be executed; nothing ran."""

    def __init__(self, errors: list[GraphQLError], code: str, status: int = 400) -> None:
        """Carry the errors and the status of the newer media type."""
        super().__init__(code)
        self.errors = errors
        self.code = code
        self.status = status


class Engine:
    """Executes requests against one schema."""

    def __init__(self, schema: ApiSchema, limits: Limits, cache_size: int = 1_000) -> None:
        """Start with empty caches."""
        self.schema = schema
        self.limits = limits
        self._documents: LRU[str, Prepared] = LRU(cache_size, weight=CACHED_BYTES)
        self._plan_bytes = 0
        on_change(self._forget)

    def _forget(self) -> None:
        self._documents.clear()
        self._plan_bytes = 0

    # -- documents -------------------------------------------------------------------------------------------------

    def prepare(self, text: str) -> Prepared:
        """Return the document, parsed, measured and validated; each text only once.

        Raises:
            RequestError: it is not valid.

        """
        known = self._documents.get(text)
        if known is None:
            known = self._prepare(text)
            self._documents.put(text, known, _weight(known.document, text))
        return known

    def _prepare(self, text: str) -> Prepared:
        try:
            document = parse(text, max_lexical_tokens=self.limits.tokens, max_comments=self.limits.tokens)
            Meter(self.schema, document).check(self.limits)
            errors = validate(self.schema.core, document, max_errors=20)
        except TooMuch as error:
            raise RequestError([error], "graphql_limit_exceeded") from None
        except GraphQLError as error:
            raise RequestError([error], CODES["syntax"]) from None
        except RecursionError:
            raise RequestError([TooMuch("depth", self.limits.depth)], "graphql_limit_exceeded") from None
        if errors:
            raise RequestError(errors, CODES["validation"])
        operations: dict[str | None, OperationDefinitionNode] = {}
        fragments = {}
        for each in document.definitions:
            if isinstance(each, OperationDefinitionNode):
                operations[each.name.value if each.name else None] = each
            elif isinstance(each, FragmentDefinitionNode):
                fragments[each.name.value] = each
        return Prepared(document, operations, fragments)

    def operation(self, prepared: Prepared, name: str | None) -> OperationDefinitionNode:
        """Return the operation to run.

        Raises:
            RequestError: there is none, or it is not clear which.

        """
        if name is None and len(prepared.operations) == 1:
            return next(iter(prepared.operations.values()))
        found = prepared.operations.get(name)
        if found is None or name is None:
            text = "Name the operation to run: there are several." if name is None else "There is no such operation."
            raise RequestError([GraphQLError(text)], CODES["request"])
        return found

    def variables(self, operation: OperationDefinitionNode, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the variables' values, as the schema has them.

        Raises:
            RequestError: one is missing or of the wrong type.

        """
        if not operation.variable_definitions:
            return {}
        coerced = get_variable_values(
            self.schema.core, operation.variable_definitions, dict(given), max_errors=20, hide_suggestions=True
        )
        if not isinstance(coerced, VariableValues):
            raise RequestError(list(coerced), CODES["request"])
        return {**coerced.coerced, VALUES_KEY: coerced}

    # -- running ---------------------------------------------------------------------------------------------------

    async def run(self, request: Request, actor: Actor, database: Database) -> Answer:
        """Answer a request; every failure is an answer too."""
        try:
            return await self._run(request, actor, database)
        except RequestError as error:
            return refusal(error, actor.locale)

    async def _run(self, request: Request, actor: Actor, database: Database) -> Answer:
        prepared = self.prepare(request.query)
        operation = self.operation(prepared, request.operation_name)
        is_query = operation.operation is OperationType.QUERY
        if request.read_only and not is_query:
            raise RequestError([GraphQLError("Only queries can be sent by GET.")], "method_not_allowed", 405)
        if operation.operation is OperationType.SUBSCRIPTION:
            raise RequestError([GraphQLError(_LISTEN)], "subscription_transport")
        variables = self.variables(operation, request.variables)
        variables[NOW_KEY] = database.clock.now()
        if is_query and not request.force_fallback:
            body = await self._planned(prepared, operation, variables, actor, database)
            if body is not None:
                return Answer(body)
        context = Context(self, database, actor, prepared, request.operation_name, variables)
        if request.key is not None and operation.operation is OperationType.MUTATION:
            return await self._keyed(request, request.key, operation, context)
        return _answer(await self._executed(request, context), actor.locale)

    async def _planned(
        self,
        prepared: Prepared,
        operation: OperationDefinitionNode,
        variables: dict[str, Any],
        actor: Actor,
        database: Database,
    ) -> bytes | None:
        """Return the response read by one statement, or None when the executor must see to it."""
        try:
            # Never the node itself: hashing one walks all that is below it.
            key = (operation.name.value if operation.name else None, actor.scopes)
            plan = self.plan(
                prepared, key, actor.scopes, variables, lambda planner: planner.operation(operation.selection_set)
            )
            if plan is _UNPLANNED:
                return None
            async with database.read(actor) as unit:
                row = await unit.fetch_plan(plan, variables)
        except (CrmError, TooMuch):
            return None
        except Exception as error:
            if translate(error) is None:
                raise
            return None
        assert row is not None  # noqa: S101 - a select without FROM yields a row
        return b'{"data":' + plan.finish(row[0], variables[NOW_KEY]) + b"}"

    def plan(
        self,
        prepared: Prepared,
        key: Any,
        scopes: frozenset[str],
        variables: Mapping[str, Any],
        make: Any,
        *,
        typed: bool = False,
    ) -> Plan:
        """Return the plan for these variables, making it when it is the first of its shape."""
        shapes = prepared.plans.get(key)
        if shapes is None:
            shapes = Shapes()
            prepared.plans.put(key, shapes)
        found = shapes.find(variables)
        if found is None:
            trace = Trace(variables)
            cost = Cost(self.limits.cost)
            try:
                found = make(Planner(self.schema, prepared.fragments, scopes, trace, cost, typed=typed))
            except NotPlannable:
                found = _UNPLANNED
            shapes.add(trace, found)
            # A plan holds its text, and about as much again for its arguments and its place in the cache.
            self._plan_bytes += 2 * len(found.sql) + 1_000
            if self._plan_bytes > PLAN_BYTES:
                self._forget()
        return found

    async def _keyed(self, request: Request, key: str, operation: OperationDefinitionNode, context: Context) -> Answer:
        """Return the first answer to the key; see `keyed`."""
        try:
            keyed.checked(key)
            keyed.one_mutation(context.planner(), operation.selection_set)
        except CrmError as error:
            raise _refused(error) from None
        name = operation.name.value if operation.name else None
        fingerprint = keyed.fingerprint(request.query, name, dict(request.variables))

        async def attempt(unit: UnitOfWork) -> Answer:
            try:
                known = await idempotency.claim(unit, key, fingerprint)
            except IdempotencyKeyReused as error:
                raise _refused(error) from None
            if known is not None:
                return Answer(known.body, known.status, replayed=True)
            context.attempt = tried = keyed.Attempt(unit)
            result = await self._executed(request, context)
            if tried.error is not None or result.errors:
                if isinstance(tried.error, CrmError) and tried.error.keeps_work:
                    await idempotency.release(unit, key)
                raise tried.error or (result.errors or [])[0]
            answer = _answer(result, context.actor.locale)
            await idempotency.store(unit, key, idempotency.StoredAnswer(answer.status, {}, answer.body))
            return answer

        try:
            return await context.under_new_ids(attempt)
        except RequestError:
            raise
        except Exception as error:  # noqa: BLE001 - the executor says what it is, as without a key
            context.attempt = keyed.Attempt(error=error)
            return _answer(await self._executed(request, context), context.actor.locale)

    async def _executed(self, request: Request, context: Context) -> ExecutionResult:
        result = execute(
            self.schema.core,
            context.prepared.document,
            context_value=context,
            variable_values=dict(request.variables),
            operation_name=request.operation_name,
            hide_suggestions=True,
        )
        return await result if inspect.isawaitable(result) else result


def _answer(result: ExecutionResult, locale: Locale) -> Answer:
    body: dict[str, Any] = {"data": result.data}
    if result.errors:
        body["errors"] = [shown(error, locale, "graphql_execution_failed") for error in result.errors]
    return Answer(orjson.dumps(body), *_status(result))


def _refused(error: CrmError) -> RequestError:
    return RequestError([GraphQLError(error.message, original_error=error)], error.code)


def _weight(document: DocumentNode, text: str) -> int:
    tokens = 0
    token = document.loc.start_token if document.loc else None
    while token is not None:
        tokens += 1
        token = token.next
    return len(text) + TOKEN_BYTES * tokens


def _status(result: Any) -> tuple[int, bool, int | None]:
    """Return status, executed and Retry-After for what the executor made."""
    for error in result.errors or ():
        known = None if error.original_error is None else translate(error.original_error)
        if isinstance(known, Unavailable):
            return known.status, True, known.retry_after
    return 200, True, None


def refusal(error: RequestError, locale: Any) -> Answer:
    """Return the answer to a request that was not executed."""
    body = {"errors": [shown(each, locale, error.code) for each in error.errors]}
    return Answer(orjson.dumps(body), error.status, executed=False)


def failure(error: CrmError, locale: Any) -> Answer:
    """Return the answer to a request that failed as a whole (no key, no database)."""
    body = {"errors": [{"message": error.localized(locale), "extensions": extensions(error, locale)}]}
    retry = error.retry_after if isinstance(error, Unavailable) else None
    return Answer(orjson.dumps(body), error.status, executed=False, retry_after=retry)
