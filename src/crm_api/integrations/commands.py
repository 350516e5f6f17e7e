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
class Ignore:
    """Nothing to do, and why."""

    reason: str


Command: TypeAlias = UpsertOrder | RecordRefund | SeeCustomer | Ignore
