"""How content customers are with how their cases went: asked once for each case, answered once, and never changed.

A resolved case plans its question; the worker asks when it is due and the case is still resolved. The row is unique
for its case and changes its state in the transaction that queues the letter, so however many workers look, and however
often a case is reopened, there is one question. Its link holds a token that is kept as a hash.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from crm_api.accounts.service import AccountService
from crm_api.closing import rules
from crm_api.closing.models import (
    ClosingChannel,
    PublicRating,
    PublicRatingAnswer,
    RatingAnswer,
    RatingLink,
    RatingReceived,
)
from crm_api.closing.repository import CaseRepository, ClosingSettingsRepository, RatingRepository, find_rating
from crm_api.closing.service import READ, SETTLED, WRITE, Post, Sent
from crm_api.core.actor import Actor
from crm_api.core.errors import Conflict, NotFound
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.events.models import EventBatch, EventInput, KnownCustomer
from crm_api.events.service import EventService
from crm_api.staff.service import Measure, register_measure

BATCH: Final = 200
"""Questions asked, or closed, in one transaction."""
SCALE: Final = 5
_NAMED: Final = {"rating_id": "id", "complaint_id": "complaint_id", "customer_id": "customer_id"}
"""What every message of a rating names."""


class RatingService:
    """What customers think of how their cases went."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.ratings = RatingRepository(unit)
        self.cases = CaseRepository(unit)
        self.post = Post(unit)

    # -- asking ----------------------------------------------------------------------------------------------------

    async def plan(self, complaint_ids: Sequence[UUID]) -> None:
        """Plan to ask about cases that have been resolved; those that were asked about before are left alone."""
        settings = await self._settings()
        if not settings["ask_rating"]:
            return
        for complaint_id in complaint_ids:
            case = await self.cases.case(complaint_id, lock=True)
            if case["state"] in SETTLED and case["kind"] != "praise":
                ask_at = case["resolved_at"] + timedelta(hours=settings["ask_after_hours"])
                await self.ratings.plan(new_id(), case, ask_at)

    async def ask(self, complaint_id: UUID) -> UUID:
        """Ask now, whatever is planned; returns the rating's id.

        Raises:
            NotFound: there is no such case.
            Conflict: ``not_resolved``, or ``already_asked``: a case is asked about once.

        """
        self.unit.actor.require(WRITE)
        case = await self.cases.case(complaint_id, lock=True)
        if case["state"] not in SETTLED:
            raise _NOT_RESOLVED
        known = await self.ratings.of(complaint_id)
        if known is not None and known["state"] not in {"planned", "dropped"}:
            raise _already(known["id"])
        if known is None:
            await self.ratings.plan(new_id(), case, self.unit.now())
        row = await self.ratings.of(complaint_id)
        assert row is not None  # noqa: S101 - it has just been planned
        await self._ask(case, row["id"])
        rating_id: UUID = row["id"]
        return rating_id

    async def ask_due(self) -> int:
        """Ask what is due, as far as no other worker is at it; returns how many were looked at."""
        due = await self.ratings.due(self.unit.now(), BATCH)
        wanted = bool(due) and (await self._settings())["ask_rating"]
        for rating_id in due:
            row = await self.ratings.get(rating_id)
            # Not locked: the case is only read, and whoever reopens it now might have done so a moment later.
            case = await self.cases.case(row["complaint_id"])
            if case["state"] in _ENDED or not wanted:
                await self.ratings.change(rating_id, {"state": "dropped"})
            elif case["state"] in SETTLED:
                await self._ask(case, rating_id)
            else:
                # It is being worked on again: the next resolution puts the question off once more.
                await self.ratings.change(rating_id, {"ask_at": self.unit.now() + timedelta(days=1)})
        return len(due)

    async def expire(self) -> int:
        """Close questions that nobody answered in time; returns how many."""
        closed = await self.ratings.expire(self.unit.now(), BATCH)
        for row in closed:
            told = {name: str(row[field]) for name, field in _NAMED.items()}
            self.unit.emit("complaint.rating_expired", row["complaint_id"], told)
        return len(closed)

    async def link(self, rating_id: UUID) -> RatingLink:
        """Make a link to be sent by a channel of the shop's own; one that was made or sent before stops.

        Raises:
            NotFound: there is no such rating.
            Conflict: ``not_asked``, ``rating_answered`` or ``rating_expired``.

        """
        self.unit.actor.require(WRITE)
        row = await self.ratings.get(rating_id, lock=True)
        if row["state"] == "planned":
            raise _NOT_ASKED
        _check_open(row, self.unit.now())
        token = rules.new_token()
        await self.ratings.change(rating_id, {"token_hash": rules.hashed(token)})
        self.unit.audit("complaint_rating.link_made", "ComplaintRating", rating_id)
        page = (await self._settings())["rating_page"]
        return RatingLink(
            rating_id=rating_id,
            token=token,
            path=rules.public_path(rating_id),
            url=rules.link(page, rating_id, token),
            expires_at=row["expires_at"],
        )

    async def delivered(self, arrived: Mapping[UUID, bool]) -> None:
        """Let the shop ask what nobody took: message → whether it was taken."""
        for row in await self.ratings.sent_as([each for each, took in arrived.items() if not took]):
            if row["state"] == "asked" and row["channel"] != "shop":
                await self.ratings.change(row["id"], {"channel": "shop", "reason": "not_delivered"})
                self._tell_asked(row, "shop", "not_delivered")

    async def _ask(self, case: Any, rating_id: UUID) -> None:
        settings, token = await self._settings(), rules.new_token()
        sent = await self._send(case, settings, rules.link(settings["rating_page"], rating_id, token))
        now = self.unit.now()
        values = {
            "state": "asked",
            "channel": sent.channel,
            "reason": sent.reason,
            "message_id": sent.message_id,
            "token_hash": None if sent.channel == "shop" else rules.hashed(token),
            "staff_id": case["assignee_id"],
            "asked_at": now,
            "expires_at": now + timedelta(days=settings["answer_days"]),
        }
        row = await self.ratings.change(rating_id, values)
        self._tell_asked(row, sent.channel, sent.reason)
        told = {"complaint_id": str(case["id"]), "channel": sent.channel, "reason": sent.reason}
        self.unit.audit("complaint_rating.asked", "ComplaintRating", rating_id, after=told)

    async def _send(self, case: Any, settings: Any, url: str | None) -> Sent:
        if url is None:
            return Sent("shop", reason="no_page")
        draft = partial((await self.post.words(case)).asking, url)
        return await self.post.send(case, "service", settings["tell_by"], draft, secret=True)

    def _tell_asked(self, row: Any, channel: ClosingChannel, reason: str | None) -> None:
        told = {
            **{name: str(row[field]) for name, field in _NAMED.items()},
            "expires_at": row["expires_at"].isoformat(),
            "reason": reason,
        }
        kind = "complaint.rating_to_ask" if channel == "shop" else "complaint.rating_asked"
        self.unit.emit(kind, row["complaint_id"], told)

    async def _settings(self) -> Any:
        return await ClosingSettingsRepository(self.unit).settings()

    # -- answering -------------------------------------------------------------------------------------------------

    async def answer(self, rating_id: UUID, data: RatingAnswer, *, expected_version: int | None = None) -> None:
        """Take an answer that staff enter for the customer, also before the question was asked.

        Raises:
            NotFound: there is no such rating.
            Conflict: ``rating_answered`` or ``rating_expired``; nothing is changed then.
            Invalid: there is no such staff member.

        """
        self.unit.actor.require(WRITE)
        row = await self.ratings.get(rating_id, lock=True, expected_version=expected_version)
        await AccountService(self.unit).require_active(data.staff_id, "/staff_id")
        await self._take(row, data.csat, data.ces, data.comment, data.staff_id)

    async def answer_by_link(self, rating_id: UUID, data: PublicRatingAnswer) -> RatingReceived:
        """Take the customer's own answer.

        Raises:
            NotFound: the token is none of this question's.
            Conflict: as for `answer`.

        """
        row = await self.ratings.get(rating_id, lock=True)
        if not rules.fits(data.token, row["token_hash"]):
            raise NotFound
        await self._take(row, data.csat, data.ces, data.comment, None)
        return RatingReceived(rating_id=rating_id, answered_at=self.unit.now())

    async def show(self, rating_id: UUID, token: str) -> PublicRating:
        """Return a question as the customer's page shows it.

        Raises:
            NotFound: the token is none of this question's.

        """
        row = await self.ratings.get(rating_id)
        if not rules.fits(token, row["token_hash"]):
            raise NotFound
        case = await self.cases.case(row["complaint_id"])
        shop = await AccountService(self.unit).tenant()
        csat, ces = rules.QUESTIONS[rules.language_of(shop.locale)]
        over = row["state"] == "asked" and row["expires_at"] <= self.unit.now()
        return PublicRating(
            shop=shop.name,
            subject=case["subject"],
            state="expired" if over else row["state"],
            csat_question=csat,
            ces_question=ces,
            expires_at=row["expires_at"],
        )

    async def _take(self, row: Any, csat: int, ces: int | None, comment: str | None, by: UUID | None) -> None:
        now = self.unit.now()
        _check_open(row, now)
        case, settings = await self.cases.case(row["complaint_id"]), await self._settings()
        low = rules.Limits(settings["low_csat"], settings["low_ces"]).is_low(csat, ces)
        suggestion = None
        if low:
            until = timedelta(days=await self.cases.reopen_days())
            can = case["state"] in SETTLED and now - case["resolved_at"] <= until
            suggestion = rules.suggestion(csat, case["severity"], can_reopen=can)
        staff_id = row["staff_id"] or case["assignee_id"]
        said = {"csat": csat, "ces": ces, "comment": comment or None, "low": low, "suggestion": suggestion}
        await self.ratings.change(
            row["id"], {**said, "state": "answered", "answered_at": now, "answered_by": by, "staff_id": staff_id}
        )
        told = {
            **{name: str(row[field]) for name, field in _NAMED.items()},
            "assignee_id": None if staff_id is None else str(staff_id),
            "csat": csat,
            "ces": ces,
            "low": low,
            "at": now.isoformat(),
        }
        self.unit.emit("complaint.rated", case["id"], told)
        if low:
            self.unit.emit("complaint.rated_low", case["id"], {**told, "suggestion": suggestion})
        self.unit.audit("complaint_rating.answered", "ComplaintRating", row["id"], after=said)


