"""What cases, their log, their messages, their taxonomy and their settings look like."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Text, Uuid, any_, func, not_, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from crm_api.catalogue.repository import PRODUCT
from crm_api.complaints import rules
from crm_api.complaints.cause_models import ComplaintCause, ComplaintSettings
from crm_api.complaints.models import (
    Channel,
    Complaint,
    ComplaintEvent,
    ComplaintMessage,
    ComplaintProduct,
    Kind,
    MessageDirection,
    MessageKind,
    Severity,
    State,
)
from crm_api.complaints.tables import (
    complaint_causes,
    complaint_events,
    complaint_interactions,
    complaint_messages,
    complaint_orders,
    complaint_products,
    complaint_settings,
    complaints,
)
from crm_api.customers.repository import CUSTOMER
from crm_api.db import timeline
from crm_api.db.fields import among
from crm_api.db.projections import (
    TENANT,
    Filter,
    FilterValue,
    Projection,
    asc,
    at_least,
    below,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    items,
    many,
    one,
    python,
    ref,
    sql,
)
from crm_api.interactions.repository import INTERACTION
from crm_api.orders.repository import ORDER


# Written into the statement: constants of ours, and the planner then knows them.
def is_open(t: FromClause) -> ColumnElement[bool]:
    """Tell whether a case waits for its resolution (`complaints.rules.OPEN`)."""
    return among(t.c.state, rules.OPEN)


def _open_is(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return is_open(t) if v.variant else not_(is_open(t))


def _unassigned(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return t.c.assignee_id.is_(None) if v.variant else t.c.assignee_id.is_not(None)


_STEPS = {
    (state, merged_from): [step.model_dump() for step in rules.steps(state, merged_from)]
    for state in rules.STATES
    for merged_from in (None, *rules.LIVE)
}


def family(root: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the ids of a case and of all that were merged into it, at any depth: an array.

    Made by a sub-select, so that PostgreSQL makes it once and not for every row that it compares.
    """
    members = func.unnest(func.crm_complaint_family(TENANT, root, type_=ARRAY(Uuid)))
    return func.array(select(members).scalar_subquery(), type_=ARRAY(Uuid))


def _orders_of(t: FromClause) -> ColumnElement[Any]:
    link = complaint_orders
    rows = select(link.c.order_id).where(link.c.tenant_id == TENANT, link.c.complaint_id == t.c.id)
    return func.array(rows.order_by(link.c.position).scalar_subquery())


