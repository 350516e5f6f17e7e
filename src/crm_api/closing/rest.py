"""Closing the loop over REST: for staff with a key, for customers with a link."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Query, Request
from starlette.responses import Response

from crm_api.closing.actions import CorrectiveActionService
from crm_api.closing.models import (
    ActionTransition,
    ClosingSettingsUpdate,
    CorrectiveActionCreate,
    CorrectiveActionUpdate,
    PublicRating,
    PublicRatingAnswer,
    RatingAnswer,
    RatingLink,
    RatingReceived,
    TellingConfirm,
    TellingCreate,
)
from crm_api.closing.ratings import RatingService, answer_by_link, show_by_link
from crm_api.closing.repository import CLOSING_SETTINGS, CORRECTIVE_ACTION, RATING, TELLING
from crm_api.closing.service import ClosingSettingsService
from crm_api.closing.tellings import TellingService
from crm_api.web.resources import (
    JSON,
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    add_get,
    add_list,
    crm_router,
    nothing,
    problem_responses,
    resource,
    shown,
)
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("complaints")


def _settings_shown() -> dict[int | str, dict[str, Any]]:
    content = {JSON: {"schema": {"$ref": "#/components/schemas/ClosingSettings"}}}
    return {200: {"description": "The settings; their version is the ETag.", "content": content}, **READ_PROBLEMS}


@router.get("/closing-settings", summary="Get the closing settings", responses=_settings_shown(), response_model=None)
async def get_closing_settings(unit: ReadUnit) -> Response:
    """Tell what customers are told by itself, and when they are asked how content they are."""
    return await resource(unit, CLOSING_SETTINGS, unit.tenant_id)


@router.patch(
    "/closing-settings",
    summary="Change the closing settings",
    responses=shown("ClosingSettings", description="The settings as they are now."),
    response_model=None,
)
async def update_closing_settings(unit: WriteUnit, body: ClosingSettingsUpdate, version: ExpectedVersion) -> Response:
    """Change the settings given; they hold for what happens from now on."""
    await ClosingSettingsService(unit).change(body, expected_version=version)
    return await resource(unit, CLOSING_SETTINGS, unit.tenant_id)


# -- telling -----------------------------------------------------------------------------------------------------------

add_list(router, "/complaint-tellings", TELLING, summary="List what customers are told of their cases")
add_get(router, "/complaint-tellings", TELLING, summary="Get what a customer is told")

add_list(
    router,
    "/complaints/{id}/tellings",
    TELLING,
    summary="List what the customer of a case is told",
    parent=("id", "complaint_id"),
)


@router.post(
    "/complaints/{id}/tellings",
    status_code=201,
    summary="Tell the customer the decision or the result",
    responses=shown("ComplaintTelling", 201),
    response_model=None,
)
async def tell_customer(unit: WriteUnit, id: UUID, body: TellingCreate) -> Response:
    """Send it by e-mail or text message, or leave it to the shop; once for each decision.

    What the shop was to tell is taken up again, with the new text. What was told, or is on its way, answers 409
    `already_told`.
    """
    telling_id, _ = await TellingService(unit).tell(id, body)
    return await resource(unit, TELLING, telling_id, status=201, location="/v1/complaint-tellings")


@router.post(
    "/complaint-tellings/{id}/confirm",
    summary="Say that the customer was told",
    responses=shown("ComplaintTelling"),
    response_model=None,
)
async def confirm_telling(unit: WriteUnit, id: UUID, body: TellingConfirm, version: ExpectedVersion) -> Response:
    """Note that somebody of the shop has told them, by phone or in a chat; the case's `decision_told_at` follows."""
    await TellingService(unit).confirm(id, body, expected_version=version)
    return await resource(unit, TELLING, id)


# -- ratings -----------------------------------------------------------------------------------------------------------

add_list(router, "/complaint-ratings", RATING, summary="List how content customers are")
add_get(router, "/complaint-ratings", RATING, summary="Get how content a customer is")


@router.post(
    "/complaints/{id}/rating",
    status_code=201,
    summary="Ask how content the customer is",
    responses=shown("ComplaintRating", 201),
    response_model=None,
)
async def ask_rating(unit: WriteUnit, id: UUID) -> Response:
    """Ask now, whatever was planned. A case is asked about once: after that, 409 `already_asked`."""
    rating_id = await RatingService(unit).ask(id)
    return await resource(unit, RATING, rating_id, status=201, location="/v1/complaint-ratings")


@router.post("/complaint-ratings/{id}/link", summary="Make a link to a question", responses=WRITE_PROBLEMS)
async def link_rating(unit: WriteUnit, id: UUID) -> RatingLink:
    """Make a link to be sent by a channel of your own; one that was made or sent before stops.

    The token is shown only now.
    """
    return await RatingService(unit).link(id)


@router.post(
    "/complaint-ratings/{id}/answer",
    summary="Enter what the customer answered",
    responses=shown("ComplaintRating"),
    response_model=None,
)
async def answer_rating(unit: WriteUnit, id: UUID, body: RatingAnswer, version: ExpectedVersion) -> Response:
    """Enter the answer a customer gave by phone or in the shop. An answer is never changed afterwards."""
    await RatingService(unit).answer(id, body, expected_version=version)
    return await resource(unit, RATING, id)


