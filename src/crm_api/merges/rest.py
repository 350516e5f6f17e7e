"""Merges over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.merges.models import MergePreview, MergeRequest
from crm_api.merges.repository import MERGE
from crm_api.merges.service import MergeService
from crm_api.web.resources import JSON, add_get, add_list, crm_router, resource, shown
from crm_api.web.units import WriteUnit

router = crm_router("merges")

add_list(router, "/merges", MERGE, summary="List merges")
add_get(router, "/merges", MERGE, summary="Get a merge")


@router.post(
    "/customers/merge",
    status_code=201,
    summary="Merge customers",
    responses={
        200: {"description": "The preview: nothing changed.", "model": MergePreview},
        **shown("Merge", 201, "The merge: the losers' ids answer as the winner's from now on."),
    },
    response_model=None,
)
async def merge_customers(unit: WriteUnit, body: MergeRequest) -> Response:
    """Let customers who are one person become one: everything they have, in one transaction.

    With `dry_run` it answers 200 with what would happen to every field and every table, and nothing changes. A loser
    that was merged before answers 409 `already_merged` and names who it became.
    """
    if body.dry_run:
        preview = await MergeService(unit).preview(body.winner_id, body.loser_ids, body.field_choices)
        return Response(preview.model_dump_json(), 200, media_type=JSON)
    merge_id = await MergeService(unit).merge(body.winner_id, body.loser_ids, body.field_choices)
    return await resource(unit, MERGE, merge_id, status=201, location="/v1/merges")


@router.post("/merges/{id}/undo", summary="Undo a merge", responses=shown("Merge"), response_model=None)
async def undo_merge(unit: WriteUnit, id: UUID) -> Response:
    """Give everybody back what they had, plus what came after; undoing again changes nothing.

    Rows made since stay with the winner unless they are about a row that goes back; fields changed since are kept;
    `undo` in the answer says what could not go back. When the winner was merged on, it answers 409 `undo_order`
    and lists in `undo_first` what to undo before.
    """
    await MergeService(unit).undo(id)
    return await resource(unit, MERGE, id)
