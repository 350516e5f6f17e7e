"""Turning a stored delivery into what it asks for: safe to run again, in any order, any number of times."""

from typing import Any, Final
from uuid import UUID

import orjson
from asyncpg import DataError
from pydantic import ValidationError

from crm_api.core.errors import CrmError, Duplicate, Invalid, NotFound, Unavailable
from crm_api.core.text import FROM_OUTSIDE, as_line
from crm_api.customers.models import ContactPointInput
from crm_api.customers.service import ContactPointService, CustomerService
from crm_api.db.uow import UnitOfWork
from crm_api.integrations import shopify, standard, tmall
from crm_api.integrations.commands import (
    Buyer,
    ChangePoints,
    Command,
    Contact,
    Ignore,
    RecordRefund,
    SeeCustomer,
    UpsertOrder,
)
from crm_api.integrations.points import PointChanges
from crm_api.integrations.repository import DeliveryRepository
from crm_api.orders.models import OrderUpsert
from crm_api.orders.service import OrderService

RETRY_JOB: Final = "integrations.retry"
RETRY_SECONDS: Final = (5, 30, 300, 3_600, 21_600)
"""A refund may arrive before its order: it is tried again after these pauses, then left for a person."""


class _NotYet(Exception):
    """What it refers to has not arrived."""


class Processor:
    """Processes deliveries of one tenant."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.deliveries = DeliveryRepository(unit)

    async def process(self, delivery_id: UUID) -> None:
        """Process one delivery unless that has been done; what is wrong with it is noted on it."""
        row = await self.deliveries.with_source(delivery_id)
        if row is None or row["state"] != "received":
            return
        try:
            async with self.unit.savepoint():
                command = _read(row["platform"], row["topic"], row["body"])
                result = await self._apply(command, delivery_id)
        except _NotYet as error:
            await self.deliveries.finish(delivery_id, "failed", error=str(error))
            if row["attempts"] < len(RETRY_SECONDS):
                pause = RETRY_SECONDS[row["attempts"]]
                await self.unit.enqueue(RETRY_JOB, {"delivery_id": str(delivery_id)}, delay_seconds=pause)
        except Unavailable:
            raise
        except (CrmError, ValidationError, ValueError, DataError) as error:
            await self.deliveries.finish(delivery_id, "failed", error=explain(error))
        else:
            state = "ignored" if isinstance(command, Ignore) else "processed"
            await self.deliveries.finish(delivery_id, state, result=result)

    async def _apply(self, command: Command, delivery_id: UUID) -> dict[str, Any]:
        if isinstance(command, ChangePoints):
            answer = await PointChanges(self.unit).book(command)
            self.unit.emit(tmall.ANSWERED, delivery_id, answer)
            return {"answer": answer}
        if isinstance(command, UpsertOrder):
            return await self._order(command)
        if isinstance(command, RecordRefund):
            return await self._refund(command)
        if isinstance(command, SeeCustomer):
            customer_id, verdict = await self._customer(command.buyer)
            return {"customer_id": str(customer_id), "verdict": verdict}
        return {"ignored": command.reason}

    async def _order(self, command: UpsertOrder) -> dict[str, Any]:
        values = dict(command.order)
        if command.buyer is not None:
            await self._customer(command.buyer)
            values["customer"] = {"external_id": command.buyer.external_id, "name": command.buyer.name[:200]}
        order = OrderUpsert.model_validate(values, context=FROM_OUTSIDE)
        done = await OrderService(self.unit).upsert(command.platform, command.external_id, order)
        return {"order_id": str(done.order_id), "verdict": done.verdict}

    async def _refund(self, command: RecordRefund) -> dict[str, Any]:
        service = OrderService(self.unit)
        try:
            order_id = await service.find(command.platform, command.external_id)
        except NotFound:
            raise _NotYet(f"order {command.external_id} has not arrived yet") from None
        refund_id, new = await service.refund(order_id, command.refund)
        return {"order_id": str(order_id), "refund_id": str(refund_id), "verdict": "created" if new else "unchanged"}

    async def _customer(self, buyer: Buyer) -> tuple[UUID, str]:
        """Find or make the customer and learn what is new: a name in place of a placeholder, further contact points."""
        service = CustomerService(self.unit)
        name = as_line(buyer.name)[:200]
        customer_id, created = await service.resolve(buyer.platform, buyer.external_id, name)
        learned = [await self._learn_contact(customer_id, contact) for contact in buyer.contacts]
        if created:
            return customer_id, "created"
        placeholders = frozenset({buyer.external_id, f"Shopify {buyer.external_id}"})
        learned.append(await service.name_placeholder(customer_id, name, placeholders))
        return customer_id, "updated" if any(learned) else "unchanged"

    async def _learn_contact(self, customer_id: UUID, contact: Contact) -> bool:
        try:
            async with self.unit.savepoint():
                given = {"kind": contact.kind, "value": contact.value}
                point = ContactPointInput.model_validate(given, context=FROM_OUTSIDE)
                # The platform knows its buyer; that two customers share a phone is for people to look at.
                await ContactPointService(self.unit).add(customer_id, point, allow_duplicate=True)
        except Invalid as error:
            if any(each.code == "not_a_mobile" for each in error.errors):  # platforms call every phone a mobile
                return await self._learn_contact(customer_id, Contact("landline", contact.value))
            return False
        except (Duplicate, ValidationError):
            return False  # known already, masked or mistyped; the order matters more
        return True


def _read(platform: str, topic: str, body: bytes) -> Command:
    payload = orjson.loads(body)
    if not isinstance(payload, dict):
        raise ValueError("the body is not a JSON object")  # noqa: TRY004 - about a value that was sent
    return shopify.read(topic, payload) if platform == "shopify" else standard.read(payload)


def explain(error: CrmError | ValidationError | ValueError | DataError) -> str:
    """Return one line that tells what is wrong and where, without values."""
    if isinstance(error, ValidationError):
        places = [f"/{'/'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()[:10]]
        return "; ".join(places)
    if isinstance(error, CrmError) and error.errors:
        return "; ".join(f"{each.pointer}: {each.message}" for each in error.errors[:10])
    return str(error)[:500]
