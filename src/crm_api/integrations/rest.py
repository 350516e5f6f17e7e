"""Sources, inbound webhooks and deliveries over REST."""

from typing import Annotated
from uuid import UUID

from fastapi import Header, Request
from starlette.responses import Response

from crm_api.integrations.models import Accepted, SourceCreate, SourceUpdate
from crm_api.integrations.repository import DELIVERY, SOURCE
from crm_api.integrations.service import DeliveryService, SourceService, accept
from crm_api.web.resources import (
    JSON,
    add_get,
    add_list,
    crm_router,
    problem_responses,
    resource,
    shown,
)
from crm_api.web.units import ExpectedVersion, WriteUnit

router = crm_router("integrations")

_MESSAGES = {
    "standard": {
        "summary": "Standard Webhooks: an order as its platform has it now",
        "value": {
            "type": "order.upserted",
            "timestamp": "2026-11-11T00:04:05+08:00",
            "data": {
                "platform": "taobao",
                "external_id": "T-20261111-1",
                "order": {
                    "customer": {"external_id": "tb_10086", "name": "王小明"},
                    "status": "paid",
                    "total": {"amount": 13600, "currency": "CNY"},
                    "placed_at": "2026-11-11T00:03:20+08:00",
                },
            },
        },
    },
}

add_list(router, "/sources", SOURCE, summary="List sources")
add_get(router, "/sources", SOURCE, summary="Get a source")
add_list(router, "/inbound-deliveries", DELIVERY, summary="List deliveries, newest first")
add_get(router, "/inbound-deliveries", DELIVERY, summary="Get a delivery")


@router.post("/sources", status_code=201, summary="Add a source", responses=shown("Source", 201), response_model=None)
async def create_source(unit: WriteUnit, body: SourceCreate) -> Response:
    """Add a source of webhooks; point the platform at its ``inbound_path``."""
    source_id = await SourceService(unit).create(body)
    return await resource(unit, SOURCE, source_id, status=201, location="/v1/sources")


@router.patch("/sources/{id}", summary="Change a source", responses=shown("Source"), response_model=None)
async def update_source(unit: WriteUnit, id: UUID, body: SourceUpdate, version: ExpectedVersion) -> Response:
    """Rename it, rotate its secret, or switch it off."""
    await SourceService(unit).update(id, body, expected_version=version)
    return await resource(unit, SOURCE, id)


@router.post(
    "/inbound-deliveries/{id}/replay",
    summary="Process a delivery again",
    responses=shown("Delivery"),
    response_model=None,
)
async def replay_delivery(unit: WriteUnit, id: UUID) -> Response:
    """Queue a delivery again, failed or not: processing converges, so replaying is always safe."""
    await DeliveryService(unit).replay(id)
    return await resource(unit, DELIVERY, id)


@router.post(
    "/inbound/{source_id}",
    summary="Receive a webhook",
    status_code=200,
    responses={
        200: {
            "description": "Stored; processing follows. A repeat is acknowledged too.",
            "content": {JSON: {"schema": Accepted.model_json_schema()}},
        },
        **problem_responses(400, 401, 404, 413, 422, 503),
    },
    response_model=None,
    openapi_extra={
        "security": [],
        "requestBody": {
            "required": True,
            "description": "The platform's own message, signed over its raw bytes.",
            "content": {"application/json": {"schema": {}, "examples": _MESSAGES}},
        },
    },
)
async def receive(
    request: Request,
    source_id: UUID,
    x_shopify_hmac_sha256: Annotated[str | None, Header(description="Shopify's signature.")] = None,
    webhook_signature: Annotated[str | None, Header(description="Standard Webhooks signature.")] = None,
) -> Response:
    """Verify the raw bytes, store them, acknowledge. No API key: the signature is the proof."""
    del x_shopify_hmac_sha256, webhook_signature  # documented here, checked over all headers below
    accepted = await accept(
        request.app.state.db,
        source_id,
        dict(request.headers),
        await request.body(),
        request_id=request.scope.get("crm.request_id", ""),
    )
    return Response(accepted.model_dump_json(), 200, media_type=JSON)