# -- with a link instead of a key --------------------------------------------------------------------------------------

_ORIGIN = Header(description="Sent by browsers: the page's origin. Any may ask: the token is what counts.")
_TOKEN = Query(max_length=100, description="As it stands in the link.", examples=["9x3…"])
_OPEN: dict[str, list[str]] = {"security": []}
_DAY = "86400"


@router.get(
    "/public/complaint-ratings/{id}",
    summary="Load a question",
    responses={200: {"model": PublicRating, "description": "The question."}, **problem_responses(400, 404, 422, 503)},
    response_model=None,
    openapi_extra=_OPEN,
)
async def load_rating(
    request: Request, id: UUID, token: Annotated[str, _TOKEN], origin: Annotated[str | None, _ORIGIN] = None
) -> Response:
    """Give the customer's page the question. No key: the token is one. A wrong one answers 404."""
    found = await show_by_link(request.app.state.db, id, token)
    return Response(found.model_dump_json(), 200, _shared_with(origin), media_type=JSON)


@router.post(
    "/public/complaint-ratings/{id}",
    summary="Answer a question",
    responses={
        200: {"model": RatingReceived, "description": "Received."},
        **problem_responses(400, 404, 409, 413, 415, 422, 503),
    },
    response_model=None,
    openapi_extra=_OPEN,
)
async def send_rating(
    request: Request, id: UUID, body: PublicRatingAnswer, origin: Annotated[str | None, _ORIGIN] = None
) -> Response:
    """Take the customer's answer, once: 409 `rating_answered` or `rating_expired` change nothing."""
    request_id = request.scope.get("crm.request_id", "")
    received = await answer_by_link(request.app.state.db, id, body, request_id)
    return Response(received.model_dump_json(), 200, _shared_with(origin), media_type=JSON)


@router.options("/public/complaint-ratings/{id}", include_in_schema=False)
async def ask_browser(id: UUID, origin: Annotated[str | None, _ORIGIN] = None) -> Response:  # noqa: ARG001 - the path's
    """Answer a browser that asks whether a page of another origin may post (CORS preflight)."""
    headers = {
        **_shared_with(origin),
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "content-type",
        "access-control-max-age": _DAY,
    }
    return Response(status_code=204, headers=headers)


def _shared_with(origin: str | None) -> dict[str, str]:
    """Return the headers that let the page read the answer; it holds nothing that its token does not open anyway."""
    return {} if origin is None else {"access-control-allow-origin": origin, "vary": "origin"}


# -- corrective actions ------------------------------------------------------------------------------------------------

add_list(router, "/corrective-actions", CORRECTIVE_ACTION, summary="List corrective actions")
add_get(router, "/corrective-actions", CORRECTIVE_ACTION, summary="Get a corrective action")


@router.post(
    "/corrective-actions",
    status_code=201,
    summary="Plan a corrective action",
    responses=shown("CorrectiveAction", 201),
    response_model=None,
)
async def create_action(unit: WriteUnit, body: CorrectiveActionCreate) -> Response:
    """Plan what shall be done so that a cause brings no more complaints: who, until when, about which cases."""
    action_id = await CorrectiveActionService(unit).create(body)
    return await resource(unit, CORRECTIVE_ACTION, action_id, status=201, location="/v1/corrective-actions")


@router.patch(
    "/corrective-actions/{id}",
    summary="Change a corrective action",
    responses=shown("CorrectiveAction"),
    response_model=None,
)
async def update_action(unit: WriteUnit, id: UUID, body: CorrectiveActionUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given; null clears one. The state changes by transitions only."""
    await CorrectiveActionService(unit).update(id, body, expected_version=version)
    return await resource(unit, CORRECTIVE_ACTION, id)


@router.post(
    "/corrective-actions/{id}/transitions",
    summary="Move a corrective action on",
    responses=shown("CorrectiveAction"),
    response_model=None,
)
async def move_action(unit: WriteUnit, id: UUID, body: ActionTransition, version: ExpectedVersion) -> Response:
    """Take a step; what is done is verified by another than its owner and who did it (409 `own_work`)."""
    await CorrectiveActionService(unit).transition(id, body, expected_version=version)
    return await resource(unit, CORRECTIVE_ACTION, id)


@router.put(
    "/corrective-actions/{id}/complaints/{complaint_id}",
    status_code=204,
    summary="Link a case",
    responses=nothing(),
    response_model=None,
)
async def link_case(unit: WriteUnit, id: UUID, complaint_id: UUID) -> Response:
    """Say that the action is about a case; saying it again changes nothing."""
    await CorrectiveActionService(unit).link_complaint(id, complaint_id)
    return Response(status_code=204)


@router.delete(
    "/corrective-actions/{id}/complaints/{complaint_id}",
    status_code=204,
    summary="Unlink a case",
    responses=nothing(),
    response_model=None,
)
async def unlink_case(unit: WriteUnit, id: UUID, complaint_id: UUID) -> Response:
    """Take that back; taking back what is not there changes nothing."""
    await CorrectiveActionService(unit).unlink_complaint(id, complaint_id)
    return Response(status_code=204)
