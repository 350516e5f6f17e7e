"""Access to cases and whose they are, as far as closing them goes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Uuid, any_, func, literal, select

from crm_api.channels.models import AddressKind
from crm_api.complaints.repository.causes import CauseRepository, SettingsRepository
from crm_api.complaints.tables import complaint_events, complaints
from crm_api.core.errors import NotFound
from crm_api.customers.tables import contact_points
from crm_api.db.fields import among
from crm_api.db.repository import Repository

_CASE = ("id", "customer_id", "assignee_id", "kind", "state", "severity", "subject", "decision", "reason")
_MOMENTS = ("reopened", "resolved_at", "decision_told_at", "merged_into_id", "root_cause", "category")


def _cycle() -> ColumnElement[Any]:
    """Return how often the case was decided anew: each decision is told for itself."""
    e = complaint_events
    return (
        select(func.count())
        .select_from(e)
        .where(
            e.c.tenant_id == complaints.c.tenant_id,
            e.c.complaint_id == complaints.c.id,
            among(e.c.action, ("propose", "reject", "reopen")),
        )
        .scalar_subquery()
        .label("cycle")
    )


_ROOTS = """
WITH RECURSIVE up AS (
  SELECT id, merged_into_id FROM complaints WHERE tenant_id = $1 AND id = ANY ($2::uuid[])
  UNION
  SELECT k.id, k.merged_into_id FROM up JOIN complaints k ON k.tenant_id = $1 AND k.id = up.merged_into_id
)
SELECT id FROM up WHERE merged_into_id IS NULL ORDER BY id
"""
_OTHERS = """
WITH RECURSIVE below AS (
  SELECT id, customer_id, assignee_id, subject FROM complaints WHERE tenant_id = $1 AND merged_into_id = $2
  UNION
  SELECT k.id, k.customer_id, k.assignee_id, k.subject
  FROM below JOIN complaints k ON k.tenant_id = $1 AND k.merged_into_id = below.id
)
SELECT DISTINCT ON (customer_id) id, customer_id, assignee_id, subject
FROM below WHERE customer_id <> $3 ORDER BY customer_id, id
"""


class CaseRepository(Repository):
    """Cases, as far as closing them goes."""

    table = complaints

    async def case(self, complaint_id: UUID, *, lock: bool = False) -> dict[str, Any]:
        """Return a case; ``lock`` holds it against other writers.

        Raises:
            NotFound: there is none.

        """
        shown = (*(complaints.c[name] for name in (*_CASE, *_MOMENTS)), _cycle())
        statement = select(*shown).where(self.by_id(complaint_id))
        row = await self.unit.fetch_one(statement.with_for_update(key_share=True) if lock else statement)
        if row is None:
            raise NotFound
        return dict(row)

    async def roots(self, ids: Sequence[UUID]) -> list[UUID]:
        """Return these cases, or what they were merged into, in key order."""
        rows = await self.unit.connection.fetch(_ROOTS, self.unit.tenant_id, list(ids))
        return [row["id"] for row in rows]

    async def others(self, case: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return a case of each other customer whose case was merged into this one."""
        rows = await self.unit.connection.fetch(_OTHERS, self.unit.tenant_id, case["id"], case["customer_id"])
        return [dict(row) for row in rows]

    async def known(self, ids: Iterable[UUID]) -> set[UUID]:
        """Return which of these cases there are."""
        rows = await self.unit.fetch_all(
            select(complaints.c.id).where(self.mine(), complaints.c.id == any_(literal(list(ids), ARRAY(Uuid))))
        )
        return {row["id"] for row in rows}

    async def address_of(self, customer_id: UUID, kind: AddressKind) -> str | None:
        """Return where a customer is written to: the primary address, then one that was proved, then the oldest."""
        point = contact_points
        found: str | None = await self.unit.fetch_value(
            select(point.c.value)
            .where(self.mine(point), point.c.customer_id == customer_id, point.c.kind == kind)
            .order_by(point.c.is_primary.desc(), point.c.verified_at.is_(None), point.c.id)
            .limit(1)
        )
        return found

    async def reopen_days(self) -> int:
        """Return how long after its resolution a case can be reopened."""
        days: int = (await SettingsRepository(self.unit).row())["reopen_days"]
        return days

    async def is_cause(self, path: str) -> bool:
        """Tell whether cases may have this cause."""
        return path in await CauseRepository(self.unit).usable([path])
