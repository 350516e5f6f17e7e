"""Lists: plain ones, Relay connections and the pages of REST."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import (
    Boolean,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    case,
    cast,
    func,
    literal_column,
    null,
    select,
)
from sqlalchemy.types import TypeEngine

from crm_api.core.errors import Invalid
from crm_api.db.plans.cursors import Keyset, beyond, decode, encoded, expression, key_type, order_by, types_of
from crm_api.db.plans.selection import Selection, Value
from crm_api.db.projections import Filter, Projection, Relation, Wanted

if TYPE_CHECKING:
    from crm_api.db.plans.compile import Columns, Compiler

ROW: Final = "~"
"""Alias of every sub-select whose row becomes an object. No response key can be called that, so the name always means
the whole row, never a column."""

WHOLE_ROW: Final[ColumnElement[Any]] = literal_column(f'"{ROW}"')

_CURSORS: Final[tuple[Literal["after", "before"], ...]] = ("after", "before")

_EMPTY: Final[ColumnElement[Any]] = literal_column("'[]'::json")


@dataclass(slots=True)
class Page:
    """Which rows a list shows.

    Attributes:
        of: what is listed.
        t: the alias of its table.
        where: all predicates but the cursor's: what ``totalCount`` counts.
        keyset: the order.
        limit: most rows shown.
        backward: whether the page ends at ``before`` (or the end) instead of starting at ``after`` (or the start).
        bounds: the cursor's predicates.
        after: whether an ``after`` cursor was given.
        before: whether a ``before`` cursor was given.
        found: the ranking that rows are joined to, with ``id`` and ``fit``; it does the work of its filter.
        joined: how.
        matches: that filter's own predicate, for ``totalCount``.

    """

    of: Projection
    t: FromClause
    where: list[ColumnElement[bool]]
    keyset: Keyset
    limit: int
    backward: bool = False
    bounds: tuple[ColumnElement[bool], ...] = ()
    after: bool = False
    before: bool = False
    found: FromClause | None = None
    joined: tuple[ColumnElement[bool], ...] = ()
    matches: tuple[ColumnElement[bool], ...] = ()

    @classmethod
    def of_arguments(
        cls,
        compiler: "Compiler",
        of: Projection,
        link: Relation,
        t: FromClause,
        where: list[ColumnElement[bool]],
        args: Mapping[str, Value],
        *,
        narrowed: bool,
    ) -> "Page":
        """Read filters and Relay's arguments (``first``, ``after``, ``last``, ``before``, ``order_by``)."""
        asked = {name: value for name, value in args.items() if compiler.trace.given(value)}
        limit, backward = _size(compiler, link, asked)
        filters = of.filters if link.filters is None else link.filters
        page = cls(of, t, where, _keyset(compiler, of, link, asked, filters), limit, backward)
        page.after, page.before = "after" in asked, "before" in asked
        cursors = {name: asked[name] for name in _CURSORS if name in asked}
        page.restrict(compiler, filters, asked, cursors, narrowed=narrowed)
        return page

    def restrict(
        self,
        compiler: "Compiler",
        filters: Mapping[str, Filter],
        args: Mapping[str, Value],
        cursors: Mapping[Literal["after", "before"], Value],
        *,
        narrowed: bool,
    ) -> None:
        """Keep what passes the filters that were given, and what lies beyond the cursors.

        Args:
            compiler: of the statement.
            filters: the list's.
            args: the values; others than filters' are passed over.
            cursors: those that were given.
            narrowed: whether ``where`` drops rows of its own, beside those that nobody sees.

        """
        others = {name: value for name, value in args.items() if name in filters}
        ranking = self.keyset.ranked_by
        value = None if ranking is None else others.pop(ranking, None)
        if ranking is not None and value is not None:
            self._rank(compiler, filters, ranking, value, cursors, narrowed=narrowed or bool(others))
        elif ranking is not None:  # nothing to fit: everybody does
            self.keyset = keyset_of(self.of, self.of.default_order)
        self.where += compiler.filters(filters, self.t, others)
        self.bounds = tuple(self.bound(compiler, name, value) for name, value in cursors.items())

    def _rank(
        self,
        compiler: "Compiler",
        filters: Mapping[str, Filter],
        name: str,
        value: Value,
        cursors: Mapping[Literal["after", "before"], Value],
        *,
        narrowed: bool,
    ) -> None:
        """Let the filter's ranking find the rows: those it has beyond the cursor, no more than the page shows."""
        known = filters[name]
        self.matches = tuple(compiler.filters(filters, self.t, {name: value}))
        fit, row_id = self._position(compiler, cursors)
        wanted = Wanted(None if narrowed else self.limit + 1, fit, row_id, self.backward)
        found = compiler.ranked(known, name, value, wanted)
        self.found = found
        self.joined = (found.c.id == self.t.c[self.of.key],)
        best, *rest = self.keyset.keys
        self.keyset = Keyset(self.keyset.name, (replace(best, by=lambda _t: found.c.fit), *rest))

    def _position(
        self, compiler: "Compiler", cursors: Mapping[Literal["after", "before"], Value]
    ) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        name: Literal["after", "before"] = "before" if self.backward else "after"
        types = (Integer(), self.t.c[self.of.key].type)
        if name not in cursors:
            return cast(null(), types[0]), cast(null(), types[1])
        keyset, read = self.keyset, cursors[name].read

        def bind(position: int) -> ColumnElement[Any]:
            return compiler.bind(
                lambda variables: decode(keyset, types, read(variables), name)[position], types[position]
            )

        return bind(0), bind(1)

    def bound(self, compiler: "Compiler", name: Literal["after", "before"], cursor: Value) -> ColumnElement[bool]:
        """Return the predicate for rows beyond a cursor."""
        keyset, types, read = self.keyset, types_of(self.keyset, self.t), cursor.read

        def bind(position: int, sql_type: TypeEngine[Any]) -> ColumnElement[Any]:
            return compiler.bind(lambda variables: decode(keyset, types, read(variables), name)[position], sql_type)

        nulls: Sequence[bool] = [False] * len(keyset.keys)
        if keyset.nullable:
            nulls = compiler.trace.ask(
                cursor,
                f"nulls of {keyset.name} {name}",
                lambda text: tuple(part is None for part in decode(keyset, types, text, name)),
            )
        return beyond(keyset, self.t, bind, nulls, backward=name == "before")

    def rows(self, columns: "Columns", *, extra: bool = False) -> Select[Any]:
        """Return the statement for the page's rows, one more with ``extra``; reversed when ``backward``."""
        return (
            select(*columns)
            .select_from(self.t, *(() if self.found is None else (self.found,)))
            .where(*self.where, *self.joined, *self.bounds)
            .order_by(*order_by(self.keyset, self.t, backward=self.backward))
            .limit(literal_column(str(self.limit + extra)))
        )


