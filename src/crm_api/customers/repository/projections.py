"""What is shown of customers, and how they are found."""

from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    FromClause,
    Integer,
    TableValuedAlias,
    Text,
    Uuid,
    any_,
    case,
    exists,
    func,
    literal_column,
    select,
)
from sqlalchemy import column as named_column

from crm_api.accounts.tables import tenants
from crm_api.attributes.repository import attribute_filter, attribute_order, carries, referable
from crm_api.customers import birthdays, rules, search
from crm_api.customers.models import Address, BirthdayShown, ContactKind, ContactPoint, Customer, CustomerKind, Identity
from crm_api.customers.tables import (
    contact_points,
    customer_addresses,
    customer_identities,
    customer_tags,
    customers,
)
from crm_api.db.projections import (
    TENANT,
    Filter,
    FilterValue,
    Projection,
    Ranking,
    Wanted,
    at_least,
    below,
    best_fit,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    items,
    one,
    python,
    ref,
    sql,
    struct,
)

CONTACT_POINT = Projection(
    "ContactPoint",
    table=contact_points,
    model=ContactPoint,
    scope="customers:read",
    description="A way to reach the customer.",
    fields={
        **columns("id", "kind", "value", "is_primary"),
        "verified_at": sql(lambda t: case((t.c.claimed, t.c.verified_at))),
    },
    node=False,
)

IDENTITY = Projection(
    "Identity",
    table=customer_identities,
    model=Identity,
    scope="customers:read",
    description="Who the customer is on another platform.",
    fields=columns("id", "platform", "external_id"),
    node=False,
)


def _is_default(t: FromClause) -> ColumnElement[Any]:
    owner = customers.alias("owner")
    chosen = select(owner.c.default_address_id).where(owner.c.tenant_id == TENANT, owner.c.id == t.c.customer_id)
    return chosen.scalar_subquery().is_not_distinct_from(t.c.id)


ADDRESS = Projection(
    "Address",
    table=customer_addresses,
    model=Address,
    scope="customers:read",
    description="Where the customer lives, works or has parcels sent.",
    fields={
        **columns("id", *rules.ADDRESS_PARTS),
        "is_default": sql(_is_default),
    },
    node=False,
)


BIRTHDAY_PARTS = ("calendar", "year", "month", "day", "leap_month")


def _next_birthday(row: Mapping[str, Any], now: datetime) -> str | None:
    if row["calendar"] is None:
        return None
    today = now.astimezone(ZoneInfo(row["time_zone"])).date()
    return _celebrated(row["calendar"], row["month"], row["day"], row["leap_month"], today)


@lru_cache(maxsize=8192)  # there are not many birthdays, and a list shows hundreds of customers
def _celebrated(
    calendar: Literal["solar", "lunar"], month: int, day: int, leap_month: bool | None, today: date
) -> str | None:
    # What is stored may be older than today's checks, so it is taken as it is.
    birthday = BirthdayShown.model_construct(
        calendar=calendar, year=None, month=month, day=day, leap_month=bool(leap_month)
    )
    found = birthdays.next_birthday(birthday, today)
    return None if found is None else found.isoformat()


def _time_zone(_t: FromClause) -> ColumnElement[Any]:
    return select(tenants.c.time_zone).where(tenants.c.tenant_id == TENANT).scalar_subquery()


def _tags(t: FromClause) -> ColumnElement[Any]:
    return func.array(
        select(customer_tags.c.tag)
        .where(customer_tags.c.tenant_id == TENANT, customer_tags.c.customer_id == t.c.id)
        .order_by(customer_tags.c.tag)
        .scalar_subquery()
    )


