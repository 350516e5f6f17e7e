"""Access to one-time codes."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, FromClause, case, func, literal, null, select, update

from crm_api.customers.models import ContactKind
from crm_api.db.projections import NOW, Filter, Projection, columns, desc, eq, eq_ref, one, ref, sql
from crm_api.db.repository import Repository
from crm_api.verification import rules
from crm_api.verification.models import ContactVerification, VerificationState
from crm_api.verification.tables import contact_verifications


def _state(t: FromClause) -> ColumnElement[Any]:
    return case(
        (t.c.verified_at.is_not(None), literal("verified")),
        (t.c.replaced_at.is_not(None), literal("replaced")),
        (t.c.tries >= rules.TRIES, literal("exhausted")),
        (t.c.expires_at <= NOW, literal("expired")),
        else_=literal("open"),
    )


CONTACT_VERIFICATION = Projection(
    "ContactVerification",
    table=contact_verifications,
    model=ContactVerification,
    scope="customers:read",
    description="A one-time code that was sent to a contact point, and what became of it.",
    fields={
        **columns("id", "contact_point_id", "kind", "message_id", "sent_at", "resend_at", "expires_at", "verified_at"),
        "customer_id": ref("customer_id", "Customer"),
        "state": sql(_state),
        "tries_left": sql(lambda t: rules.TRIES - t.c.tries),
    },
    relations={"customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Whose it is.")},
    orders={"newest": [desc("id")]},
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "contact_point_id": eq("contact_point_id", UUID),
        "kind": eq("kind", ContactKind),
        "state": Filter(VerificationState, lambda t, v: _state(t) == v()),
    },
)


class Sent(NamedTuple):
    """What was sent in the last day.

    Attributes:
        number: of codes.
        oldest: when the first of them was sent.
        resend_at: from when the last of them allows another.

    """

    number: int
    oldest: datetime | None
    resend_at: datetime | None


class VerificationRepository(Repository):
    """One-time codes."""

    table = contact_verifications

    async def one_at_a_time(self) -> None:
        """Let one sender of the tenant count at a time, until its unit ends: limits hold exactly."""
        await self.unit.connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"verification.send:{self.unit.tenant_id}"
        )

    async def sent_to(self, kind: str, value: str, since: datetime) -> Sent:
        """Return what was sent to an address, whoever's contact point it was."""
        t = contact_verifications
        return await self._sent((t.c.kind == kind) & (t.c.value == value), since)

    async def sent_by_tenant(self, since: datetime) -> Sent:
        """Return what the tenant sent."""
        return await self._sent(literal(value=True), since)

    async def _sent(self, which: ColumnElement[bool], since: datetime) -> Sent:
        t = contact_verifications
        row = await self.unit.fetch_one(
            select(func.count(), func.min(t.c.sent_at), func.max(t.c.resend_at)).where(
                self.mine(), which, t.c.sent_at > since
            )
        )
        assert row is not None  # noqa: S101 - an aggregate yields a row
        return Sent(*row)

    async def replace(self, contact_point_id: UUID) -> None:
        """Void the code that is open, if one is."""
        t = contact_verifications
        await self.unit.execute(
            update(t)
            .where(self.mine(), t.c.contact_point_id == contact_point_id, *self._open())
            .values(replaced_at=self.unit.now(), salt=null(), code_hash=null())
        )

    def _open(self) -> tuple[ColumnElement[bool], ...]:
        t = contact_verifications
        return t.c.replaced_at.is_(None), t.c.verified_at.is_(None)

    async def open_code(self, customer_id: UUID, contact_point_id: UUID) -> asyncpg.Record | None:
        """Return the code that was sent last and not used yet; expired and exhausted ones too."""
        t = contact_verifications
        return await self.unit.fetch_one(
            select(t).where(
                self.mine(), t.c.customer_id == customer_id, t.c.contact_point_id == contact_point_id, *self._open()
            )
        )

    async def count_try(self, verification_id: UUID) -> int | None:
        """Count a guess before it is looked at; returns how many there were with it, None when none was left."""
        t = contact_verifications
        tries: int | None = await self.unit.fetch_value(
            update(t)
            .where(self.by_id(verification_id), t.c.tries < rules.TRIES, *self._open())
            .values(tries=t.c.tries + 1)
            .returning(t.c.tries)
        )
        return tries

    async def forget_code(self, verification_id: UUID, verified_at: datetime | None) -> None:
        """Delete the hash of a code that was used or has no guess left."""
        await self.unit.execute(
            update(contact_verifications)
            .where(self.by_id(verification_id))
            .values(salt=null(), code_hash=null(), verified_at=verified_at)
        )


_FORGET = """
DELETE FROM contact_verifications WHERE ctid = any(ARRAY(
  SELECT ctid FROM contact_verifications WHERE sent_at < now() - make_interval(days => $1) LIMIT $2))
"""


async def forget_old(connection: Any, days: int, batch: int) -> int:
    """Delete all tenants' codes that were sent so long ago, at most ``batch``; on a system connection."""
    status: str = await connection.execute(_FORGET, days, batch)
    return int(status.rpartition(" ")[2])