def _about_order(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return t.c.id.in_(_cases_of_order(complaint_orders.c.order_id == v()))


def _cases_of_order(on: ColumnElement[bool]) -> Any:
    return select(complaint_orders.c.complaint_id).where(complaint_orders.c.tenant_id == TENANT, on)


def _about_goods(name: str) -> Any:
    """Return the predicate of a filter on a column of the goods."""

    def build(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
        goods = complaint_products
        value = v(None, goods.c[name].type)
        return t.c.id.in_(select(goods.c.complaint_id).where(goods.c.tenant_id == TENANT, goods.c[name] == value))

    return build


def _below(name: str) -> Any:
    """Return the predicate of a filter on a path: it and what lies below it."""

    def build(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
        path = t.c[name]
        return or_(path == v(None, Text()), func.starts_with(path, v(lambda text: f"{text}/", Text())))

    return build


def _cause(name: str) -> Any:
    return lambda p, c: c.c.path == p.c[name]


def _spoken_of_in(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    link = complaint_interactions
    return t.c.id.in_(select(link.c.complaint_id).where(link.c.tenant_id == TENANT, link.c.interaction_id == v()))


def _goods_filter(name: str, type: Any, description: str, target: str | None = None) -> Filter:
    return Filter(type, _about_goods(name), ref=target, description=description)


COMPLAINT = Projection(
    "Complaint",
    table=complaints,
    model=Complaint,
    scope="complaints:read",
    description="A case: a complaint, or an inquiry, request or praise that is handled like one.",
    fields={
        **columns(
            "id",
            "state",
            "state_changed_at",
            "kind",
            "channel",
            "source_ref",
            "severity",
            "safety",
            "category",
            "root_cause",
            "regulator_ref",
            "subject",
            "description",
            "remedy_sought",
            "decision",
            "reason",
            "merged_from",
            "reopened",
            "received_at",
            "acknowledged_at",
            "resolved_at",
            "decision_told_at",
            "closed_at",
            "version",
            "created_at",
            "updated_at",
        ),
        "customer_id": ref("customer_id", "Customer"),
        "order_id": ref("order_id", "Order"),
        "assignee_id": ref("assignee_id", "Staff"),
        "merged_into_id": ref("merged_into_id", "Complaint"),
        "reopens_id": ref("reopens_id", "Complaint"),
        "order_ids": sql(_orders_of),
        "products": items(
            "ComplaintProduct",
            on=lambda p, c: c.c.complaint_id == p.c.id,
            order=[asc("position")],
            description="What of the goods it is about: products and batches.",
        ),
        "open": sql(is_open),
        "steps": python(
            lambda row, _: _STEPS[row["state"], row["merged_from"]],
            needs={"state": column("state"), "merged_from": column("merged_from")},
        ),
    },
    relations={
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who complains."),
        "order": one("Order", on=lambda p, c: c.c.id == p.c.order_id, description="The order it is mainly about."),
        "orders": many(
            "Order",
            on=lambda p, c: c.c.id.in_(
                select(complaint_orders.c.order_id).where(
                    complaint_orders.c.tenant_id == TENANT, complaint_orders.c.complaint_id == p.c.id
                )
            ),
            description="All orders it is about.",
        ),
        "category_entry": one(
            "ComplaintCause", on=_cause("category"), description="The place of `category` in the taxonomy."
        ),
        "root_cause_entry": one(
            "ComplaintCause", on=_cause("root_cause"), description="The place of `root_cause` in the taxonomy."
        ),
        "assignee": one("Staff", on=lambda p, c: c.c.id == p.c.assignee_id, description="Who handles it."),
        "merged_into": one("Complaint", on=lambda p, c: c.c.id == p.c.merged_into_id, description="What it repeats."),
        "duplicates": many("Complaint", on=lambda p, c: c.c.merged_into_id == p.c.id, description="What repeats it."),
        "reopens": one(
            "Complaint", on=lambda p, c: c.c.id == p.c.reopens_id, description="The case it takes up again."
        ),
        "follow_ons": many(
            "Complaint", on=lambda p, c: c.c.reopens_id == p.c.id, description="Later cases that take it up again."
        ),
        "messages": many(
            "ComplaintMessage",
            on=lambda p, c: c.c.complaint_id == any_(family(p.c.id)),
            description="What was said, noted and done, newest first; also in cases merged into it.",
        ),
        "events": many(
            "ComplaintEvent", on=lambda p, c: c.c.complaint_id == p.c.id, description="What happened, oldest first."
        ),
        "interactions": many(
            "Interaction",
            on=lambda p, c: c.c.id.in_(_linked(complaint_interactions.c.complaint_id == p.c.id)),
            description="What was said about it.",
        ),
    },
    orders={"newest": [desc("id")], "last_moved": [desc("state_changed_at")], "received": [desc("received_at")]},
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "order_id": Filter(UUID, _about_order, ref="Order", description="Only what is about this order, among others."),
        "product_id": _goods_filter("product_id", UUID, "Only what is about this product.", "Product"),
        "sku": _goods_filter("sku", str, "Only what is about goods with this SKU."),
        "batch": _goods_filter("batch", str, "Only what is about goods of this batch."),
        "interaction_id": Filter(
            UUID, _spoken_of_in, ref="Interaction", description="Only what this interaction was about."
        ),
        "category": Filter(str, _below("category"), description="A path: it and what lies below it."),
        "root_cause": Filter(str, _below("root_cause"), description="A path: it and what lies below it."),
        "regulator_ref": eq("regulator_ref", description="Its number at an authority."),
        "channel": eq("channel", Channel),
        "safety": eq("safety", bool, description="Whether somebody's health or safety is concerned."),
        "merged_into_id": eq_ref("merged_into_id", "Complaint", description="Only what was merged into this case."),
        "reopens_id": eq_ref("reopens_id", "Complaint", description="Only what takes up this case again."),
        "assignee_id": eq_ref("assignee_id", "Staff"),
        "unassigned": Filter(
            bool, _unassigned, variant=bool, description="Only what nobody handles, or somebody does."
        ),
        "state": eq("state", State),
        "severity": eq("severity", Severity),
        "kind": eq("kind", Kind),
        "source_ref": eq("source_ref", description="Its number where it came from."),
        "open": Filter(bool, _open_is, variant=bool, description="Whether it still waits for its resolution."),
        "received_after": at_least("received_at", description="From this instant on."),
        "received_before": below("received_at", description="Before this instant."),
    },
)

COMPLAINT_EVENT = Projection(
    "ComplaintEvent",
    table=complaint_events,
    model=ComplaintEvent,
    scope="complaints:read",
    description="Something that happened to a complaint; never changed afterwards.",
    fields={
        **columns("id", "number", "at", "actor_kind", "actor_id", "action", "from_state", "to_state", "note", "data"),
        "complaint_id": ref("complaint_id", "Complaint"),
    },
    relations={"complaint": one("Complaint", on=lambda p, c: c.c.id == p.c.complaint_id, description="To which.")},
    orders={"oldest": [asc("number")], "newest": [desc("number")]},
    filters={"complaint_id": eq_ref("complaint_id", "Complaint"), "action": eq("action")},
)


COMPLAINT_PRODUCT = Projection(
    "ComplaintProduct",
    table=complaint_products,
    model=ComplaintProduct,
    scope="complaints:read",
    description="Goods a case is about.",
    fields={**columns("sku", "batch", "quantity"), "product_id": ref("product_id", "Product")},
    relations={"product": one("Product", on=lambda p, c: c.c.id == p.c.product_id, description="The product.")},
    orders={"position": [asc("position")]},
    node=False,
)


def _told_in(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    """Keep the messages of a case and of all that were merged into it."""
    return t.c.complaint_id == any_(family(v()))


COMPLAINT_MESSAGE = Projection(
    "ComplaintMessage",
    table=complaint_messages,
    model=ComplaintMessage,
    scope="complaints:read",
    description="Something that was said to or by the customer, noted within the shop, or done.",
    fields={
        **columns(
            "id", "kind", "direction", "channel", "body", "attachments", "source_ref", "tells", "at", "created_at"
        ),
        "complaint_id": ref("complaint_id", "Complaint"),
        "staff_id": ref("staff_id", "Staff"),
        "interaction_id": ref("interaction_id", "Interaction"),
    },
    relations={
        "complaint": one("Complaint", on=lambda p, c: c.c.id == p.c.complaint_id, description="The case."),
        "staff": one("Staff", on=lambda p, c: c.c.id == p.c.staff_id, description="Who of the shop said or did it."),
        "interaction": one(
            "Interaction", on=lambda p, c: c.c.id == p.c.interaction_id, description="What it was part of."
        ),
    },
    orders={"newest": [desc("at")], "oldest": [asc("at")]},
    filters={
        "complaint_id": Filter(
            UUID, _told_in, ref="Complaint", description="Only of this case and of those merged into it."
        ),
        "direction": eq("direction", MessageDirection),
        "kind": eq("kind", MessageKind),
        "channel": eq("channel", Channel),
        "staff_id": eq_ref("staff_id", "Staff"),
        "said_after": at_least("at", description="From this instant on."),
        "said_before": below("at", description="Before this instant."),
    },
)

COMPLAINT_CAUSE = Projection(
    "ComplaintCause",
    table=complaint_causes,
    model=ComplaintCause,
    scope="complaints:read",
    description="A place of the taxonomy: what cases can be about, and why they happened.",
    fields=columns(
        "id", "path", "name", "description", "required_skill_ids", "archived", "version", "created_at", "updated_at"
    ),
    orders={"path": [asc("path")], "newest": [desc("id")]},
    filters={
        "path": Filter(str, _below("path"), description="A path: it and what lies below it."),
        "archived": eq("archived", bool, description="Whether it is not to be chosen any more."),
    },
)

COMPLAINT_SETTINGS = Projection(
    "ComplaintSettings",
    table=complaint_settings,
    model=ComplaintSettings,
    scope="complaints:read",
    description="What holds for all cases of the shop.",
    fields=columns(
        "reopen_days", "close_after_days", "resume_on_message", "known_causes_only", "version", "updated_at"
    ),
    node=False,
    key="tenant_id",
)


def _linked(on: ColumnElement[bool]) -> Any:
    link = complaint_interactions
    return select(link.c.interaction_id).where(link.c.tenant_id == TENANT, on)


def _about(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return t.c.id.in_(_linked(complaint_interactions.c.complaint_id == v()))


extend(
    CUSTOMER,
    relations={
        "complaints": many(
            "Complaint", on=lambda p, c: c.c.customer_id == p.c.id, description="The customer's cases, newest first."
        )
    },
)
extend(
    ORDER,
    relations={
        "complaints": many(
            "Complaint",
            on=lambda p, c: c.c.id.in_(_cases_of_order(complaint_orders.c.order_id == p.c.id)),
            description="The cases about this order.",
        )
    },
)
extend(
    PRODUCT,
    relations={
        "complaints": many(
            "Complaint",
            on=lambda p, c: c.c.id.in_(
                select(complaint_products.c.complaint_id).where(
                    complaint_products.c.tenant_id == TENANT, complaint_products.c.product_id == p.c.id
                )
            ),
            description="The cases about this product.",
        )
    },
)
extend(
    INTERACTION,
    relations={
        "complaints": many(
            "Complaint",
            on=lambda p, c: c.c.id.in_(
                select(complaint_interactions.c.complaint_id).where(
                    complaint_interactions.c.tenant_id == TENANT, complaint_interactions.c.interaction_id == p.c.id
                )
            ),
            description="The cases it was about.",
        )
    },
    filters={
        "complaint_id": Filter(
            UUID,
            _about,
            ref="Complaint",
            description="Only what was about this case; takes `complaints:read`.",
            scope="complaints:read",
        )
    },
)

timeline.register(
    timeline.Source(
        kind="complaint",
        scope="complaints:read",
        rows=complaints,
        tenant=complaints.c.tenant_id,
        customer=complaints.c.customer_id,
        at=complaints.c.received_at,
        id=complaints.c.id,
        title=complaints.c.subject,
        data={name: complaints.c[name] for name in ("kind", "channel", "severity", "state", "order_id", "source_ref")},
    )
)
timeline.register(
    timeline.Source(
        kind="complaint_event",
        scope="complaints:read",
        rows=complaint_events.join(
            complaints,
            (complaints.c.tenant_id == complaint_events.c.tenant_id)
            & (complaints.c.id == complaint_events.c.complaint_id),
        ),
        tenant=complaints.c.tenant_id,
        customer=complaints.c.customer_id,
        at=complaint_events.c.at,
        id=complaint_events.c.id,
        title=complaints.c.subject,
        data={name: complaint_events.c[name] for name in ("complaint_id", "action", "from_state", "to_state", "note")},
        # Only steps: its opening is the complaint itself, and corrections of fields are the shop's own affair.
        where=(complaint_events.c.from_state != complaint_events.c.to_state,),
    )
)
timeline.register(
    timeline.Source(
        kind="complaint_message",
        scope="complaints:read",
        rows=complaint_messages.join(
            complaints,
            (complaints.c.tenant_id == complaint_messages.c.tenant_id)
            & (complaints.c.id == complaint_messages.c.complaint_id),
        ),
        tenant=complaints.c.tenant_id,
        customer=complaints.c.customer_id,
        at=complaint_messages.c.at,
        id=complaint_messages.c.id,
        title=complaints.c.subject,
        data={
            name: complaint_messages.c[name] for name in ("complaint_id", "direction", "channel", "staff_id", "tells")
        },
        # Notes and steps are the shop's own affair.
        where=(complaint_messages.c.kind == "message",),
    )
)
