"""The message that leaves a transaction through the outbox."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Message:
    """Something that happened, as subscribers see it.

    Attributes:
        id: unique for ever; receivers remember it to do the work once.
        tenant_id: whose.
        type: ``order.paid``, ``customer.created`` …
        subject_id: the thing it happened to.
        payload: plain JSON values; enough to act without reading back where that is cheap.
        occurred_at: when the transaction's clock said it happened.

    """

    id: UUID
    tenant_id: UUID
    type: str
    subject_id: UUID
    payload: Mapping[str, Any]
    occurred_at: datetime
