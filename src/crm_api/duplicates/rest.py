"""Duplicates over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.duplicates.models import CandidateAccept, CandidateReject, RunStart
from crm_api.duplicates.repository import DUPLICATE_CANDIDATE, DUPLICATE_RUN
from crm_api.duplicates.service import CandidateService, DuplicateRunService
from crm_api.web.resources import add_get, add_list, crm_router, resource, shown
from crm_api.web.units import ExpectedVersion, WriteUnit

router = crm_router("duplicates")

add_list(router, "/duplicate-candidates", DUPLICATE_CANDIDATE, summary="List pairs that may be one customer")
add_get(router, "/duplicate-candidates", DUPLICATE_CANDIDATE, summary="Get a pair that may be one customer")
add_list(router, "/duplicate-runs", DUPLICATE_RUN, summary="List searches for duplicates")
add_get(router, "/duplicate-runs", DUPLICATE_RUN, summary="Get a search for duplicates")


@router.post(
    "/duplicate-candidates/{id}/accept",
    summary="Accept a pair: merge the two",
    responses=shown("DuplicateCandidate"),
    response_model=None,
)
async def accept_candidate(
    unit: WriteUnit, id: UUID, version: ExpectedVersion, body: CandidateAccept | None = None
) -> Response:
    """Merge the two customers; the key needs `merges:write` too. Undoing the merge leaves the pair rejected."""
    await CandidateService(unit).accept(id, body or CandidateAccept(), expected_version=version)
    return await resource(unit, DUPLICATE_CANDIDATE, id)


@router.post(
    "/duplicate-candidates/{id}/reject",
    summary="Reject a pair: they are two",
    responses=shown("DuplicateCandidate"),
    response_model=None,
)
async def reject_candidate(
    unit: WriteUnit, id: UUID, version: ExpectedVersion, body: CandidateReject | None = None
) -> Response:
    """Remember that they are two: they are proposed again only when their data change and speak louder for it."""
    await CandidateService(unit).reject(id, body or CandidateReject(), expected_version=version)
    return await resource(unit, DUPLICATE_CANDIDATE, id)


@router.post(
    "/duplicate-runs",
    status_code=202,
    summary="Search for duplicates",
    responses=shown("DuplicateRun", 202),
    response_model=None,
)
async def start_search(unit: WriteUnit, body: RunStart | None = None) -> Response:
    """Queue a search; poll it. Every night new and changed customers are searched without being asked for."""
    run_id = await DuplicateRunService(unit).start(body or RunStart())
    return await resource(unit, DUPLICATE_RUN, run_id, status=202, location="/v1/duplicate-runs")
