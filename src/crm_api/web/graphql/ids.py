"""Global ids, ``Type:uuid``, in arguments and inputs: what they hold, and which type each must be of."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import Invalid
from crm_api.db.projections import projections

# Types of ids that no field or filter tells by its name (see `Targets`); None for parts of a customer and for keys,
# which have no global id but the plain uuid.
_TOLD: Final[Mapping[str, str | None]] = {
    "ContactFollowUp.id": "FollowUp",
    "address_id": None,
    "consent_text_ids": "ConsentText",
    "contact_point_id": None,
    "identity_id": None,
    "keep_customer_ids": "Customer",
    "key_id": None,
    "leaving_ids": "Staff",
    "loser_ids": "Customer",
    "move_customer_ids": "Customer",
    "mapping_id": "ImportMapping",
    "member_ids": "Staff",
    "merged_into": "Complaint",
    "programme_id": "LoyaltyProgramme",  # a referral programme is only ever the target of its own operations
    "required_skill_ids": "Skill",
    "to_customer_id": "Customer",
    "voucher_campaign_id": "VoucherCampaign",
}


class Targets:
    """Which type an id in an input is of: that of the fields and filters of its name, wherever they are read."""

    def __init__(self) -> None:
        """Look at all projections."""
        self._read: dict[str, set[str]] = {}
        for name, ref in _references():
            self._read.setdefault(name, set()).add(ref)

    def of(self, owner: str, name: str) -> str | None:
        """Return the type, None when it is no global id.

        Args:
            owner: what the input is about.
            name: of the field, in snake_case.

        Raises:
            ValueError: nothing tells.

        """
        for known in (f"{owner}.{name}", name):
            if known in _TOLD:
                return _TOLD[known]
        found = self._read.get(name) or self._read.get(name.removesuffix("s"), set())
        if len(found) != 1:
            raise ValueError(f"{owner}.{name} may be the id of {sorted(found) or 'anything'}: tell it in {__name__}")
        return next(iter(found))


def _references() -> Iterator[tuple[str, str]]:
    for each in projections():
        for name, entry in (*each.fields.items(), *each.filters.items()):
            ref = getattr(entry, "ref", None)
            if ref is not None:
                yield name, ref


def split_id(global_id: str) -> tuple[str, UUID | None]:
    """Return the type and the uuid of a global id; no uuid when it is none."""
    type_name, _, text = global_id.partition(":")
    try:
        return type_name, UUID(text)
    except ValueError:
        return type_name, None


def local_id(ref: str, name: str, global_id: Any) -> Any:
    """Return the uuid of a global id of a type.

    Raises:
        Invalid: it is not one.

    """
    if global_id is None:
        return None
    if isinstance(global_id, list):
        return [local_id(ref, name, each) for each in global_id]
    type_name, uuid = split_id(global_id)
    if type_name != ref or uuid is None:
        raise _refused(ref, f"/{name}", type_name, uuid)
    return uuid


def input_id(ref: str, text: str) -> str:
    """Return the uuid of a global id of a type; a plain uuid is taken as it is. The model checks it.

    Raises:
        Invalid: it is another type's.

    """
    if ":" not in text:
        return text
    type_name, uuid = split_id(text)
    if type_name != ref:
        raise _refused(ref, "", type_name, uuid)
    return text.partition(":")[2]


def _refused(ref: str, pointer: str, type_name: str, uuid: UUID | None) -> Invalid:
    # Only names of ours are repeated, never what else was sent.
    if uuid is not None and any(each.name == type_name for each in projections()):
        return Invalid.field(
            pointer,
            "invalid_id",
            f"This is an id of type {type_name}; one of type {ref} is wanted here",
            f"这是 {type_name} 类型的 id，此处应为 {ref} 类型的 id",
        )
    return Invalid.field(
        pointer,
        "invalid_id",
        f"This is not the id of a {ref}: in GraphQL they read '{ref}:' and the UUID that REST shows",
        f"这不是 {ref} 的 id：GraphQL 中的 id 形如 “{ref}:” 加 REST 所示的 UUID",
    )
