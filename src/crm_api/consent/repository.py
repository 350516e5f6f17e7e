"""Access to the consent ledger, its texts and the tenant's settings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, FromClause, Text, and_, any_, exists, func, not_, or_, select, tuple_
from sqlalchemy import literal_column as written
from sqlalchemy.dialects.postgresql import insert

from crm_api.consent import rules
from crm_api.consent.models import Action, Channel, Consent, ConsentText
from crm_api.consent.rules import Entry
from crm_api.consent.tables import consent_settings, consent_states, consent_texts, consents
from crm_api.core.errors import Invalid
from crm_api.core.ids import new_id
from crm_api.customers.repository import CUSTOMER, CustomerRepository
from crm_api.customers.tables import contact_points, customers
from crm_api.db import timeline
from crm_api.db.projections import (
    Filter,
    FilterValue,
    Projection,
    at_least,
    below,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    one,
    ref,
)
from crm_api.db.repository import Repository

CONSENT = Projection(
    "Consent",
    table=consents,
    model=Consent,
    scope="consent:read",
    description="One entry of the consent ledger; never changed afterwards.",
    fields={
        **columns("id", "purpose", "channel", "action", "source", "proof", "at", "actor_kind", "actor_id"),
        **columns("created_at"),
        "customer_id": ref("customer_id", "Customer"),
        "text_id": ref("text_id", "ConsentText"),
    },
    relations={
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who said it."),
        "text": one("ConsentText", on=lambda p, c: c.c.id == p.c.text_id, description="The words agreed to."),
    },
    orders={"newest": [desc("at")], "last_recorded": [desc("id")]},
    filters={
        "customer_id": eq_ref("customer_id", "Customer"),
        "purpose": eq("purpose"),
        "channel": eq("channel", Channel),
        "action": eq("action", Action),
        "text_id": eq_ref("text_id", "ConsentText"),
        "source": eq("source"),
        "said_after": at_least("at", description="From this instant on."),
        "said_before": below("at", description="Before this instant."),
    },
)

CONSENT_TEXT = Projection(
    "ConsentText",
    table=consent_texts,
    model=ConsentText,
    scope="consent:read",
    description="One version of the words people agree to; never changed afterwards.",
    fields=columns("id", "purpose", "language", "version", "title", "body", "created_at"),
    version=None,
    orders={"newest": [desc("id")]},
    filters={"purpose": eq("purpose"), "language": eq("language"), "version": eq("version", int)},
)


# -- what stands, in SQL; the same as `rules.decide` ------------------------------------------------------------------


def stands(
    row: FromClause, purpose: ColumnElement[str], channel: ColumnElement[str], *, silence: bool
) -> ColumnElement[bool]:
    """Return whether the customer of ``row`` allows this purpose by this channel; see `rules.decide`.

    Args:
        row: the customers table or an alias of it.
        purpose: slug.
        channel: not ``any``.
        silence: what counts when nothing was ever said: True for purposes that may be pursued until refused.

    """
    granted, refused = (consent_states.alias() for _ in range(2))
    anyway = written("'any'", Text)

    def of(state: FromClause, action: str) -> ColumnElement[bool]:
        said = written(f"'{action}'", Text)
        mine = and_(state.c.tenant_id == row.c.tenant_id, state.c.customer_id == row.c.id)
        return and_(mine, state.c.purpose == purpose, state.c.action == said)

    later = tuple_(granted.c.at, granted.c.consent_id) > tuple_(refused.c.at, refused.c.consent_id)
    by_name = and_(of(granted, "granted"), granted.c.channel == channel)
    overruled = exists().where(by_name, later).select_from(granted).correlate(row, refused)
    refusal = or_(refused.c.channel == channel, and_(refused.c.channel == anyway, not_(overruled)))
    no = exists().where(of(refused, "withdrawn"), refusal).select_from(refused).correlate(row)
    if silence:
        return not_(no)
    yes = exists().where(of(granted, "granted"), granted.c.channel.in_((channel, anyway)))
    return and_(yes.select_from(granted).correlate(row), not_(no))


SENDABLE = tuple(
    (purpose, channel)
    for purpose, basis in rules.BASIS.items()
    if basis != "none" and purpose != rules.GUARDIAN
    for channel in rules.SEND_CHANNELS
)
"""(purpose, channel) that rules about customers can name."""


def allows(row: FromClause, purpose: str, channel: str) -> ColumnElement[bool]:
    """Return `stands` for a built-in purpose."""
    silence = rules.basis_of(purpose) != "consent"
    return stands(row, written(f"'{purpose}'", Text), written(f"'{channel}'", Text), silence=silence)


def _split(text: str) -> tuple[str, str]:
    purpose, _, channel = text.rpartition(".")
    return purpose, channel


def _silence(text: str) -> bool:
    purpose, channel = _split(text)
    if not purpose or channel not in rules.SEND_CHANNELS:
        raise Invalid.field(
            "/consent",
            "bad_format",
            f"Write purpose.channel, such as marketing.sms; channels are {', '.join(rules.SEND_CHANNELS)}",
            "请写成 用途.渠道，例如 marketing.sms",
        )
    return rules.basis_of(purpose) != "consent"


def _may(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    purpose, channel = v(lambda text: _split(text)[0], Text()), v(lambda text: _split(text)[1], Text())
    return stands(t, purpose, channel, silence=v.variant)


extend(
    CUSTOMER,
    relations={
        "consents": many(
            "Consent", on=lambda p, c: c.c.customer_id == p.c.id, description="What the customer agreed to and refused."
        )
    },
    filters={
        "consent": Filter(
            str,
            _may,
            variant=_silence,
            scope="consent:read",
            description="Customers to whom this may be sent, as purpose.channel such as marketing.sms; takes "
            "`consent:read`.",
        )
    },
)

timeline.register(
    timeline.Source(
        kind="consent",
        scope="consent:read",
        rows=consents,
        tenant=consents.c.tenant_id,
        customer=consents.c.customer_id,
        at=consents.c.at,
        id=consents.c.id,
        title=written("NULL::text", Text),
        data={name: consents.c[name] for name in ("purpose", "channel", "action", "source", "text_id")},
    )
)


# -- the ledger --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subject:
    """A customer as far as sending is concerned.

    Attributes:
        is_gone: deleted or erased.
        standing: entries that stand.
        addresses: (kind, value) of the contact points; empty unless they were asked for.

    """

    is_gone: bool
    standing: rules.Standing
    addresses: frozenset[tuple[str, str]] = frozenset()


class ConsentRepository(Repository):
    """The ledger of the tenant."""

    table = consents

    async def lock_customer(self, customer_id: UUID) -> None:
        """Hold the living customer against other writers.

        Raises:
            NotFound: there is none.

        """
        await CustomerRepository(self.unit).get(customer_id, lock=True)

    async def get_customer(self, customer_id: UUID) -> None:
        """Raise NotFound unless the customer lives."""
        await CustomerRepository(self.unit).get(customer_id)

    async def standing(self, customer_id: UUID) -> dict[tuple[str, str], Entry]:
        """Return the entries that stand."""
        return (await self.standing_of([customer_id])).get(customer_id, {})

    async def standing_of(
        self, customer_ids: Sequence[UUID], purposes: Sequence[str] | None = None
    ) -> dict[UUID, dict[tuple[str, str], Entry]]:
        """Return the entries that stand, by customer; those without any are not in it."""
        s = consent_states
        where = [self.mine(s), s.c.customer_id == any_(list(customer_ids))]  # type: ignore[arg-type]
        if purposes is not None:
            where.append(s.c.purpose == any_(list(purposes)))  # type: ignore[arg-type]
        found: dict[UUID, dict[tuple[str, str], Entry]] = {}
        for row in await self.unit.fetch_all(select(s).where(*where)):
            found.setdefault(row["customer_id"], {})[row["purpose"], row["channel"]] = entry_of(row, "consent_id")
        return found

    async def subjects(
        self, customer_ids: Sequence[UUID], purpose: str, *, addresses: bool = False
    ) -> dict[UUID, Subject]:
        """Return the customers that exist, deleted ones too, and what decides about sending to them."""
        ids = list(customer_ids)
        c, p = customers, contact_points
        rows = await self.unit.fetch_all(
            select(c.c.id, c.c.deleted_at).where(self.mine(c), c.c.id == any_(ids))  # type: ignore[arg-type]
        )
        standing = await self.standing_of(ids, [purpose])
        known: dict[UUID, set[tuple[str, str]]] = {}
        if addresses:
            points = select(p.c.customer_id, p.c.kind, p.c.value).where(self.mine(p), p.c.customer_id == any_(ids))  # type: ignore[arg-type]
            for row in await self.unit.fetch_all(points):
                known.setdefault(row["customer_id"], set()).add((row["kind"], row["value"]))
        return {
            row["id"]: Subject(
                row["deleted_at"] is not None, standing.get(row["id"], {}), frozenset(known.get(row["id"], ()))
            )
            for row in rows
        }

    async def append(self, customer_id: UUID, values: Mapping[str, Any]) -> UUID:
        """Add an entry and let it stand if it is the latest; returns its id."""
        actor, consent_id = self.unit.actor, new_id()
        row = {"id": consent_id, "customer_id": customer_id, **values, "actor_kind": actor.kind, "actor_id": actor.id}
        await self.insert(row)
        entry = Entry(consent_id, values["purpose"], values["channel"], values["action"], values["at"])
        await self._let_stand(customer_id, entry)
        return consent_id

    async def _let_stand(self, customer_id: UUID, entry: Entry) -> None:
        s = consent_states
        said = {"action": entry.action, "at": entry.at, "consent_id": entry.id}
        statement = insert(s).values(
            tenant_id=self.unit.tenant_id,
            customer_id=customer_id,
            purpose=entry.purpose,
            channel=entry.channel,
            **said,
        )
        new = statement.excluded
        await self.unit.execute(
            statement.on_conflict_do_update(
                index_elements=["tenant_id", "customer_id", "purpose", "channel"],
                set_={name: new[name] for name in said},
                where=tuple_(new.at, new.consent_id) > tuple_(s.c.at, s.c.consent_id),
            )
        )

    async def entries(self, customer_id: UUID) -> list[Entry]:
        """Return all that a customer said, oldest first."""
        rows = await self.unit.fetch_all(
            select(consents)
            .where(self.mine(), consents.c.customer_id == customer_id)
            .order_by(consents.c.at, consents.c.id)
        )
        return [entry_of(row, "id") for row in rows]

    async def rebuild(self, customer_ids: Iterable[UUID]) -> None:
        """Make what stands anew from the ledger: after rows have changed hands."""
        ids = sorted(customer_ids)
        await self.unit.connection.execute(
            "DELETE FROM consent_states WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])",
            self.unit.tenant_id,
            ids,
        )
        await self.unit.connection.execute(_REBUILD, self.unit.tenant_id, ids)


_REBUILD = """
INSERT INTO consent_states (tenant_id, customer_id, purpose, channel, action, at, consent_id)
SELECT DISTINCT ON (customer_id, purpose, channel)
       tenant_id, customer_id, purpose, channel, action, at, id