async def note_for_churn(unit: UnitOfWork, rated: Sequence[Mapping[str, Any]]) -> None:
    """Store ratings as behaviour events, by which churn warnings see that satisfaction falls.

    An event's id is made from the rating's, so a message that comes twice is one event.
    """
    events = [
        EventInput(
            id=f"complaint-rating:{each['rating_id']}",
            type="rating",
            occurred_at=datetime.fromisoformat(each["at"]),
            customer=KnownCustomer(customer_id=UUID(each["customer_id"])),
            properties={"score": each["csat"], "scale": SCALE, "source": "complaint"},
        )
        for each in rated
    ]
    await EventService(unit).ingest(EventBatch(events=events))


# -- without a key -----------------------------------------------------------------------------------------------------


async def show_by_link(database: Database, rating_id: UUID, token: str) -> PublicRating:
    """Return a question to whoever has its link.

    Raises:
        NotFound: no such link; which part of it is wrong is not told.

    """
    actor = await _owner(database, rating_id, token)
    async with database.read(actor) as unit:
        return await RatingService(unit).show(rating_id, token)


async def answer_by_link(
    database: Database, rating_id: UUID, data: PublicRatingAnswer, request_id: str
) -> RatingReceived:
    """Take an answer from whoever has the link, in the name of its tenant; see `RatingService.answer_by_link`."""
    actor = await _owner(database, rating_id, data.token, request_id)

    async def work(unit: UnitOfWork) -> RatingReceived:
        return await RatingService(unit).answer_by_link(rating_id, data)

    return await database.run(actor, work)


