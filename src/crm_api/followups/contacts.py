"""The one call: a contact with all that comes of it, in one transaction."""

from dataclasses import dataclass
from uuid import UUID

from crm_api.complaints.models import ComplaintCreate
from crm_api.complaints.service import ComplaintService
from crm_api.core.errors import Invalid
from crm_api.db.uow import UnitOfWork
from crm_api.followups.models import ContactComplaint, ContactCreate, NextFollowUp
from crm_api.followups.repository import TaskRepository
from crm_api.followups.service import WRITE, FollowUpService, part
from crm_api.interactions.models import InteractionCreate
from crm_api.interactions.service import InteractionService


@dataclass(frozen=True, slots=True)
class Logged:
    """What a contact wrote: ids."""

    interaction_id: UUID
    follow_up_id: UUID | None = None
    complaint_id: UUID | None = None
    next_id: UUID | None = None


class ContactService:
    """Contacts as staff have them: one talk that is noted, closes a task, opens a case and has a next step."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit

    async def log(self, data: ContactCreate) -> Logged:
        """Note an interaction, close a task, open or link a case and plan the next contact: all, or nothing.

        Every part is what its own operation does, with its scopes, checks and messages; whatever one of them refuses,
        the unit of work takes all of it back. Pointers of errors say in which part.

        Raises:
            NotFound, Invalid, Conflict, Duplicate: as the parts' own operations.
            Forbidden: a scope of one of the parts is lacking.

        """
        if data.follow_up is not None or data.next is not None:
            # Before anything is written, for the sake of who reads the error.
            self.unit.actor.require(WRITE)
        spoken = data.interaction
        with part("/interaction"):
            interaction_id = await InteractionService(self.unit).log(spoken)
        complaint_id = await self._case(data, interaction_id)
        if data.follow_up is not None:
            with part("/follow_up"):
                await FollowUpService(self.unit).close_with(data.follow_up.id, data.follow_up, spoken, interaction_id)
        next_id = None
        if data.next is not None:
            with part("/next"):
                next_id = await FollowUpService(self.unit).plan_next(
                    spoken.customer_id, _about(data.next, complaint_id, spoken.order_id)
                )
        closed = None if data.follow_up is None else data.follow_up.id
        return Logged(interaction_id, closed, complaint_id, next_id)

    async def _case(self, data: ContactCreate, interaction_id: UUID) -> UUID | None:
        """Open the case, or find the one named, and link the interaction to it; returns its id."""
        complaints = ComplaintService(self.unit)
        complaint_id = data.complaint_id
        if data.complaint is not None:
            with part("/complaint"):
                complaint_id = await complaints.open(_case(data.complaint, data.interaction))
        elif complaint_id is not None:
            await TaskRepository(self.unit).check_complaint(data.interaction.customer_id, complaint_id)
        if complaint_id is not None:
            await complaints.link_interaction(complaint_id, interaction_id)
        return complaint_id


def _case(given: ContactComplaint, spoken: InteractionCreate) -> ComplaintCreate:
    """Return the case with what it leaves out taken from the interaction."""
    if given.customer_id not in {None, spoken.customer_id}:
        raise Invalid.field(
            "/customer_id", "other_customer", "The case is the interaction's customer's", "投诉须属于本次联系的客户"
        )
    told = given.model_dump(include=given.model_fields_set)
    about = {"customer_id": spoken.customer_id, "channel": spoken.channel}
    if spoken.order_id is not None and not given.order_ids:
        about["order_id"] = spoken.order_id
    return ComplaintCreate(**{**about, **{name: value for name, value in told.items() if value is not None}})


def _about(data: NextFollowUp, complaint_id: UUID | None, order_id: UUID | None) -> NextFollowUp:
    """Return the next contact, about the same case and order unless it says otherwise."""
    known = {"complaint_id": complaint_id, "order_id": order_id}
    return data.model_copy(update={name: value for name, value in known.items() if getattr(data, name) is None})
