"""Clusterings over REST."""

from typing import Any
from uuid import UUID

from starlette.responses import Response

from crm_api.clusters.models import ClusteringCreate, ClusteringRerun, FeatureInfos
from crm_api.clusters.repository import CLUSTER, CLUSTERING
from crm_api.clusters.service import ClusteringService
from crm_api.web.resources import (
    READ_PROBLEMS,
    add_get,
    add_list,
    crm_router,
    problem_responses,
    resource,
    shown,
)
from crm_api.web.units import ReadUnit, WriteUnit

router = crm_router("segments")
SVG = "image/svg+xml"

add_list(router, "/clusterings", CLUSTERING, summary="List clusterings")
add_get(router, "/clusterings", CLUSTERING, summary="Get a clustering and its progress")
add_list(
    router,
    "/clusterings/{id}/clusters",
    CLUSTER,
    summary="List what a clustering found, the largest cluster first",
    parent=("id", "clustering_id"),
)


@router.get(
    "/clustering-features",
    summary="List what customers can be told apart by",
    response_model=FeatureInfos,
    responses=READ_PROBLEMS,
)
async def list_clustering_features(unit: ReadUnit) -> dict[str, Any]:
    """Describe the features a clustering can compare, the shop's own attributes too, and the scope each takes."""
    return await ClusteringService(unit).features()


@router.post(
    "/clusterings",
    status_code=202,
    summary="Cluster customers",
    responses=shown("Clustering", 202, "The clustering, not done yet."),
    response_model=None,
)
async def start_clustering(unit: WriteUnit, body: ClusteringCreate) -> Response:
    """Queue a clustering (k-means over standardised features); poll it. Each cluster becomes a static segment."""
    clustering_id = await ClusteringService(unit).start(body)
    return await resource(unit, CLUSTERING, clustering_id, status=202, location="/v1/clusterings")


@router.post(
    "/clusterings/{id}/rerun",
    status_code=202,
    summary="Cluster customers again",
    responses=shown("Clustering", 202, "The new revision, not done yet."),
    response_model=None,
)
async def rerun_clustering(unit: WriteUnit, id: UUID, body: ClusteringRerun | None = None) -> Response:
    """Do a clustering again over customers as they are now: a new revision with segments of its own.

    The segments of earlier revisions stay as they are, unless ``archive_previous`` asks for more. The body may be left
    out.
    """
    clustering_id = await ClusteringService(unit).rerun(id, body or ClusteringRerun())
    return await resource(unit, CLUSTERING, clustering_id, status=202, location="/v1/clusterings")


@router.get(
    "/clusterings/{id}/picture.svg",
    summary="Draw the clusters",
    responses={
        200: {"description": "The picture.", "content": {SVG: {"schema": {"type": "string"}}}},
        **problem_responses(400, 401, 403, 404, 409, 422, 503),
    },
    response_model=None,
)
async def draw_clustering(unit: ReadUnit, id: UUID) -> Response:
    """Draw a sample of the customers along the two directions in which they differ most, a colour per cluster.

    Its words are English or Chinese, as ``Accept-Language`` asks.
    """
    return Response(await ClusteringService(unit).picture(id), media_type=SVG, headers={"vary": "accept-language"})
