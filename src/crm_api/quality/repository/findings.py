"""What is wrong with customers, as predicates over them; computed when asked, never stored."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Select,
    Text,
    all_,
    and_,
    any_,
    case,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
)

from crm_api.consent.tables import consent_states
from crm_api.core.paging import PageRequest
from crm_api.customers.models import ContactKind
from crm_api.customers.repository import CUSTOMER
from crm_api.customers.service import phone_patterns
from crm_api.customers.tables import contact_points, customer_tags, customers
from crm_api.db.plans import read_list
from crm_api.db.projections import extend, sql
from crm_api.db.repository import Repository
from crm_api.interactions.tables import interactions
from crm_api.orders.tables import customer_purchase_facts
from crm_api.quality import rules
from crm_api.quality.models import Finding

Predicate = Callable[[FromClause, datetime], ColumnElement[bool]]
"""From the customers' alias and the moment before which silence is staleness."""

_CHINA: Final = "86"
_CHATS: Final = ("wechat_openid", "wechat_unionid", "wecom_external_userid", "douyin_open_id", "weibo")
_SHAREABLE: Final = ("mobile", "email")


def _matches(text: ColumnElement[Any], pattern: Any) -> ColumnElement[bool]:
    return text.op("~", is_comparison=True)(pattern)


def _valid_phone(value: ColumnElement[str], kind: ContactKind) -> ColumnElement[bool]:
    patterns = phone_patterns(kind)
    others = {code: pattern for code, pattern in patterns.items() if code != _CHINA}
    known = (
        func.unnest(
            literal(list(others), ARRAY(Text)), literal([f"^(?:{each})$" for each in others.values()], ARRAY(Text))
        )
        .table_valued("code", "pattern")
        .render_derived()
    )
    abroad = exists(
        select(literal(1))
        .select_from(known)
        .where(
            func.starts_with(value, literal("+", Text).concat(known.c.code)),
            _matches(func.substr(value, func.length(known.c.code) + 2), known.c.pattern),
        )
    )
    # Nearly all are Chinese: one pattern, compiled once.
    at_home = _matches(func.substr(value, len(_CHINA) + 2), literal(f"^(?:{patterns[_CHINA]})$", Text))
    return case((func.starts_with(value, literal(f"+{_CHINA}", Text)), at_home), else_=abroad)


def _valid_email(value: ColumnElement[str]) -> ColumnElement[bool]:
    last = func.split_part(func.split_part(value, "@", 2), ".", -1)
    return and_(
        _matches(value, literal(rules.EMAIL, Text)),
        func.strpos(value, "@") <= rules.LOCAL_PART + 1,
        not_(or_(value.like("%..%"), value.like(".%"), value.like("%.@%"))),
        last != all_(literal(list(rules.NO_MAIL), ARRAY(Text))),
    )


def _points(t: FromClause, *where: ColumnElement[bool]) -> ColumnElement[bool]:
    p = contact_points
    return exists(select(literal(1)).where(p.c.tenant_id == t.c.tenant_id, p.c.customer_id == t.c.id, *where))


def _kind(*kinds: str) -> ColumnElement[bool]:
    column = contact_points.c.kind
    # An array, not IN: the plans of lists know no parameters that grow.
    return column == (kinds[0] if len(kinds) == 1 else any_(literal(list(kinds), ARRAY(Text))))


def _reaches() -> ColumnElement[bool]:
    p = contact_points
    return or_(
        and_(_kind("mobile"), _valid_phone(p.c.value, "mobile")),
        and_(_kind("email"), _valid_email(p.c.value)),
        _kind(*_CHATS),
    )


def _invalid_phone(t: FromClause, _: datetime) -> ColumnElement[bool]:
    p = contact_points
    wrong = [and_(_kind(kind), not_(_valid_phone(p.c.value, kind))) for kind in ("mobile", "landline")]
    return _points(t, or_(*wrong))


def _stale(t: FromClause, since: datetime) -> ColumnElement[bool]:
    facts, talk = customer_purchase_facts, interactions
    moment = literal(since, t.c.updated_at.type)
    bought = exists(
        select(literal(1)).where(
            facts.c.tenant_id == t.c.tenant_id, facts.c.customer_id == t.c.id, facts.c.last_order_at >= moment
        )
    )
    spoke = exists(
        select(literal(1)).where(
            talk.c.tenant_id == t.c.tenant_id, talk.c.customer_id == t.c.id, talk.c.occurred_at >= moment
        )
    )
    return and_(t.c.updated_at < moment, not_(bought), not_(spoke))


def _refuses_all(t: FromClause) -> ColumnElement[bool]:
    """Tell whether the customer took back marketing consent, and none is left on any channel."""
    s = consent_states
    said = and_(s.c.tenant_id == t.c.tenant_id, s.c.customer_id == t.c.id, s.c.purpose == "marketing")
    return and_(
        exists(select(literal(1)).where(said, s.c.action == "withdrawn")),
        not_(exists(select(literal(1)).where(said, s.c.action == "granted"))),
    )


def _shared(t: FromClause, _: datetime) -> ColumnElement[bool]:
    p, other, owner = contact_points, contact_points.alias("other"), customers.alias("owner")
    twin = exists(
        select(literal(1))
        .select_from(other.join(owner, and_(owner.c.tenant_id == other.c.tenant_id, owner.c.id == other.c.customer_id)))
        .where(
            other.c.tenant_id == p.c.tenant_id,
            other.c.kind == p.c.kind,
            other.c.value == p.c.value,
            other.c.customer_id != p.c.customer_id,
            owner.c.deleted_at.is_(None),
        )
    )
    return _points(t, _kind(*_SHAREABLE), twin)


