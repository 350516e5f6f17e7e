"""What can be done with policies of clocks."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from crm_api.accounts.service import AccountService
from crm_api.complaints.clock_log import preset_terms
from crm_api.complaints.clock_models import (
    ClockPolicyCreate,
    ClockPolicyUpdate,
    ClockPreset,
    ClockPresets,
    ClockTermsShown,
    PresetName,
    ReclockingProgress,
)
from crm_api.complaints.repository.clock_policies import PolicyRepository
from crm_api.core.errors import Conflict, Duplicate, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.core.service_clocks import PRESETS
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as

READ = "complaints:read"
WRITE = "complaints:write"

_TAKEN = {
    "uq_clock_policies_tenant_id_name": Duplicate(
        errors=[FieldError("/name", "duplicate", "A policy has this name", "已有同名时限规则")]
    )
}
_TELL: Final[Mapping[str, Any]] = {
    "clock": None,
    "after_minutes": 0,
    "action": "notify",
    "staff_ids": [],
    "staff_id": None,
    "url": None,
}
_ESCALATIONS: Final = [
    {**_TELL, "at": "warn", "to": ["assignee"]},
    {**_TELL, "at": "breach", "to": ["assignee", "team_lead"]},
]
_ANY: Final = {"kind": None, "channel": None, "category": None, "severity": None}
_STARTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "odr": {
        "name": {"en": "12315 platform (ODR)", "zh": "12315 平台（ODR）"},
        "position": 10,
        "conditions": {**_ANY, "channel": ["regulator"]},
    },
    "wechat_shop": {
        "name": {"en": "WeChat shop", "zh": "微信小店"},
        "position": 20,
        "conditions": {**_ANY, "channel": ["platform"]},
    },
    "refund": {
        "name": {"en": "Refund of returned goods", "zh": "退货退款"},
        "position": 50,
        "conditions": _ANY,
    },
    "shop": {
        "name": {"en": "The shop's own limits", "zh": "店铺处理时限"},
        "position": 100,
        # Praise waits for nothing.
        "conditions": {**_ANY, "kind": ["complaint", "inquiry", "request"]},
    },
}
"""Where ready-made policies stand and for which cases they are."""

BEGIN: Final[Mapping[PresetName, bool]] = {"odr": True, "wechat_shop": False, "refund": True, "shop": True}
"""What a new shop starts with, and whether it is switched on: not every platform is a WeChat shop."""


class ClockPolicyService:
    """Policies of clocks: limits, pauses, warnings and steps of escalation."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.policies = PolicyRepository(unit)

    async def create(self, data: ClockPolicyCreate) -> UUID:
        """Add a policy; open cases are clocked by it too, in the background.

        Raises:
            Duplicate: the name is taken.
            Invalid: there is no such calendar, or a webhook has no secret to sign with.

        """
        self.unit.actor.require(WRITE)
        row = data.model_dump(mode="json") | {"calendar_id": data.calendar_id}
        await self._check(row)
        return await self._add(row)

    async def adopt(self, preset: PresetName) -> UUID:
        """Add a ready-made policy.

        Raises:
            Conflict: there is a policy of its name.

        """
        self.unit.actor.require(WRITE)
        row = _ready_made(preset, (await AccountService(self.unit).tenant()).locale)
        if await self.policies.taken_name(row["name"]):
            raise Conflict(
                f"There is a policy called '{row['name']}': change that one, or rename it first",
                zh=f"已有名为 “{row['name']}” 的时限规则：请修改该规则或先将其改名",
                code="duplicate",
            )
        return await self._add(row)

    async def begin(self) -> None:
        """Give a new tenant its first policies."""
        locale = (await AccountService(self.unit).tenant()).locale
        rows = [{"id": new_id(), **_ready_made(name, locale), "active": active} for name, active in BEGIN.items()]
        await self.policies.insert_many(rows)
        for row in rows:
            self._tell("clock_policy.created", row["id"], after=_plain(row))

    async def update(self, policy_id: UUID, data: ClockPolicyUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given; raises as `create` does. What was missed by the old limits stays missed."""
        self.unit.actor.require(WRITE)
        before = await self.policies.get(policy_id, lock=True, expected_version=expected_version)
        given = data.model_dump(mode="json", include=data.model_fields_set)
        if "calendar_id" in given:
            given["calendar_id"] = data.calendar_id
        if "conditions" in given:
            given["conditions"] = data.conditions.model_dump(mode="json")
        changes = {name: value for name, value in given.items() if before[name] != value}
        if not changes:
            return
        await self._check({**dict(before), **changes})
        with unique_as(_TAKEN):
            await self.policies.change(policy_id, changes)
        was = _plain({name: before[name] for name in changes})
        self._tell("clock_policy.updated", policy_id, before=was, after=_plain(changes))

    def presets(self) -> ClockPresets:
        """Return the ready-made policies with the sources of their limits."""
        self.unit.actor.require(READ)
        return ClockPresets(
            presets=[
                ClockPreset(
                    name=name,
                    clocks=[ClockTermsShown.model_validate(each) for each in preset_terms(name)],
                    note=dict(PRESETS[name].note),
                )
                for name in BEGIN
            ]
        )

    async def progress(self) -> ReclockingProgress:
        """Return how far the last change of policies or calendars has reached."""
        self.unit.actor.require(READ)
        row = await self.policies.progress()
        return ReclockingProgress(waiting=row["waiting"], total=row["total"])

    async def _add(self, row: dict[str, Any]) -> UUID:
        policy_id = new_id()
        with unique_as(_TAKEN):
            await self.policies.insert({"id": policy_id, **row})
        self._tell("clock_policy.created", policy_id, after=_plain(row))
        return policy_id

    def _tell(self, operation: str, policy_id: UUID, **sides: dict[str, Any]) -> None:
        self.unit.audit(operation, "ClockPolicy", policy_id, **sides)
        self.unit.emit(operation, policy_id, {})

    async def _check(self, row: Mapping[str, Any]) -> None:
        errors = []
        if row["calendar_id"] is not None and not await self.policies.known_calendar(row["calendar_id"]):
            errors.append(FieldError("/calendar_id", "unknown_reference", "There is no such calendar", "没有此日历"))
        if row["secret"] is None and any(each["action"] == "webhook" for each in row["escalations"]):
            message = "Webhooks are signed: give a secret (whsec_…)"
            errors.append(FieldError("/secret", "required", message, "Webhook 需要签名：请提供 secret（whsec_…）"))
        named = {each for step in row["escalations"] for each in (*step["staff_ids"], step["staff_id"]) if each}
        lacking = named - await self.policies.known_staff(sorted(named)) if named else set()
        if lacking:
            shown = ", ".join(sorted(lacking))
            errors.append(
                FieldError(
                    "/escalations", "unknown_reference", f"There are no such staff: {shown}", f"没有这些员工：{shown}"
                )
            )
        if not self.unit.settings.outbound_private_hosts:
            errors += [_not_private(place) for place, step in enumerate(row["escalations"]) if _is_open(step["url"])]
        if errors:
            raise Invalid(errors=errors)


def _ready_made(preset: PresetName, locale: str) -> dict[str, Any]:
    start, note = _STARTS[preset], PRESETS[preset].note
    return {
        "name": start["name"].get(locale, start["name"]["en"]),
        "position": start["position"],
        "active": True,
        "conditions": start["conditions"],
        "calendar_id": None,
        "clocks": preset_terms(preset),
        "escalations": _ESCALATIONS,
        "preset": preset,
        "note": note["zh"] if locale == "zh" else note["en"],
        "secret": None,
    }


def _is_open(url: str | None) -> bool:
    return url is not None and not url.startswith("https://")


def _not_private(place: int) -> FieldError:
    return FieldError(
        f"/escalations/{place}/url",
        "not_https",
        "Use https://: what is sent is the shop's own affair",
        "请使用 https://",
    )


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON for the audit log; a secret is only said to be there."""
    shown = {name: str(value) if isinstance(value, UUID) else value for name, value in values.items()}
    if shown.get("secret") is not None:
        shown["secret"] = "***"  # noqa: S105 - not one
    return shown
