"""Channels, what is sent over them, and the wire shapes of both."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, EmailStr, Field, StringConstraints
from pydantic_core import PydanticCustomError

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, UpdatedAt, Version, Wire, with_examples
from crm_api.core.text import Line, storable

ChannelKind = Literal["smtp", "sms", "local"]
AddressKind = Literal[
    "mobile",
    "landline",
    "email",
    "wechat_openid",
    "wechat_unionid",
    "wecom_external_userid",
    "taobao_buyer",
    "douyin_open_id",
    "weibo",
]
"""What a message can be addressed to: the kinds of contact points, which are a higher domain's."""
MessageState = Literal["queued", "sending", "sent", "failed"]
Security = Literal["starttls", "tls", "none"]
Encoding = Literal["json", "form"]
Signature = Literal["none", "hmac_sha256", "standard_webhooks"]

_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*"
)
_MAX_HEADERS = 20


def _host(text: str) -> str:
    if _HOST.fullmatch(text) is None and ":" not in text:
        raise PydanticCustomError("bad_host", "Write a host name or an IP address, without port or path")
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise PydanticCustomError("bad_url", "Write an address that begins with https://")
    if "@" in parts.netloc:
        raise PydanticCustomError(
            "bad_url", "Leave name and password out of the address: send them as basic_user and secret"
        )
    return text


def _headers(given: dict[str, str]) -> dict[str, str]:
    if len(given) > _MAX_HEADERS:
        raise PydanticCustomError("too_many", "At most 20 headers")
    for name, value in given.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", name) or not re.fullmatch(
            r"[\x20-\x7e]{0,1000}", value
        ):
            raise PydanticCustomError("bad_header", "Header names and values are printable ASCII, without line breaks")
        if name.lower() in {"host", "content-length", "transfer-encoding", "connection"}:
            raise PydanticCustomError(
                "bad_header", "Host, Content-Length and the connection's own headers are set by us"
            )
    return given


Host = Annotated[str, StringConstraints(min_length=1, max_length=253, strip_whitespace=True), AfterValidator(_host)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True), AfterValidator(_url)]
Headers = Annotated[dict[str, str], AfterValidator(_headers)]
Pointer = Annotated[str, StringConstraints(max_length=200, pattern=r"^(/[^/\x00]*)*$")]
Secret = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(storable)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(storable)]
Address = Annotated[
    str, StringConstraints(min_length=1, max_length=320, strip_whitespace=True), AfterValidator(storable)
]


class SmtpSettings(Input):
    """A mail server; its password is the channel's `secret`."""

    model_config = with_examples(
        {"host": "smtp.example.com", "port": 587, "username": "shop", "from_address": "shop@example.com"}
    )

    host: Host = Field(
        description="The server's name; its certificate must be for this name.", examples=["smtp.example.com"]
    )
    port: int = Field(
        strict=True, default=587, ge=1, le=65_535, description="587 for STARTTLS, 465 for TLS from the start."
    )
    security: Security = Field(
        default="starttls",
        description="`starttls` upgrades or fails, `tls` is encrypted from the start, `none` sends in the clear.",
    )
    username: Line | None = Field(default=None, description="Null when the server asks for none.")
    from_address: EmailStr = Field(description="Sender of every message.", examples=["shop@example.com"])
    from_name: Line | None = Field(default=None, description="Shown beside the address.", examples=["海鲜小店"])


class SmtpSettingsShown(Wire):
    """A mail server."""

    host: str = Field(description="The server's name; its certificate must be for this name.")
    port: int = Field(description="587 for STARTTLS, 465 for TLS from the start.")
    security: Security = Field(description="`starttls` upgrades or fails, `tls` is encrypted from the start.")
    username: str | None = Field(description="Null when the server asks for none.")
    from_address: str = Field(description="Sender of every message.")
    from_name: str | None = Field(description="Shown beside the address.")


