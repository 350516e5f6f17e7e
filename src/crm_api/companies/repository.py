"""Access to companies' contacts and roll-ups."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    func,
    literal_column,
    select,
    update,
)

from crm_api.companies.models import CompanyContact, CompanyPoints, CompanyPurchases, CompanyRollup
from crm_api.companies.tables import company_contacts, company_points, company_purchases
from crm_api.core.errors import NotFound, PreconditionFailed
from crm_api.customers.repository import CUSTOMER, search_by
from crm_api.customers.tables import customers
from crm_api.db.projections import (
    TENANT,
    Filter,
    FilterValue,
    Projection,
    asc,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    money,
    one,
    ref,
    sql,
)
from crm_api.db.repository import Repository
from crm_api.db.uow import UnitOfWork


def _living(t: FromClause) -> ColumnElement[bool]:
    """Leave out contacts whose person or company is deleted or merged into another."""

    def there(column: str) -> ColumnElement[bool]:
        c = customers.alias()
        found = select(c.c.id).where(c.c.tenant_id == TENANT, c.c.id == t.c[column], c.c.deleted_at.is_(None))
        return found.exists()

    return and_(there("company_id"), there("customer_id"))


def _has_role(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return t.c.roles.op("@>", is_comparison=True)(v(lambda role: [role], ARRAY(Text)))


def _current(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return t.c.until.is_(None) if v.variant else t.c.until.is_not(None)


COMPANY_CONTACT = Projection(
    "CompanyContact",
    table=company_contacts,
    model=CompanyContact,
    scope="customers:read",
    description="A person who speaks, or spoke, for a company.",
    where=_living,
    fields={
        **columns("id", "roles", "title", "is_primary", "since", "until", "version", "created_at", "updated_at"),
        "company_id": ref("company_id", "Customer"),
        "customer_id": ref("customer_id", "Customer"),
    },
    relations={
        "company": one("Customer", on=lambda p, c: c.c.id == p.c.company_id, description="The company."),
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="The person."),
    },
    orders={"primary_first": [desc("is_primary"), asc("id")], "newest": [desc("id")]},
    filters={
        "company_id": eq_ref("company_id", "Customer"),
        "customer_id": eq_ref("customer_id", "Customer"),
        "role": Filter(str, _has_role, description="Contacts with this role."),
        "is_primary": eq("is_primary", bool),
        "current": Filter(
            bool, _current, variant=bool, description="true: contacts of today; false: those that have ended."
        ),
    },
)

COMPANY_PURCHASES = Projection(
    "CompanyPurchases",
    table=company_purchases,
    model=CompanyPurchases,
    scope="orders:read",
    description="What a company and its contacts have bought; each order counts once.",
    fields={
        **columns("order_count", "paid_order_count", "first_order_at", "last_order_at", "other_currency_order_count"),
        "gross_spend": money("gross_spend_amount"),
        "net_spend": money("net_spend_amount"),
    },
    node=False,
    key="company_id",
)

COMPANY_POINTS = Projection(
    "CompanyPoints",
    table=company_points,
    model=CompanyPoints,
    scope="loyalty:read",
    description="The points a company and its current contacts have together.",
    fields=columns("available", "pending", "held", "debt"),
    node=False,
    key="company_id",
)


def _contact_count(t: FromClause) -> ColumnElement[Any]:
    k, c = company_contacts.alias(), customers.alias()
    return (
        select(func.count())
        .select_from(k.join(c, and_(c.c.tenant_id == k.c.tenant_id, c.c.id == k.c.customer_id)))
        .where(k.c.tenant_id == TENANT, k.c.company_id == t.c.id, k.c.until.is_(None), c.c.deleted_at.is_(None))
        .scalar_subquery()
    )


COMPANY_ROLLUP = Projection(
    "CompanyRollup",
    table=customers,
    model=CompanyRollup,
    scope="customers:read",
    description="A company and its contacts taken together.",
    where=lambda t: and_(t.c.kind == literal_column("'company'"), t.c.deleted_at.is_(None)),
    fields={
        "company_id": ref("id", "Customer"),
        "contact_count": sql(_contact_count),
        "purchases_rollup": one("CompanyPurchases", on=lambda p, c: c.c.company_id == p.c.id),
        "points_rollup": one("CompanyPoints", on=lambda p, c: c.c.company_id == p.c.id),
    },
    node=False,
    version=None,
)

extend(
    CUSTOMER,
    relations={
        "contacts": many(
            "CompanyContact",
            on=lambda p, c: c.c.company_id == p.c.id,
            description="Of a company: the people who speak for it, the primary contact first.",
        ),
        "companies": many(
            "CompanyContact",
            on=lambda p, c: c.c.customer_id == p.c.id,
            orders={"newest": [desc("id")]},
            description="Of a person: the companies they speak for.",
        ),
        "rollup": one(
            "CompanyRollup",
            on=lambda p, c: c.c.id == p.c.id,
            description="Of a company: itself and its contacts taken together; null for a person.",
        ),
    },
)

_IDS: Final = bindparam("ids", type_=ARRAY(Uuid()))


_COMPANIES_OF = """
SELECT DISTINCT k.customer_id, c.name FROM company_contacts k
JOIN customers c ON c.tenant_id = $1 AND c.id = k.company_id AND c.deleted_at IS NULL
WHERE k.tenant_id = $1 AND k.customer_id = ANY ($2::uuid[]) ORDER BY 1, 2
"""
_PEOPLE_OF = "SELECT DISTINCT customer_id FROM company_contacts WHERE tenant_id = $1 AND company_id = ANY ($2::uuid[])"


async def companies_of(unit: UnitOfWork, customer_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Return customer → names of the companies they speak for or have spoken for: what the search box finds them by."""
    found: dict[UUID, list[str]] = {}
    for customer_id, name in await unit.connection.fetch(_COMPANIES_OF, unit.tenant_id, customer_ids):
        found.setdefault(customer_id, []).append(name)
    return found