async def _owner(database: Database, rating_id: UUID, token: str, request_id: str = "") -> Actor:
    async with database.system() as connection:
        found = await find_rating(connection, rating_id)
    for row in found:
        if rules.fits(token, row["token_hash"]):
            return Actor.system(row["tenant_id"], request_id)
    raise NotFound


# -- who handled the cases ---------------------------------------------------------------------------------------------


async def _satisfaction(
    unit: UnitOfWork, staff_ids: Sequence[UUID], since: datetime, until: datetime
) -> dict[UUID, Any]:
    rows = await RatingRepository(unit).satisfaction(staff_ids, since, until)
    return {row["staff_id"]: {name: row[name] for name in ("answers", "csat", "ces", "low")} for row in rows}


register_measure(Measure("satisfaction", READ, _satisfaction))


_ENDED: Final = frozenset({"duplicate", "withdrawn", "rejected"})


def _check_open(row: Any, now: datetime) -> None:
    """Raise unless an answer can still be taken."""
    if row["state"] == "answered":
        raise _ANSWERED
    if row["state"] in {"expired", "dropped"} or (row["expires_at"] is not None and row["expires_at"] <= now):
        raise _EXPIRED


_NOT_RESOLVED: Final = Conflict(
    "Only a resolved case is asked about: resolve it first", zh="仅可评价已解决的投诉：请先解决", code="not_resolved"
)
_NOT_ASKED: Final = Conflict(
    "The question has not been asked yet: ask it with POST /v1/complaints/{id}/rating",
    zh="尚未发起评价：请先调用 POST /v1/complaints/{id}/rating",
    code="not_asked",
)
_ANSWERED: Final = Conflict("This was answered already", zh="已评价", code="rating_answered")
_EXPIRED: Final = Conflict("The time to answer is over", zh="评价期限已过", code="rating_expired")


def _already(rating_id: UUID) -> Conflict:
    return Conflict(
        "The customer was asked about this case already; a case is asked about once",
        zh="该投诉已发起过评价，每个投诉仅评价一次",
        code="already_asked",
        extra={"rating_id": str(rating_id)},
    )