PREDICATES: Final[Mapping[Finding, Predicate]] = {
    "no_contact_point": lambda t, _: not_(_points(t)),
    "invalid_phone": _invalid_phone,
    "invalid_email": lambda t, _: _points(t, _kind("email"), not_(_valid_email(contact_points.c.value))),
    "landline_only": lambda t, _: and_(
        _points(t, _kind("landline")), not_(_points(t, contact_points.c.kind != "landline"))
    ),
    "stale": _stale,
    "unreachable": lambda t, _: or_(not_(_points(t, _reaches())), _refuses_all(t)),
    "shared_contact_point": _shared,
}


# -- completeness ------------------------------------------------------------------------------------------------------


def _filled(*columns: ColumnElement[Any]) -> ColumnElement[bool]:
    return or_(*(column.is_not(None) for column in columns))


def _tagged(t: FromClause) -> ColumnElement[bool]:
    tags = customer_tags
    return exists(select(literal(1)).where(tags.c.tenant_id == t.c.tenant_id, tags.c.customer_id == t.c.id))


PARTS: Final[Mapping[str, Callable[[FromClause], ColumnElement[bool]]]] = {
    # Valid or not is a finding of its own: here it counts that there is something to write to.
    "reachable_contact_point": lambda t: _points(t, _kind("mobile", "email", *_CHATS)),
    "verified_contact_point": lambda t: _points(t, contact_points.c.claimed),
    "birthday": lambda t: t.c.birth_month.is_not(None),
    "place": lambda t: _filled(t.c.region, t.c.city),
    "address": lambda t: t.c.address.is_not(None),
    "gender": lambda t: t.c.gender.is_not(None),
    "occupation": lambda t: t.c.occupation.is_not(None),
    "source": lambda t: t.c.source.is_not(None),
    "preferences": lambda t: t.c.preferences.is_not(None),
    "tags": _tagged,
}
assert PARTS.keys() == rules.WEIGHTS.keys()  # noqa: S101 - one says what counts, the other how much


def completeness(t: FromClause) -> ColumnElement[int]:
    """Return the score of a customer, 0–100."""
    total: ColumnElement[int] = literal(0)
    for part, points in rules.WEIGHTS.items():
        total = total + case((PARTS[part](t), points), else_=0)
    return total


extend(
    CUSTOMER,
    relations={
        "completeness": sql(
            completeness,
            returns=int,
            description="How much is known of the customer, 0–100; docs/domains/quality.md has the weights.",
        )
    },
)


class QualityRepository(Repository):
    """What is wrong with the tenant's customers."""

    table = customers

    async def report(self, findings: Sequence[Finding], since: datetime) -> dict[str, int]:
        """Return counts: of all, of the incomplete, of each finding and of each part of the score (``part_…``)."""
        # A statement for each: as parts of one none would run in parallel, and together they would take too long.
        counts = {
            "customers": self._count(),
            "incomplete": self._count(lambda t: completeness(t) < rules.INCOMPLETE),
            "shared_values": self._shared_values(),
            **{each: self._count(lambda t, f=each: PREDICATES[f](t, since)) for each in findings},  # type: ignore[misc]
            **{f"part_{part}": self._count(has) for part, has in PARTS.items()},
        }
        return {name: await self.unit.fetch_value(statement) for name, statement in counts.items()}

    def _living(self, t: FromClause) -> ColumnElement[bool]:
        return and_(t.c.tenant_id == self.unit.tenant_id, t.c.deleted_at.is_(None))

    def _count(self, predicate: Callable[[FromClause], ColumnElement[bool]] | None = None) -> Select[int]:
        t = customers.alias()
        counted = select(func.count()).select_from(t).where(self._living(t))
        return counted if predicate is None else counted.where(predicate(t))

    def _shared_values(self) -> Select[int]:
        p, t = contact_points, customers.alias()
        shared: Select[Any] = (
            select(p.c.kind, p.c.value)
            .join(t, and_(t.c.tenant_id == p.c.tenant_id, t.c.id == p.c.customer_id))
            .where(self.mine(p), self._living(t), _kind(*_SHAREABLE))
            .group_by(p.c.kind, p.c.value)
            .having(func.count() > 1)
        )
        return select(func.count()).select_from(shared.subquery())

    async def of(self, customer_id: UUID, findings: Sequence[Finding], since: datetime) -> dict[str, Any] | None:
        """Return score, parts and findings of one customer; None when there is no such customer."""
        t = customers
        columns = [
            *(PARTS[part](t).label(f"part_{part}") for part in rules.WEIGHTS),
            *(PREDICATES[each](t, since).label(each) for each in findings),
        ]
        row = await self.unit.fetch_one(select(*columns).where(self.by_id(customer_id), t.c.deleted_at.is_(None)))
        return None if row is None else dict(row)

    async def customers(
        self, page: PageRequest, finding: Finding | None, since: datetime, below: int | None, fields: Any = None
    ) -> bytes:
        """Return one page of customers with a finding or a low score, as the body of the answer."""

        def where(t: FromClause) -> ColumnElement[bool]:
            parts = [] if finding is None else [PREDICATES[finding](t, since)]
            if below is not None:
                parts.append(completeness(t) < below)
            return and_(*parts)

        wanted = finding is not None or below is not None
        return await read_list(self.unit, CUSTOMER, page, fields=fields, where=where if wanted else None)
