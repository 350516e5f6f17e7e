"""Clustering in the background."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from crm_api.clusters.runner import ClusteringRun
from crm_api.clusters.service import JOB
from crm_api.core.work import Job
from crm_api.db.pool import Database


def _run_of(database: Database, payload: Mapping[str, Any]) -> ClusteringRun:
    return ClusteringRun(database, UUID(payload["tenant_id"]), UUID(payload["clustering_id"]))


async def cluster(database: Database, payload: Mapping[str, Any]) -> None:
    """Run a clustering."""
    await _run_of(database, payload).run()


async def give_up(database: Database, payload: Mapping[str, Any], reason: str) -> None:
    """Say on the clustering that nobody will go on with it."""
    await _run_of(database, payload).give_up(reason)


JOBS = (Job(JOB, cluster, give_up),)
