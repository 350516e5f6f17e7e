"""What a delivery can ask for, whoever sent it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from crm_api.orders.models import RefundCreate


@dataclass(frozen=True, slots=True)
class Contact:
    """A way to reach somebody, as the platform wrote it."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Buyer:
    """Somebody as a platform knows them."""

    platform: str
    external_id: str
    name: str
    contacts: tuple[Contact, ...] = ()


@dataclass(frozen=True, slots=True)
class UpsertOrder:
    """Take in an order; the buyer is inside ``order`` when it is None."""

    platform: str
    external_id: str
    buyer: Buyer | None
    order: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RecordRefund:
    """Record money paid back on an order."""

    platform: str
    external_id: str
    refund: RefundCreate


@dataclass(frozen=True, slots=True)
class SeeCustomer:
    """Make sure that somebody is known."""

    buyer: Buyer


@dataclass(frozen=True, slots=True)
class ChangePoints:
    """Book a change of points that a platform asks for, once per record, and answer.

    Attributes:
        platform: whose member.
        external_id: the member there.
        record_id: the platform's own id of the change.
        points: positive gives, negative takes; never 0.
        reason: for the customer.

    """

    platform: str
    external_id: str
    record_id: str
    points: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Ignore:
    """Nothing to do, and why."""

    reason: str


Command: TypeAlias = UpsertOrder | RecordRefund | SeeCustomer | ChangePoints | Ignore
