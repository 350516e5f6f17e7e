"""Orders over REST."""

from typing import Annotated
from uuid import UUID

from fastapi import Path
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.responses import Response

from crm_api.core.text import Slug, Token
from crm_api.orders.models import OrderBatch, OrderBatchItem, OrderUpsert, RefundCreate
from crm_api.orders.repository import ORDER, REFUND
from crm_api.orders.service import OrderService
from crm_api.web.batch import ANSWERS, batch_response, read_items
from crm_api.web.resources import READ_PROBLEMS, add_get, add_list, crm_router, problem_responses, resource, shown
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("orders")
PATH = "/v1/orders"
Platform = Annotated[Slug, Path(description="Lower-case name of the platform.", examples=["taobao"])]


class _PlatformConvertor(StringConvertor):
    # An id in the place of the platform is an order's own: its paths answer 405 to other methods.
    regex = r"(?![0-9a-fA-F]{8}-)[^/]+"


register_url_convertor("platform", _PlatformConvertor())
ExternalId = Annotated[Token, Path(description="The order's id on its platform.", examples=["T-20261111-1"])]

_VERDICT = {
    "description": "What became of the message: created, updated, unchanged, or stale (older than what is known).",
    "schema": {"type": "string", "enum": ["created", "updated", "unchanged", "stale"]},
}


def _verdicts() -> dict[int | str, dict[str, object]]:
    answers = shown("Order", 200, "The order as it is now.")
    answers[201] = shown("Order", 201, "The order was new.")[201]
    for status in (200, 201):
        answers[status]["headers"]["Crm-Verdict"] = _VERDICT
    return answers


add_list(router, "/orders", ORDER, summary="List orders")
add_list(
    router,
    "/customers/{customer_id}/orders",
    ORDER,
    summary="List a customer's orders",
    parent=("customer_id", "customer_id"),
)
# The convertor keeps this from catching the order whose outside id is "refunds".
add_list(router, "/orders/{id:uuid}/refunds", REFUND, summary="List an order's refunds", parent=("id", "order_id"))
add_get(router, "/orders", ORDER, summary="Get an order")


@router.post(
    "/orders/{id:uuid}/refunds",
    status_code=201,
    summary="Record a refund",
    responses={
        **shown("Refund", 201),
        200: shown("Refund", 200, "It was known already.")[200],
        **problem_responses(405),  # a word in the place of the id is a platform
    },
    response_model=None,
)
async def create_refund(unit: WriteUnit, id: UUID, body: RefundCreate) -> Response:
    """Record money paid back, in part or in full; never more in all than was paid.

    The same external id again changes nothing and answers 200 with the refund that is known.
    """
    refund_id, created = await OrderService(unit).refund(id, body)
    return await resource(unit, REFUND, refund_id, status=201 if created else 200)


@router.post("/orders/batch", summary="Take in many orders", responses=ANSWERS, response_model=None)
async def put_orders(unit: WriteUnit, body: OrderBatch) -> Response:
    """Take in up to 1,000 orders in one transaction, each as `PUT` does, all or each by itself."""
    results = await OrderService(unit).batch(read_items(body.items, OrderBatchItem), body.mode)
    return batch_response(results, body.mode, unit.actor.locale)


@router.get(
    "/orders/{platform:platform}/{external_id}",
    summary="Get an order by its platform's id",
    responses={200: shown("Order")[200], **READ_PROBLEMS},
    response_model=None,
)
async def get_order_by_key(unit: ReadUnit, platform: Platform, external_id: ExternalId) -> Response:
    """One purchase, as its platform has it."""
    return await resource(unit, ORDER, await OrderService(unit).find(platform, external_id))


@router.put(
    "/orders/{platform:platform}/{external_id}", summary="Take in an order", responses=_verdicts(), response_model=None
)
async def put_order(
    unit: WriteUnit, platform: Platform, external_id: ExternalId, body: OrderUpsert, version: ExpectedVersion
) -> Response:
    """Take in an order as its platform has it; send it as often and in whatever order the platform does.

    Of two messages the newer wins, by `platform_version`, then `platform_updated_at`, then how far the status has
    come; an older one changes nothing and is answered with the order as it is. The header `Crm-Verdict` says which
    it was. Messages that carry neither version nor time are taken as they come, but the status never goes back.
    """
    order_id, verdict = await OrderService(unit).upsert(platform, external_id, body, expected_version=version)
    created = verdict == "created"
    response = await resource(unit, ORDER, order_id, status=201 if created else 200, location=PATH if created else None)
    response.headers["crm-verdict"] = verdict
    return response