_BODY = (
    "Texts in it may hold `{to}` (+8613812345678), `{to_digits}` (8613812345678), `{to_national}` (13812345678), "
    "`{body}`, `{code}`, `{message_id}` and `{secret}`. Without `{body}` it is for one-time codes only."
)


class SmsSettings(Input):
    """A provider of short messages that takes an HTTP POST."""

    model_config = with_examples(
        {
            "url": "https://sms.example.com/v2/send",
            "headers": {"Authorization": "Bearer {secret}"},
            "body": {"phone": "{to_national}", "template": "SMS_1234", "params": {"code": "{code}"}},
            "success_pointer": "/code",
            "success_values": ["OK"],
            "id_pointer": "/message_id",
        },
        {
            "url": "https://api.twilio.com/2010-04-01/Accounts/AC00000000/Messages.json",
            "encoding": "form",
            "basic_user": "AC00000000",
            "body": {"To": "{to}", "From": "+15005550006", "Body": "{body}"},
            "id_pointer": "/sid",
        },
    )

    url: Url = Field(
        description="Where to POST, https:// and on the public internet. Redirects are not followed.",
        examples=["https://sms.example.com/send"],
    )
    encoding: Encoding = Field(default="json", description="How `body` is written.")
    headers: Headers = Field(
        default_factory=dict,
        description="Sent with each request; values may hold `{secret}` and `{message_id}`.",
        examples=[{"Authorization": "Bearer {secret}"}],
    )
    body: dict[str, Any] = Field(
        description=f"What is sent. {_BODY}", examples=[{"phone": "{to_national}", "text": "{body}"}]
    )
    basic_user: Line | None = Field(
        default=None, description="Name of HTTP basic authentication; the password is the secret."
    )
    signature: Signature = Field(
        default="none",
        description="`hmac_sha256` puts the hexadecimal HMAC-SHA256 of the raw body under the secret into "
        "`signature_header`; `standard_webhooks` signs as that specification says (secret whsec_…).",
    )
    signature_header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,100}$")] = Field(
        default="X-Signature", description="For `hmac_sha256`."
    )
    success_pointer: Pointer | None = Field(
        default=None,
        description="JSON pointer into the answer; what is there must be one of `success_values`. "
        "Null: any 2xx will do.",
        examples=["/code"],
    )
    success_values: list[Line] = Field(default_factory=list, max_length=20, description="As text, such as `OK` or `0`.")
    id_pointer: Pointer | None = Field(
        default=None, description="JSON pointer to the provider's own id of the message.", examples=["/message_id"]
    )


class SmsSettingsShown(Wire):
    """A provider of short messages that takes an HTTP POST."""

    url: str = Field(description="Where we POST.")
    encoding: Encoding = Field(description="How `body` is written.")
    headers: dict[str, str] = Field(description="Sent with each request.")
    body: dict[str, Any] = Field(description="What is sent, with its places.")
    basic_user: str | None = Field(description="Name of HTTP basic authentication; the password is the secret.")
    signature: Signature = Field(description="How requests are signed with the secret.")
    signature_header: str = Field(description="For `hmac_sha256`.")
    success_pointer: str | None = Field(description="JSON pointer into the answer; null: any 2xx will do.")
    success_values: list[str] = Field(description="What must be there, as text.")
    id_pointer: str | None = Field(description="JSON pointer to the provider's own id of the message.")


class ChannelCreate(Input):
    """A way to send messages."""

    model_config = with_examples(
        {
            "name": "公司邮箱",
            "kind": "smtp",
            "smtp": {"host": "smtp.example.com", "username": "shop", "from_address": "shop@example.com"},
            "secret": "app-password",
        },
        {"name": "试用", "kind": "local"},
    )

    name: Annotated[Line, Field(examples=["公司邮箱"])] = Field(description="What staff call it.")
    kind: ChannelKind = Field(
        description="`smtp` sends e-mail, `sms` posts to a provider, `local` only stores: "
        "read it at /v1/channel-messages."
    )
    smtp: SmtpSettings | None = Field(default=None, description="Needed for `smtp`.")
    sms: SmsSettings | None = Field(default=None, description="Needed for `sms`.")
    secret: Secret | None = Field(
        default=None, description="Password or key; never shown again.", examples=["app-password"]
    )
    active: bool = Field(strict=True, default=True, description="false: nothing is sent over it.")
    default_for: list[AddressKind] | None = Field(
        default=None,
        max_length=20,
        description="Kinds of addresses it is taken for, from now on instead of another channel. "
        "Left out: those it can serve that have no channel yet.",
        examples=[["email"]],
    )


