"""What can be done with events and devices."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import Conflict, FieldError, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.core.undo import DONE, Entry, Undone
from crm_api.customers.service import normal_form, unknown_customer
from crm_api.db.ownership import Merged
from crm_api.db.uow import UnitOfWork
from crm_api.events import rules
from crm_api.events.drafts import Desk
from crm_api.events.models import (
    EventBatch,
    EventRowVerdict,
    EventSettings,
    EventSettingsUpdate,
    IdentifyInput,
    Ingested,
    InterestQuery,
    ViewedProduct,
)
from crm_api.events.repository import EventRepository, IdentificationRepository

READ = "events:read"
WRITE = "events:write"
JOB = "events.attribute"

AT_ONCE: Final = 5_000
"""A longer history of a device is given to its customer in the background, so many events at a time."""


class EventService:
    """Events."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = EventRepository(unit)

    async def ingest(self, data: EventBatch) -> Ingested:
        """Store a batch; what is wrong is refused alone, what was stored before is left as it is.

        One audit row and one message (``events.recorded``) stand for the whole batch.
        """
        self.unit.actor.require(WRITE)
        desk = Desk.open(data.events, self.unit.now(), await self.repository.retention_days())
        if desk.drafts:
            await self._attribute(desk)
        added = await self.repository.add(desk.rows())
        duplicates = desk.duplicates + len(desk.drafts) - added
        refused = sorted(desk.refused, key=lambda each: each.index)
        if added:
            self._tell(desk, added, duplicates)
        return Ingested(added, duplicates, refused)

    async def import_many(self, sent: Sequence[Mapping[str, Any]]) -> list[EventRowVerdict]:
        """Store events from rows, each with the fields of `EventInput`; returns a verdict for each.

        The same event again changes nothing; a wrong one fails alone.
        """
        self.unit.actor.require(WRITE)
        desk = Desk.open(sent, self.unit.now(), await self.repository.retention_days())
        if desk.drafts:
            await self._attribute(desk)
        added = await self.repository.add(desk.rows())
        if added:
            self._tell(desk, added, len(sent) - added - len(desk.refused))
        new = {draft.index: draft.id for draft in desk.drafts}
        wrong = {refusal.index: refusal.errors for refusal in desk.refused}
        return [
            EventRowVerdict(None, "failed", rules.unplaced(wrong[index]))
            if index in wrong
            else EventRowVerdict(rules.row_id(str(given["id"])), "created" if index in new else "unchanged")
            for index, given in enumerate(sent)
        ]

    async def undo_many(self, entries: Sequence[Entry]) -> list[Undone]:
        """Take back what rows of `import_many` stored; returns a verdict for each."""
        self.unit.actor.require(WRITE)
        removed, customers = await self.repository.remove_many([entry.resource_id for entry in entries])
        if removed:
            batch_id = new_id()
            self.unit.audit("events.removed", "EventBatch", batch_id, after={"removed": removed})
            self.unit.emit("events.removed", batch_id, {"removed": removed, "customer_ids": _texts(customers)})
        return [DONE for _ in entries]

    async def _attribute(self, desk: Desk) -> None:
        repository = self.repository
        # From here on no merge moves a customer's rows and nobody identifies themselves on these devices.
        await repository.hold(desk.devices())
        desk.forget(await repository.known([each.id for each in desk.drafts]))
        ids, pairs = desk.named()
        if ids or pairs:
            desk.state(await repository.living(ids), await repository.by_identities(sorted(pairs)))
        desk.attribute(await repository.marks(desk.spans()))

    def _tell(self, desk: Desk, added: int, duplicates: int) -> None:
        batch_id = new_id()
        counts = {"accepted": added, "duplicates": duplicates, "rejected": len(desk.refused)}
        self.unit.audit("events.recorded", "EventBatch", batch_id, after=counts)
        customers = [str(each) for each in desk.customers()]
        self.unit.emit("events.recorded", batch_id, {**counts, "customer_ids": customers})

    async def viewed_not_bought(self, customer_id: UUID, query: InterestQuery) -> list[ViewedProduct]:
        """Return the products a customer looked at and did not buy, strongest interest first.

        Raises:
            NotFound: there is no such customer.

        """
        for scope in (READ, "orders:read", "customers:read"):
            self.unit.actor.require(scope)
        if not await self.repository.customer_exists(customer_id):
            raise NotFound
        since = self.unit.now() - timedelta(days=query.days)
        return await self.repository.viewed_not_bought(customer_id, since, query.limit)

    async def settings(self) -> EventSettings:
        """Return how long the shop keeps events."""
        self.unit.actor.require(READ)
        return EventSettings(retention_days=await self.repository.retention_days())

    async def configure(self, data: EventSettingsUpdate) -> None:
        """Change how long the shop keeps events."""
        self.unit.actor.require(WRITE)
        before = await self.repository.retention_days()
        await self.repository.set_retention_days(data.retention_days)
        tenant_id = self.unit.tenant_id
        after = {"retention_days": data.retention_days}
        self.unit.audit(
            "event_settings.updated", "EventSettings", tenant_id, before={"retention_days": before}, after=after
        )
        self.unit.emit("event_settings.updated", tenant_id, after)

    async def forget_expired(self, limit: int) -> int:
        """Delete the oldest events the shop no longer keeps, at most so many; returns how many."""
        self.unit.actor.require(WRITE)
        moment = self.unit.now() - timedelta(days=await self.repository.retention_days())
        forgotten, customers = await self.repository.delete_before(moment, limit)
        if customers:
            told = {"forgotten": forgotten, "customer_ids": _texts(customers)}
            self.unit.emit("events.forgotten", self.unit.tenant_id, told)
        return forgotten


