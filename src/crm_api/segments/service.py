"""What can be done with segments."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from crm_api.attributes.service import check_listing
from crm_api.core.errors import Conflict, Duplicate, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.core.paging import PageRequest
from crm_api.core.rules import AsOf, Rule, RuleTree
from crm_api.customers.service import READ as CUSTOMERS_READ
from crm_api.customers.service import unknown_customer
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.segments.graph import cycle, path_to, places_of_segments, refuse_unkept
from crm_api.segments.models import (
    Cause,
    CustomerSearch,
    MembersChange,
    SegmentCreate,
    SegmentRetake,
    SegmentUpdate,
)
from crm_api.segments.repository import Chosen, SegmentRepository, list_customers
from crm_api.segments.repository.catalogue import customer_rules
from crm_api.segments.repository.upkeep import UpkeepRepository
from crm_api.segments.touches import Why
from crm_api.segments.upkeep import Upkeep

READ = "segments:read"
WRITE = "segments:write"
EVALUATE_JOB = "segments.evaluate"

_NAME_TAKEN = {
    "uq_segments_tenant_id_name": Duplicate(
        errors=[FieldError("/name", "duplicate", "A segment has this name", "已有同名分群")]
    )
}


class SegmentService:
    """Segments: made, changed, tried out; `Upkeep` keeps their members."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = SegmentRepository(unit)

    # -- asked by people -------------------------------------------------------------------------------------------

    async def create(self, data: SegmentCreate) -> UUID:
        """Create a segment; unless it is a draft, a job evaluates everybody and makes it active.

        Raises:
            Invalid: the rule is wrong, missing, or out of place; it names a segment that is not there, not kept, or
                that would name this one in the end.
            Duplicate: the name is taken.

        """
        self.unit.actor.require(WRITE)
        _check_parts(data)
        as_of = self._moment(data.as_of) if data.kind == "snapshot" else None
        segment_id = new_id()
        rule = None if data.kind == "static" else (await self._chosen(data.rule)).rule
        row = {
            "id": segment_id,
            "name": data.name,
            "description": data.description,
            "kind": data.kind,
            "rule": None if rule is None else rule.document,
            "as_of": as_of,
            "state": "draft" if data.draft else _AWAKE[data.kind],
        }
        with unique_as(_NAME_TAKEN):
            await self.repository.insert(row)
        if rule is not None:
            await self._connect(segment_id, data.name, rule, draft=data.draft)
        if row["state"] == "compiling":
            await self._recompile(segment_id)
        shown = {**row, "id": str(segment_id), "as_of": as_of and as_of.isoformat()}
        self.unit.audit("segment.created", "Segment", segment_id, after=shown)
        self.unit.emit("segment.created", segment_id, {})
        return segment_id

    async def update(self, segment_id: UUID, data: SegmentUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given; a new rule evaluates everybody again.

        Raises:
            Conflict: it cannot be archived while other rules name it (``segment_in_use``).
            Invalid: as for `create`.

        """
        self.unit.actor.require(WRITE)
        before = await self.repository.get(segment_id, lock=True, expected_version=expected_version)
        given = data.model_fields_set
        changes: dict[str, Any] = data.model_dump(include=given & {"name", "description"})
        state = await self._state_after(before, data)
        if "rule" in given:
            changes |= await self._new_rule(before, data, state)
        if state != before["state"]:
            changes["state"] = state
        with unique_as(_NAME_TAKEN):
            await self.repository.change(segment_id, changes)
        if state == "compiling" and ("rule" in given or "state" in changes):
            await self._recompile(segment_id)
        if state == "archived":
            await UpkeepRepository(self.unit).drop_flips(segment_id)
        was = {name: _plain(before[name]) for name in changes}
        after = {name: _plain(value) for name, value in changes.items()}
        self.unit.audit("segment.updated", "Segment", segment_id, before=was, after=after)
        self.unit.emit("segment.updated", segment_id, {})

    async def _state_after(self, before: Any, data: SegmentUpdate) -> str:
        given, state = data.model_fields_set, str(before["state"])
        if "archived" in given and data.archived:
            await self._refuse_in_use(before["id"])
            return "archived"
        if "archived" in given and state == "archived":
            if before["rule"] is not None and "rule" not in given:
                await self._check_needs(before["id"])
            return _AWAKE[before["kind"]]
        return "compiling" if "rule" in given and state not in {"draft", "archived"} else state

    async def _new_rule(self, before: Any, data: SegmentUpdate, state: str) -> dict[str, Any]:
        if before["kind"] == "static":
            raise Invalid.field(
                "/rule",
                "unexpected",
                "A static segment has no rule: its members are added",
                "静态分群没有规则：请直接添加成员",
            )
        rule = (await self._chosen(data.rule)).rule
        await self._connect(before["id"], before["name"], rule, draft=state in {"draft", "archived"})
        return {"rule": rule.document, **({"as_of": self.unit.now()} if before["kind"] == "snapshot" else {})}

    async def activate(self, segment_id: UUID, *, expected_version: int | None = None) -> None:
        """Have a draft evaluated and kept from now on.

        Raises:
            Conflict: it is no draft, or its rule names a segment that is one or is archived.

        """
        self.unit.actor.require(WRITE)
        before = await self.repository.get(segment_id, lock=True, expected_version=expected_version)
        if before["state"] != "draft":
            raise Conflict("The segment is not a draft", zh="该分群不是草稿", code="not_a_draft")
        await self._check_needs(segment_id)
        state = _AWAKE[before["kind"]]
        await self.repository.change(segment_id, {"state": state})
        if state == "compiling":
            await self._recompile(segment_id)
        self.unit.audit("segment.activated", "Segment", segment_id, before={"state": "draft"}, after={"state": state})
        self.unit.emit("segment.updated", segment_id, {})

    async def evaluate_now(self, segment_id: UUID) -> None:
        """Have everybody evaluated again by a job.

        Raises:
            Conflict: no rule keeps it: it is static, a snapshot, a draft or archived.

        """
        self.unit.actor.require(WRITE)
        row = await self.repository.get(segment_id, lock=True)
        self._refuse_resting(row)
        if row["kind"] != "dynamic":
            raise Conflict(
                "Only dynamic segments are evaluated: take a snapshot anew, or change a static segment's members",
                zh="仅动态分群可重新计算：快照请重新生成，静态分群请增减成员",
                code="not_dynamic",
            )
        await self._recompile(segment_id)

    async def retake(self, segment_id: UUID, data: SegmentRetake, *, expected_version: int | None = None) -> None:
        """Take a snapshot anew; its members stay until the new ones are known.

        Raises:
            Conflict: it is no snapshot, or rests.
            Invalid: ``as_of`` lies in the future.

        """
        self.unit.actor.require(WRITE)
        row = await self.repository.get(segment_id, lock=True, expected_version=expected_version)
        self._refuse_resting(row)
        if row["kind"] != "snapshot":
            raise Conflict("Only snapshots are taken anew", zh="仅快照可重新生成", code="not_a_snapshot")
        as_of = self._moment(data.as_of)
        await self.repository.change(segment_id, {"as_of": as_of, "state": "compiling"})
        await self._recompile(segment_id)
        was, became = {"as_of": _plain(row["as_of"])}, {"as_of": as_of.isoformat()}
        self.unit.audit("segment.retaken", "Segment", segment_id, before=was, after=became)
        self.unit.emit("segment.updated", segment_id, {})

    async def add_members(self, segment_id: UUID, data: MembersChange) -> None:
        """Add customers to a static segment; who is a member stays one.

        Raises:
            NotFound: there is no such segment or customer.
            Conflict: it is not static, or archived.

        """
        await self._change_members(segment_id, data, add=True)

    async def remove_members(self, segment_id: UUID, data: MembersChange) -> None:
        """Remove customers from a static segment; who is no member is passed over.

        Raises:
            NotFound: there is no such segment or customer.
            Conflict: it is not static, or archived.

        """
        await self._change_members(segment_id, data, add=False)

    async def fill(self, segment_id: UUID, customer_ids: Sequence[UUID], cause: Cause, cause_id: UUID) -> None:
        """Let customers enter a static segment on behalf of another domain, which audits what it does.

        Who is a member already or was deleted since is passed over.
        """
        upkeep = UpkeepRepository(self.unit)
        await upkeep.take_turn()
        living = await upkeep.living(customer_ids)
        entering = sorted(living - await upkeep.members_among(segment_id, customer_ids))
        if entering:
            await Upkeep(self.unit).change_members(segment_id, entering, (), Why(cause, cause_id))

    async def _change_members(self, segment_id: UUID, data: MembersChange, *, add: bool) -> None:
        self.unit.actor.require(WRITE)
        row = await self.repository.get(segment_id)
        if row["kind"] != "static":
            raise Conflict(
                "Members of this segment follow its rule: only a static segment's are named one by one",
                zh="该分群的成员由规则决定：仅静态分群可手动增减成员",
                code="not_static",
            )
        if row["state"] == "archived":
            raise _ARCHIVED
        upkeep = UpkeepRepository(self.unit)
        await upkeep.take_turn(patient=False)
        ids = list(dict.fromkeys(data.customer_ids))
        living = await upkeep.living(ids)
        for index, each in enumerate(data.customer_ids):
            if each not in living:
                raise unknown_customer(f"/customer_ids/{index}")
        members = await upkeep.members_among(segment_id, ids)
        moved = sorted(set(ids) - members if add else members)
        if not moved:
            return
        await Upkeep(self.unit).change_members(segment_id, moved if add else (), () if add else moved)
        operation = "segment.members_added" if add else "segment.members_removed"
        self.unit.audit(operation, "Segment", segment_id, after={"customer_ids": [str(each) for each in moved]})

    # -- rules that name segments ----------------------------------------------------------------------------------

    async def _connect(self, segment_id: UUID, name: str, rule: Rule, *, draft: bool) -> None:
        """Store which segments a rule names, and refuse a rule that cannot be kept."""
        places = places_of_segments(rule)
        await self.repository.hold_graph()
        known = await self.repository.named(list(places))
        for each, pointer in places.items():
            refuse_unkept(known.get(each), pointer, draft=draft)
        path = path_to(segment_id, places, await self.repository.edges())
        if path is not None:
            names = {each: row["name"] for each, row in (await self.repository.named(path)).items()}
            names[segment_id] = name
            raise cycle(places[path[0]], [name, *(names[each] for each in path)])
        await self.repository.set_needs(segment_id, places)

    async def _check_needs(self, segment_id: UUID) -> None:
        """Refuse to keep a segment whose rule names one that is not kept."""
        needed = [needs for each, needs in await self.repository.edges() if each == segment_id]
        resting = [
            row["name"]
            for row in (await self.repository.named(needed)).values()
            if row["state"] in {"draft", "archived"}
        ]
        if resting:
            raise Conflict(
                f"Its rule names segments that are drafts or archived: {', '.join(sorted(resting))}",
                zh=f"规则引用了草稿或已归档的分群：{'、'.join(sorted(resting))}",
                code="segment_not_active",
                extra={"segments": sorted(resting)},
            )

    async def _refuse_in_use(self, segment_id: UUID) -> None:
        await self.repository.hold_graph()
        names = await self.repository.needed_by(segment_id)
        if names:
            raise Conflict(
                f"Other segments' rules name it: {', '.join(names)}",
                zh=f"其他分群的规则引用了它：{'、'.join(names)}",
                code="segment_in_use",
                extra={"segments": names},
            )

    @staticmethod
    def _refuse_resting(row: Any) -> None:
        if row["state"] == "archived":
            raise _ARCHIVED
        if row["state"] == "draft":
            raise Conflict("The segment is a draft: activate it", zh="该分群是草稿：请先启用", code="segment_draft")

    def _moment(self, as_of: datetime | None) -> datetime:
        now = self.unit.now()
        if as_of is not None and as_of > now:
            raise Invalid.field(
                "/as_of", "in_the_future", "A snapshot shows what was, not what will be", "快照时间不能晚于现在"
            )
        return as_of or now

    # -- rules tried out -------------------------------------------------------------------------------------------

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


_ARCHIVED = Conflict("The segment is archived", zh="该分群已归档", code="segment_archived")
_AWAKE = {"dynamic": "compiling", "snapshot": "compiling", "static": "active"}
"""Kind → the state of a segment that is no draft any more: by hand there is nothing to evaluate."""


def _check_parts(data: SegmentCreate) -> None:
    """Refuse what does not belong to a kind."""
    if data.kind != "static" and data.rule is None:
        raise Invalid.field("/rule", "required", "Only a static segment has no rule", "只有静态分群可以没有规则")
    if data.kind == "static" and data.rule is not None:
        raise Invalid.field(
            "/rule",
            "unexpected",
            "A static segment has no rule: its members are added",
            "静态分群没有规则：请直接添加成员",
        )
    if data.kind != "snapshot" and data.as_of is not None:
        raise Invalid.field("/as_of", "unexpected", "Only a snapshot is of a moment", "只有快照才有时间点")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
