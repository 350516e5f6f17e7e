"""What the entries of the consent ledger amount to: pure rules.

**The latest word counts.** For each customer, purpose and channel the entry with the greatest ``(at, id)`` is the
standing one; when it was stored does not matter, so entries may arrive late and in any order.

**Channel and ``any``.** A question about one channel looks at two standing entries: the channel's own and that for
``any``. A withdrawal for ``any`` stops everything that was granted before it. A grant for ``any`` covers every channel
except one that was withdrawn by name: a general yes does not undo a particular no. A particular yes after a general no
counts for its channel.

**Basis.** What silence means depends on the purpose (``BASIS``): marketing needs a grant, personalization may be done
until it is refused (PIPL Art. 24), transactional messages are part of the contract (PIPL Art. 13 (2), GDPR Art. 6 (1)
b).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, get_args
from uuid import UUID

from crm_api.consent.models import Action, Basis, Channel, Reason, SendChannel
from crm_api.customers.models import ContactKind

ANY: Final = "any"
GUARDIAN: Final = "guardian"

BASIS: Final[Mapping[str, Basis]] = {
    "marketing": "consent",
    "service": "consent",
    "personalization": "objection",
    "analytics": "consent",
    "third_party": "consent",
    GUARDIAN: "consent",
    "transactional": "none",
}
"""Built-in purposes and what silence means; a shop's own purposes need consent."""

TRANSACTIONAL: Final = (
    "order and payment confirmations",
    "delivery and pick-up notices",
    "refunds, returns and answers to a case the customer opened",
    "one-time codes and security notices",
    "recalls and notices that the law demands",
)
"""All that ``transactional`` may be used for; docs/domains/consent.md shows this list."""

SEND_CHANNELS: Final[tuple[SendChannel, ...]] = get_args(SendChannel)

CONTACT_KINDS: Final[Mapping[SendChannel, tuple[ContactKind, ...]]] = {
    "sms": ("mobile",),
    "call": ("mobile", "landline"),
    "email": ("email",),
    "wechat": ("wechat_openid", "wechat_unionid", "wecom_external_userid"),
    "social": ("weibo", "douyin_open_id", "taobao_buyer"),
}
"""Which kinds of contact points a channel reaches; other channels have no address in the customer's record."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A ledger entry as far as it decides something.

    Attributes:
        id: the entry's.
        purpose: what for.
        channel: by which way, or ``any``.
        action: granted or withdrawn.
        at: when it was said.

    """

    id: UUID
    purpose: str
    channel: Channel
    action: Action
    at: datetime

    @property
    def rank(self) -> tuple[datetime, UUID]:
        """Later words rank higher; the id decides within one instant."""
        return self.at, self.id


Standing = Mapping[tuple[str, str], Entry]
"""(purpose, channel) → the entry that stands."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided, and the entry that decided it."""

    allowed: bool
    reason: Reason
    entry: Entry | None = None


def replay(entries: Iterable[Entry]) -> dict[tuple[str, str], Entry]:
    """Return the standing entries that a ledger amounts to; the order of the entries does not matter."""
    standing: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        known = standing.get((entry.purpose, entry.channel))
        if known is None or entry.rank > known.rank:
            standing[entry.purpose, entry.channel] = entry
    return standing


def basis_of(purpose: str) -> Basis:
    """Return what silence means for a purpose."""
    return BASIS.get(purpose, "consent")


def known_purposes(own: Sequence[str]) -> tuple[str, ...]:
    """Return all purposes of a shop: built in, then its own."""
    return (*BASIS, *(purpose for purpose in own if purpose not in BASIS))


def decide(standing: Standing, purpose: str, channel: str) -> Verdict:
    """Return whether the purpose may be pursued by the channel."""
    basis = basis_of(purpose)
    if basis == "none":
        return Verdict(allowed=True, reason="not_needed")
    entry = deciding(standing.get((purpose, channel)), standing.get((purpose, ANY)))
    if entry is None:
        if basis == "objection":
            return Verdict(allowed=True, reason="no_objection")
        return Verdict(allowed=False, reason="no_consent")
    allowed = entry.action == "granted"
    return Verdict(allowed, "granted" if allowed else "withdrawn", entry)


def deciding(own: Entry | None, general: Entry | None) -> Entry | None:
    """Return which of two standing entries decides: the channel's own or that for ``any``; see the module's text."""
    if own is None or general is None:
        return own or general
    if general.action == "granted":
        return own
    return max(own, general, key=lambda entry: entry.rank) if own.action == "granted" else own
