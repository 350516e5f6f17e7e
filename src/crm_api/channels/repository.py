"""Access to channels and their messages."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, FromClause, case, delete, func, literal, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from crm_api.channels.models import AddressKind, Channel, ChannelKind, ChannelMessage, MessageState
from crm_api.channels.tables import channel_defaults, channel_messages, channels
from crm_api.db.projections import TENANT, Projection, column, columns, eq, eq_ref, one, ref, sql
from crm_api.db.repository import Repository


def _settings_of(kind: str) -> Any:
    return sql(lambda t: case((t.c.kind == kind, t.c.settings)))


def _defaults(t: FromClause) -> ColumnElement[Any]:
    mine = channel_defaults
    return func.array(
        select(mine.c.address_kind)
        .where(mine.c.tenant_id == TENANT, mine.c.channel_id == t.c.id)
        .order_by(mine.c.address_kind)
        .scalar_subquery()
    )


CHANNEL = Projection(
    "Channel",
    table=channels,
    model=Channel,
    scope="channels:read",
    description="A way to send messages.",
    fields={
        **columns("id", "name", "kind", "active", "version", "created_at", "updated_at"),
        "smtp": _settings_of("smtp"),
        "sms": _settings_of("sms"),
        "has_secret": sql(lambda t: t.c.secret.is_not(None)),
        "default_for": sql(_defaults),
    },
    filters={"kind": eq("kind", ChannelKind), "active": eq("active", bool)},
)


def _body(t: FromClause) -> ColumnElement[Any]:
    kind = (
        select(channels.c.kind).where(channels.c.tenant_id == TENANT, channels.c.id == t.c.channel_id).scalar_subquery()
    )
    return case((or_(~t.c.sensitive, kind == literal("local")), t.c.body))


CHANNEL_MESSAGE = Projection(
    "ChannelMessage",
    table=channel_messages,
    model=ChannelMessage,
    scope="channels:read",
    description="One message to one address, and how far it has come.",
    fields={
        **columns("id", "purpose", "subject", "state", "attempts", "error", "provider_id", "created_at", "sent_at"),
        "channel_id": ref("channel_id", "Channel"),
        "customer_id": ref("customer_id", "Customer"),
        "to": column("recipient"),
        "body": sql(_body),
    },
    relations={"channel": one("Channel", on=lambda p, c: c.c.id == p.c.channel_id, description="How it is sent.")},
    filters={
        "state": eq("state", MessageState),
        "channel_id": eq_ref("channel_id", "Channel"),
        "customer_id": eq_ref("customer_id", "Customer"),
        "purpose": eq("purpose", description="Only messages for this."),
    },
)


class ChannelRepository(Repository):
    """Channels."""

    table = channels

    async def taken_defaults(self) -> set[str]:
        """Return the kinds of addresses that have a channel."""
        rows = await self.unit.fetch_all(select(channel_defaults.c.address_kind).where(self.mine(channel_defaults)))
        return {row["address_kind"] for row in rows}

    async def set_defaults(self, channel_id: UUID, kinds: Sequence[AddressKind]) -> None:
        """Take the channel for exactly these kinds of addresses, instead of whatever they had."""
        table = channel_defaults
        await self.unit.execute(
            delete(table).where(
                self.mine(table), table.c.channel_id == channel_id, table.c.address_kind.not_in(list(kinds))
            )
        )
        for kind in sorted(set(kinds)):  # one order, so that two who set defaults cannot block each other
            statement = insert(table).values(tenant_id=self.unit.tenant_id, address_kind=kind, channel_id=channel_id)
            await self.unit.execute(
                statement.on_conflict_do_update(
                    index_elements=["tenant_id", "address_kind"], set_={"channel_id": channel_id}
                )
            )

    async def default_for(self, kind: AddressKind) -> asyncpg.Record | None:
        """Return the channel taken for a kind of address, active or not."""
        chosen = channel_defaults
        return await self.unit.fetch_one(
            select(channels)
            .join(chosen, (chosen.c.tenant_id == channels.c.tenant_id) & (chosen.c.channel_id == channels.c.id))
            .where(self.mine(), self.mine(chosen), chosen.c.address_kind == kind)
        )


class MessageRepository(Repository):
    """Messages."""

    table = channel_messages

    async def claim(self, message_id: UUID, lease: float) -> asyncpg.Record | None:
        """Take a message to send it, with its channel; None when it has ended or somebody else is sending it.

        A message whose sender has died is taken again: see docs/domains/channels.md for what that means.
        """
        t = channel_messages
        now = func.clock_timestamp()
        orphaned = (t.c.state == "sending") & (t.c.lease_until < now)
        return await self.unit.fetch_one(
            update(t)
            .where(
                self.by_id(message_id),
                (t.c.state == "queued") | orphaned,
                channels.c.tenant_id == t.c.tenant_id,
                channels.c.id == t.c.channel_id,
            )
            .values(
                state="sending",
                attempts=t.c.attempts + 1,
                lease_until=now + func.make_interval(0, 0, 0, 0, 0, 0, lease),
            )
            .returning(t, channels.c.kind, channels.c.settings, channels.c.secret, channels.c.active)
        )

    async def seconds_left(self, message_id: UUID) -> float | None:
        """Return how long the one who is sending the message is still believed to live; None when nobody is."""
        t = channel_messages
        left: float | None = await self.unit.fetch_value(
            select(func.greatest(0, func.extract("epoch", t.c.lease_until - func.clock_timestamp()))).where(
                self.by_id(message_id), t.c.state == "sending"
            )
        )
        return None if left is None else float(left)

    async def finish(self, message_id: UUID, attempts: int, values: Mapping[str, Any]) -> asyncpg.Record | None:
        """Note what became of an attempt, unless the message is no longer that attempt's; returns the row."""
        t = channel_messages
        ended = {}
        if values["state"] in {"sent", "failed"}:
            ended = {
                "body": case((~t.c.sensitive, t.c.body)),
                "params": case((~t.c.sensitive, t.c.params), else_=null()),
            }
        return await self.unit.fetch_one(
            update(t)
            .where(self.by_id(message_id), t.c.state == "sending", t.c.attempts == attempts)
            .values(lease_until=None, **ended, **values)
            .returning(t)
        )

    async def give_up(self, message_id: UUID, reason: str) -> asyncpg.Record | None:
        """Fail a message that has not ended."""
        t = channel_messages
        return await self.unit.fetch_one(
            update(t)
            .where(self.by_id(message_id), t.c.state.in_(("queued", "sending")))
            .values(
                state="failed", error=reason, lease_until=None, body=case((~t.c.sensitive, t.c.body)), params=null()
            )
            .returning(t)
        )

    async def forget_recipients(self, addresses: Sequence[str]) -> int:
        """Blank messages of no customer that went to one of these addresses; returns how many."""
        t = channel_messages
        return await self.unit.execute(
            update(t)
            .where(self.mine(), t.c.customer_id.is_(None), t.c.recipient.in_(list(addresses)))
            .values(recipient="", subject=null(), body=null(), params=null())
        )


_FORGET = """
DELETE FROM channel_messages WHERE ctid = any(ARRAY(
  SELECT ctid FROM channel_messages
  WHERE created_at < now() - make_interval(days => $1) AND state IN ('sent', 'failed') LIMIT $2))
"""


async def forget_old(connection: Any, days: int, batch: int) -> int:
    """Delete all tenants' messages that ended so long ago, at most ``batch``; on a system connection."""
    status: str = await connection.execute(_FORGET, days, batch)
    return int(status.rpartition(" ")[2])
