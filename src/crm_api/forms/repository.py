"""Access to forms and submissions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import ARRAY, String, Uuid, any_, case, cast, func, literal, select, update

from crm_api.consent.tables import consent_texts
from crm_api.customers.repository import CUSTOMER
from crm_api.customers.tables import contact_points, customers
from crm_api.db import timeline
from crm_api.db.compile import compile_statement
from crm_api.db.projections import Projection, columns, desc, eq, eq_ref, extend, many, one, ref, sql
from crm_api.db.repository import Repository
from crm_api.forms.models import CaptureForm, FormKind, FormSubmission, SubmissionState
from crm_api.forms.tables import capture_forms, form_submissions

FORM = Projection(
    "CaptureForm",
    table=capture_forms,
    model=CaptureForm,
    scope="forms:read",
    description="A form that visitors fill in on the shop's own page.",
    fields={
        **columns(
            "id",
            "name",
            "kind",
            "title",
            "description",
            "fields",
            "consent_text_ids",
            "source",
            "tags",
            "allowed_origins",
            "hourly_limit",
            "visitor_hourly_limit",
            "minimum_seconds",
            "active",
            "version",
            "created_at",
            "updated_at",
        ),
        "public_path": sql(lambda t: literal("/v1/public/forms/") + cast(t.c.id, String)),
    },
    relations={
        "submissions": many(
            "FormSubmission", on=lambda p, c: c.c.form_id == p.c.id, description="What was sent, newest first."
        )
    },
    filters={"kind": eq("kind", FormKind), "active": eq("active", bool)},
)

SUBMISSION = Projection(
    "FormSubmission",
    table=form_submissions,
    model=FormSubmission,
    scope="forms:read",
    description="What a visitor sent, and what became of it.",
    fields={
        **columns("id", "state", "new_customer", "answers", "consents", "submitted_at"),
        "form_id": ref("form_id", "CaptureForm"),
        "customer_id": ref("customer_id", "Customer"),
        "interaction_id": ref("interaction_id", "Interaction"),
    },
    relations={
        "form": one("CaptureForm", on=lambda p, c: c.c.id == p.c.form_id, description="Through which form."),
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who it was."),
    },
    orders={"newest": [desc("id")]},
    filters={
        "form_id": eq_ref("form_id", "CaptureForm"),
        "customer_id": eq_ref("customer_id", "Customer"),
        "state": eq("state", SubmissionState),
    },
)

extend(
    CUSTOMER,
    relations={
        "form_submissions": many(
            "FormSubmission", on=lambda p, c: c.c.customer_id == p.c.id, description="Forms the customer sent."
        )
    },
)

timeline.register(
    timeline.Source(
        kind="form",
        scope="forms:read",
        rows=form_submissions.join(
            capture_forms,
            (capture_forms.c.tenant_id == form_submissions.c.tenant_id)
            & (capture_forms.c.id == form_submissions.c.form_id),
        ),
        tenant=form_submissions.c.tenant_id,
        customer=form_submissions.c.customer_id,
        at=form_submissions.c.submitted_at,
        id=form_submissions.c.id,
        title=capture_forms.c.title,
        data={
            "form_id": form_submissions.c.form_id,
            "consents": func.cardinality(form_submissions.c.consents),
            "new_customer": form_submissions.c.new_customer,
        },
    )
)


class FormRepository(Repository):
    """Forms."""

    table = capture_forms

    async def texts(self, ids: Sequence[UUID]) -> list[asyncpg.Record]:
        """Return consent texts in the order of the ids; those that do not exist are left out."""
        rows = await self.unit.fetch_all(
            select(consent_texts).where(
                self.mine(consent_texts), consent_texts.c.id == any_(literal(list(ids), ARRAY(Uuid)))
            )
        )
        found = {row["id"]: row for row in rows}
        return [found[each] for each in ids if each in found]


class SubmissionRepository(Repository):
    """Submissions."""

    table = form_submissions

    async def hold(self, form_id: UUID) -> None:
        """Let one submission of the form at a time pass: limits are counted exactly."""
        await self.unit.connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"forms:{self.unit.tenant_id}:{form_id}"
        )

    async def by_ticket(self, form_id: UUID, ticket: UUID) -> asyncpg.Record | None:
        """Return what came with this ticket before."""
        table = self.table
        return await self.unit.fetch_one(
            select(table).where(self.mine(), table.c.form_id == form_id, table.c.ticket == ticket)
        )

    async def recent(self, form_id: UUID, visitor: str, since: datetime) -> tuple[int, int]:
        """Return how many submissions came since then: of all, and of this visitor."""
        table = self.table
        row = await self.unit.fetch_one(
            select(
                func.count().label("everybody"), func.count(case((table.c.visitor == visitor, 1))).label("visitor")
            ).where(self.mine(), table.c.form_id == form_id, table.c.submitted_at > since)
        )
        assert row is not None  # noqa: S101 - an aggregate always has a row
        return row["everybody"], row["visitor"]

    async def customer_with(self, contacts: list[tuple[str, str]]) -> UUID | None:
        """Return the living customer with the first of these contact points that anybody has; the oldest of several."""
        point = contact_points
        for kind, value in contacts:
            found: UUID | None = await self.unit.fetch_value(
                select(point.c.customer_id)
                .join(customers, (customers.c.tenant_id == point.c.tenant_id) & (customers.c.id == point.c.customer_id))
                .where(self.mine(point), point.c.kind == kind, point.c.value == value, customers.c.deleted_at.is_(None))
                .order_by(point.c.verified_at.is_(None), customers.c.id)
                .limit(1)
            )
            if found is not None:
                return found
        return None

    async def set(self, submission_id: UUID, **values: Any) -> None:
        """Note what became of a submission."""
        await self.unit.execute(update(self.table).where(self.by_id(submission_id)).values(**values))


async def find_form(connection: Any, form_id: UUID) -> Any:
    """Return an active form on a system connection: no tenant is known yet."""
    sql_text, values = compile_statement(
        select(capture_forms).where(capture_forms.c.id == form_id, capture_forms.c.active)
    )
    return await connection.fetchrow(sql_text, *values)
