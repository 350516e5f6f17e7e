"""What every plug-in is and does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

SECONDS = 30.0
"""Longest one attempt may take, from resolving the name to the last byte of the answer."""


class DeliveryError(Exception):
    """An attempt failed; ``str()`` is what the message's row shows, so it holds neither secret nor code."""

    def __init__(self, reason: str, *, permanent: bool) -> None:
        """Say why, and whether trying again is pointless."""
        super().__init__(reason[:500])
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to one address.

    Attributes:
        id: the message's; the same with every attempt, so that a server or provider can tell a repeat.
        to: the address.
        body: the text.
        subject: for e-mail.
        params: values for a provider's own template.

    """

    id: UUID
    to: str
    body: str
    subject: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)


class Transport(Protocol):
    """A way out."""

    async def deliver(self, message: Outgoing) -> str | None:
        """Hand the message over; returns the provider's id of it, if it gives one.

        Raises:
            DeliveryError: it was not taken.

        """
        ...
