"""Classifications over REST."""

from starlette.responses import Response

from crm_api.classifications.models import ScoringRunCreate
from crm_api.classifications.repository import SCORING_RUN
from crm_api.classifications.scoring import ScoringService
from crm_api.web.resources import add_get, add_list, crm_router, resource, shown
from crm_api.web.units import WriteUnit

router = crm_router("classifications")

add_list(router, "/scoring-runs", SCORING_RUN, summary="List scoring runs")
add_get(router, "/scoring-runs", SCORING_RUN, summary="Get a scoring run and its progress")


@router.post(
    "/scoring-runs",
    status_code=202,
    summary="Score all customers",
    responses=shown("ScoringRun", 202),
    response_model=None,
)
async def start_scoring(unit: WriteUnit, body: ScoringRunCreate | None = None) -> Response:
    """Queue a scoring (RFM, grade, lifecycle) of all customers; poll the run. The body may be left out."""
    run_id = await ScoringService(unit).start(body or ScoringRunCreate())
    return await resource(unit, SCORING_RUN, run_id, status=202, location="/v1/scoring-runs")
