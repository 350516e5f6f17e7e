"""Standards of contact, and customers held against them."""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, delete, func, or_, select

from crm_api.classifications.tables import customer_scores
from crm_api.customers.tables import customers
from crm_api.db.projections import NOW, TENANT, Projection, asc, column, columns, desc, eq, eq_ref, one, ref, sql
from crm_api.db.repository import Repository
from crm_api.interactions.tables import interactions
from crm_api.neglect import models
from crm_api.neglect.tables import contact_standards
from crm_api.staff.tables import customer_ownerships
from crm_api.tiers.tables import customer_tiers

READ = "staff:read"

_CLASSES = {
    "frequency": customer_scores.c.frequency_class,
    "amount": customer_scores.c.amount_class,
    "loyalty": customer_scores.c.loyalty_class,
    "value": customer_scores.c.value_class,
    "activity": customer_scores.c.activity_class,
    "grade": customer_scores.c.grade,
    "lifecycle": customer_scores.c.lifecycle,
    "value_potential": customer_scores.c.value_potential,
}


def _standard(customer: FromClause) -> ColumnElement[Any]:
    """Return the fewest days that any standard of the customer's classes asks for; null when there is none."""
    s, scores, tier = contact_standards, customer_scores, customer_tiers
    own = and_(scores.c.tenant_id == TENANT, scores.c.customer_id == customer.c.id)
    held = and_(tier.c.tenant_id == TENANT, tier.c.customer_id == customer.c.id, tier.c.main)
    classes = {**_CLASSES, "tier": tier.c.code}
    met = [and_(s.c.dimension == name, s.c.class_name == known) for name, known in classes.items()]
    return (
        select(func.min(s.c.every_days))
        .select_from(s.outerjoin(scores, own).outerjoin(tier, held))
        .where(s.c.tenant_id == TENANT, or_(s.c.dimension == "all", *met))
        .correlate(customer)
        .scalar_subquery()
    )


def _contacted(customer: FromClause) -> ColumnElement[Any]:
    i = interactions
    return (
        select(func.max(i.c.occurred_at))
        .where(i.c.tenant_id == TENANT, i.c.customer_id == customer.c.id, i.c.occurred_at <= NOW)
        .scalar_subquery()
    )


def _owned_since(customer: FromClause) -> ColumnElement[Any]:
    past = customer_ownerships
    return (
        select(func.max(past.c.at))
        .where(past.c.tenant_id == TENANT, past.c.customer_id == customer.c.id)
        .scalar_subquery()
    )


def silent_since(customer: FromClause) -> ColumnElement[Any]:
    """Return when a customer's silence began, whatever the standards say: who has just got an owner begins anew."""
    return func.greatest(_contacted(customer), _owned_since(customer))


def _overdue(customer: FromClause) -> ColumnElement[Any]:
    """Return when it became too long: who has just got an owner is given the standard's days."""
    return silent_since(customer) + func.make_interval(0, 0, 0, _standard(customer))


CONTACT_STANDARD = Projection(
    "ContactStandard",
    table=contact_standards,
    model=models.ContactStandard,
    scope=READ,
    description="How often customers of a class should hear from their owner.",
    fields=columns("id", "dimension", "class_name", "every_days", "version", "created_at", "updated_at"),
    orders={"days": [asc("every_days")], "newest": [desc("id")]},
    filters={"dimension": eq("dimension", models.Dimension)},
)

NEGLECTED_CUSTOMER = Projection(
    "NeglectedCustomer",
    table=customers,
    model=models.NeglectedCustomer,
    scope="interactions:read",
    description="A customer nobody has spoken with for longer than the strictest standard of their classes allows.",
    fields={
        **columns("id"),
        "name": column("name", scope="customers:read"),
        "owner_id": ref("owner_id", "Staff"),
        "store_id": ref("store_id", "Store"),
        "every_days": sql(_standard, scope="segments:read"),
        "contacted_at": sql(_contacted),
        "overdue_since": sql(_overdue, scope="segments:read"),
    },
    relations={
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.id, description="The customer."),
        "owner": one("Staff", on=lambda p, c: c.c.id == p.c.owner_id, description="Who should have spoken with them."),
    },
    filters={"owner_id": eq_ref("owner_id", "Staff"), "store_id": eq_ref("store_id", "Store")},
    where=lambda t: and_(t.c.deleted_at.is_(None), t.c.owner_id.is_not(None), _overdue(t) < NOW),
    node=False,
    version=None,
)


class StandardRepository(Repository):
    """Standards of contact."""

    table = contact_standards

    async def remove(self, standard_id: Any) -> None:
        """Delete a standard."""
        await self.unit.execute(delete(contact_standards).where(self.by_id(standard_id)))
