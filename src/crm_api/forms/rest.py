"""Capture forms over REST: for staff with a key, for visitors without one."""

from typing import Annotated
from uuid import UUID

from fastapi import Header, Request
from starlette.responses import Response

from crm_api.core.errors import Forbidden
from crm_api.forms.models import FormCreate, FormUpdate, PublicForm, Received, SubmissionCreate
from crm_api.forms.repository import FORM, SUBMISSION
from crm_api.forms.service import FormService, SubmissionService, Visit, origins, show, submit
from crm_api.web.resources import JSON, add_get, add_list, crm_router, problem_responses, resource, shown
from crm_api.web.units import ExpectedVersion, WriteUnit

router = crm_router("forms")

add_list(router, "/forms", FORM, summary="List forms")
add_get(router, "/forms", FORM, summary="Get a form")
add_list(router, "/form-submissions", SUBMISSION, summary="List submissions, newest first")
add_get(router, "/form-submissions", SUBMISSION, summary="Get a submission")


@router.post("/forms", status_code=201, summary="Add a form", responses=shown("CaptureForm", 201), response_model=None)
async def create_form(unit: WriteUnit, body: FormCreate) -> Response:
    """Add a form; the shop's page loads it from its ``public_path``."""
    form_id = await FormService(unit).create(body)
    return await resource(unit, FORM, form_id, status=201, location="/v1/forms")


@router.patch("/forms/{id}", summary="Change a form", responses=shown("CaptureForm"), response_model=None)
async def update_form(unit: WriteUnit, id: UUID, body: FormUpdate, version: ExpectedVersion) -> Response:
    """Change the fields given; null clears one. Switch it off with ``active``."""
    await FormService(unit).update(id, body, expected_version=version)
    return await resource(unit, FORM, id)


@router.post(
    "/form-submissions/{id}/accept",
    summary="Accept a submission that was taken for spam",
    responses=shown("FormSubmission"),
    response_model=None,
)
async def accept_submission(unit: WriteUnit, id: UUID) -> Response:
    """Do with it what is done with any other: customer, interaction, consent."""
    await SubmissionService(unit).accept(id)
    return await resource(unit, SUBMISSION, id)


# -- without a key -----------------------------------------------------------------------------------------------------

_ORIGIN = Header(description="Sent by browsers: the page's origin. It must be among the form's `allowed_origins`.")
_OPEN: dict[str, list[str]] = {"security": []}
_DAY = "86400"


@router.get(
    "/public/forms/{id}",
    summary="Load a form",
    responses={200: {"model": PublicForm, "description": "The form."}, **problem_responses(400, 403, 404, 422, 503)},
    response_model=None,
    openapi_extra=_OPEN,
)
async def load_form(request: Request, id: UUID, origin: Annotated[str | None, _ORIGIN] = None) -> Response:
    """Give a visitor's page the form and a ticket to send with the answers. No key: the address is public."""
    form, allowed = await show(request.app.state.db, id)
    return Response(form.model_dump_json(), 200, _shared_with(origin, allowed), media_type=JSON)


@router.post(
    "/public/forms/{id}/submissions",
    status_code=201,
    summary="Send a form",
    responses={
        201: {"model": Received, "description": "Received."},
        **problem_responses(400, 403, 404, 413, 415, 422, 429, 503),
    },
    response_model=None,
    openapi_extra=_OPEN,
)
async def send_form(
    request: Request, id: UUID, body: SubmissionCreate, origin: Annotated[str | None, _ORIGIN] = None
) -> Response:
    """Send a visitor's answers.

    They become a customer (or are noted with the one who has that number), an interaction and a consent. No key: the
    ticket proves that the form was loaded, and makes sending it twice harmless.
    """
    database = request.app.state.db
    headers = _shared_with(origin, await origins(database, id))
    visit = Visit(request.client.host if request.client else "", request.scope.get("crm.request_id", ""))
    received = Received(submission_id=await submit(database, id, body, visit))
    return Response(received.model_dump_json(), 201, headers, media_type=JSON)


@router.options("/public/forms/{id}", include_in_schema=False)
@router.options("/public/forms/{id}/submissions", include_in_schema=False)
async def ask_browser(request: Request, id: UUID, origin: Annotated[str | None, _ORIGIN] = None) -> Response:
    """Answer a browser that asks whether a page of another origin may post (CORS preflight)."""
    headers = _shared_with(origin, await origins(request.app.state.db, id))
    return Response(
        status_code=204,
        headers={
            **headers,
            "access-control-allow-methods": "GET, POST",
            "access-control-allow-headers": "content-type",
            "access-control-max-age": _DAY,
        },
    )


def _shared_with(origin: str | None, allowed: frozenset[str]) -> dict[str, str]:
    """Return the headers that let the page read the answer.

    Raises:
        Forbidden: the form is for other pages.

    """
    if origin is None:
        return {}
    if allowed and origin.lower() not in allowed:
        raise Forbidden(
            "This form takes nothing from that page: add its origin to allowed_origins",
            zh="此表单不接受来自该页面的提交：请将其来源加入 allowed_origins",
            code="origin_not_allowed",
        )
    return {"access-control-allow-origin": origin, "vary": "origin"}