class ChannelUpdate(Input):
    """Fields to change; a field left out stays."""

    model_config = with_examples({"secret": "new-app-password", "active": True})

    name: Line = Field(default="", description="What staff call it; cannot be cleared.")
    smtp: SmtpSettings | None = Field(default=None, description="Replaces the mail server's settings as a whole.")
    sms: SmsSettings | None = Field(default=None, description="Replaces the provider's settings as a whole.")
    secret: Secret | None = Field(default=None, description="The new password or key; null forgets it.")
    active: bool = Field(strict=True, default=True, description="false: nothing is sent over it.")
    default_for: list[AddressKind] = Field(
        default_factory=list, max_length=20, description="Replaces the kinds of addresses it is taken for."
    )


class Channel(Wire):
    """A way to send messages."""

    id: ResourceId
    name: str = Field(description="What staff call it.")
    kind: ChannelKind = Field(description="`smtp` sends e-mail, `sms` posts to a provider, `local` only stores.")
    smtp: SmtpSettingsShown | None = Field(description="Only of `smtp`.")
    sms: SmsSettingsShown | None = Field(description="Only of `sms`.")
    has_secret: bool = Field(description="Whether a secret is stored; it is never shown.")
    active: bool = Field(description="false: nothing is sent over it.")
    default_for: list[AddressKind] = Field(description="Kinds of addresses it is taken for.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class ChannelTest(Input):
    """A message to try a channel with."""

    model_config = with_examples({"to": "13812345678"}, {"to": "me@example.com", "body": "Hello"})

    to: Address = Field(
        description="Phone number with its country code, or e-mail address.", examples=["+8613812345678"]
    )
    body: Words | None = Field(default=None, description="The text; a sentence of ours if left out.")


class ChannelMessage(Wire):
    """One message to one address, and how far it has come."""

    id: ResourceId
    channel_id: UUID = Field(description="How it is sent.")
    purpose: str = Field(examples=["verification"], description="What it is for: `verification`, `test` …")
    customer_id: UUID | None = Field(description="Whom it is for; null when that is nobody we know.")
    to: str = Field(examples=["+8613812345678"], description="The address.")
    subject: str | None = Field(description="Of an e-mail.")
    body: str | None = Field(
        description="The text. Of a message with a one-time code only the local channel shows it; "
        "elsewhere it is null, and deleted once the message has been sent or given up."
    )
    state: MessageState = Field(description="How far it is; the last two are final.")
    attempts: int = Field(description="How often it was tried.")
    error: str | None = Field(description="Why the last attempt failed.")
    provider_id: str | None = Field(description="The provider's own id of it.")
    created_at: CreatedAt
    sent_at: Instant | None = Field(description="When server or provider took it; null until then.")


# -- what services exchange --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Letter:
    """What a domain wants sent.

    Attributes:
        kind: of the address.
        to: the address, in normal form.
        body: the text as people read it.
        subject: for e-mail.
        params: what a provider's own template needs, such as ``code``.
        purpose: what it is for.
        customer_id: whom it is for, if a customer.
        sensitive: it holds a one-time code: shown by no surface, deleted when it has ended.
        expires_at: not to be sent from then on.

    """

    kind: AddressKind
    to: str
    body: str
    subject: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    purpose: str = "notice"
    customer_id: UUID | None = None
    sensitive: bool = False
    expires_at: datetime | None = None
