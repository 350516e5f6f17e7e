"""Orders in GraphQL."""

from typing import Any

from crm_api.core.text import Slug, Token
from crm_api.db.projections import eq
from crm_api.orders.models import OrderBatch, OrderBatchItem, OrderUpsert, RefundCreate
from crm_api.orders.service import OrderService
from crm_api.web.batch import BATCH_PAYLOAD, batch_payload, read_items
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get


async def _upsert(call: Call) -> dict[str, Any]:
    order_id, verdict = await OrderService(call.unit).upsert(
        call.extra["platform"],
        call.extra["external_id"],
        call.data,
        expected_version=call.extra.get("expected_version"),
    )
    return {"order": order_id, "verdict": verdict}


async def _batch(call: Call) -> dict[str, Any]:
    results = await OrderService(call.unit).batch(read_items(call.data.items, OrderBatchItem), call.data.mode)
    return batch_payload(results, call.data.mode, call.unit.actor.locale)


async def _refund(call: Call) -> dict[str, Any]:
    refund_id, _ = await OrderService(call.unit).refund(call.id, call.data)
    return {"refund": refund_id, "order": call.id}


GRAPHQL = GraphQLParts(
    queries={
        "order": get("Order", description="An order by id."),
        "order_by_external_id": get(
            "Order",
            by={"platform": eq("platform"), "external_id": eq("external_id")},
            description="An order by its platform's id.",
        ),
        "orders": connection("Order", description="All orders, latest placed first."),
    },
    mutations={
        "order_batch": Mutation(
            _batch,
            input=OrderBatch,
            payload=BATCH_PAYLOAD,
            description="Take in up to 1,000 orders in one transaction, all or each by itself.",
        ),
        "order_upsert": Mutation(
            _upsert,
            input=OrderUpsert,
            extra={"platform": Slug, "external_id": Token, "expected_version": int | None},
            payload={"order": "Order", "verdict": str},
            description="Take in an order as its platform has it; of two messages the newer wins. "
            "The verdict is created, updated, unchanged or stale.",
        ),
        "order_refund": Mutation(
            _refund,
            target="Order",
            input=RefundCreate,
            payload={"refund": "Refund", "order": "Order"},
            description="Record money paid back, in part or in full; never more in all than was paid.",
        ),
    },
)
