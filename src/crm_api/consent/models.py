"""Consent: domain models and wire shapes."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from crm_api.core.models import CreatedAt, Input, Instant, ResourceId, Wire, with_examples
from crm_api.core.text import Line, Prose, Slug, storable

Channel = Literal["any", "sms", "email", "wechat", "call", "app_push", "social", "live_chat", "post"]
SendChannel = Literal["sms", "email", "wechat", "call", "app_push", "social", "live_chat", "post"]
Action = Literal["granted", "withdrawn"]
Basis = Literal["consent", "objection", "none"]
Reason = Literal[
    "granted",
    "not_needed",
    "no_objection",
    "no_consent",
    "withdrawn",
    "unknown_address",
    "customer_gone",
]
Language = Annotated[str, Field(min_length=2, max_length=35, pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]

Wording = Annotated[str, StringConstraints(min_length=1, max_length=20_000), AfterValidator(storable)]

MAX_EVALUATED = 1000
MAX_PURPOSES = 50
MAX_DETAILS = 4096

PURPOSE_TEXT = (
    "`marketing`, `service`, `personalization`, `analytics`, `third_party`, `guardian`, `transactional`, or one of the "
    "shop's own from the consent settings."
)
Purpose = Annotated[Slug, Field(description=PURPOSE_TEXT, examples=["marketing"])]


class Proof(Input):
    """How the customer's word can be shown: at least one of these."""

    model_config = with_examples({"url": "https://files.example.com/consents/8841.pdf", "sha256": "ab" * 32})

    url: Annotated[str, Field(max_length=2000, pattern=r"^https://[^\s\x00]+$")] | None = Field(
        default=None,
        description="https:// address of the form, recording or screenshot.",
        examples=["https://files.example.com/consents/8841.pdf"],
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None,
        description="SHA-256 of that file, 64 hexadecimal digits; all that is kept of the proof after an erasure.",
        examples=["ab" * 32],
    )
    note: Prose | None = Field(default=None, description="In words, such as who heard it.")
    details: dict[str, Any] | None = Field(
        default=None,
        description="Anything else as a JSON object of at most 4,096 bytes: form id, address of the page, device.",
        examples=[{"form": "checkout-2026-11", "box": "marketing_sms"}],
    )


class ConsentCreate(Input):
    """What a customer said about one purpose and channel."""

    model_config = with_examples(
        {"purpose": "marketing", "channel": "sms", "action": "granted", "source": "checkout"},
        {"purpose": "marketing", "channel": "any", "action": "withdrawn", "source": "phone"},
        {
            "purpose": "guardian",
            "action": "granted",
            "source": "store_form",
            "proof": {"url": "https://files.example.com/consents/8841.pdf", "note": "母亲在门店签署"},
        },
    )

    purpose: Purpose = Field(description=PURPOSE_TEXT)
    channel: Channel = Field(default="any", description="By which way; `any` speaks of all ways at once.")
    action: Action = Field(description="Whether it was given or taken back.")
    text_id: UUID | None = Field(
        default=None, description="The words that were agreed to: a version from `/v1/consent-texts`."
    )
    source: Annotated[Slug, Field(examples=["checkout"])] = Field(
        description="Where it was said, as a name of the shop's own: `checkout`, `store_form`, `phone`, `import`."
    )
    proof: Proof | None = Field(default=None, description="How it can be shown later.")
    at: Instant | None = Field(
        default=None, description="When it was said; may lie in the past, never in the future. Now when left out."
    )


class Consent(Wire):
    """One entry of the consent ledger; never changed afterwards."""

    id: ResourceId
    customer_id: UUID = Field(description="Who said it.")
    purpose: str = Field(description=PURPOSE_TEXT)
    channel: Channel = Field(description="By which way; `any` speaks of all ways at once.")
    action: Action = Field(description="Whether it was given or taken back.")
    text_id: UUID | None = Field(description="The words that were agreed to; null when none were recorded.")
    source: str = Field(description="Where it was said.")
    proof: dict[str, Any] | None = Field(description="How it can be shown; null when nothing was recorded.")
    at: Instant = Field(description="When it was said.")
    actor_kind: str = Field(description="`key` for an API key, `system` for the service itself.")
    actor_id: UUID = Field(description="The key, or the tenant for the service itself.")
    created_at: CreatedAt


class ConsentTextCreate(Input):
    """New words for a purpose in a language: they become its next version."""

    model_config = with_examples(
        {
            "purpose": "marketing",
            "language": "zh",
            "title": "营销信息接收同意书",
            "body": "我同意接收本店的优惠与新品短信，可随时回复 TD 退订。",
        }
    )

    purpose: Purpose = Field(description=PURPOSE_TEXT)
    language: Annotated[Language, Field(examples=["zh"])] = Field(description="BCP 47 tag, such as zh or en-GB.")
    title: Line = Field(description="What it is called where it is shown.")
    body: Wording = Field(description="All that the customer reads.")


