"""Classifications over REST."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Query
from starlette.responses import Response

from crm_api.classifications.definitions import Dimension
from crm_api.classifications.models import (
    BASIS_ASKED,
    ClassificationUpdate,
    CustomerPotentialSet,
    ScoringRunCreate,
    Transitions,
    TransitionsAsked,
    TransitionsBasis,
)
from crm_api.classifications.repository import (
    CLASS_LOG_ENTRY,
    CLASSIFICATION,
    CLASSIFICATION_VERSION,
    CUSTOMER_CLASSES,
    CUSTOMER_POTENTIAL,
    PERIOD_SCORE,
    SCORING_RUN,
)
from crm_api.classifications.scoring import ScoringService
from crm_api.classifications.service import ClassificationService, PotentialService
from crm_api.core.moments import Moment
from crm_api.web.resources import (
    JSON,
    READ_PROBLEMS,
    WRITE_PROBLEMS,
    Fields,
    add_get,
    add_list,
    crm_router,
    parse_fields,
    resource,
    shown,
)
from crm_api.web.units import ExpectedVersion, ReadUnit, WriteUnit

router = crm_router("classifications")

InPath = Annotated[Dimension, Path(description="Which classification.")]

add_list(router, "/scoring-runs", SCORING_RUN, summary="List scoring runs")
add_get(router, "/scoring-runs", SCORING_RUN, summary="Get a scoring run and its progress")
add_list(router, "/classifications", CLASSIFICATION, summary="List classifications with their definitions")
add_list(router, "/classification-versions", CLASSIFICATION_VERSION, summary="List definitions as they were")
add_list(router, "/class-log", CLASS_LOG_ENTRY, summary="List changes of customers' classes")
add_list(router, "/period-scores", PERIOD_SCORE, summary="List scores as they were at the end of periods")


_CLASSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The classes.",
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/CustomerClasses"}}},
    },
    **READ_PROBLEMS,
}


@router.post(
    "/scoring-runs",
    status_code=202,
    summary="Score all customers",
    responses=shown("ScoringRun", 202),
    response_model=None,
)
async def start_scoring(unit: WriteUnit, body: ScoringRunCreate | None = None) -> Response:
    """Queue a scoring (every classification) of all customers; poll the run. The body may be left out.

    It happens every night by itself, and whenever a definition is changed.
    """
    run_id = await ScoringService(unit).start(body or ScoringRunCreate())
    return await resource(unit, SCORING_RUN, run_id, status=202, location="/v1/scoring-runs")


@router.get(
    "/classifications/{dimension}",
    summary="Get a classification",
    responses={200: shown("Classification")[200], **READ_PROBLEMS},
    response_model=None,
)
async def get_classification(unit: ReadUnit, dimension: InPath, fields: Fields = None) -> Response:
    """Show a definition with its classes, contact limits and version."""
    classification_id = await ClassificationService(unit).id_of(dimension)
    return await resource(unit, CLASSIFICATION, classification_id, fields=parse_fields(fields))


@router.patch(
    "/classifications/{dimension}",
    summary="Change a classification",
    responses=shown("Classification"),
    response_model=None,
)
async def update_classification(
    unit: WriteUnit, dimension: InPath, body: ClassificationUpdate, version: ExpectedVersion
) -> Response:
    """Change the parts given; the definition before is kept as a version, and everybody is scored anew by a job."""
    classification_id = await ClassificationService(unit).update(dimension, body, expected_version=version)
    return await resource(unit, CLASSIFICATION, classification_id)


@router.get(
    "/customers/{id}/classes",
    summary="Get a customer's classes with the reasons",
    responses=_CLASSES,
    response_model=None,
)
async def get_customer_classes(unit: ReadUnit, id: UUID, fields: Fields = None) -> Response:
    """Show the class in every dimension, the values and thresholds that decided, and what contact they allow."""
    return await resource(unit, CUSTOMER_CLASSES, id, fields=parse_fields(fields))


@router.put(
    "/customers/{id}/potential",
    summary="Judge a customer's potential",
    responses={**shown("CustomerPotential"), **WRITE_PROBLEMS},
    response_model=None,
)
async def set_customer_potential(
    unit: WriteUnit, id: UUID, body: CustomerPotentialSet, version: ExpectedVersion
) -> Response:
    """Say where they stand, where they are going and how much they want to buy; what is left out is unknown."""
    potential_id = await PotentialService(unit).set(id, body, expected_version=version)
    return await resource(unit, CUSTOMER_POTENTIAL, potential_id)


@router.get("/analytics/transitions", summary="Show how customers moved between classes", responses=READ_PROBLEMS)
async def show_transitions(
    unit: ReadUnit,
    dimension: Annotated[Dimension, Query(description="Whose classes.")] = "lifecycle",
    from_at: Annotated[
        Moment | None,
        Query(alias="from", description="A day (its beginning in the tenant's zone) or a time; 30 days before `to`."),
    ] = None,
    to_at: Annotated[
        Moment | None, Query(alias="to", description="The later day or time; now.", examples=["2026-11-01"])
    ] = None,
    basis: Annotated[TransitionsBasis | None, Query(description=BASIS_ASKED)] = None,
) -> Transitions:
    """Count all customers by their class at two moments: the conversion matrix, from the log or from the orders."""
    asked = TransitionsAsked(dimension=dimension, from_at=from_at, to_at=to_at, basis=basis)
    return Transitions.model_validate(await ClassificationService(unit).transitions(asked, ("/from", "/to")))
