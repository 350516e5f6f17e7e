"""Access to complaints and their events."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Text, any_, delete, literal_column, not_, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from crm_api.complaints import rules
from crm_api.complaints.models import Case, Complaint, ComplaintEvent, Kind, Severity, State
from crm_api.complaints.rules import Event
from crm_api.complaints.tables import complaint_events, complaint_interactions, complaints
from crm_api.core.errors import NotFound, PreconditionFailed
from crm_api.core.ids import new_id
from crm_api.customers.repository import CUSTOMER
from crm_api.db import timeline
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
    many,
    one,
    python,
    ref,
    sql,
)
from crm_api.db.repository import Repository
from crm_api.interactions.repository import INTERACTION, check_order
from crm_api.orders.repository import ORDER

# Written into the statement: constants of ours, and the planner then knows them.
_OPEN: Any = literal_column(f"ARRAY[{', '.join(repr(state) for state in rules.OPEN)}]::text[]", ARRAY(Text))


def is_open(t: FromClause) -> ColumnElement[bool]:
    """Tell whether a case waits for its resolution (`complaints.rules.OPEN`)."""
    return t.c.state == any_(_OPEN)


def _open_is(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    return is_open(t) if v.variant else not_(is_open(t))


_STEPS = {state: [step.model_dump() for step in rules.steps(state)] for state in rules.STATES}

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
            "subject",
            "description",
            "remedy_sought",
            "decision",
            "reason",
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
        "open": sql(is_open),
        "steps": python(lambda row, _: _STEPS[row["state"]], needs={"state": column("state")}),
    },
    relations={
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who complains."),
        "order": one("Order", on=lambda p, c: c.c.id == p.c.order_id, description="The order it is about."),
        "assignee": one("Staff", on=lambda p, c: c.c.id == p.c.assignee_id, description="Who handles it."),
        "merged_into": one("Complaint", on=lambda p, c: c.c.id == p.c.merged_into_id, description="What it repeats."),
        "duplicates": many("Complaint", on=lambda p, c: c.c.merged_into_id == p.c.id, description="What repeats it."),
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
        "order_id": eq_ref("order_id", "Order"),
        "assignee_id": eq_ref("assignee_id", "Staff"),
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
            "Complaint", on=lambda p, c: c.c.order_id == p.c.id, description="The cases about this order."
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


class ComplaintRepository(Repository):
    """Complaints of the tenant."""

    table = complaints

    async def add(self, complaint_id: UUID, case: Case) -> UUID | None:
        """Insert a case; returns the id of the one that has its ``source_ref`` already, and then inserts nothing."""
        statement = (
            insert(complaints)
            .on_conflict_do_nothing(index_elements=["tenant_id", "source_ref"])
            .returning(complaints.c.id)
        )
        row = {"tenant_id": self.unit.tenant_id, "id": complaint_id, **case.model_dump()}
        if await self.unit.fetch_value(statement, row) is not None:
            return None
        known: UUID | None = await self.unit.fetch_value(
            select(complaints.c.id).where(self.mine(), complaints.c.source_ref == case.source_ref)
        )
        return known

    async def lock(self, complaint_id: UUID, *, expected_version: int | None = None) -> Case:
        """Return the case and hold it against other writers.

        Raises:
            NotFound: there is none.
            PreconditionFailed: its version is not the expected one.

        """
        case, _ = await self.lock_two(complaint_id, None, expected_version=expected_version)
        return case

    async def lock_two(
        self, complaint_id: UUID, other_id: UUID | None, *, expected_version: int | None = None
    ) -> tuple[Case, Case | None]:
        """Return a case and another one, both held; always locked in the same order, so that rivals cannot deadlock."""
        wanted = [complaint_id] if other_id is None else [complaint_id, other_id]
        rows = await self.unit.fetch_all(
            select(complaints)
            .where(self.mine(), complaints.c.id == any_(wanted))  # type: ignore[arg-type]
            .order_by(complaints.c.id)
            .with_for_update(key_share=True)
        )
        found = {row["id"]: case_of(row) for row in rows}
        case = found.pop(complaint_id, None)
        if case is None:
            raise NotFound
        if expected_version is not None and case.version != expected_version:
            raise PreconditionFailed
        return case, found.get(other_id) if other_id is not None else None

    async def append(self, complaint_id: UUID, event: Event) -> None:
        """Write an event; its number is unique for the complaint."""
        actor = self.unit.actor
        await self.insert(
            {
                "id": new_id(),
                "complaint_id": complaint_id,
                "number": event.number,
                "at": event.at,
                "actor_kind": actor.kind,
                "actor_id": actor.id,
                "action": event.action,
                "from_state": event.source,
                "to_state": event.target,
                "note": event.note,
                "data": event.data,
            },
            complaint_events,
        )

    async def become(self, complaint_id: UUID, before: Case, after: Case) -> None:
        """Write what an event changed."""
        old, new = before.model_dump(exclude={"version"}), after.model_dump(exclude={"version"})
        await self.change(complaint_id, {name: value for name, value in new.items() if value != old[name]})

    async def events(self, complaint_id: UUID) -> list[Event]:
        """Return all events of a complaint, oldest first."""
        e = complaint_events
        rows = await self.unit.fetch_all(
            select(e).where(self.mine(e), e.c.complaint_id == complaint_id).order_by(e.c.number)
        )
        return [
            Event(row["number"], row["at"], row["action"], row["from_state"], row["to_state"], row["data"], row["note"])
            for row in rows
        ]

    async def check_order(self, order_id: UUID | None, customer_id: UUID) -> None:
        """Raise Invalid when the order is another customer's, or when there is no such order."""
        await check_order(self.unit, order_id, customer_id)

    async def link(self, complaint_id: UUID, interaction_id: UUID) -> bool:
        """Link an interaction; returns whether that was new."""
        row = {
            "tenant_id": self.unit.tenant_id,
            "complaint_id": complaint_id,
            "interaction_id": interaction_id,
        }
        return bool(await self.unit.execute(insert(complaint_interactions).on_conflict_do_nothing(), row))

    async def unlink(self, complaint_id: UUID, interaction_id: UUID) -> bool:
        """Unlink an interaction; returns whether it was linked."""
        link = complaint_interactions
        return bool(
            await self.unit.execute(
                delete(link).where(
                    self.mine(link), link.c.complaint_id == complaint_id, link.c.interaction_id == interaction_id
                )
            )
        )


def case_of(row: Any) -> Case:
    """Return what a row says of the case."""
    return Case.model_validate({name: row[name] for name in Case.model_fields})


# Last, because it extends what is declared above.
from crm_api.complaints.repository import clocks  # noqa: E402, F401
