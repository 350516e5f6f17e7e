"""No second record for somebody who is known: contact points and outside identities of living customers, when written.

The rule. A mobile number, e-mail address or chat account that a living customer has, verified or not, is refused with
409 ``duplicate_customer`` and the matches; who knows better repeats the request with ``X-Allow-Duplicate: true``. A
landline is shared by a household or an office and a masked Taobao name by many buyers, so neither says who somebody is.
An outside identity belongs to one customer always: nothing overrides that.

Writers who come at the same time are told apart by locks on the values, taken before looking (`crm_contact_owners`): of
two that create the same customer one wins, and the other is shown the winner.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from crm_api.core.errors import Conflict, Duplicate, FieldError, Locale
from crm_api.customers.contact_rules import is_masked, masked
from crm_api.customers.repository import MatchRepository, Owner
from crm_api.db.uow import UnitOfWork


class DuplicateCustomer(Conflict):
    """Living customers have what was to be given to another."""

    code = "duplicate_customer"
    title: ClassVar[Mapping[Locale, str]] = {
        "en": "A customer with this contact point exists: use that one, or send 'X-Allow-Duplicate: true'",
        "zh": "已存在使用此联系方式的客户：请使用该客户，或发送请求头 X-Allow-Duplicate: true",
    }


class Point(NamedTuple):
    """A contact point to be written: where it stands in the input, and its stored form."""

    pointer: str
    kind: str
    value: str

    @property
    def is_personal(self) -> bool:
        """Tell whether one person has it for themselves."""
        return self.kind != "landline" and not is_masked(self.kind, self.value)


class IdentityPair(NamedTuple):
    """An outside identity to be written."""

    pointer: str
    platform: str
    external_id: str


class Guard:
    """Refuses what other living customers have."""

    def __init__(self, unit: UnitOfWork, *, allow_duplicate: bool = False, own: UUID | None = None) -> None:
        """Guard a write.

        Args:
            unit: the write's.
            allow_duplicate: the caller knows of the matches of contact points.
            own: the customer written to, who matches nobody by itself.

        """
        self._repository = MatchRepository(unit)
        self._allow = allow_duplicate
        self._own = own

    async def check(self, points: Sequence[Point], pairs: Sequence[IdentityPair] = ()) -> None:
        """Lock the values, then look.

        Raises:
            Duplicate: another customer has an identity; contact points in common are told as well.
            DuplicateCustomer: another customer has a contact point.

        """
        claims = self.claims(points)
        owners = await self._repository.owners(claims) if claims else []
        errors: list[FieldError] = []
        matches: list[dict[str, Any]] = []
        self._compare(points, owners, errors, matches)
        taken = await self._check_pairs(pairs, errors, matches)
        if taken:
            raise Duplicate(errors=errors, extra={"matches": matches})
        if errors:
            raise DuplicateCustomer(errors=errors, extra={"matches": matches})

    def claims(self, points: Sequence[Point]) -> list[tuple[str, str]]:
        """Return (kind, value) of the contact points to lock, which nobody else may have."""
        if self._allow:
            return []
        return list(dict.fromkeys((each.kind, each.value) for each in points if each.is_personal))

    def refuse(self, points: Sequence[Point], owners: Sequence[Owner]) -> None:
        """Refuse if living customers have claimed contact points.

        Raises:
            DuplicateCustomer: they have.

        """
        errors: list[FieldError] = []
        matches: list[dict[str, Any]] = []
        self._compare(points, owners, errors, matches)
        if errors:
            raise DuplicateCustomer(errors=errors, extra={"matches": matches})

    def _compare(
        self,
        points: Sequence[Point],
        owners: Sequence[Owner],
        errors: list[FieldError],
        matches: list[dict[str, Any]],
    ) -> None:
        pointers = {(point.kind, point.value): point.pointer for point in points}
        named: set[str] = set()
        for customer_id, kind, value, verified in owners:
            if customer_id == self._own:
                continue
            matches.append(_match(customer_id, kind, masked(kind, value), verified=verified))
            pointer = pointers[kind, value]
            if pointer not in named:
                named.add(pointer)
                errors.append(
                    FieldError(
                        pointer,
                        "duplicate_customer",
                        f"Customer {customer_id} has this contact point",
                        f"客户 {customer_id} 已有此联系方式",
                    )
                )

    async def _check_pairs(
        self, pairs: Sequence[IdentityPair], errors: list[FieldError], matches: list[dict[str, Any]]
    ) -> bool:
        taken = False
        for pair in pairs:
            customer_id = await self._repository.identity_owner(pair.platform, pair.external_id)
            if customer_id is None or customer_id == self._own:
                continue
            taken = True
            matches.append(_match(customer_id, "identity", f"{pair.platform}:{pair.external_id}", verified=True))
            errors.append(
                FieldError(
                    pair.pointer,
                    "duplicate",
                    "Another customer has this identity on that platform",
                    "该平台身份已属于其他客户",
                )
            )
        return taken


def _match(customer_id: UUID, on: str, value: str, *, verified: bool) -> dict[str, Any]:
    return {"customer_id": str(customer_id), "on": on, "value": value, "verified": verified}
