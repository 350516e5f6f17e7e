"""What can be done with voucher campaigns."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import Duplicate, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.core.money import PositiveMoney
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.vouchers import codes
from crm_api.vouchers.models import VoucherCampaignCreate, VoucherCampaignUpdate
from crm_api.vouchers.repository import CampaignRepository, VoucherRepository, checked_rule
from crm_api.vouchers.service import WRITE

_MONEY: Final = ("amount_off", "max_discount", "min_amount")
_TAKEN: Final = {
    "uq_voucher_campaigns_name": Duplicate(
        errors=[FieldError("/name", "duplicate", "Another campaign has this name", "已有同名活动")]
    ),
    "uq_vouchers_code": Duplicate(
        errors=[FieldError("/shared_code", "duplicate", "Another campaign has this code", "该券码已被使用")]
    ),
}


class VoucherCampaignService:
    """Campaigns: made and changed."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = CampaignRepository(unit)

    async def create(self, data: VoucherCampaignCreate) -> UUID:
        """Make a campaign, with its voucher when it has one shared code; returns its id.

        Raises:
            Invalid: its parts do not go together.
            Duplicate: the name or the shared code is taken.

        """
        self.unit.actor.require(WRITE)
        shared = None if data.shared_code is None else codes.canonical(data.shared_code)
        _refuse([*_worth_errors(data), *_code_errors(data, shared), *_money_errors(data, _first_currency(data))])
        campaign_id = new_id()
        row = await self._columns(data, data.model_fields_set | set(type(data).model_fields))
        row |= {
            "kind": data.kind,
            "currency": _first_currency(data),
            "basis_points": None if data.percent is None else _basis_points(data.percent),
            "gift_sku": data.gift_sku,
            "gift_quantity": data.gift_quantity if data.gift_sku is not None else None,
            "shared_code": shared,
            "prefix": codes.canonical(data.prefix),
            "code_length": data.code_length,
            "amount_off": None if data.amount_off is None else data.amount_off.amount,
            "vouchers": 0 if shared is None else 1,
        }
        if shared is not None and "uses_per_voucher" not in data.model_fields_set:
            row["uses_per_voucher"] = None
        _refuse(_window_errors(row))
        with unique_as(_TAKEN):
            await self.repository.insert({"id": campaign_id, **row})
            if shared is not None:
                await VoucherRepository(self.unit).insert({"id": new_id(), "campaign_id": campaign_id, "code": shared})
        after = data.model_dump(mode="json", exclude_none=True)
        self.unit.audit("voucher_campaign.created", "VoucherCampaign", campaign_id, after=after)
        self.unit.emit("voucher_campaign.created", campaign_id, {})
        return campaign_id

    async def change(
        self, campaign_id: UUID, data: VoucherCampaignUpdate, *, expected_version: int | None = None
    ) -> None:
        """Change the fields given; uses that are under way end first.

        Raises:
            NotFound: there is no such campaign.
            PreconditionFailed: its version is not the expected one.
            Invalid: its parts would not go together.
            Duplicate: the name is taken.

        """
        self.unit.actor.require(WRITE)
        before = await self.repository.get(campaign_id, lock=True, expected_version=expected_version)
        given = data.model_fields_set
        currency = before["currency"] or _first_currency(data)
        changes = await self._columns(data, given)
        if currency != before["currency"]:
            changes["currency"] = currency
        if changes.get("birthdays_done_on") is not None and before["birthday_days_before"] is not None:
            del changes["birthdays_done_on"]
        _refuse([*_money_errors(data, currency), *_window_errors({**before, **changes})])
        if before["shared_code"] is not None and changes.get("birthday_days_before") is not None:
            _refuse([_SHARED_BIRTHDAY])
        with unique_as(_TAKEN):
            await self.repository.change(campaign_id, changes)
        after = data.model_dump(mode="json", include=given)
        self.unit.audit("voucher_campaign.updated", "VoucherCampaign", campaign_id, after=after)
        self.unit.emit("voucher_campaign.updated", campaign_id, {})

    async def _columns(self, data: VoucherCampaignCreate | VoucherCampaignUpdate, given: set[str]) -> dict[str, Any]:
        """Return what was given as columns, of the fields that a campaign's change can give too."""
        shared = given & set(VoucherCampaignUpdate.model_fields)
        row: dict[str, Any] = data.model_dump(include=shared - {*_MONEY, "rule"})
        for name in shared & set(_MONEY):
            money: PositiveMoney | None = getattr(data, name)
            row[name] = None if money is None else money.amount
        if "rule" in shared:
            row["rule"] = None if data.rule is None else await checked_rule(self.unit, data.rule)
        if row.get("birthday_days_before") is not None:
            # Birthdays of today are the first to be seen to.
            today = self.unit.now().astimezone(await self.repository.zone()).date()
            row["birthdays_done_on"] = today - timedelta(days=1)
        return row


