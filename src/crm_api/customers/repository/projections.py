"""What is shown of customers, and how they are found."""

from typing import Any

from sqlalchemy import ARRAY, ColumnElement, FromClause, Text, Uuid, any_, func, select

from crm_api.customers import rules
from crm_api.customers.models import ContactPoint, Customer, CustomerKind, Identity
from crm_api.customers.tables import (
    contact_points,
    customer_identities,
    customer_search_keys,
    customer_tags,
    customers,
)
from crm_api.db.projections import (
    TENANT,
    Filter,
    FilterValue,
    Projection,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    items,
    one,
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
    fields=columns("id", "kind", "value", "is_primary", "verified_at"),
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


SHORT = 2
"""Queries up to this many characters have no trigram; the gram index on names answers them."""


def _like(text: str) -> str:
    escaped = rules.query_text(text).replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"


def _kind_of_query(text: str) -> str:
    return "short" if len(rules.query_text(text)) <= SHORT else "long"


def _matches(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    keys = customer_search_keys
    if v.variant == "short":
        gram = v(lambda text: [rules.query_text(text)], ARRAY(Text))
        found = func.crm_grams(keys.c.name).op("@>")(gram)
    else:
        found = keys.c.haystack.like(v(_like, Text()))
    ids = select(keys.c.customer_id).where(keys.c.tenant_id == TENANT, found).scalar_subquery()
    # An array, not IN: joined to the customers, whose row-level security comes first, the search's index is passed
    # over for a walk through the whole table (200,000 customers: 324 ms for two characters, as an array 2 ms).
    return t.c.id == any_(func.array(ids, type_=ARRAY(Uuid)))


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
            "source",
            "blacklisted",
            "version",
            "created_at",
            "updated_at",
        ),
        "birthday": struct(
            {part: column(f"birth_{part}") for part in ("calendar", "year", "month", "day", "leap_month")}
        ),
        "owner_id": ref("owner_id", "Staff"),
        "store_id": ref("store_id", "Store"),
        "contact_points": items("ContactPoint", on=lambda p, c: c.c.customer_id == p.c.id),
        "identities": items("Identity", on=lambda p, c: c.c.customer_id == p.c.id),
        "tags": sql(_tags),
    },
    relations={
        "owner": one("Staff", on=lambda p, c: c.c.id == p.c.owner_id, description="Who looks after the customer."),
        "store": one("Store", on=lambda p, c: c.c.id == p.c.store_id, description="Where the customer belongs."),
    },
    orders={"newest": [desc("id")], "recently_changed": [desc("updated_at")]},
    filters={
        "q": Filter(
            str,
            _matches,
            variant=_kind_of_query,
            description="Any fragment of a name (Chinese included), or 3 or more characters of a phone, e-mail "
            "address or outside id.",
        ),
        "kind": eq("kind", CustomerKind),
        "owner_id": eq_ref("owner_id", "Staff"),
        "store_id": eq_ref("store_id", "Store"),
        "tag": Filter(str, _has_tag, description="Customers with this tag."),
        "identity": Filter(str, _platform_is, description="An outside identity as platform:external_id."),
    },
)
