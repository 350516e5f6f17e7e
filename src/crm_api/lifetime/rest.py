"""Models of purchases to come over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.lifetime.models import ChurnModelCreate
from crm_api.lifetime.repository import CHURN_MODEL, OUTLOOK
from crm_api.lifetime.service import ChurnModelService
from crm_api.web.resources import add_get, add_list, crm_router, problem_responses, resource, shown
from crm_api.web.units import ReadUnit, WriteUnit

router = crm_router("churn")
SVG = "image/svg+xml"

add_list(router, "/churn/models", CHURN_MODEL, summary="List models")
add_get(router, "/churn/models", CHURN_MODEL, summary="Get a model")
add_list(router, "/churn/outlooks", OUTLOOK, summary="List customers' outlooks, the least alive first")
add_get(router, "/churn/outlooks", OUTLOOK, summary="Get a customer's outlook; the id is the customer's")


@router.post(
    "/churn/models",
    status_code=202,
    summary="Fit a model",
    responses=shown("ChurnModel", 202, "The model, not fitted yet."),
    response_model=None,
)
async def start_model(unit: WriteUnit, body: ChurnModelCreate | None = None) -> Response:
    """Queue the fitting of BG/NBD and Gamma-Gamma to all purchases; poll the model. The body may be left out.

    With a ``calibration_end`` in the past the model is tested on what came after it (``holdout``).
    """
    model_id = await ChurnModelService(unit).start(body or ChurnModelCreate())
    return await resource(unit, CHURN_MODEL, model_id, status=202, location="/v1/churn/models")


@router.get(
    "/churn/models/{id}/cumulative.svg",
    summary="Draw actual and expected purchases",
    responses={
        200: {"description": "The picture.", "content": {SVG: {"schema": {"type": "string"}}}},
        **problem_responses(400, 401, 403, 404, 409, 422, 503),
    },
    response_model=None,
)
async def draw_model(unit: ReadUnit, id: UUID) -> Response:
    """Draw the repeat purchases of everybody, added up week by week, beside what the model expected."""
    return Response(await ChurnModelService(unit).picture(id), media_type=SVG)