def _refuse(errors: list[FieldError]) -> None:
    if errors:
        raise Invalid(errors=errors)


def _first_currency(data: Any) -> str | None:
    given: list[PositiveMoney | None] = [getattr(data, name, None) for name in _MONEY]
    return next((money.currency for money in given if money is not None), None)


def _basis_points(percent: float) -> int:
    return round(percent * 100)


def _money_errors(data: Any, currency: str | None) -> Iterator[FieldError]:
    for name in _MONEY:
        money: PositiveMoney | None = getattr(data, name, None)
        if money is None:
            continue
        if money.currency != currency:
            yield FieldError(
                f"/{name}/currency",
                "wrong_currency",
                f"All amounts of a campaign are in one currency, here {currency}",
                f"活动中的金额须使用同一币种：{currency}",
            )
        if money.amount == 0 and name != "min_amount":
            yield FieldError(f"/{name}/amount", "out_of_range", "Must be more than 0", "须大于 0")


_WORTH: Final[Mapping[str, str]] = {"amount": "amount_off", "percent": "percent", "gift": "gift_sku"}


def _worth_errors(data: VoucherCampaignCreate) -> Iterator[FieldError]:
    for kind, name in _WORTH.items():
        is_given = getattr(data, name) is not None
        if kind == data.kind and not is_given:
            yield FieldError(
                f"/{name}", "required", f"A voucher of the kind {kind} needs it", f"{kind} 类优惠券必须提供"
            )
        if kind != data.kind and is_given:
            yield FieldError(
                f"/{name}", "unexpected", f"Only vouchers of the kind {kind} have it", f"仅 {kind} 类优惠券可用"
            )
    if data.percent is not None and abs(data.percent * 100 - _basis_points(data.percent)) > 1e-6:  # noqa: PLR2004
        yield FieldError("/percent", "out_of_range", "Two decimals at most", "最多两位小数")


_SHARED_BIRTHDAY: Final = FieldError(
    "/birthday_days_before",
    "unexpected",
    "Birthday vouchers have codes of their own: leave shared_code out",
    "生日券使用独立券码：请勿填写 shared_code",
)


def _code_errors(data: VoucherCampaignCreate, shared: str | None) -> Iterator[FieldError]:
    if shared is not None and not (codes.MIN_SHARED <= len(shared) < codes.MIN_GENERATED and shared.isalnum()):
        yield FieldError(
            "/shared_code",
            "bad_format",
            "A shared code has 3 to 11 letters and digits",
            "共用券码须为 3 至 11 个字母、数字或汉字",
        )
    if shared is not None and data.birthday_days_before is not None:
        yield _SHARED_BIRTHDAY
    prefix = codes.canonical(data.prefix)
    if set(prefix) - set(codes.ALPHABET):
        yield FieldError(
            "/prefix", "bad_format", "Letters and digits without 0, 1, I, L, O", "仅限字母和数字，不含 0、1、I、L、O"
        )
    if len(prefix) + data.code_length > codes.MAX_LENGTH:
        yield FieldError(
            "/code_length",
            "out_of_range",
            f"With its prefix a code has at most {codes.MAX_LENGTH} characters",
            f"含前缀的券码最长 {codes.MAX_LENGTH} 个字符",
        )


def _window_errors(row: Mapping[str, Any]) -> list[FieldError]:
    starts_at, ends_at = row["starts_at"], row["ends_at"]
    if starts_at is None or ends_at is None or starts_at < ends_at:
        return []
    return [FieldError("/ends_at", "out_of_order", "It ends before it starts", "结束时间须晚于开始时间")]