def _size(compiler: "Compiler", link: Relation, asked: Mapping[str, Value]) -> tuple[int, bool]:
    if "first" in asked and "last" in asked:
        raise Invalid.field("/last", "conflict", "Give either 'first' or 'last'", "“first” 与 “last” 只能给出一个")
    backward = "last" in asked or ("before" in asked and "first" not in asked)
    name = "last" if "last" in asked else "first"
    if name not in asked:
        return link.default, backward
    # A constant in the statement, so that PostgreSQL's planner knows it; there are at most ``maximum`` of them.
    limit = compiler.trace.ask(asked[name], "limit", lambda value: _checked(name, value, link.maximum))
    return limit, backward


def _checked(name: str, value: int, maximum: int) -> int:
    if not 0 <= value <= maximum:
        raise Invalid.field(
            f"/{name}", "out_of_range", f"'{name}' must be 0 to {maximum}", f"“{name}” 必须在 0 到 {maximum} 之间"
        )
    return value


def _keyset(
    compiler: "Compiler", of: Projection, link: Relation, asked: Mapping[str, Value], filters: Mapping[str, Filter]
) -> Keyset:
    orders = link.orders or of.orders
    name = default_order(orders, filters, asked)
    if "order_by" in asked:
        name = compiler.trace.ask(asked["order_by"], "order", lambda value: getattr(value, "value", value))
    return keyset_of(of, name, orders)


def default_order(orders: Mapping[str, Any], filters: Mapping[str, Filter], given: Iterable[str]) -> str:
    """Return the order of a list that names none: that of a ranking filter, if one was given, or the first."""
    ranked = (filters[name].ranking for name in given if name in filters)
    return next((each.order for each in ranked if each is not None and each.order in orders), next(iter(orders)))


def keyset_of(of: Projection, name: str, orders: Mapping[str, Any] | None = None) -> Keyset:
    """Return a named order.

    Raises:
        Invalid: there is no such order.

    """
    found = of.order(name) if orders is None else orders.get(name)
    if found is None:
        raise Invalid.field("/order", "unknown_order", f"There is no order '{name[:60]}'", f"没有排序 “{name[:60]}”")
    return Keyset(f"{of.name}.{name}", tuple(found))


