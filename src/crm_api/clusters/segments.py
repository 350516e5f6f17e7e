"""The segments that clusters become: static ones, whose members are given and not found by a rule."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from crm_api.core.errors import Conflict
from crm_api.db.uow import UnitOfWork
from crm_api.segments.models import SegmentCreate, SegmentUpdate
from crm_api.segments.service import SegmentService


class ClusterSegments:
    """What clusters ask of segments."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.service = SegmentService(unit)

    async def create(self, name: str, description: str) -> UUID:
        """Make an empty segment; returns its id."""
        return await self.service.create(SegmentCreate(name=name, description=description, kind="static"))

    async def add(self, segment_id: UUID, customer_ids: Sequence[UUID], clustering_id: UUID) -> None:
        """Make customers members, with the clustering as the cause; who was deleted since is passed over."""
        await self.service.fill(segment_id, customer_ids, "clustering", clustering_id)

    async def archive(self, segment_id: UUID) -> None:
        """Keep the members as they are from now on; one that rules name stays as it is."""
        with suppress(Conflict):
            await self.service.update(segment_id, SegmentUpdate(archived=True))
