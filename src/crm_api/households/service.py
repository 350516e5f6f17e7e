"""What can be done with households."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from crm_api.consent.service import ConsentService
from crm_api.core.errors import Conflict, Duplicate, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.customers.service import unknown_customer
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.households import rules
from crm_api.households.models import (
    MAX_MEMBERS,
    ChildBirth,
    HouseholdCreate,
    HouseholdMemberCreate,
    HouseholdMemberUpdate,
    HouseholdSettingsUpdate,
    HouseholdUpdate,
)
from crm_api.households.repository import HouseholdRepository
from crm_api.households.rules import CHILD, StageSettings

READ = "customers:read"
WRITE = "customers:write"

Row = Mapping[str, Any]


class HouseholdService:
    """Households, their grown-ups, and children born and unborn."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = HouseholdRepository(unit)

    # -- households ------------------------------------------------------------------------------------------------

    async def create(self, data: HouseholdCreate) -> UUID:
        """Create a household with its first members; returns its id.

        Raises:
            NotFound: a member is no customer.
            Invalid: a member's fields do not go together, or a guardian is no adult of the household.
            Conflict: ``guardian_consent_required``: the shop stores no child's details without it.

        """
        self.unit.actor.require(WRITE)
        household_id = new_id()
        await self.repository.insert({"id": household_id, "name": data.name})
        members = await self._join(household_id, [], data.members, "/members")
        self.unit.audit("household.created", "Household", household_id, after=data.model_dump(mode="json"))
        self.unit.emit("household.created", household_id, _told(members))
        return household_id

    async def update(self, household_id: UUID, data: HouseholdUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields that were given; what is as it was already leaves no trace."""
        self.unit.actor.require(WRITE)
        before = await self.repository.get(household_id, lock=True, expected_version=expected_version)
        given = data.model_dump(exclude_unset=True)
        changes = {name: value for name, value in given.items() if before[name] != value}
        if not changes:
            return
        await self.repository.change(household_id, changes)
        was = {name: before[name] for name in changes}
        self.unit.audit("household.updated", "Household", household_id, before=was, after=changes)
        self.unit.emit("household.updated", household_id, _told(await self.repository.members(household_id)))

    async def delete(self, household_id: UUID, *, expected_version: int | None = None) -> None:
        """Delete a household: its customers stay customers, what is known of its other children is gone."""
        self.unit.actor.require(WRITE)
        before = await self.repository.get(household_id, lock=True, expected_version=expected_version)
        members = await self.repository.members(household_id)
        await self.repository.remove(household_id)
        self.unit.audit("household.deleted", "Household", household_id, before={"name": before["name"]})
        self.unit.emit("household.deleted", household_id, _told(members))

    # -- members ---------------------------------------------------------------------------------------------------

    async def add_member(self, household_id: UUID, data: HouseholdMemberCreate) -> UUID:
        """Add a member; returns the membership's id.

        Raises:
            NotFound: no such household or customer.
            Duplicate: the customer is a member already.
            Conflict: ``child_elsewhere``, ``household_full`` or ``guardian_consent_required``.
            Invalid: fields that do not go together.

        """
        self.unit.actor.require(WRITE)
        await self.repository.get(household_id, lock=True)
        known = await self.repository.members(household_id)
        members = await self._join(household_id, known, [data], "")
        member_id: UUID = members[-1]["id"]
        after = data.model_dump(mode="json", exclude_none=True)
        await self._changed("household.member_added", household_id, member_id, members, after=after)
        return member_id

    async def update_member(
        self, member_id: UUID, data: HouseholdMemberUpdate, *, expected_version: int | None = None
    ) -> None:
        """Change the fields that were given; what is as it was already leaves no trace."""
        self.unit.actor.require(WRITE)
        before, members = await self.repository.lock_member(member_id, expected_version=expected_version)
        given = {name: getattr(data, name) for name in data.model_fields_set}
        rules.check_change(before, given)
        changes = rules.changed(before, rules.columns_of(given, "/birthday"))
        if not changes:
            return
        await self._check_member_change(before, {**before, **changes}, members, given)
        await self.repository.change_member(member_id, changes)
        await self._changed(
            "household.member_updated",
            before["household_id"],
            member_id,
            members,
            before=rules.plain({name: before[name] for name in changes}),
            after=rules.plain(changes),
        )

    async def remove_member(self, member_id: UUID, *, expected_version: int | None = None) -> None:
        """Remove a member; what is known of a child that is no customer is gone.

        Raises:
            Conflict: ``guards_children``: children of the household name them as guardian.

        """
        self.unit.actor.require(WRITE)
        before, members = await self.repository.lock_member(member_id, expected_version=expected_version)
        _refuse_while_guarding(before, members)
        await self.repository.remove_member(member_id)
        shown = rules.plain({name: before[name] for name in ("relation", "customer_id", "name")})
        await self._changed("household.member_removed", before["household_id"], member_id, members, before=shown)

    async def record_birth(self, member_id: UUID, data: ChildBirth, *, expected_version: int | None = None) -> None:
        """Turn an expected child into a born one; the same birth again changes nothing.

        Raises:
            Conflict: ``already_born`` on another day, or ``guardian_consent_required``.
            Invalid: the day lies ahead or does not exist, or the member is no child of its own.

        """
        self.unit.actor.require(WRITE)
        before, members = await self.repository.lock_member(member_id, expected_version=expected_version)
        rules.check_birth(before, data)
        given = {name: value for name in data.model_fields_set if (value := getattr(data, name)) is not None}
        values = rules.columns_of(given, "/birthday")
        if before["born_on"] == values["born_on"]:
            return
        await self._check_member_change(before, {**before, **values}, members, given)
        await self.repository.change_member(member_id, {**values, "birth_recorded_at": self.unit.now()})
        await self.repository.change(before["household_id"], {})
        told = {
            **_told(members),
            "household_id": str(before["household_id"]),
            **rules.plain({"guardian_id": before["guardian_id"], "due_date": before["due_date"], **values}),
        }
        self.unit.audit(
            "child.born", "HouseholdMember", member_id, before=rules.plain({"due_date": before["due_date"]}), after=told
        )
        self.unit.emit("child.born", member_id, told)

    # -- settings --------------------------------------------------------------------------------------------------

    async def configure(self, data: HouseholdSettingsUpdate) -> None:
        """Change how ages become stages; children show their new stage at once."""
        self.unit.actor.require(WRITE)
        before = await self.repository.settings()
        await self.set_stages(before.changed(data))

    async def set_stages(self, settings: StageSettings) -> None:
        """Store a tenant's stages."""
        rules.check_stages(settings)
        before = await self.repository.settings()
        await self.repository.set_settings(settings)
        if settings != before:
            tenant_id = self.unit.tenant_id
            self.unit.audit(
                "household_settings.updated", "Tenant", tenant_id, before=before.told(), after=settings.told()
            )
            self.unit.emit("household_settings.updated", tenant_id, {})

    # -- checks ----------------------------------------------------------------------------------------------------

    async def _join(
        self, household_id: UUID, known: Sequence[Row], joining: Sequence[HouseholdMemberCreate], at: str
    ) -> list[Row]:
        """Check and insert members; returns all members as they are then."""
        if len(known) + len(joining) > MAX_MEMBERS:
            raise _FULL
        today = await self.repository.today()
        places = [f"{at}/{index}" if at else "" for index in range(len(joining))]
        for data, place in zip(joining, places, strict=True):
            rules.check_member(data, place)
        await self._check_customers(household_id, known, joining, places)
        rows = [rules.new_member(household_id, data, place) for data, place in zip(joining, places, strict=True)]
        members: list[Row] = [*known, *rows]
        for data, row, place in zip(joining, rows, places, strict=True):
            if row["relation"] == CHILD and "guardian_id" not in data.model_fields_set:
                row["guardian_id"] = rules.first_guardian(members)
            await self._check_child(row, members, today, place)
        with unique_as({"uq_household_members_customer": _already_member("")}):
            await self.repository.add_members(rows)
        return members

    async def _check_customers(
        self,
        household_id: UUID,
        known: Sequence[Row],
        joining: Sequence[HouseholdMemberCreate],
        places: Sequence[str],
    ) -> None:
        """Raise unless all who join are persons of this shop who are not in the household yet."""
        kinds = await self.repository.kinds(data.customer_id for data in joining if data.customer_id is not None)
        inside = {member["customer_id"] for member in known}
        for data, place in zip(joining, places, strict=True):
            if data.customer_id is None:
                continue
            pointer = f"{place}/customer_id"
            if data.customer_id not in kinds:
                raise unknown_customer(pointer)
            if kinds[data.customer_id] != "person":
                raise Invalid.field(pointer, "not_a_person", "A company has no family", "企业不能成为家庭成员")
            if data.customer_id in inside:
                raise _already_member(place)
            inside.add(data.customer_id)
            if data.relation == CHILD and await self.repository.children_of_others(data.customer_id, household_id):
                raise _elsewhere(pointer)

    async def _check_child(self, row: Row, members: Sequence[Row], today: date, place: str) -> None:
        """Raise unless the guardian is one, the days can be, and the guardian has agreed to what is stored."""
        rules.check_guardian(row["guardian_id"], members, f"{place}/guardian_id")
        rules.check_days(row["born_on"], row["due_date"], today, place)
        if rules.has_details(row) and rules.needs_guardian(row["born_on"], today):
            await ConsentService(self.unit).require_guardian(row["guardian_id"])

    async def _check_member_change(self, before: Row, after: Row, members: Sequence[Row], given: Row) -> None:
        if "relation" in given and before["relation"] != after["relation"]:
            _refuse_while_guarding(before, members)
            if after["relation"] == CHILD and await self.repository.children_of_others(
                before["customer_id"], before["household_id"]
            ):
                raise _elsewhere("/relation")
        others = [member for member in members if member["id"] != before["id"]]
        await self._check_child(after, others, await self.repository.today(), "")

    # -- what is told ----------------------------------------------------------------------------------------------

    async def _changed(
        self,
        operation: str,
        household_id: UUID,
        member_id: UUID,
        members: Iterable[Row],
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        await self.repository.change(household_id, {})
        self.unit.audit(operation, "HouseholdMember", member_id, before=before, after=after)
        self.unit.emit(operation, household_id, {**_told(members), "member_id": str(member_id)})


def _told(members: Iterable[Row]) -> dict[str, Any]:
    """Return what messages say: whom it concerns, and no child's details."""
    return {"customer_ids": sorted(str(each["customer_id"]) for each in members if each["customer_id"] is not None)}


def _refuse_while_guarding(member: Row, members: Sequence[Row]) -> None:
    who = member["customer_id"]
    guarded = [each for each in members if who is not None and each["guardian_id"] == who]
    if guarded:
        raise Conflict(
            "Children of the household name this member as guardian: give them another guardian first",
            zh="该成员是家中孩子的监护人：请先为孩子更换监护人",
            code="guards_children",
            extra={"member_ids": [str(each["id"]) for each in guarded]},
        )


def _already_member(place: str) -> Duplicate:
    message, zh = "The customer is a member of this household", "该客户已是此家庭成员"
    return Duplicate(message, zh=zh, errors=[FieldError(f"{place}/customer_id", "duplicate", message, zh)])


def _elsewhere(pointer: str) -> Conflict:
    message, zh = (
        "The customer is a child of another household: remove it there first",
        "该客户已是其他家庭的孩子：请先移出",
    )
    return Conflict(
        message, zh=zh, code="child_elsewhere", errors=[FieldError(pointer, "child_elsewhere", message, zh)]
    )


_FULL = Conflict(
    f"A household has at most {MAX_MEMBERS} members", zh=f"一个家庭最多 {MAX_MEMBERS} 名成员", code="household_full"
)