def whole_list(compiler: "Compiler", page: Page, columns: "Columns") -> ColumnElement[Any]:
    """Return a JSON array of the page's rows, which are made of these columns."""
    rows = page.rows(columns)
    listed = select(func.coalesce(func.json_agg(WHOLE_ROW), _EMPTY))
    return compiler.correlated(listed.select_from(compiler.correlated(rows).subquery(ROW))).scalar_subquery()


@dataclass(slots=True)
class Slice:
    """The aggregate over a page's rows: named SQL over the sub-select ``x`` of rows."""

    limit: int
    extra: bool
    backward: bool

    @property
    def _low(self) -> str:
        return f"greatest(1, count(*)::int - {self.limit - 1})" if self.backward and self.extra else "1"

    @property
    def _high(self) -> str:
        return "count(*)::int" if self.backward or not self.extra else f"least({self.limit}, count(*)::int)"

    def array(self, name: str) -> str:
        """Return a JSON array of one column."""
        if not self.extra:
            return f"coalesce(json_agg(x.{name}), '[]'::json)"
        return f"coalesce(array_to_json((array_agg(x.{name}))[{self._low}:{self._high}]), '[]'::json)"

    def start(self, name: str) -> str:
        """Return a column of the first row shown."""
        return f"(array_agg(x.{name}))[{self._low}]"

    def end(self, name: str) -> str:
        """Return a column of the last row shown."""
        return f"(array_agg(x.{name}))[{self._high}]"

    @property
    def more(self) -> str:
        """Return whether there is more in the direction of travel."""
        return f"count(*) > {self.limit}"


@dataclass(slots=True)
class Parts:
    """A page reduced to one row ``a`` of named values."""

    source: FromClause
    start: ColumnElement[Any] | None
    end: ColumnElement[Any] | None
    more: ColumnElement[Any] | None
    lists: list[ColumnElement[Any]]


def reduced(compiler: "Compiler", page: Page, lists: Sequence[ColumnElement[Any]], *, extra: bool, ends: bool) -> Parts:
    """Aggregate a page: each of ``lists`` (one JSON value per row) into an array, first and last keys, "more"."""
    listed = [made.label(f"v{i}") for i, made in enumerate(lists)]
    keys: list[Any] = []
    if ends or page.backward:
        keys = [expression(key, page.t).label(f"k{i}") for i, key in enumerate(page.keyset.keys)]
    rows = compiler.correlated(page.rows([*listed, *keys] or [literal_column("1").label("v0")], extra=extra))
    x = rows.subquery("x")
    if page.backward:
        x = compiler.correlated(select(x).order_by(*_forward(page, x))).subquery("x")
    cut = Slice(page.limit, extra, page.backward)
    columns: list[ColumnElement[Any]] = [literal_column(cut.array(f"v{i}")).label(f"v{i}") for i in range(len(lists))]
    if extra:
        columns.append(literal_column(cut.more).label("more"))
    if ends:
        columns += [literal_column(cut.start(f"k{i}")).label(f"s{i}") for i in range(len(keys))]
        columns += [literal_column(cut.end(f"k{i}")).label(f"e{i}") for i in range(len(keys))]
    a = compiler.correlated(select(*columns).select_from(x)).subquery("a")
    return Parts(
        a,
        _cursor(page, "s") if ends else None,
        _cursor(page, "e") if ends else None,
        a.c.more if extra else None,
        [a.c[f"v{i}"] for i in range(len(lists))],
    )


def _forward(page: Page, x: FromClause) -> list[ColumnElement[Any]]:
    terms: list[ColumnElement[Any]] = []
    for i, key in enumerate(page.keyset.keys):
        term = x.c[f"k{i}"].desc() if key.descending else x.c[f"k{i}"].asc()
        if key.nulls is not None:
            term = term.nulls_last() if key.nulls == "last" else term.nulls_first()
        terms.append(term)
    return terms


def _cursor(page: Page, letter: str) -> ColumnElement[Any]:
    # The last key is the unique one: where it is missing, there was no row.
    columns: list[ColumnElement[Any]] = [
        literal_column(f"a.{letter}{i}", key_type(key, page.t)) for i, key in enumerate(page.keyset.keys)
    ]
    unique = next(i for i, key in enumerate(page.keyset.keys) if key.by == page.of.key)
    return case((columns[unique].is_not(None), encoded(page.keyset, columns)))


def total(compiler: "Compiler", page: Page) -> ColumnElement[Any]:
    """Return the number of all rows that match, on all pages."""
    counted = select(func.count()).select_from(page.t).where(*page.where, *page.matches)
    return compiler.correlated(counted).scalar_subquery()


# -- connections -------------------------------------------------------------------------------------------------------