class ConsentText(Wire):
    """One version of the words people agree to; never changed afterwards."""

    id: ResourceId
    purpose: str = Field(description=PURPOSE_TEXT)
    language: str = Field(description="BCP 47 tag, such as zh or en-GB.")
    version: int = Field(description="Counts from 1 within purpose and language; the highest is the current one.")
    title: str = Field(description="What it is called where it is shown.")
    body: str = Field(description="All that the customer reads.")
    created_at: CreatedAt


class ConsentSettings(Wire):
    """How the shop handles consent."""

    guardian_consent_required: bool = Field(
        description="Whether details of children are stored only when the customer has given `guardian` consent."
    )
    purposes: list[str] = Field(
        description="Purposes of the shop's own beside the built-in ones; each needs consent.",
        examples=[["newsletter"]],
    )


class ConsentSettingsUpdate(Input):
    """Settings to change; one left out stays."""

    model_config = with_examples({"guardian_consent_required": True, "purposes": ["newsletter"]})

    guardian_consent_required: bool = Field(
        strict=True,
        default=True,
        description="Whether details of children are stored only when the customer has given `guardian` consent.",
    )
    purposes: list[Slug] = Field(
        default_factory=list,
        max_length=MAX_PURPOSES,
        description="Purposes of the shop's own beside the built-in ones; replaces them all.",
        examples=[["newsletter"]],
    )


class Recipient(Input):
    """Somebody to whom something is about to be sent."""

    customer_id: UUID = Field(description="The customer.")
    address: Annotated[Line, Field(examples=["138 1234 5678"])] | None = Field(
        default=None,
        description="Where it would go: it must be one of the customer's contact points. Left out: any of them.",
    )


class Evaluation(Input):
    """A question: may this be sent to these customers?"""

    model_config = with_examples(
        {
            "purpose": "marketing",
            "channel": "sms",
            "recipients": [{"customer_id": "01981a6e-0000-7000-8000-000000000000"}],
        }
    )

    purpose: Purpose = Field(description=PURPOSE_TEXT)
    channel: SendChannel = Field(description="The way it would be sent.")
    recipients: list[Recipient] = Field(
        min_length=1, max_length=MAX_EVALUATED, description="To whom; up to 1,000, each once."
    )


class Decision(Wire):
    """Whether something may be sent, and why.

    Attributes:
        allowed: only then may it be sent.
        reason: stable code, see `Reason`.
        consent_id: the ledger entry that decided, the evidence; None when none did.
        at: when that entry was said.

    """

    customer_id: UUID = Field(description="The customer.")
    allowed: bool = Field(description="Whether it may be sent.")
    reason: Reason = Field(
        description="`granted`; `not_needed`: the purpose needs no consent; `no_objection`: allowed until withdrawn; "
        "`no_consent`: never given; `withdrawn`; `unknown_address`: not one of the customer's; `customer_gone`: "
        "deleted or erased."
    )
    consent_id: UUID | None = Field(default=None, description="The ledger entry that decided; null when none did.")
    at: Instant | None = Field(default=None, description="When that was said.")


class Evaluated(Wire):
    """Answers in the order of the question."""

    data: list[Decision] = Field(description="One decision for each recipient.")


class ChannelState(Wire):
    """What may be done by one way."""

    channel: SendChannel = Field(description="The way.")
    allowed: bool = Field(description="Whether something may be sent.")
    reason: Reason = Field(description="As in an evaluation.")
    consent_id: UUID | None = Field(description="The ledger entry that decided; null when none did.")
    at: Instant | None = Field(description="When that was said.")


class PurposeState(Wire):
    """What a customer's word amounts to for one purpose."""

    purpose: str = Field(description=PURPOSE_TEXT)
    basis: Basis = Field(
        description="`consent`: only when granted; `objection`: until withdrawn; `none`: always, by contract or law."
    )
    channels: list[ChannelState] = Field(description="Each way by itself.")


class ConsentState(Wire):
    """What a customer's word amounts to, now."""

    customer_id: UUID = Field(description="The customer.")
    guardian: bool = Field(description="Whether guardian consent for details of children is in force.")
    purposes: list[PurposeState] = Field(description="Built-in purposes first, then the shop's own.")


__all__ = [
    "Action",
    "Basis",
    "Channel",
    "ChannelState",
    "Consent",
    "ConsentCreate",
    "ConsentSettings",
    "ConsentSettingsUpdate",
    "ConsentState",
    "ConsentText",
    "ConsentTextCreate",
    "Decision",
    "Evaluated",
    "Evaluation",
    "Proof",
    "PurposeState",
    "Reason",
    "Recipient",
    "SendChannel",
    "datetime",
]
