"""One feed of everything that happened to a customer, newest first, over the tables of many domains.

A domain that has something to tell registers a *source* in its ``repository.py``::

    register(
        Source(
            kind="points",  # what the client sees; one source per kind
            scope="loyalty:read",  # a caller without it does not see these entries
            rows=points_entries,  # a table, or a join of tables
            tenant=points_entries.c.tenant_id,
            customer=points_entries.c.customer_id,
            at=points_entries.c.at,  # index (tenant_id, customer_id, at, id) makes paging cheap
            id=points_entries.c.id,  # unique among all sources: the row's own UUIDv7
            title=points_entries.c.reason,  # the data's own words, or null
            data={"points": points_entries.c.points},  # small JSON values
        )
    )

`read_timeline` makes one statement of all of them: each source gives its first ``limit + 1`` rows beyond the cursor,
and their union is merged and cut. So a page costs the same however long the history is.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    true,
    tuple_,
    union_all,
)

from crm_api.core.errors import Invalid
from crm_api.core.paging import PageRequest
from crm_api.db.plans.cursors import Keyset, decode
from crm_api.db.projections import TENANT, Projection, desc
from crm_api.db.uow import UnitOfWork

_KEYS: Final = Keyset("Timeline", (desc("at"), desc("id")))
_TYPES: Final = (DateTime(timezone=True), Uuid())
_AT: Final[BindParameter[Any]] = bindparam("cursor_at", type_=_TYPES[0])
_ID: Final[BindParameter[Any]] = bindparam("cursor_id", type_=_TYPES[1])
_ROWS: Final[BindParameter[Any]] = bindparam("rows", type_=Integer())
_CUSTOMER: Final[BindParameter[Any]] = bindparam("customer_id", type_=Uuid())
_IDS: Final[BindParameter[Any]] = bindparam("ids", type_=ARRAY(Uuid()))


@dataclass(frozen=True, slots=True)
class Source:
    """Where one kind of entry comes from. See the module's docstring."""

    kind: str
    scope: str
    rows: FromClause
    tenant: ColumnElement[Any]
    customer: ColumnElement[Any]
    at: ColumnElement[Any]
    id: ColumnElement[Any]
    title: ColumnElement[Any]
    data: Mapping[str, ColumnElement[Any]]
    where: tuple[ColumnElement[bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    Attributes:
        at: when.
        id: of the row it comes from.
        json: the entry as the client gets it.

    """

    at: datetime
    id: UUID
    json: bytes

    @property
    def cursor(self) -> str:
        """Return the position of this entry."""
        packed = orjson.dumps([_KEYS.name, self.at, str(self.id)])
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Feed:
    """One page of a timeline.

    Attributes:
        entries: newest first.
        next: cursor for what is older, None at the end.
        previous: cursor for what is newer, None at the start.
        has_more: whether there is more in the direction of travel.
        total: of all entries, when asked for.

    """

    entries: tuple[Entry, ...]
    next: str | None
    previous: str | None
    has_more: bool
    total: int | None = None

    def body(self) -> bytes:
        """Return the body of the REST response."""
        page: dict[str, Any] = {"next": self.next, "previous": self.previous, "has_more": self.has_more}
        if self.total is not None:
            page["total"] = self.total
        return b'{"data":[%b],"page":%b}' % (b",".join(entry.json for entry in self.entries), orjson.dumps(page))


_SOURCES: dict[str, Source] = {}


def register(source: Source) -> None:
    """Add a source; each kind has one."""
    if source.kind in _SOURCES:
        raise ValueError(f"timeline entries of kind {source.kind!r} are registered twice")
    _SOURCES[source.kind] = source


def kinds() -> tuple[str, ...]:
    """Return every kind of entry there is."""
    return tuple(_SOURCES)


def money_json(amount: ColumnElement[Any], currency: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return money in its wire shape, for a source's ``data``."""
    return func.json_build_object(_text("amount"), amount, _text("currency"), currency)


async def read_timeline(
    unit: UnitOfWork,
    of: Projection,
    customer_id: UUID,
    page: PageRequest,
    *,
    only: Sequence[str] | None = None,
    ids: Sequence[UUID] | None = None,
) -> Feed | None:
    """Read one page of a customer's timeline with one statement.

    Args:
        unit: the unit of work.
        of: the customer's projection: its scope is required, its ``where`` says which customers are there.
        customer_id: whose timeline.
        page: which entries.
        only: kinds wanted; all that the caller may see when None.
        ids: only entries about these rows.

    Returns:
        The page, or None when there is no such customer.

    Raises:
        Forbidden: the actor may not read customers.
        Invalid: unknown kind, or a cursor of another list.

    """
    unit.actor.require(of.scope)
    if page.after is not None and page.before is not None:
        raise Invalid.field("/before", "conflict", "Send either after or before", "after 和 before 只能使用其一")
    chosen = [source for source in _chosen(only) if unit.actor.may(source.scope)]
    cursor = page.after if page.after is not None else page.before
    backward = page.before is not None
    params: dict[str, Any] = {"tenant_id": unit.tenant_id, "customer_id": customer_id, "rows": page.limit + 1}
    if cursor is not None:
        params["cursor_at"], params["cursor_id"] = decode(_KEYS, _TYPES, cursor, "before" if backward else "after")
    if ids is not None:
        params["ids"] = list(ids)
    statement = _statement(of, chosen, page, backward=backward, some=ids is not None)
    rows = await unit.fetch_all(statement, params)
    return _feed(rows, page, backward=backward) if rows else None


def _chosen(only: Sequence[str] | None) -> list[Source]:
    if only is None:
        return list(_SOURCES.values())
    for kind in only:
        if kind not in _SOURCES:
            known = ", ".join(_SOURCES)
            raise Invalid.field(
                "/query/kind",
                "unknown_choice",
                f"There is no kind '{kind[:60]}': choose from {known}",
                f"没有类型 “{kind[:60]}”，可选：{known}",
            )
    return [_SOURCES[kind] for kind in dict.fromkeys(only)]


def _statement(
    of: Projection, sources: Sequence[Source], page: PageRequest, *, backward: bool, some: bool
) -> Select[Any]:
    t = of.table.alias("t")
    there = [t.c.tenant_id == TENANT, t.c[of.key] == _CUSTOMER, *([of.where(t)] if of.where is not None else [])]
    total = _total(sources).label("total") if page.count else literal_column("NULL::bigint").label("total")
    if not sources:
        empty: list[ColumnElement[Any]] = [literal_column(f"NULL::{kind}").label(name) for name, kind in _SHAPE.items()]
        return select(*empty, total).select_from(t).where(*there)
    bounded = page.after is not None or page.before is not None
    feed = _merged(
        [_arm(source, bounded=bounded, backward=backward, some=some) for source in sources], backward=backward
    )
    entry = func.json_build_object(
        *(part for name in ("kind", "at", "id", "title", "data") for part in (_text(name), feed.c[name]))
    )
    # The customer's row stands first, so that "no such customer" and "nothing happened yet" differ.
    return (
        select(feed.c.at, feed.c.id, entry.label("entry"), total)
        .select_from(t.outerjoin(feed, true()))
        .where(*there)
        .order_by(*_order(feed.c.at, feed.c.id, backward=backward))
    )


_SHAPE: Final = {"at": "timestamptz", "id": "uuid", "entry": "json"}


def _arm(source: Source, *, bounded: bool, backward: bool, some: bool) -> Select[Any]:
    where = [source.tenant == TENANT, source.customer == _CUSTOMER, *source.where]
    if some:
        where.append(source.id == any_(_IDS))
    if bounded:
        here: Any = tuple_(source.at, source.id)
        there: Any = tuple_(_AT, _ID)
        where.append(here > there if backward else here < there)
    data = func.json_build_object(*(part for name, value in source.data.items() for part in (_text(name), value)))
    return (
        select(
            source.at.label("at"),
            source.id.label("id"),
            _text(source.kind).label("kind"),
            cast(source.title, Text).label("title"),
            data.label("data"),
        )
        .select_from(source.rows)
        .where(*where)
        .order_by(*_order(source.at, source.id, backward=backward))
        .limit(_ROWS)
    )


def _merged(arms: Sequence[Select[Any]], *, backward: bool) -> FromClause:
    subqueries = [arm.subquery(f"s{number}") for number, arm in enumerate(arms)]
    every = union_all(*(select(each) for each in subqueries)).subquery("every")
    merged = select(every).order_by(*_order(every.c.at, every.c.id, backward=backward)).limit(_ROWS)
    return merged.subquery("feed")


def _total(sources: Sequence[Source]) -> ColumnElement[Any]:
    total: ColumnElement[Any] = literal_column("0::bigint")
    for source in sources:
        counted = select(func.count()).select_from(source.rows)
        total = total + (
            counted.where(source.tenant == TENANT, source.customer == _CUSTOMER, *source.where).scalar_subquery()
        )
    return total


def _order(at: ColumnElement[Any], id: ColumnElement[Any], *, backward: bool) -> list[ColumnElement[Any]]:
    return [at.asc(), id.asc()] if backward else [at.desc(), id.desc()]


def _text(name: str) -> ColumnElement[Any]:
    # Names are ours, written in the code: a constant, so that PostgreSQL knows its type.
    escaped = name.replace("'", "''")
    return literal_column(f"'{escaped}'::text", Text)


def _feed(rows: Sequence[Any], page: PageRequest, *, backward: bool) -> Feed:
    entries = [Entry(row["at"], row["id"], row["entry"]) for row in rows if row["id"] is not None]
    more = len(entries) > page.limit
    entries = entries[: page.limit]
    if backward:
        entries.reverse()
    older = bool(entries) and (more or backward)
    newer = bool(entries) and (more if backward else page.after is not None)
    return Feed(
        tuple(entries),
        entries[-1].cursor if older else None,
        entries[0].cursor if newer else None,
        more,
        rows[0]["total"] if page.count else None,
    )
