"""Points that a refund should have taken back and that were not there: somebody decides."""

from typing import Final
from uuid import UUID

import asyncpg

from crm_api.core.errors import Conflict, NotFound
from crm_api.loyalty.ledger import WRITE, Ledger
from crm_api.loyalty.lots import Note
from crm_api.loyalty.models import ReviewDecision
from crm_api.loyalty.repository import ReviewRepository
from crm_api.loyalty.rules import Wallet

_TRIES: Final = 5
"""How often a review is looked for again whose customer was just merged or un-merged."""


class ReviewService(Ledger):
    """The queue of the refund policy ``review``."""

    async def approve(self, review_id: UUID, data: ReviewDecision | None = None) -> UUID:
        """Take the points back: what is available now, the rest becomes debt. Returns the transaction's id.

        Raises:
            NotFound: no such review.
            Conflict: ``review_decided``, it was decided before.

        """
        self.unit.actor.require(WRITE)
        wallet, review = await self._open(review_id)
        now = self.unit.now()
        wallet.settle(now)
        note = Note(key=f"review:{review_id}", reason=data.note if data else None)
        booked = wallet.collect(review["lot_id"], review["points"], now, note)
        await self._book([wallet])
        await self._decide(review, "approved", data)
        return booked.id

    async def waive(self, review_id: UUID, data: ReviewDecision | None = None) -> None:
        """Let the points go. Raises as `approve`."""
        self.unit.actor.require(WRITE)
        _, review = await self._open(review_id)
        await self._decide(review, "waived", data)

    async def _open(self, review_id: UUID) -> tuple[Wallet, asyncpg.Record]:
        """Lock the wallet a review is about, which a merge may be changing, and then the review."""
        reviews = ReviewRepository(self.unit)
        for _ in range(_TRIES):
            found = await reviews.find(review_id)
            if found is None:
                break
            [wallet] = await self.wallets.lock_wallets([found["wallet_id"]])
            review = await reviews.get(review_id, lock=True)
            if review["wallet_id"] != wallet.id:
                continue
            if review["state"] != "open":
                raise Conflict(
                    f"It was decided before: {review['state']}",
                    zh=f"该审核已处理（{review['state']}）",
                    code="review_decided",
                    extra={"state": review["state"]},
                )
            return wallet, review
        raise NotFound("There is no such review", zh="没有此审核记录")

    async def _decide(self, review: asyncpg.Record, state: str, data: ReviewDecision | None) -> None:
        decided = {"state": state, "note": data.note if data else None}
        by = {"decided_at": self.unit.now(), "decided_by": self.unit.actor.id}
        await ReviewRepository(self.unit).change(review["id"], {**decided, **by})
        operation = f"loyalty_review.{state}"
        self.unit.audit(operation, "LoyaltyReview", review["id"], before={"state": "open"}, after=decided)
        self.unit.emit(operation, review["id"], {"points": review["points"]})