FROM consents WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])
ORDER BY customer_id, purpose, channel, at DESC, id DESC
"""


def entry_of(row: asyncpg.Record, key: str) -> Entry:
    """Return what a row of the ledger, or of what stands, says."""
    return Entry(row[key], row["purpose"], row["channel"], row["action"], row["at"])


class ConsentTextRepository(Repository):
    """The words people agree to."""

    table = consent_texts

    async def add(self, values: Mapping[str, Any]) -> tuple[UUID, int]:
        """Add the next version; returns its id and number. Rivals wait for each other."""
        purpose, language = values["purpose"], values["language"]
        await self.unit.connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
            f"consent.text:{self.unit.tenant_id}:{purpose}:{language}",
        )
        t = consent_texts
        last = await self.unit.fetch_value(
            select(func.max(t.c.version)).where(self.mine(), t.c.purpose == purpose, t.c.language == language)
        )
        text_id, version = new_id(), (last or 0) + 1
        await self.insert({"id": text_id, "version": version, **values})
        return text_id, version


class ConsentSettingsRepository(Repository):
    """How the shop handles consent; without a row the defaults hold."""

    table = consent_settings

    async def read(self) -> tuple[bool, list[str]]:
        """Return whether guardian consent is required, and the shop's own purposes."""
        row = await self.unit.fetch_one(select(consent_settings).where(self.mine()))
        return (True, []) if row is None else (row["guardian_consent_required"], list(row["purposes"]))

    async def write(self, *, guardian_consent_required: bool, purposes: Sequence[str]) -> None:
        """Store both."""
        values = {"guardian_consent_required": guardian_consent_required, "purposes": list(purposes)}
        statement = insert(consent_settings).values(tenant_id=self.unit.tenant_id, **values)
        await self.unit.execute(
            statement.on_conflict_do_update(index_elements=["tenant_id"], set_={**values, "updated_at": func.now()})
        )

    async def purpose_of(self, text_id: UUID) -> str | None:
        """Return what a text is for, or None when there is no such text."""
        t = consent_texts
        found = await self.unit.fetch_value(select(t.c.purpose).where(self.by_id(text_id, t)))
        return cast("str | None", found)
