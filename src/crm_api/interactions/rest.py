"""Interactions and timelines over REST."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from starlette.responses import Response

from crm_api.core.paging import DEFAULT_LIMIT
from crm_api.interactions.models import InteractionBatch, InteractionCreate, InteractionUpdate, TimelinePage
from crm_api.interactions.repository import INTERACTION
from crm_api.interactions.service import InteractionService
from crm_api.web.batch import ANSWERS, batch_response, read_items
from crm_api.web.resources import (
    JSON,
    READ_PROBLEMS,
    After,
    Before,
    Count,
    Limit,
    add_get,
    add_list,
    crm_router,
    page_request,
    resource,
    shown,
)
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("interactions")

add_list(router, "/interactions", INTERACTION, summary="List interactions")
add_get(router, "/interactions", INTERACTION, summary="Get an interaction")
add_list(
    router,
    "/customers/{customer_id}/interactions",
    INTERACTION,
    summary="List a customer's interactions",
    parent=("customer_id", "customer_id"),
)


@router.post(
    "/interactions",
    status_code=201,
    summary="Log an interaction",
    responses=shown("Interaction", 201),
    response_model=None,
)
async def log_interaction(unit: WriteUnit, body: InteractionCreate) -> Response:
    """Note a call, visit or message, from the customer or to them."""
    interaction_id = await InteractionService(unit).log(body)
    return await resource(unit, INTERACTION, interaction_id, status=201, location="/v1/interactions")


@router.post("/interactions/batch", summary="Log many interactions", responses=ANSWERS, response_model=None)
async def log_interactions(unit: WriteUnit, body: InteractionBatch) -> Response:
    """Note up to 1,000 interactions in one transaction, each as `POST /v1/interactions` does, all or each by itself."""
    results = await InteractionService(unit).batch(read_items(body.items, InteractionCreate), body.mode)
    return batch_response(results, body.mode, unit.actor.locale)


@router.patch(
    "/interactions/{id}", summary="Change an interaction", responses=shown("Interaction"), response_model=None
)
async def update_interaction(unit: WriteUnit, id: UUID, body: InteractionUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given; null clears one."""
    await InteractionService(unit).update(id, body, expected_version=version)
    return await resource(unit, INTERACTION, id)


_TIMELINE: dict[int | str, dict[str, Any]] = {
    200: {"model": TimelinePage, "description": "One page of the timeline."},
    **READ_PROBLEMS,
}
Kinds = Annotated[
    list[str] | None,
    Query(max_length=50, description="Only entries of these kinds; give it again for several.", examples=[["order"]]),
]


@router.get(
    "/customers/{customer_id}/timeline", summary="Read a customer's timeline", responses=_TIMELINE, response_model=None
)
async def customer_timeline(
    *,
    unit: ReadUnit,
    customer_id: UUID,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
    before: Before = None,
    count: Count = None,
    kind: Kinds = None,
) -> Response:
    """Everything that happened to a customer, newest first, as far as the key may see it."""
    feed = await InteractionService(unit).timeline(customer_id, page_request(limit, after, before, count), only=kind)
    return Response(feed.body(), 200, media_type=JSON)
