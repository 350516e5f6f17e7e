"""Selections in, one SQL statement out.

Shapes, by measurement on PostgreSQL 18 (200,000 customers, ADR 0004): ``row_to_json`` of a named sub-select makes an
object, ``json_agg`` of a limited sub-select makes a list, correlated scalar sub-selects keep each field independent
of its neighbours. A page that must know whether more follows fetches one row more than it shows and slices the array.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    BindParameter,
    ColumnElement,
    FromClause,
    Select,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    null,
    select,
)
from sqlalchemy import column as named_column
from sqlalchemy.sql import visitors
from sqlalchemy.types import TypeEngine

from crm_api.core.errors import Forbidden
from crm_api.db.fields import FilterCheck
from crm_api.db.plans.cache import Trace
from crm_api.db.plans.pages import ROW, WHOLE_ROW, Page, paged, whole_list
from crm_api.db.plans.plan import Check, Extract, Finish, Plan, named, picked, render
from crm_api.db.plans.selection import NOW_KEY, Selection, Value, may
from crm_api.db.plans.values import enum_names, fitting, plain, sql_type_of
from crm_api.db.projections import (
    TENANT,
    Entry,
    Field,
    Filter,
    FilterValue,
    Projection,
    PythonField,
    Relation,
    Wanted,
    column,
    projection,
)

MAX_NAME: Final = 63
"""Bytes of a PostgreSQL identifier; a longer response key travels under a short name and is renamed afterwards."""

Expression = ColumnElement[Any]
"""An SQL expression on its way into a plan; other packages hand it about without looking inside."""

Columns = list[Expression]


class Refused(Forbidden):
    """The caller lacks a scope that a selected field or a filter needs; ``path`` says which."""

    def __init__(self, scope: str, path: Sequence[str]) -> None:
        """Name the scope and the field."""
        extra = {"required_scope": scope, **({"field": ".".join(path)} if path else {})}
        super().__init__(f"This key lacks the scope '{scope}'", zh=f"此密钥缺少权限 “{scope}”", extra=extra)
        self.path = list(path)


class Compiler:
    """Compiles one statement; it may learn about the request's values only through ``trace``."""

    def __init__(self, scopes: frozenset[str], trace: Trace) -> None:
        """Compile for a caller with these scopes."""
        self.scopes = scopes
        self.trace = trace
        self._aliases = 0
        self._scope: tuple[FromClause, ...] = ()
        self._extracts: dict[str, Extract] = {"now": lambda variables: variables[NOW_KEY]}
        self._foreign: dict[BindParameter[Any], Extract] = {}
        self._finishes: list[Finish] = []
        self._checks: list[Check] = []
        self._path: list[str] = []
        self._names: list[str] = []

    # -- parts of a statement --------------------------------------------------------------------------------------

    def plan(self, statement: Select[Any]) -> Plan:
        """Return the finished plan."""
        finishes, checks = tuple(reversed(self._finishes)), tuple(self._checks)
        return render(statement, self._extracts, self._foreign, finishes, checks)

    def document(self, columns: Columns) -> Plan:
        """Return the plan of one object with these columns, read from nowhere in particular."""
        return self.plan(select(func.row_to_json(WHOLE_ROW)).select_from(select(*columns).subquery(ROW)))

    def nothing(self) -> Expression:
        """Return JSON's null."""
        return literal_column("NULL::json")

    def alias(self, of: Projection) -> FromClause:
        """Return a new alias of the projection's table."""
        self._aliases += 1
        return of.table.alias(f"t{self._aliases}")

    def bind(self, extract: Extract, sql_type: TypeEngine[Any]) -> ColumnElement[Any]:
        """Return a typed bind parameter that gets its value from the request."""
        name = f"v{len(self._extracts)}"
        self._extracts[name] = extract
        return bindparam(name, type_=sql_type)

    def bind_value(self, value: Value, sql_type: TypeEngine[Any], derive: Callable[[Any], Any] | None = None) -> Any:
        """Return a bind parameter for an argument, or for what ``derive`` makes of it."""
        read, fit = value.read, fitting(sql_type)
        if derive is None:
            return self.bind(lambda variables: fit(read(variables)), sql_type)
        return self.bind(lambda variables: fit(derive(plain(read(variables)))), sql_type)

    def foreign(
        self, t: FromClause, predicate: ColumnElement[bool], parameters: Sequence[BindParameter[Any]], name: str
    ) -> ColumnElement[bool]:
        """Take in a predicate made elsewhere; its values come from the request, in order, as variable ``name``."""
        for position, parameter in enumerate(parameters):
            self._foreign[parameter] = _position(name, position, fitting(parameter.type))
        with self.within(t):
            return self.adopt(predicate, declared=False)

    def require(self, scope: str | None, *argument: str) -> None:
        """Refuse the field being compiled, or its argument, unless the caller has the scope."""
        if scope is not None and not may(self.scopes, scope):
            raise Refused(scope, [*self._names, *argument])

    def correlated(self, statement: Select[Any]) -> Select[Any]:
        """Let a sub-select see the rows it stands in, and only those."""
        return statement.correlate(*self._scope) if self._scope else statement

    def adopt(self, made: ColumnElement[Any], *, declared: bool = True) -> ColumnElement[Any]:
        """Let the sub-selects inside an expression see the planner's aliases, however deep they stand."""
        for part in visitors.iterate(made):
            if isinstance(part, Select):
                # SQLAlchemy itself looks one level up only.
                part._correlate = part._correlate or self._scope  # noqa: SLF001
                if declared:
                    _literal_limit(part)
        return made

    def row(self, columns: Columns, beside: FromClause | None = None) -> ColumnElement[Any]:
        """Return a JSON object with these columns, which may look at the planner's rows and at ``beside``."""
        with self.within(beside):
            inner = self.correlated(select(*columns)).subquery(ROW)
            return self.correlated(select(func.row_to_json(WHOLE_ROW)).select_from(inner)).scalar_subquery()

    @contextmanager
    def within(self, t: FromClause | None) -> Iterator[None]:
        """Compile inside a sub-select over ``t``."""
        outside = self._scope
        if t is not None:
            self._scope = (*outside, t)
        try:
            yield
        finally:
            self._scope = outside

    # -- objects ---------------------------------------------------------------------------------------------------

    def columns(self, of: Projection, t: FromClause, selections: Sequence[Selection]) -> Columns:
        """Return one labelled column per selection, for a row of ``t``."""
        with self.within(t):
            return [self.named(selection, lambda s: self._selected(of, t, s)) for selection in selections]

    def named(self, selection: Selection, build: Callable[[Selection], ColumnElement[Any]]) -> ColumnElement[Any]:
        """Build one column, labelled with the selection's response key."""
        name, made = self.inside(selection, build)
        return made.label(name)

    def inside(
        self, selection: Selection, build: Callable[[Selection], ColumnElement[Any]]
    ) -> tuple[str, ColumnElement[Any]]:
        """Build one value and return it with the name its column must have."""
        name = self._column_name(selection.key)
        self._path.append(name)
        self._names.append(selection.key)
        try:
            if selection.literal is not None:
                # A name of the schema, never the client's text.
                return name, literal_column(f"'{selection.literal}'", Text)
            return name, build(selection)
        finally:
            self._path.pop()
            self._names.pop()

    def _column_name(self, key: str) -> str:
        if len(key) <= MAX_NAME and len(key.encode()) <= MAX_NAME:
            return key
        name = f"{ROW}{len(self._finishes)}"
        self._finishes.append(Finish(tuple(self._path), name, rename=key))
        return name

    def _selected(self, of: Projection, t: FromClause, selection: Selection) -> ColumnElement[Any]:
        # A global id holds the projection's key, whatever the model calls it.
        entry = column(of.key) if selection.field == "id" and selection.prefix else of.entry(selection.field)
        if entry is None:
            raise LookupError(f"{of.name} has no field {selection.field!r}")
        return self.entry(entry, t, selection)

    def entry(self, entry: Entry, t: FromClause | None, selection: Selection) -> ColumnElement[Any]:
        """Return the value of a field or relation of the row ``t`` (None at the root)."""
        if isinstance(entry, Relation):
            return self.relation(entry, t, selection)
        assert t is not None  # noqa: S101 - only relations stand at the root
        return self._field(entry, t, selection)

    def _field(self, entry: Field, t: FromClause, selection: Selection) -> ColumnElement[Any]:
        self.require(entry.scope)
        if selection.children and not entry.parts:
            # A ready JSON value, of which Python picks what is wanted; finishes run last to first, so this follows.
            wanted = selection.children
            self._finish(lambda value, _: picked(value, wanted))
        elif selection.enum is not None and entry.finish is not None:
            names = selection.enum
            self._finish(lambda value, _: named(value, names))
        if entry.finish is not None:
            self._finish(entry.finish)
            bare = Selection(selection.key, selection.field)
            return self.row([self._field(part, t, bare).label(name) for name, part in entry.needs.items()])
        if entry.parts:
            return self._struct(entry, t, selection)
        return self._scalar(entry, t, selection)

    def _finish(self, compute: PythonField) -> None:
        self._finishes.append(Finish(tuple(self._path[:-1]), self._path[-1], compute=compute))

    def _scalar(self, entry: Field, t: FromClause, selection: Selection) -> ColumnElement[Any]:
        if entry.mask is not None and not may(self.scopes, entry.reveal):
            made = entry.mask(t)
        else:
            assert entry.build is not None  # noqa: S101 - every kind of field but the two above is built
            made = entry.build(t, self._arguments(entry, selection))
        made = self.adopt(made)
        if selection.prefix is not None:
            made = literal_column(f"'{selection.prefix}:'", Text).op("||")(cast(made, Text))
        if selection.enum is not None:
            made = enum_names(made, selection.enum, many=selection.many)
        return made

    def _arguments(self, entry: Field, selection: Selection) -> Mapping[str, ColumnElement[Any]]:
        return {
            name: self.bind_value(value, entry.args[name].sql_type or sql_type_of(entry.args[name].type))
            for name, value in selection.args.items()
            if self.trace.given(value)
        }

    def _struct(self, entry: Field, t: FromClause, selection: Selection) -> ColumnElement[Any]:
        wanted = selection.children or tuple(Selection(name, name) for name in entry.parts)
        made = self.row([self.named(part, lambda s: self._field(entry.parts[s.field], t, s)) for part in wanted])
        presence = next(iter(entry.parts.values()))
        if presence.build is None:
            return made
        return case((self.adopt(presence.build(t, {})).is_not(None), made))

    # -- relations -------------------------------------------------------------------------------------------------

    def relation(self, link: Relation, parent: FromClause | None, selection: Selection) -> ColumnElement[Any]:
        """Return an object, a list or a connection."""
        of = projection(link.target)
        self.require(of.scope)
        t = self.alias(of)
        where = self.conditions(of, t, [] if parent is None else [self._joined(link, parent, t)])
        if link.kind == "one":
            filters = of.filters if link.filters is None else link.filters
            return self.single(of, t, where + self.filters(filters, t, selection.args), selection.children)
        page = Page.of_arguments(self, of, link, t, where, selection.args, narrowed=parent is not None)
        if link.kind == "items":
            return whole_list(self, page, self.columns(of, t, selection.children))
        return paged(self, page, selection.children)

    def _joined(self, link: Relation, parent: FromClause, t: FromClause) -> ColumnElement[bool]:
        # What the join condition itself selects from may look at both rows.
        return self._inside(t, lambda: link.on(parent, t))

    def conditions(
        self, of: Projection, t: FromClause, where: Sequence[ColumnElement[bool]] = ()
    ) -> list[ColumnElement[bool]]:
        """Return the predicates every read of this table carries, and then some."""
        result: list[ColumnElement[bool]] = [t.c.tenant_id == TENANT, *where]
        if of.where is not None:
            result.append(self._inside(t, lambda: of.where(t)))  # type: ignore[misc]
        return result

    def _inside(self, t: FromClause, build: Callable[[], ColumnElement[Any]]) -> ColumnElement[Any]:
        with self.within(t):
            return self.adopt(build())

    def filters(
        self, known: Mapping[str, Filter], t: FromClause, args: Mapping[str, Value]
    ) -> list[ColumnElement[bool]]:
        """Return the predicates of the filters that were given a value; null means not given."""
        return [
            self._filter(known[name], name, t, value)
            for name, value in args.items()
            if name in known and self.trace.given(value)
        ]

    def _filter(self, known: Filter, name: str, t: FromClause, value: Value) -> ColumnElement[bool]:
        given = self._value_of(known, name, value)
        return self._inside(t, lambda: known.build(t, given))

    def _value_of(self, known: Filter, name: str, value: Value) -> FilterValue:
        self.require(known.scope, name)
        if known.check is not None:
            self._checks.append(_checking(known.check, f"/{name}", value.read))
        variant = known.variant
        said = None if variant is None else self.trace.ask(value, f"variant of {name}", lambda v: variant(plain(v)))
        default_type = known.sql_type or sql_type_of(known.type)
        one_id = known.ref is not None and known.type is UUID

        def bind(derive: Callable[[Any], Any] | None, sql_type: TypeEngine[Any] | None) -> ColumnElement[Any]:
            made: ColumnElement[Any] = self.bind_value(value, sql_type or default_type, derive)
            return heir(projection(known.ref), made) if one_id and derive is None and known.ref else made

        return FilterValue(bind, said)

    def ranked(self, known: Filter, name: str, value: Value, wanted: Wanted) -> FromClause:
        """Return the rows that fit a filter's value, with columns ``id`` and ``fit``."""
        assert known.ranking is not None  # noqa: S101 - the order by best fit names a filter that has one
        self._aliases += 1
        found: FromClause = known.ranking.build(self._value_of(known, name, value), wanted).alias(f"t{self._aliases}")
        return found

    def single(
        self, of: Projection, t: FromClause, where: Sequence[ColumnElement[bool]], children: Sequence[Selection]
    ) -> ColumnElement[Any]:
        """Return one object, or null when no row matches."""
        inner = select(*self.columns(of, t, children)).select_from(t).where(*where).limit(literal_column("1"))
        outer = select(func.row_to_json(WHOLE_ROW)).select_from(self.correlated(inner).subquery(ROW))
        return self.correlated(outer).scalar_subquery()

    def by_key(self, of: Projection, read: Extract, children: Sequence[Selection]) -> ColumnElement[Any]:
        """Return the object with this id, or null."""
        return self.by_expression(of, self.bind(read, of.table.c[of.key].type), children)

    def by_expression(
        self, of: Projection, key: ColumnElement[Any], children: Sequence[Selection]
    ) -> ColumnElement[Any]:
        """Return the object whose id is this expression, or null."""
        self.require(of.scope)
        t = self.alias(of)
        return self.single(of, t, self.conditions(of, t, [t.c[of.key] == heir(of, key)]), children)

    def by_keys(self, children: Mapping[str, Sequence[Selection]], types: Extract, ids: Extract) -> ColumnElement[Any]:
        """Return a list of objects of several types, in the order of their ids; null where there is none.

        Args:
            children: name of the projection → what is selected of it.
            types: extracts the type names, parallel to ``ids``.
            ids: extracts the uuids.

        """
        asked = (
            func.unnest(self.bind(types, ARRAY(Text())), self.bind(ids, ARRAY(Uuid())))
            .table_valued(named_column("type", Text), named_column("id", Uuid), with_ordinality="place")
            .render_derived(name="asked")
        )
        with self.within(asked):
            cases = [
                (
                    asked.c.type == literal_column(f"'{name}'"),
                    self.by_expression(projection(name), asked.c.id, wanted),
                )
                for name, wanted in children.items()
            ]
        value = case(*cases) if cases else null()
        rows = self.correlated(select(value.label("value"), asked.c.place).select_from(asked)).subquery("x")
        listed = literal_column("coalesce(json_agg(x.value ORDER BY x.place), '[]'::json)", JSON)
        return self.correlated(select(listed).select_from(rows)).scalar_subquery()


def heir(of: Projection, key: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the id that an id given by a caller means now: another row may have taken its place."""
    if of.successor is None:
        return key
    table, successor = of.successor
    s = table.alias("heir")
    found = select(s.c[successor]).where(s.c.tenant_id == TENANT, s.c.id == key, s.c[successor].is_not(None))
    known = func.coalesce(found.correlate_except(s).scalar_subquery(), key)
    # A sub-select, whose value is known before rows are looked at: PostgreSQL takes a bare coalesce for an expression
    # that may leak, and on tables with row-level security compares it row by row instead of asking an index.
    return select(known).correlate_except().scalar_subquery()


def _checking(check: FilterCheck, pointer: str, read: Extract) -> Check:
    return lambda unit, variables: check(unit, pointer, plain(read(variables)))


def _position(name: str, position: int, fit: Callable[[Any], Any]) -> Extract:
    return lambda variables: fit(variables[name][position])


def _literal_limit(statement: Select[Any]) -> None:
    # A declared LIMIT is a constant of the code; PostgreSQL plans better when it sees it.
    limit = statement._limit_clause  # noqa: SLF001
    if isinstance(limit, BindParameter) and isinstance(limit.value, int):
        statement._limit_clause = literal_column(str(limit.value))  # noqa: SLF001
