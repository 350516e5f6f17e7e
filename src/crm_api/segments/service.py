"""What can be done with segments."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from crm_api.attributes.service import check_listing
from crm_api.core.errors import Conflict, CrmError, Duplicate, FieldError
from crm_api.core.ids import new_id
from crm_api.core.paging import PageRequest
from crm_api.core.rules import AsOf, RuleTree
from crm_api.customers.service import READ as CUSTOMERS_READ
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.segments.models import Cause, CustomerSearch, SegmentCreate, SegmentUpdate
from crm_api.segments.repository import Chosen, SegmentRepository, list_customers
from crm_api.segments.repository.catalogue import customer_rules

READ = "segments:read"
WRITE = "segments:write"
EVALUATE_JOB = "segments.evaluate"

_NAME_TAKEN = {
    "uq_segments_tenant_id_name": Duplicate(
        errors=[FieldError("/name", "duplicate", "A segment has this name", "已有同名分群")]
    )
}


class SegmentService:
    """Segments by rule: made, tried out, kept up to date."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = SegmentRepository(unit)

    # -- asked by people -------------------------------------------------------------------------------------------

    async def create(self, data: SegmentCreate) -> UUID:
        """Create a segment; a job evaluates everybody and makes it active."""
        self.unit.actor.require(WRITE)
        rule = (await self._chosen(data.rule)).rule
        segment_id = new_id()
        row = {"id": segment_id, "name": data.name, "description": data.description, "rule": rule.document}
        with unique_as(_NAME_TAKEN):
            await self.repository.insert(row)
        await self._recompile(segment_id)
        self.unit.audit("segment.created", "Segment", segment_id, after={**row, "id": str(segment_id)})
        self.unit.emit("segment.created", segment_id, {})
        return segment_id

    async def update(self, segment_id: UUID, data: SegmentUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given; a new rule evaluates everybody again."""
        self.unit.actor.require(WRITE)
        before = await self.repository.get(segment_id, lock=True, expected_version=expected_version)
        given = data.model_fields_set
        changes: dict[str, Any] = data.model_dump(include=given & {"name", "description"})
        if "rule" in given:
            changes["rule"] = (await self._chosen(data.rule)).rule.document
        wake = "rule" in given or ("archived" in given and not data.archived and before["state"] == "archived")
        if "archived" in given and data.archived:
            changes["state"] = "archived"
        elif wake:
            changes["state"] = "compiling"
        with unique_as(_NAME_TAKEN):
            await self.repository.change(segment_id, changes)
        if changes.get("state") == "compiling":
            await self._recompile(segment_id)
        self.unit.audit(
            "segment.updated", "Segment", segment_id, before={name: before[name] for name in changes}, after=changes
        )
        self.unit.emit("segment.updated", segment_id, {})

    async def evaluate_now(self, segment_id: UUID) -> None:
        """Have everybody evaluated again by a job."""
        self.unit.actor.require(WRITE)
        row = await self.repository.get(segment_id, lock=True)
        if row["state"] == "archived":
            raise Conflict("The segment is archived", zh="该分群已归档", code="segment_archived")
        await self._recompile(segment_id)

    async def search(self, data: CustomerSearch) -> bytes:
        """Return one page of the customers a rule selects now, as the body of the answer."""
        self.unit.actor.require(CUSTOMERS_READ)
        await check_listing(self.unit, "customer", None, data.order)
        page = PageRequest(data.limit, data.after, data.before, data.count == "exact")
        return await self._list(await self._chosen(data.rule), page, order=data.order, fields=data.fields)

    async def _list(self, chosen: Chosen, page: PageRequest, **options: Any) -> bytes:
        return await list_customers(self.unit, page, rule=chosen, **options)

    async def members(self, segment_id: UUID, page: PageRequest, **options: Any) -> bytes:
        """Return one page of a segment's members.

        Raises:
            NotFound: there is no such segment.

        """
        self.unit.actor.require(READ)
        await self.repository.get(segment_id)
        return await list_customers(self.unit, page, filters={"segment_id": segment_id}, **options)

    async def rule_fields(self) -> dict[str, Any]:
        """Return what rules can name, the tenant's own attributes too, as JSON."""
        self.unit.actor.require(READ)
        return (await customer_rules(self.unit)).catalogue.describe()

    async def _recompile(self, segment_id: UUID) -> None:
        await self.unit.enqueue(EVALUATE_JOB, {"segment_id": str(segment_id)})

    async def _chosen(self, tree: RuleTree | None) -> Chosen:
        """Check a rule of a caller, who must be allowed to know all that it names."""
        rules = await customer_rules(self.unit, tree)
        return Chosen(rules, rules.check(tree, "/rule", self.unit.actor), await self._as_of())

    async def _as_of(self) -> AsOf:
        return AsOf(self.unit.now(), await self.repository.zone())

    # -- upkeep ----------------------------------------------------------------------------------------------------

    async def give_up(self, segment_id: UUID, reason: str) -> None:
        """Say on the segment why its evaluation came to nothing."""
        await self.repository.failed(segment_id, reason)

    async def evaluate(self, segment_id: UUID, cause: Cause = "rule") -> None:
        """Bring one segment's members in line with its rule."""
        row = await self.repository.find(segment_id, lock=True)
        if row is not None and row["state"] != "archived":
            await self._apply(row, await self._as_of(), cause)

    async def evaluate_all(self, cause: Cause, touched: Sequence[UUID] | None = None) -> None:
        """Bring all active segments in line, for some customers or for everybody."""
        as_of = await self._as_of()
        for row in await self.repository.active():
            await self._apply(row, as_of, cause, touched)

    async def _apply(self, row: Any, as_of: AsOf, cause: Cause, touched: Sequence[UUID] | None = None) -> None:
        segment_id: UUID = row["id"]
        try:
            # A rule may have become invalid: an attribute was archived, or newer code knows better.
            rules = await customer_rules(self.unit, row["rule"])
            chosen = Chosen(rules, rules.check(row["rule"], pointer="/rule"), as_of)
        except CrmError as error:
            await self.repository.failed(segment_id, str(error.errors[0].message if error.errors else error))
            return
        entered, left = await self.repository.evaluate(segment_id, chosen, touched)
        moves = [("enter", each) for each in sorted(entered)] + [("leave", each) for each in sorted(left)]
        at = as_of.instant
        await self.repository.log(
            [
                {
                    "id": new_id(),
                    "segment_id": segment_id,
                    "customer_id": customer_id,
                    "change": change,
                    "cause": cause,
                    "at": at,
                }
                for change, customer_id in moves
            ]
        )
        for change, customer_id in moves:
            kind = "segment.entered" if change == "enter" else "segment.left"
            self.unit.emit(kind, customer_id, {"segment_id": str(segment_id), "cause": cause})
        await self.repository.evaluated(segment_id, at, len(entered) - len(left))