def paged(compiler: "Compiler", page: Page, selections: Sequence[Selection]) -> ColumnElement[Any]:
    """Return a Relay connection with the selected parts."""
    listed = [s for s in selections if s.field in ("edges", "nodes")]
    asked = {child.field for s in selections if s.field == "page_info" for child in s.children}
    ends = bool(asked & {"start_cursor", "end_cursor"})
    extra = ("has_previous_page" if page.backward else "has_next_page") in asked
    simple = not (ends or extra or page.backward) and len(listed) <= 1
    if simple:
        return compiler.row([compiler.named(s, lambda s: _simple_part(compiler, page, s)) for s in selections])
    named = [compiler.inside(s, lambda s: _listed_row(compiler, page, s)) for s in listed]
    parts = reduced(compiler, page, [made for _, made in named], extra=extra, ends=ends)
    arrays = {id(s): a.label(name) for s, (name, _), a in zip(listed, named, parts.lists, strict=True)}
    columns = [
        arrays[id(s)] if id(s) in arrays else compiler.named(s, lambda s: _other_part(compiler, page, s, parts))
        for s in selections
    ]
    inner = compiler.correlated(select(*columns).select_from(parts.source)).subquery(ROW)
    return compiler.correlated(select(func.row_to_json(WHOLE_ROW)).select_from(inner)).scalar_subquery()


def _simple_part(compiler: "Compiler", page: Page, selection: Selection) -> ColumnElement[Any]:
    """Return a part of a connection whose rows are listed at most once and whose ends nobody asked for."""
    if selection.field in ("edges", "nodes"):
        return whole_list(compiler, page, _row_columns(compiler, page, selection))
    return _other_part(compiler, page, selection, None)


def _object(compiler: "Compiler", page: Page, selections: Sequence[Selection]) -> ColumnElement[Any]:
    columns = compiler.columns(page.of, page.t, selections)
    with compiler.within(page.t):
        return compiler.row(columns)


def _row_columns(compiler: "Compiler", page: Page, selection: Selection) -> "Columns":
    if selection.field == "nodes":
        return compiler.columns(page.of, page.t, selection.children)
    with compiler.within(page.t):
        return [compiler.named(s, lambda s: _edge_part(compiler, page, s)) for s in selection.children]


def _listed_row(compiler: "Compiler", page: Page, selection: Selection) -> ColumnElement[Any]:
    columns = _row_columns(compiler, page, selection)
    with compiler.within(page.t):
        return compiler.row(columns)


def _edge_part(compiler: "Compiler", page: Page, selection: Selection) -> ColumnElement[Any]:
    if selection.field == "cursor":
        return encoded(page.keyset, [expression(key, page.t) for key in page.keyset.keys])
    return _object(compiler, page, selection.children)


def _other_part(compiler: "Compiler", page: Page, selection: Selection, parts: Parts | None) -> ColumnElement[Any]:
    if selection.field == "total_count":
        return total(compiler, page)
    return compiler.row(
        [compiler.named(s, lambda s: _page_info(page, s.field, parts)) for s in selection.children],
        beside=None if parts is None else parts.source,
    )


def _page_info(page: Page, name: str, parts: Parts | None) -> ColumnElement[Any]:
    more = None if parts is None else parts.more
    known: dict[str, ColumnElement[Any] | None] = {
        "start_cursor": None if parts is None else parts.start,
        "end_cursor": None if parts is None else parts.end,
        # Against the direction of travel there is at least the row of the cursor.
        "has_next_page": _constant(page.before) if page.backward else more,
        "has_previous_page": more if page.backward else _constant(page.after),
    }
    made = known[name]
    return null() if made is None else made


def _constant(value: bool) -> ColumnElement[Any]:
    return literal_column("true" if value else "false", Boolean)


# -- REST --------------------------------------------------------------------------------------------------------------


def page_body(compiler: "Compiler", page: Page, selections: Sequence[Selection], *, count: bool) -> Select[Any]:
    """Return the statement for the whole body of a REST list."""
    _, row = compiler.inside(Selection("data", "data"), lambda _: _object(compiler, page, selections))
    parts = reduced(compiler, page, [row], extra=True, ends=True)
    assert parts.more is not None  # noqa: S101 - asked for above
    following = parts.end if page.backward else case((parts.more, parts.end))
    preceding: Any = case((parts.more, parts.start)) if page.backward else (parts.start if page.after else null())
    info = [following.label("next"), preceding.label("previous"), parts.more.label("has_more")]  # type: ignore[union-attr]
    if count:
        info.append(total(compiler, page).label("total"))
    body = select(parts.lists[0].label("data"), compiler.row(info, beside=parts.source).label("page"))
    return select(func.row_to_json(WHOLE_ROW)).select_from(body.select_from(parts.source).subquery(ROW))
