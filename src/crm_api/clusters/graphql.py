"""Clusterings in GraphQL. The picture is REST only; what it shows is the clustering's `picture`."""

from typing import Annotated, Any

from pydantic import Field, JsonValue

from crm_api.clusters.models import ClusteringCreate, ClusteringRerun
from crm_api.clusters.service import ClusteringService
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get

_SHOWN = {"clustering": "Clustering"}


async def _start(call: Call) -> dict[str, Any]:
    return {"clustering": await ClusteringService(call.unit).start(call.data)}


async def _rerun(call: Call) -> dict[str, Any]:
    return {"clustering": await ClusteringService(call.unit).rerun(call.id, call.data)}


async def _features(call: Call) -> dict[str, Any]:
    return await ClusteringService(call.unit).features()


GRAPHQL = GraphQLParts(
    queries={
        "clustering": get("Clustering", description="A clustering by id."),
        "clusterings": connection("Clustering", description="Clusterings, newest first."),
        "clusters": connection("Cluster", description="Clusters of all clusterings."),
        "clustering_features": Computed(
            _features,
            payload={
                "features": Annotated[
                    list[JsonValue], Field(description="Features with kinds, labels, scopes and default transforms.")
                ]
            },
            description="What customers can be told apart by, the shop's own attributes too.",
        ),
    },
    mutations={
        "clustering_start": Mutation(
            _start,
            input=ClusteringCreate,
            payload=_SHOWN,
            description="Cluster customers by what they are like; each cluster becomes a segment.",
        ),
        "clustering_rerun": Mutation(
            _rerun,
            target="Clustering",
            input=ClusteringRerun,
            payload=_SHOWN,
            description="Do a clustering again over customers as they are now, with segments of its own.",
        ),
    },
)