def _has_tag(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return t.c.id.in_(
        select(customer_tags.c.customer_id).where(customer_tags.c.tenant_id == TENANT, customer_tags.c.tag == v())
    )


def _has_contact(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    point = contact_points
    return exists().where(point.c.tenant_id == TENANT, point.c.customer_id == t.c.id, point.c.kind == v(None, Text()))


def _search(v: FilterValue, wanted: Wanted) -> TableValuedAlias:
    arguments = (
        TENANT,
        v(search.needle, Text()),
        v(search.old_needle, Text()),
        literal_column("NULL::integer" if wanted.limit is None else str(wanted.limit), Integer),
        wanted.fit,
        wanted.id,
        literal_column("true" if wanted.backward else "false", Boolean),
    )
    return func.crm_search(*arguments).table_valued(named_column("id", Uuid), named_column("fit", Integer))


_ALL: Final = Wanted(None, literal_column("NULL::integer", Integer), literal_column("NULL::uuid", Uuid), backward=False)


def _matches(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    found = _search(v, _ALL).alias("found")
    # An array, not IN: joined to the customers, whose row-level security comes first, the search's index is passed
    # over for a walk through the whole table (200,000 customers: 324 ms for two characters, as an array 2 ms).
    return t.c.id == any_(func.array(select(found.c.id).scalar_subquery(), type_=ARRAY(Uuid)))


def _platform_is(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    identity = customer_identities
    return t.c.id.in_(
        select(identity.c.customer_id).where(
            identity.c.tenant_id == TENANT,
            identity.c.platform == v(lambda text: text.partition(":")[0], Text()),
            identity.c.external_id == v(lambda text: text.partition(":")[2], Text()),
        )
    )


CUSTOMER = Projection(
    "Customer",
    table=customers,
    model=Customer,
    scope="customers:read",
    description="A person or a company that buys.",
    where=lambda t: t.c.deleted_at.is_(None),
    successor=(customers, "merged_into_id"),
    fields={
        **columns(
            "id",
            "kind",
            "name",
            "gender",
            "occupation",
            "region",
            "city",
            "address",
            "preferences",
            "special_requirements",
            "price_sensitivity",
            "notes",
            "age_range",
            "family",
            "interests",
            "attributes",
            "source",
            "blacklisted",
            "version",
            "created_at",
            "updated_at",
        ),
        "birthday": struct({part: column(f"birth_{part}") for part in BIRTHDAY_PARTS}),
        "next_birthday": python(
            _next_birthday,
            needs={
                **{part: column(f"birth_{part}") for part in BIRTHDAY_PARTS if part != "year"},
                "time_zone": sql(_time_zone),
            },
            on_request=True,
        ),
        "owner_id": ref("owner_id", "Staff"),
        "store_id": ref("store_id", "Store"),
        "contact_points": items("ContactPoint", on=lambda p, c: c.c.customer_id == p.c.id),
        "identities": items("Identity", on=lambda p, c: c.c.customer_id == p.c.id),
        "addresses": items("Address", on=lambda p, c: c.c.customer_id == p.c.id),
        "tags": sql(_tags),
    },
    relations={
        "owner": one("Staff", on=lambda p, c: c.c.id == p.c.owner_id, description="Who looks after the customer."),
        "store": one("Store", on=lambda p, c: c.c.id == p.c.store_id, description="Where the customer belongs."),
    },
    orders={
        "newest": [desc("id")],
        "recently_changed": [desc("updated_at")],
        "relevance": [best_fit("q"), desc("id")],
    },
    filters={
        "q": Filter(
            str,
            _matches,
            ranking=Ranking("relevance", _search),
            description="The search box: any fragment of a name (Chinese included), pinyin or its initials (`wxm` for "
            "王小明), and 3 or more characters of a phone, e-mail address, outside id, tag or company. Best fit first.",
        ),
        "kind": eq("kind", CustomerKind),
        "owner_id": eq_ref("owner_id", "Staff"),
        "store_id": eq_ref("store_id", "Store"),
        "attribute": attribute_filter(),
        "tag": Filter(str, _has_tag, description="Customers with this tag."),
        "identity": Filter(str, _platform_is, description="An outside identity as platform:external_id."),
        "source": eq("source"),
        "blacklisted": eq("blacklisted", bool),
        "contact_kind": Filter(ContactKind, _has_contact, description="Customers with a contact point of this kind."),
        "created_from": at_least("created_at", description="First stored here at this time or later."),
        "created_before": below("created_at", description="First stored here before this time."),
        "updated_from": at_least("updated_at", description="Last changed at this time or later."),
        "updated_before": below("updated_at", description="Last changed before this time."),
    },
    more_orders=attribute_order,
)

carries("customer", customers)
referable("customer", customers)
