"""What can be done with channels."""

from typing import Any
from uuid import UUID

from crm_api.channels import rules
from crm_api.channels.errors import NoChannel
from crm_api.channels.models import (
    AddressKind,
    ChannelCreate,
    ChannelTest,
    ChannelUpdate,
    Letter,
    SmsSettings,
    SmtpSettings,
)
from crm_api.channels.repository import ChannelRepository, MessageRepository
from crm_api.core.errors import Invalid
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork

READ = "channels:read"
WRITE = "channels:write"
JOB = "channels.deliver"

_TEST = {"en": "This is a test message: the channel works.", "zh": "这是一条测试消息：渠道已可用。"}


class ChannelService:
    """Ways to send messages, and sending."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ChannelRepository(unit)
        self.messages = MessageRepository(unit)

    async def create(self, data: ChannelCreate) -> UUID:
        """Add a channel; returns its id.

        Raises:
            Invalid: settings do not fit the kind, or need a secret.

        """
        self.unit.actor.require(WRITE)
        rules.check_settings(data.kind, data.smtp, data.sms, has_secret=data.secret is not None)
        channel_id = new_id()
        settings = data.smtp or data.sms
        wanted = data.default_for
        if wanted is None:
            taken = await self.repository.taken_defaults()
            wanted = [kind for kind in rules.SERVES[data.kind] if kind not in taken]
        rules.check_defaults(data.kind, wanted)
        await self.repository.insert(
            {
                "id": channel_id,
                "name": data.name,
                "kind": data.kind,
                "settings": settings.model_dump(mode="json") if settings else {},
                "secret": data.secret,
                "active": data.active,
            }
        )
        await self.repository.set_defaults(channel_id, wanted)
        shown = {**data.model_dump(mode="json", exclude={"secret"}), "default_for": wanted}
        self.unit.audit("channel.created", "Channel", channel_id, after=shown)
        self.unit.emit("channel.created", channel_id, {"kind": data.kind})
        return channel_id

    async def update(self, channel_id: UUID, data: ChannelUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given; messages that wait are sent with the new settings."""
        self.unit.actor.require(WRITE)
        row = await self.repository.get(channel_id, lock=True, expected_version=expected_version)
        given = data.model_fields_set
        secret = data.secret if "secret" in given else row["secret"]
        settings = self._settings(row, data)
        rules.check_settings(
            row["kind"],
            SmtpSettings(**settings) if row["kind"] == "smtp" else data.smtp,
            SmsSettings(**settings) if row["kind"] == "sms" else data.sms,
            has_secret=secret is not None,
        )
        changes: dict[str, Any] = {name: getattr(data, name) for name in ("name", "secret", "active") if name in given}
        if settings != row["settings"]:
            changes["settings"] = settings
        if "default_for" in given:
            rules.check_defaults(row["kind"], data.default_for)
            await self.repository.set_defaults(channel_id, data.default_for)
        await self.repository.change(channel_id, changes)
        # The secret itself never leaves its column.
        was = {name: "…" if name == "secret" else row[name] for name in changes}
        became = {name: "changed" if name == "secret" else value for name, value in changes.items()}
        if "default_for" in given:
            became["default_for"] = data.default_for
        self.unit.audit("channel.updated", "Channel", channel_id, before=was, after=became)
        self.unit.emit("channel.updated", channel_id, {"kind": row["kind"]})

    def _settings(self, row: Any, data: ChannelUpdate) -> dict[str, Any]:
        for name in ("smtp", "sms"):
            if name in data.model_fields_set and name == row["kind"]:
                new: SmtpSettings | SmsSettings | None = getattr(data, name)
                if new is None:
                    raise Invalid.field(f"/{name}", "required", "The settings cannot be cleared", "配置不能清空")
                return new.model_dump(mode="json")
        stored: dict[str, Any] = row["settings"]
        return stored

    async def test(self, channel_id: UUID, data: ChannelTest) -> UUID:
        """Send a message over a channel, active or not; returns the message's id, to be polled.

        Raises:
            NotFound: there is no such channel.
            Invalid: it does not reach such an address.

        """
        self.unit.actor.require(WRITE)
        row = await self.repository.get(channel_id)
        kind, to = rules.address_to_try(row["kind"], data.to)
        body = data.body or _TEST[self.unit.actor.locale]
        return await self._queue(row, Letter(kind, to, body, purpose="test"))

    async def send(self, letter: Letter) -> UUID:
        """Send a message with this transaction, over the channel that is taken for its kind of address.

        Returns:
            The message's id.

        Raises:
            NoChannel: there is none, it is switched off, or it carries one-time codes only and this is none.

        """
        channel = await self.repository.default_for(letter.kind)
        if channel is None or not channel["active"]:
            raise no_channel(letter.kind, switched_off=channel is not None)
        if "code" not in letter.params and not rules.carries_text(channel["kind"], channel["settings"]):
            raise NoChannel(
                f"The channel for {letter.kind} carries one-time codes only: put {{body}} into its sms.body",
                zh=f"{letter.kind} 的发送渠道只能发送验证码：请在其 sms.body 中加入 {{body}}",
            )
        return await self._queue(channel, letter)

    async def _queue(self, channel: Any, letter: Letter) -> UUID:
        message_id = new_id()
        # What the local channel stores has arrived.
        local = channel["kind"] == "local"
        await self.messages.insert(
            {
                "id": message_id,
                "channel_id": channel["id"],
                "purpose": letter.purpose,
                "customer_id": letter.customer_id,
                "address_kind": letter.kind,
                "recipient": letter.to,
                "subject": letter.subject,
                "body": letter.body,
                "params": letter.params or None,
                "sensitive": letter.sensitive,
                "state": "sent" if local else "queued",
                "attempts": int(local),
                "expires_at": letter.expires_at,
                "sent_at": self.unit.now() if local else None,
            }
        )
        told = {"channel_id": str(channel["id"]), "purpose": letter.purpose}
        self.unit.audit("message.queued", "ChannelMessage", message_id, after=told)
        if local:
            self.unit.emit("message.sent", message_id, told)
        else:
            await self.unit.enqueue(JOB, {"message_id": str(message_id)})
        return message_id


def no_channel(kind: AddressKind, *, switched_off: bool) -> NoChannel:
    """Return the error for a kind of address that nothing is sent to."""
    if switched_off:
        return NoChannel(
            f"The channel for {kind} is switched off: activate it, or give another default_for",
            zh=f"{kind} 的发送渠道已停用：请启用它，或将其他渠道设为默认",
        )
    return NoChannel(
        f"There is no channel for {kind}: add one with POST /v1/channels",
        zh=f"尚无 {kind} 的发送渠道：请通过 POST /v1/channels 添加",
    )
