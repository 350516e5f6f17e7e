"""A child's birthday is stored only while the guardian agrees.

The rule. Whoever is known to be under 14, by a birthday with its year, is a child whose personal information takes a
guardian's consent (PIPL, article 31). So a birthday that makes a customer one is stored, by whatever way it comes, only
while the guardian's consent stands in that customer's ledger of consent; a birthday that is stored already stays. The
ledger is a higher domain's, which registers here how to look into it, and whose settings switch the rule off.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from uuid import UUID

from crm_api.customers import rules
from crm_api.customers.errors import GuardianConsentRequired
from crm_api.customers.models import CONSENT_AGE_YEARS, Birthday
from crm_api.customers.repository import CustomerRepository
from crm_api.db.uow import UnitOfWork

Agreed = Callable[[UnitOfWork, Collection[UUID]], Awaitable[Collection[UUID] | None]]
"""From customers to those whose guardian's consent stands; None when the shop does not ask for it."""

_AGREED: dict[str, Agreed] = {}


def guardians_agree_by(name: str, agreed: Agreed) -> None:
    """Register who knows whether guardians have agreed; all who do must say yes."""
    _AGREED[name] = agreed


class Minors:
    """Children among customers."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit

    async def places(self, birthdays: Sequence[Birthday | None]) -> set[int]:
        """Return where in the sequence stands the birthday of somebody who is under 14 today, in the tenant's zone."""
        # Files of grown-ups pay for two comparisons a row. Two years more, because the tenant's year may still be the
        # last one, and a lunar year ends in the next solar one.
        earliest = self.unit.now().year - CONSENT_AGE_YEARS - 2
        born = {
            place: day
            for place, birthday in enumerate(birthdays)
            if birthday is not None
            and birthday.year is not None
            and birthday.year >= earliest
            and (day := rules.born_on(birthday)) is not None
        }
        if not born:
            return set()
        today = await CustomerRepository(self.unit).today()
        return {place for place, day in born.items() if rules.is_child(day, today)}

    async def agreed(self, customer_ids: Collection[UUID]) -> set[UUID] | None:
        """Return those of the customers whose guardian has agreed; None when the shop does not ask."""
        asked = [answer for each in _AGREED.values() if (answer := await each(self.unit, customer_ids)) is not None]
        return set(customer_ids).intersection(*asked) if asked else None

    async def check(self, birthday: Birthday | None, customer_id: UUID | None = None) -> None:
        """Raise unless the birthday may be stored.

        Args:
            birthday: what is to be stored.
            customer_id: of whom; None of a new customer, for whom nobody can have agreed yet.

        Raises:
            GuardianConsentRequired: it is a child's.

        """
        if not await self.places([birthday]):
            return
        agreed = await self.agreed([] if customer_id is None else [customer_id])
        if agreed is not None and customer_id not in agreed:
            raise GuardianConsentRequired(customer_id)
