"""Limits of approval: who may approve what alone."""

from typing import Any, Final
from uuid import UUID

from crm_api.compensations.models import ApprovalLimitCreate, ApprovalLimitUpdate
from crm_api.compensations.repository import ApprovalLimitRepository
from crm_api.core.errors import Duplicate, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as

ADMINISTER: Final = "accounts:write"
"""Limits belong to the shop's administration, as keys and staff do: nobody who approves raises their own."""

_NAME_TAKEN: Final = {
    "uq_approval_limits_name": Duplicate(
        errors=[FieldError("/name", "duplicate", "Another limit has this name", "已有同名审批额度")]
    )
}


class ApprovalLimitService:
    """Limits of approval."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ApprovalLimitRepository(unit)

    async def create(self, data: ApprovalLimitCreate) -> UUID:
        """Set a limit; it holds at once. Returns its id.

        Raises:
            Invalid: it names more than one of role, staff member and key, or one that does not exist.
            Duplicate: the name is taken.

        """
        self.unit.actor.require(ADMINISTER)
        await self._check_whom(data)
        row = {**data.model_dump(exclude={"amount"}), **_money(data)}
        _check_size(row)
        limit_id = new_id()
        with unique_as(_NAME_TAKEN):
            await self.repository.insert({"id": limit_id, **row})
        after = data.model_dump(mode="json", exclude_none=True)
        self.unit.audit("approval_limit.created", "ApprovalLimit", limit_id, after=after)
        self.unit.emit("approval_limit.created", limit_id, {})
        return limit_id

    async def change(self, limit_id: UUID, data: ApprovalLimitUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given; what was approved before stays approved.

        Raises:
            NotFound: there is no such limit.
            PreconditionFailed: its version is not the expected one.
            Invalid: its parts would not go together.
            Duplicate: the name is taken.

        """
        self.unit.actor.require(ADMINISTER)
        before = await self.repository.get(limit_id, lock=True, expected_version=expected_version)
        given = data.model_fields_set
        changes = data.model_dump(include=given - {"amount"})
        if "amount" in given:
            changes |= _money(data)
        _check_size({**before, **changes})
        with unique_as(_NAME_TAKEN):
            await self.repository.change(limit_id, changes)
        was = {name: before[name] for name in changes}
        after = data.model_dump(mode="json", include=given)
        self.unit.audit("approval_limit.updated", "ApprovalLimit", limit_id, before=was, after=after)
        self.unit.emit("approval_limit.updated", limit_id, {})

    async def delete(self, limit_id: UUID, *, expected_version: int | None = None) -> None:
        """Take a limit away.

        Raises:
            NotFound: there is no such limit.
            PreconditionFailed: its version is not the expected one.

        """
        self.unit.actor.require(ADMINISTER)
        before = await self.repository.get(limit_id, lock=True, expected_version=expected_version)
        await self.repository.remove(limit_id)
        was = {name: before[name] for name in ("name", "role", "kind", "amount", "currency", "points", "unlimited")}
        self.unit.audit("approval_limit.deleted", "ApprovalLimit", limit_id, before=was)
        self.unit.emit("approval_limit.deleted", limit_id, {})

    async def _check_whom(self, data: ApprovalLimitCreate) -> None:
        named = [name for name in ("role", "staff_id", "key_id") if getattr(data, name) is not None]
        if len(named) > 1:
            raise Invalid.field(
                f"/{named[1]}",
                "one_of",
                "Name a role, a staff member or a key: only one of them",
                "角色、员工、密钥只能指定其一",
            )
        if data.staff_id is not None and not await self.repository.has_staff(data.staff_id):
            raise Invalid.field("/staff_id", "unknown_reference", "There is no such staff member", "没有此员工")
        if data.key_id is not None and not await self.repository.has_key(data.key_id):
            raise Invalid.field("/key_id", "unknown_reference", "There is no such API key", "没有此 API 密钥")


def _money(data: ApprovalLimitCreate | ApprovalLimitUpdate) -> dict[str, Any]:
    if data.amount is None:
        return {"amount": None, "currency": None}
    return {"amount": data.amount.amount, "currency": data.amount.currency}


def _check_size(row: Any) -> None:
    if row["unlimited"] and (row["amount"] is not None or row["points"] is not None):
        raise Invalid.field(
            "/unlimited",
            "unexpected",
            "Without limit there is no amount and there are no points: clear them",
            "不限额度时不能再设金额或积分：请清空",
        )
    if not row["unlimited"] and row["amount"] is None and row["points"] is None:
        raise Invalid.field(
            "/amount", "required", "Say how much: amount, points, or unlimited", "请设定金额、积分或不限额度"
        )