search_by("company", companies_of)


class CompanyRepository(Repository):
    """Contacts of companies."""

    table = company_contacts

    async def people_of(self, company_ids: Sequence[UUID]) -> list[UUID]:
        """Return everybody who is or was a contact of these companies."""
        rows = await self.unit.connection.fetch(_PEOPLE_OF, self.unit.tenant_id, company_ids)
        return [row["customer_id"] for row in rows]

    async def today(self) -> date:
        """Return the tenant's business day by the unit's clock."""
        day: date = await self.unit.connection.fetchval(
            "SELECT day FROM crm_today($1, $2)", self.unit.tenant_id, self.unit.now()
        )
        return day

    async def kinds(self, customer_ids: Iterable[UUID]) -> dict[UUID, str]:
        """Return living customers' kinds, ``person`` or ``company``."""
        c = customers
        rows = await self.unit.fetch_all(
            select(c.c.id, c.c.kind).where(self.mine(c), c.c.id == any_(_IDS), c.c.deleted_at.is_(None)),
            {"ids": sorted(set(customer_ids))},
        )
        return {row["id"]: row["kind"] for row in rows}

    async def hold(self, company_id: UUID) -> list[dict[str, Any]]:
        """Hold a company against others who change its contacts; return all its contacts, ended ones too."""
        c, k = customers, company_contacts
        await self.unit.fetch_value(select(c.c.id).where(self.by_id(company_id, c)).with_for_update(key_share=True))
        rows = await self.unit.fetch_all(select(k).where(self.mine(k), k.c.company_id == company_id).order_by(k.c.id))
        return [dict(row) for row in rows]

    async def hold_of(
        self, contact_id: UUID, *, expected_version: int | None = None
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Hold a contact's company; return the contact as it is then, and all of the company.

        Raises:
            NotFound: there is no such contact.
            PreconditionFailed: its version is not the expected one.

        """
        found = await self.get(contact_id)
        contacts = await self.hold(found["company_id"])
        for contact in contacts:
            if contact["id"] == contact_id:
                if expected_version is not None and contact["version"] != expected_version:
                    raise PreconditionFailed
                return contact, contacts
        raise NotFound

    async def resign(self, company_id: UUID, contact_id: UUID) -> None:
        """Take "primary" from all contacts of a company but one."""
        k = company_contacts
        await self.unit.execute(
            update(k)
            .where(self.mine(k), k.c.company_id == company_id, k.c.id != contact_id, k.c.is_primary)
            .values(is_primary=False, version=k.c.version + 1, updated_at=func.now())
        )

    async def remove(self, contact_id: UUID) -> None:
        """Delete a contact."""
        await self.unit.execute(company_contacts.delete().where(self.by_id(contact_id)))
