"""Verifications of contact points: wire shapes."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from crm_api.core.models import Input, Instant, ResourceId, Wire, with_examples
from crm_api.customers.models import ContactKind

VerificationState = Literal["open", "verified", "expired", "exhausted", "replaced"]
Language = Literal["zh", "en"]
Code = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$", strip_whitespace=True)]


class VerificationSend(Input):
    """How the code is worded."""

    model_config = with_examples({"language": "zh"}, {})

    language: Language | None = Field(default=None, description="Of the message; the shop's own if left out.")


class VerificationCheck(Input):
    """The code as the customer gave it."""

    model_config = with_examples({"code": "042137"})

    code: Code = Field(description="Six digits.", examples=["042137"])


class ContactVerification(Wire):
    """A one-time code that was sent to a contact point, and what became of it. The code itself is never shown."""

    id: ResourceId
    customer_id: UUID = Field(description="Whose contact point.")
    contact_point_id: UUID = Field(description="The contact point.")
    kind: ContactKind = Field(description="Kind of the contact point.")
    message_id: UUID = Field(description="The message, for `GET /v1/channel-messages/{id}`.")
    state: VerificationState = Field(
        description="`open`: waits for the code; `exhausted`: tried too often; `replaced`: a newer code was sent."
    )
    tries_left: int = Field(description="Guesses that are left.", examples=[5])
    sent_at: Instant = Field(description="When it was sent.")
    resend_at: Instant = Field(description="From when another may be sent.")
    expires_at: Instant = Field(description="Until when it can be used.")
    verified_at: Instant | None = Field(description="When the right code came; null until then.")
