"""What can be done with complaints."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from crm_api.complaints import hooks, rules
from crm_api.complaints.assigning import CaseAssignment
from crm_api.complaints.cases import CaseWriter, changed, tell_handler, told
from crm_api.complaints.clock_models import ClockMark
from crm_api.complaints.clocks import CaseClocks
from crm_api.complaints.hooks import obstacle as obstacle  # noqa: PLC0414 - what stands in a step's way says so by it
from crm_api.complaints.hooks import register_follower as register_follower  # noqa: PLC0414 - higher domains follow
from crm_api.complaints.hooks import register_obstacle as register_obstacle  # noqa: PLC0414 - higher domains object
from crm_api.complaints.messages import (
    ComplaintMessageService as ComplaintMessageService,  # noqa: PLC0414 - contacts add messages
)
from crm_api.complaints.models import (
    Case,
    ComplaintCreate,
    ComplaintFollowOn,
    ComplaintProductInput,
    ComplaintTransition,
    ComplaintUpdate,
)
from crm_api.complaints.repository import ComplaintRepository
from crm_api.complaints.repository.causes import CauseRepository, SettingsRepository
from crm_api.core.errors import Conflict, Duplicate, FieldError, Invalid, NotFound, PreconditionFailed
from crm_api.core.ids import new_id
from crm_api.core.text import as_line
from crm_api.customers.service import CustomerService
from crm_api.db.uow import UnitOfWork
from crm_api.interactions.service import InteractionService
from crm_api.staff.service import AssignmentService

READ = "complaints:read"
WRITE = "complaints:write"


class ComplaintService:
    """Complaints and their way from received to closed; every change is one event."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ComplaintRepository(unit)

    async def open(self, data: ComplaintCreate) -> UUID:
        """Open a case; returns its id.

        Raises:
            NotFound: there is no such customer.
            Duplicate: a case with this ``source_ref`` exists; ``complaint_id`` in the answer is its id.
            Invalid: an order, a product, a cause or the assignee does not exist, or an order is another customer's.

        """
        complaint_id, is_new = await self.open_or_get(data)
        if not is_new:
            raise _already(complaint_id)
        return complaint_id

    async def open_or_get(self, data: ComplaintCreate) -> tuple[UUID, bool]:
        """Open a case, or find the one with its ``source_ref``: what platforms send twice is one case.

        Returns:
            The case's id, and whether it is new.

        Raises:
            NotFound: there is no such customer.
            Invalid: as for `open`.

        """
        self.unit.actor.require(WRITE)
        return await self._open(data, None)

    async def follow_on(self, complaint_id: UUID, data: ComplaintFollowOn) -> UUID:
        """Take up a case again that cannot be reopened any more: a new case, linked to it; returns the new one's id.

        Raises:
            NotFound: there is no such case.
            Conflict: it still is or can be open (``can_be_reopened``), or was merged (``is_duplicate``).
            Duplicate: it was taken up again, and that case is still open; ``complaint_id`` in the answer is its id.

        """
        self.unit.actor.require(WRITE)
        case = await self.repository.lock(complaint_id)
        _refuse_follow_on(case, rules.can_be_reopened(case, self.unit.now(), await self._window()))
        known = await self.repository.open_follow_on(complaint_id)
        if known is not None:
            raise Duplicate(
                "It was taken up again, and that case is still open: go on there",
                zh="该投诉已有未结的后续投诉：请在其中处理",
                extra={"complaint_id": str(known)},
            )
        new, is_new = await self._open(_taken_up(case, data, await self._still_usable(case.category)), complaint_id)
        if not is_new:
            raise _already(new)
        return new

    async def update(self, complaint_id: UUID, data: ComplaintUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields that were given; the state changes by transitions only."""
        self.unit.actor.require(WRITE)
        _, held = await self.repository.lock_kin(complaint_id)
        case = held[complaint_id]
        if expected_version is not None and case.version != expected_version:
            raise PreconditionFailed
        await self._check_orders(data, case.customer_id)
        paths = {"category": data.category, "root_cause": data.root_cause}
        await self._check_causes(**{name: path for name, path in paths.items() if path != getattr(case, name)})
        await self._check_handler(data.assignee_id, case.assignee_id)
        if "products" in data.model_fields_set:
            data = data.model_copy(update={"products": await self._known(data.products)})
        event = rules.updated(case, data, self.unit.now())
        if event is not None:
            after = await CaseWriter(self.unit).record(complaint_id, case, event, "complaint.updated")
            tell_handler(self.unit, complaint_id, case, after, "asked")

    async def transition(
        self, complaint_id: UUID, goal: ComplaintTransition, *, expected_version: int | None = None
    ) -> None:
        """Take a step of the state machine.

        Raises:
            Conflict: ``transition_not_allowed`` (the answer names what is), ``transition_guard`` or
                ``reopen_window_over``.
            PreconditionFailed: somebody was faster.

        """
        self.unit.actor.require(WRITE)
        case, parent = await self._held(complaint_id, goal.merged_into, expected_version)
        window = await self._window() if case.resolved_at is not None else rules.REOPEN_WINDOW
        event = rules.decided(case, goal, self.unit.now(), parent, window=window)
        await self._check_causes(root_cause=goal.root_cause)
        await hooks.ask(self.unit, event.action, complaint_id, case)
        if goal.notice is not None:
            messages = ComplaintMessageService(self.unit)
            await messages.note_told(complaint_id, case, goal.notice, goal.notice_channel)
        after = await CaseWriter(self.unit).record(complaint_id, case, event, f"complaint.{event.target}")
        if case.merged_into_id != after.merged_into_id:
            await self._tell_family(case.merged_into_id, after.merged_into_id)
        if event.action == "unmerge":
            # What the customer said to it meanwhile has acted on the other case.
            await ComplaintMessageService(self.unit).resume(complaint_id, after)
        if event.action in {"reopen", "unmerge"} and after.state in rules.OPEN:
            await CaseAssignment(self.unit).go_on(complaint_id, after)

    async def link_interaction(self, complaint_id: UUID, interaction_id: UUID) -> None:
        """Say that an interaction was about the case; saying it again changes nothing."""
        self.unit.actor.require(WRITE)
        await self.repository.get(complaint_id)
        await InteractionService(self.unit).require(interaction_id)
        if await self.repository.link(complaint_id, interaction_id):
            self._audit_link("complaint.link_interaction", complaint_id, interaction_id)

    async def unlink_interaction(self, complaint_id: UUID, interaction_id: UUID) -> None:
        """Take that back; taking back what was not said changes nothing."""
        self.unit.actor.require(WRITE)
        await self.repository.get(complaint_id)
        if await self.repository.unlink(complaint_id, interaction_id):
            self._audit_link("complaint.unlink_interaction", complaint_id, interaction_id)

    async def replayed(self, complaint_id: UUID) -> Case:
        """Return the case as its events add up to: what its row must be."""
        self.unit.actor.require(READ)
        row = await self.repository.get(complaint_id)
        case = rules.replay(await self.repository.events(complaint_id))
        # Whose case it is follows the customer through merges, which keep a journal of their own.
        return case.model_copy(update={"customer_id": row["customer_id"]})

    async def due_to_close(self, limit: int) -> list[UUID]:
        """Return resolved cases that the settings close by themselves now, the oldest first."""
        days = (await SettingsRepository(self.unit).row())["close_after_days"]
        if days is None:
            return []
        return await self.repository.to_close(self.unit.now() - timedelta(days=days), limit)

    # -- parts -----------------------------------------------------------------------------------------------------

    async def _open(self, data: ComplaintCreate, reopens_id: UUID | None) -> tuple[UUID, bool]:
        # What is sent again says nothing new, whatever has changed around it since.
        known = None if data.source_ref is None else await self.repository.by_source(data.source_ref)
        if known is not None:
            return known, False
        await CustomerService(self.unit).require_living(data.customer_id)
        await self._check_orders(data, data.customer_id)
        await self._check_causes(category=data.category, root_cause=data.root_cause)
        await self._check_handler(data.assignee_id)
        data = data.model_copy(update={"products": await self._known(data.products)})
        event = rules.opened(data, self.unit.now(), reopens_id=reopens_id)
        case, complaint_id = rules.apply(None, event), new_id()
        known = await self.repository.add(complaint_id, case)
        if known is not None:
            return known, False
        await self.repository.append(complaint_id, event)
        self.unit.audit("complaint.open", "Complaint", complaint_id, after=data.model_dump(mode="json"))
        self.unit.emit("complaint.opened", complaint_id, told(case, event))
        await changed(self.unit, complaint_id, "open")
        tell_handler(self.unit, complaint_id, None, case, "opened")
        if case.assignee_id is None:
            await CaseAssignment(self.unit).begin(complaint_id)
        return complaint_id, True

    async def _held(
        self, complaint_id: UUID, other_id: UUID | None, expected_version: int | None
    ) -> tuple[Case, Case | None]:
        """Hold a case, with the one it is to be merged into or was: their families change together."""
        row = await self.repository.get(complaint_id)
        kin = (complaint_id,) if row["merged_into_id"] is None else await self.repository.kin(complaint_id)
        held = await self.repository.lock_many({*kin, *([] if other_id is None else [other_id])})
        case = held.get(complaint_id)
        if case is None:
            raise NotFound
        if expected_version is not None and case.version != expected_version:
            raise PreconditionFailed
        return case, held.get(other_id) if other_id not in (None, complaint_id) else None

    async def _tell_family(self, left: UUID | None, joined: UUID | None) -> None:
        """Tell who follows the cases that lost or got a member, and those that they were merged into."""
        if left is not None:
            await CaseClocks(self.unit).refresh(left)
        for relative in [each for each in (left, joined) if each is not None]:
            for each in await self.repository.kin(relative):
                await hooks.follow(self.unit, each, "family")

    async def _window(self) -> timedelta:
        return timedelta(days=(await SettingsRepository(self.unit).row())["reopen_days"])

    async def _check_orders(self, data: ComplaintCreate | ComplaintUpdate, customer_id: UUID) -> None:
        named = {f"/order_ids/{place}": order_id for place, order_id in enumerate(data.order_ids)}
        if data.order_id is not None:
            named["/order_id"] = data.order_id
        await self.repository.check_orders(named, customer_id)

    async def _check_causes(self, **paths: str | None) -> None:
        """Raise Invalid for paths that are archived, or not in the taxonomy of a shop that wants only its own."""
        named = {name: path for name, path in paths.items() if path is not None}
        usable = await CauseRepository(self.unit).usable(list(named.values())) if named else set()
        text = "The taxonomy has no such place, or it is archived: see GET /v1/complaint-causes"
        zh = "分类体系中没有此项，或已停用：请查看 GET /v1/complaint-causes"
        errors = [
            FieldError(f"/{name}", "unknown_cause", text, zh) for name, path in named.items() if path not in usable
        ]
        if errors:
            raise Invalid(errors=errors)

    async def _check_handler(self, staff_id: UUID | None, before: UUID | None = None) -> None:
        """Raise Invalid when a case would be given to nobody of the shop, or to somebody who has left."""
        if staff_id is not None and staff_id != before:
            await AssignmentService(self.unit).require_active(staff_id, "/assignee_id")

    async def _still_usable(self, path: str | None) -> str | None:
        """Return the path unless the taxonomy has archived it."""
        usable = set() if path is None else await CauseRepository(self.unit).usable([path])
        return path if path in usable else None

    async def _known(self, goods: Iterable[ComplaintProductInput]) -> list[ComplaintProductInput]:
        """Return the goods with product and SKU completed by the catalogue.

        Raises:
            Invalid: there is no such product, or its SKU is another.

        """
        given = list(goods)
        ids = [each.product_id for each in given if each.product_id is not None]
        skus = [each.sku for each in given if each.sku is not None]
        if not ids and not skus:
            return given
        found = await self.repository.known_products(ids, skus)
        sku_of, id_of = dict(found), {sku: product_id for product_id, sku in found}
        return [_completed(place, each, sku_of, id_of) for place, each in enumerate(given)]

    def _audit_link(self, operation: str, complaint_id: UUID, interaction_id: UUID) -> None:
        self.unit.audit(operation, "Complaint", complaint_id, after={"interaction_id": str(interaction_id)})


def _completed(
    place: int, goods: ComplaintProductInput, sku_of: dict[UUID, str], id_of: dict[str, UUID]
) -> ComplaintProductInput:
    if goods.product_id is None:
        return goods.model_copy(update={"product_id": id_of.get(goods.sku or "")})
    sku = sku_of.get(goods.product_id)
    if sku is None:
        text, zh = "There is no such product", "没有此商品"
        raise Invalid.field(f"/products/{place}/product_id", "unknown_reference", text, zh)
    if goods.sku not in (None, sku):
        text, zh = "This is another product's SKU: give one of the two", "此 SKU 属于其他商品：只填其一即可"
        raise Invalid.field(f"/products/{place}/sku", "contradiction", text, zh)
    return goods.model_copy(update={"sku": sku})


def _refuse_follow_on(case: Case, can_be_reopened: bool) -> None:
    if case.state == "duplicate":
        raise Conflict(
            "It was merged into another case: go on there, or un-merge it first",
            zh="该投诉已合并到其他投诉：请在其中处理，或先取消合并",
            code="is_duplicate",
            extra={"complaint_id": str(case.merged_into_id)},
        )
    if can_be_reopened:
        raise Conflict(
            "It is open, or can be reopened: use POST /v1/complaints/{id}/transitions with action 'reopen'",
            zh="该投诉未结或仍可重新打开：请使用 POST /v1/complaints/{id}/transitions（action 为 reopen）",
            code="can_be_reopened",
        )


def _taken_up(case: Case, data: ComplaintFollowOn, category: str | None) -> ComplaintCreate:
    """Return the new case: as the old one, but for what is different."""
    same = case.model_dump(include={"customer_id", "kind", "channel", "order_ids", "severity", "safety", "subject"})
    given = data.model_dump(exclude_none=True)
    # A product is known by its id: its SKU may be another by now.
    # What was taken when it was opened is not refused now.
    same["subject"] = as_line(same["subject"])
    goods = [each.model_dump(exclude=set() if each.product_id is None else {"sku"}) for each in case.products]
    return ComplaintCreate.model_validate({**same, "category": category, "products": goods, **given})


def _already(complaint_id: UUID) -> Duplicate:
    message, zh = "There is a case with this source_ref", "已存在相同来源编号的投诉"
    return Duplicate(
        message,
        zh=zh,
        errors=[FieldError("/source_ref", "duplicate", message, zh)],
        extra={"complaint_id": str(complaint_id)},
    )


async def note_refund(unit: UnitOfWork, complaint_id: UUID, at: datetime, number: str | None) -> None:
    """Stop a case's clock ``refund``, if it runs: for domains that know when money was paid back.

    A refund that an order of the case knows by its number is noted with the order: twice it would stop the clock of
    the next return, too.
    """
    clocks = CaseClocks(unit)
    if number is None or not await clocks.knows_refund(complaint_id, number):
        await clocks.mark(complaint_id, ClockMark(what="refunded", at=at))