class IdentificationService:
    """Whose device is it, and from when on."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = IdentificationRepository(unit)
        self.events = EventRepository(unit)

    async def identify(self, data: IdentifyInput) -> tuple[UUID, bool]:
        """Note who uses a device from a moment on, and give them the events that are theirs by that.

        Returns:
            The identification's id, and whether it is new: saying the same again changes nothing.

        Raises:
            NotFound: there is no such customer.
            Invalid: the contact point cannot be one, or the moment lies in the future.
            Conflict: somebody else identified themselves there at that very moment, or two customers share the
                contact point.

        """
        self.unit.actor.require(WRITE)
        at = data.at or self.unit.now()
        if at > self.unit.now() + rules.FUTURE:
            raise Invalid(errors=[_AHEAD])
        await self.repository.hold_device(data.device_id)
        customer_id = await self._customer(data)
        known = await self.repository.at(data.device_id, at)
        if known is not None:
            if known["customer_id"] != customer_id:
                raise Conflict(_TAKEN[0], zh=_TAKEN[1], code="identified_as_another")
            return known["id"], False
        identification_id = new_id()
        await self.repository.insert(
            {"id": identification_id, "device_id": data.device_id, "at": at, "customer_id": customer_id}
        )
        await self._give_or_queue(identification_id)
        told = {"device_id": data.device_id, "at": at.isoformat(), "customer_id": _text(customer_id)}
        self.unit.audit("device.identified", "Identification", identification_id, after=told)
        self.unit.emit("device.identified", identification_id, told)
        return identification_id, True

    async def _customer(self, data: IdentifyInput) -> UUID | None:
        if data.signed_out:
            return None
        if data.customer_id is not None:
            living = await self.events.living([data.customer_id])
            if data.customer_id not in living:
                raise unknown_customer("/customer_id")
            return living[data.customer_id]
        if data.platform is not None and data.external_id is not None:
            pair = (data.platform, data.external_id)
            found = (await self.events.by_identities([pair])).get(pair)
            if found is None:
                raise unknown_customer("/external_id")
            return found
        return await self._by_contact(data)

    async def _by_contact(self, data: IdentifyInput) -> UUID:
        point = data.contact_point
        assert point is not None  # noqa: S101 - the model demands one of the ways
        value = normal_form(point.kind, point.value, "/contact_point/value")
        found = await self.events.by_contact(point.kind, value)
        if not found:
            raise unknown_customer("/contact_point")
        if len(found) > 1 and found[0][1] == found[1][1]:
            matches = [{"customer_id": str(customer_id)} for customer_id, _ in found]
            raise Conflict(_SHARED[0], zh=_SHARED[1], code="contact_point_shared", extra={"matches": matches})
        return found[0][0]

    async def _give_or_queue(self, identification_id: UUID) -> None:
        if await self.go_on(identification_id, AT_ONCE):
            await self.repository.change(identification_id, {"state": "running"})
            await self.unit.enqueue(JOB, {"identification_id": str(identification_id)})

    async def go_on(self, identification_id: UUID, limit: int = AT_ONCE) -> bool:
        """Give at most so many events to whom they belong; returns whether some may be left.

        It goes by what is known of the device now, not by what was known when the identification came: so whatever
        comes in between, in whatever order, the last to look finds the truth.
        """
        row = await self.repository.get(identification_id)
        device, at = row["device_id"], row["at"]
        await self.repository.hold_device(device)
        low, high = await self.repository.around(device, at)
        moments = [moment for moment in (low, at, high) if moment is not None]
        marks = (await self.events.marks([(device, moments[0], moments[-1])])).get(device, [])
        # Of two sides with one owner each, only the nearest marks count; before the first one time begins.
        before = rules.owner_at(marks, low if low is not None else at - timedelta(microseconds=1))
        moved, affected = 0, set[UUID]()
        for span, owner in (((low, at), before), ((at, high), rules.owner_at(marks, at))):
            events, losing = await self.repository.give(device, span, owner, limit - moved)
            moved += events
            affected |= losing | ({owner} if owner is not None and events else set())
            if moved >= limit:
                break
        if moved:
            await self.repository.change(identification_id, {"attributed": row["attributed"] + moved})
            customers = sorted(str(each) for each in affected)
            self.unit.emit("device.attributed", identification_id, {"events": moved, "customer_ids": customers})
        return moved >= limit

    async def finish(self, identification_id: UUID) -> None:
        """Note that the whole history is where it belongs."""
        await self.repository.change(identification_id, {"state": "done"})


async def attribute_again(unit: UnitOfWork, merged: Merged) -> None:
    """Have the events of devices that are their old customers' again looked at, in the background."""
    for identification_id in await IdentificationRepository(unit).of_customers(merged.loser_ids):
        await unit.enqueue(JOB, {"identification_id": str(identification_id)})


_AHEAD: Final = FieldError(
    "/at",
    "in_the_future",
    "It lies more than a day ahead: mend the sender's clock",
    "时间超前一天以上：请校正发送方时钟",
)
_TAKEN: Final = (
    "Another customer (or a sign-out) is noted on this device at that very moment",
    "该设备在同一时刻已记录了其他客户或登出",
)
_SHARED: Final = (
    "Several customers have this contact point: name one by customer_id",
    "多位客户使用此联系方式：请用 customer_id 指定",
)


def _texts(customers: Sequence[UUID]) -> list[str]:
    return sorted(str(each) for each in customers)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
