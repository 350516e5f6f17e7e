"""Which messages touch what a rule can name, and whom they touch.

Segments look again only at customers that a message names. So everything that writes a row which a rule can see must
tell of it, and every entry of the catalogue must say here which messages do: a test fails for an entry that does not.
A message a rule's leaf depends on and that is missing here would be found by the nightly reconciliation, as drift.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from crm_api.core.messages import Message
from crm_api.segments.models import Cause


def _kinds(subject: str, *what: str) -> frozenset[str]:
    return frozenset(f"{subject}.{each}" for each in what)


PROFILE: Final = _kinds("customer", "created", "updated")
PRESENCE: Final = _kinds("customer", "created", "deleted", "merged", "unmerged", "erased")
"""Whether a customer is there, and which rows are theirs: of all entries."""
CONTACTS: Final = PROFILE | _kinds("customer", "contact_point_added", "contact_point_removed", "contact_point_verified")
TAGS: Final = PROFILE | _kinds("customer", "tag_added", "tag_removed")
IDENTITIES: Final = PROFILE | _kinds("customer", "identity_added", "identity_removed")
ADDRESSES: Final = PROFILE | _kinds("customer", "address_added", "address_changed", "address_removed")
ORDERS: Final = _kinds("order", "created", "paid", "updated", "refunded", "cancelled", "withdrawn")
POINTS: Final = _kinds(
    "points", "granted", "released", "redeemed", "restored", "reversed", "adjusted", "expired", "merged", "unmerged"
)
EVENTS: Final = frozenset({"events.recorded", "events.removed", "events.forgotten", "device.attributed"})
CONSENTS: Final = _kinds("consent", "granted", "withdrawn")
INTERACTIONS: Final = _kinds("interaction", "logged", "updated", "removed")
COMPLAINTS: Final = _kinds(
    "complaint",
    "opened",
    "updated",
    "received",
    "acknowledged",
    "assessed",
    "in_progress",
    "waiting_customer",
    "waiting_third_party",
    "proposed",
    "escalated_external",
    "resolved",
    "closed",
    "withdrawn",
    "duplicate",
    "rejected",
)
COMPENSATIONS: Final = _kinds(
    "compensation", "proposed", "approved", "settled", "failed", "rejected", "cancelled", "reversed"
)
RATINGS: Final = frozenset({"complaint.rated"})
HOUSEHOLDS: Final = PROFILE | frozenset(
    {
        "household.created",
        "household.updated",
        "household.deleted",
        "household.member_added",
        "household.member_updated",
        "household.member_removed",
        "household_settings.updated",
        "child.born",
    }
)
COMPANIES: Final = _kinds("company_contact", "added", "updated", "ended", "removed")
CLASSES: Final = frozenset({"classification.changed", "scoring.finished"})
SCORES: Final = frozenset(
    {
        "lifecycle",
        "rfm_recency",
        "rfm_frequency",
        "rfm_monetary",
        "rfm_cell",
        "rfm_group",
        "grade",
        "frequency_class",
        "amount_class",
        "loyalty_class",
        "value_class",
        "activity_class",
        "value_potential",
    }
)
"""The fields that scoring decides."""
CHURN: Final = frozenset({"churn.level_changed", "churn_assessment.completed"})
TIERS: Final = frozenset({"tier.entered", "tier.left", "tier_scheme.appointed"})
PATTERNS: Final = frozenset({"patterns.changed"})
OUTLOOKS: Final = frozenset({"churn_model.completed"})
VOUCHERS: Final = _kinds("voucher", "issued", "updated", "redeemed", "rolled_back")
REWARDS: Final = _kinds("reward_redemption", "requested", "confirmed", "fulfilled", "cancelled")
FOLLOW_UPS: Final = _kinds("follow_up", "created", "updated", "assigned", "snoozed", "done", "skipped", "cancelled")
MEMBERSHIP: Final[frozenset[str]] = frozenset()
"""A segment that names others is looked at in the transaction that changes those: no message is needed."""

TOUCHED_BY: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(
        (
            "next_birthday",
            "age_range",
            "interests",
            "kind",
            "name",
            "gender",
            "city",
            "region",
            "occupation",
            "source",
            "price_sensitivity",
            "blacklisted",
            "owner_id",
            "store_id",
            "created_at",
            "birth_year",
            "birth_month",
            "attributes.*",
        ),
        PROFILE,
    ),
    **dict.fromkeys(("contact_kinds", "contact_points"), CONTACTS),
    "tags": TAGS,
    "platforms": IDENTITIES,
    "address_cities": ADDRESSES,
    **dict.fromkeys(
        (
            "order_count",
            "net_spend",
            "average_order_value",
            "first_order_at",
            "last_order_at",
            "next_expected_at",
            "orders",
        ),
        ORDERS,
    ),
    "points": POINTS,
    "events": EVENTS,
    **dict.fromkeys(("consents", "consents.*"), CONSENTS | CONTACTS),
    "interactions": INTERACTIONS,
    **dict.fromkeys(("complaints", "open_complaint"), COMPLAINTS),
    "compensations": COMPENSATIONS,
    "complaint_ratings": RATINGS,
    "anniversaries.*": PROFILE | ORDERS,
    **dict.fromkeys(("child_stages", "children"), HOUSEHOLDS),
    **dict.fromkeys(SCORES, CLASSES),
    **dict.fromkeys(("churn_level", "churn_score"), CHURN),
    "probability_alive": OUTLOOKS,
    **dict.fromkeys(("tier", "tier_level"), TIERS),
    **dict.fromkeys(
        (
            "favourite_categories",
            "next_purchase_expected",
            "next_purchase_to",
            "cycle_days",
            "usual_order_value",
            "discount_share",
            "measured_price_sensitivity",
            "interested_products",
            "interested_categories",
        ),
        PATTERNS,
    ),
    "companies": COMPANIES | PROFILE,
    **dict.fromkeys(("vouchers", "voucher_redemptions"), VOUCHERS),
    "reward_redemptions": REWARDS,
    "follow_ups": FOLLOW_UPS,
    "segments": MEMBERSHIP,
}
"""Field or collection → the messages after which its value may be another; ``x.*`` stands for all that begin so."""

EVERYBODY: Final[Mapping[str, frozenset[str]]] = {
    "household_settings.updated": frozenset({"child_stages", "children"}),
    "churn_assessment.completed": frozenset({"churn_score"}),
    "tier_scheme.appointed": frozenset({"tier", "tier_level"}),
    "churn_model.completed": frozenset({"probability_alive"}),
    "scoring.finished": SCORES,
}
"""Messages that name nobody because they mean everybody → what changed; segments that name it are evaluated anew."""

SUBJECT: Final = (
    CONTACTS
    | TAGS
    | IDENTITIES
    | ADDRESSES
    | POINTS
    | CONSENTS
    | _kinds("tier", "entered", "left")
    | frozenset({"churn.level_changed"})
    | _kinds("customer", "created", "updated", "deleted", "erased")
)
"""Their subject is the customer. All others name ``customer_id`` or ``customer_ids``."""

MERGED: Final = _kinds("customer", "merged", "unmerged")

TYPES: Final = frozenset(PRESENCE.union(*TOUCHED_BY.values()))
"""All messages that upkeep subscribes to."""


@dataclass(frozen=True, slots=True)
class Why:
    """What made somebody enter or leave: the cause, and the id of the message, merge or reconciliation."""

    cause: Cause
    id: UUID | None = None


def messages_of(entry: str) -> frozenset[str] | None:
    """Return the messages that touch an entry of the catalogue; None when nobody said so."""
    if entry in TOUCHED_BY:
        return TOUCHED_BY[entry]
    family, dot, _ = entry.partition(".")
    return TOUCHED_BY.get(f"{family}.*") if dot else None


def customers_of(message_type: str, subject_id: UUID, payload: Mapping[str, object]) -> Iterator[UUID]:
    """Yield the customers that a message touches; none when it means everybody."""
    if message_type in SUBJECT:
        yield subject_id
    elif message_type not in EVERYBODY:
        listed = payload.get("customer_ids")
        alone = (payload.get("customer_id"), payload.get("previous_customer_id"))  # an order may change hands
        for each in listed if isinstance(listed, list) else alone:
            if each is not None:
                yield UUID(str(each))


def causes_of(messages: Iterable[Message]) -> dict[UUID, Why]:
    """Return the customers that messages touch, each with the last message that did."""
    found: dict[UUID, Why] = {}
    for message in messages:
        why = why_of(message)
        found.update(dict.fromkeys(customers_of(message.type, message.subject_id, message.payload), why))
    return found


def why_of(message: Message) -> Why:
    """Return the cause that a message is."""
    if message.type in MERGED:
        return Why("merge", UUID(message.payload["merge_id"]))
    return Why("scoring" if _scored(message) else "event", message.id)


def _scored(message: Message) -> bool:
    """Tell whether it comes of scoring everybody, not of something that happened to a customer."""
    by_run = message.type == "classification.changed" and message.payload["cause"] in {"run", "edit"}
    return by_run or message.type == "scoring.finished"
