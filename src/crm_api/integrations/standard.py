"""The generic sender: our own event types in Standard Webhooks envelopes.

A bridge (for Taobao's message channel, Pinduoduo's long connection, a till) sends::

    {"type": "order.upserted", "timestamp": "…", "data": {"platform": "taobao", "external_id": "T1", "order": {…}}}

where ``order`` is the body of ``PUT /v1/orders/{platform}/{external_id}``. ``refund.created`` carries ``refund`` in the
same way; ``tmall.message`` carries a message of Taobao's channel as it is (`tmall`); ``customer.seen`` carries
``customer: {external_id, name, email, phone}``; with a masked id it is ignored.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from crm_api.core.text import FROM_OUTSIDE, Line, Slug, Token, is_masked_id
from crm_api.integrations import tmall
from crm_api.integrations.commands import Buyer, Command, Contact, Ignore, RecordRefund, SeeCustomer, UpsertOrder
from crm_api.orders.models import OrderUpsert, RefundCreate


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _OrderData(_Strict):
    platform: Slug
    external_id: Token
    order: OrderUpsert


class _RefundData(_Strict):
    platform: Slug
    external_id: Token
    refund: RefundCreate


class _Person(_Strict):
    external_id: Token
    name: Line
    email: Line | None = None
    phone: Line | None = None


class _CustomerData(_Strict):
    platform: Slug
    customer: _Person


def read(payload: Mapping[str, Any]) -> Command:
    """Return what a message asks for.

    Raises:
        pydantic.ValidationError: the data is not what the type promises.

    """
    kind, data = payload.get("type"), payload.get("data")
    if kind == "order.upserted":
        order = _OrderData.model_validate(data, context=FROM_OUTSIDE)
        return UpsertOrder(order.platform, order.external_id, None, order.order.model_dump(exclude_unset=True))
    if kind == "refund.created":
        refund = _RefundData.model_validate(data, context=FROM_OUTSIDE)
        return RecordRefund(refund.platform, refund.external_id, refund.refund)
    if kind == "customer.seen":
        seen = _CustomerData.model_validate(data, context=FROM_OUTSIDE)
        person = seen.customer
        if is_masked_id(person.external_id):
            return Ignore("a masked id is many people's: nobody was noted for it")
        contacts = tuple(
            Contact(how, value) for how, value in (("email", person.email), ("mobile", person.phone)) if value
        )
        return SeeCustomer(Buyer(seen.platform, person.external_id, person.name, contacts))
    if kind == "tmall.message" and isinstance(data, Mapping):
        return tmall.read(data)
    return Ignore(f"type {kind!r} is not used")
