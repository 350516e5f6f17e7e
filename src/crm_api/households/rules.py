"""Who may be what in a household, and when a child was born: pure rules.

Stages are cut in SQL (``households.repository``), because they change with every midnight of the tenant's zone; what
the cuts are is here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

from crm_api.core.errors import Conflict, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.core.lunar import FIRST_YEAR, LAST_YEAR, LunarDay, days_in_month, solar_of
from crm_api.customers.models import CONSENT_AGE_YEARS, Birthday
from crm_api.households.models import ChildBirth, HouseholdMemberCreate, HouseholdSettingsUpdate

CHILD: Final = "child"
UNBORN: Final = "pregnant"
OVERDUE: Final = "overdue"
TAKEN: Final = frozenset({UNBORN, OVERDUE})
"""Stages that do not follow from an age."""

LONGEST_PREGNANCY: Final = timedelta(days=310)
"""A due date lies at most this far ahead: 280 days from the last period, and what dates are mistaken by."""

DETAILS: Final = frozenset({"name", "sex", "birthday", "due_date"})
"""What is stored of a child that is no customer."""

FIRST_GUARDIANS: Final = ("mother", "father", "guardian")
"""Whom a child is given as guardian when nobody is named, in this order."""


@dataclass(frozen=True, slots=True)
class StageSettings:
    """A tenant's stages.

    Attributes:
        codes: names, by rising age.
        months: whole months of age from which each lasts, the first 0.
        overdue_after_days: days after the due date until a birth that nobody recorded is missed.

    """

    codes: tuple[str, ...] = ("0-6m", "6-12m", "1-3y", "3-6y", "6y+")
    months: tuple[int, ...] = (0, 6, 12, 36, 72)
    overdue_after_days: int = 14

    @classmethod
    def of(cls, preset: Mapping[str, Any]) -> "StageSettings":
        """Return the settings of a preset's ``[households]`` table."""
        stages = [(stage["code"], stage["from_months"]) for stage in preset["stages"]]
        codes, months = zip(*stages, strict=True)
        return cls(codes, months, preset.get("overdue_after_days", cls().overdue_after_days))

    def changed(self, data: HouseholdSettingsUpdate) -> "StageSettings":
        """Return the settings with the fields that were given."""
        given = data.model_fields_set
        stages = "stages" in given
        return StageSettings(
            tuple(stage.code for stage in data.stages) if stages else self.codes,
            tuple(stage.from_months for stage in data.stages) if stages else self.months,
            data.overdue_after_days if "overdue_after_days" in given else self.overdue_after_days,
        )

    def told(self) -> dict[str, Any]:
        """Return them as the API shows them."""
        stages = [{"code": code, "from_months": start} for code, start in zip(self.codes, self.months, strict=True)]
        return {"stages": stages, "overdue_after_days": self.overdue_after_days}


DEFAULT_STAGES: Final = StageSettings()
"""REQUIREMENTS C1.3; formula milk is sold by the same ages. ``overdue``: 42 weeks, which medicine calls post-term."""


def check_stages(settings: StageSettings) -> None:
    """Raise Invalid unless stages begin at birth, rise, and have names of their own."""
    errors: list[FieldError] = []
    if settings.months[0] != 0:
        errors.append(
            FieldError(
                "/stages/0/from_months", "first_stage", "The first stage begins at 0 months", "首个阶段须从 0 个月开始"
            )
        )
    errors += [
        FieldError(
            f"/stages/{index}/from_months",
            "stages_order",
            "Each stage begins later than the one before it",
            "各阶段的起始月龄须依次递增",
        )
        for index in range(1, len(settings.months))
        if settings.months[index] <= settings.months[index - 1]
    ]
    errors += [
        FieldError(
            f"/stages/{index}/code",
            "stage_code_taken",
            "Each stage needs a code of its own; 'pregnant' and 'overdue' are taken",
            "阶段代码不能重复，且不能使用 pregnant 与 overdue",
        )
        for index, code in enumerate(settings.codes)
        if code in TAKEN or code in settings.codes[:index]
    ]
    if errors:
        raise Invalid(errors=errors)


# -- days --------------------------------------------------------------------------------------------------------------


def born_on(birthday: Birthday | None, pointer: str) -> date | None:
    """Return the solar day of a birthday, None when its year is not known.

    Raises:
        Invalid: that lunar year has no such day (a 30th of a short month, a leap month that was none).

    """
    if birthday is None or birthday.year is None:
        return None
    if birthday.calendar == "solar":
        return date(birthday.year, birthday.month, birthday.day)
    lunar = LunarDay(birthday.year, birthday.month, birthday.day, birthday.leap_month)
    if not _is_day(lunar):
        raise Invalid.field(
            pointer,
            "no_such_lunar_day",
            "That lunar year has no such day: check the leap month, and whether the month had 30 days",
            "该农历年没有这一天：请检查闰月以及该月是否有三十日",
        )
    return solar_of(lunar)


def _is_day(lunar: LunarDay) -> bool:
    if not FIRST_YEAR <= lunar.year <= LAST_YEAR:
        return False
    days = days_in_month(lunar.year, lunar.month, leap=lunar.leap)
    return days is not None and lunar.day <= days


def check_days(born: date | None, due: date | None, today: date, pointer: str) -> None:
    """Raise Invalid for a birth that is still to come, or a due date no pregnancy reaches."""
    if born is not None and born > today:
        raise Invalid.field(
            f"{pointer}/birthday",
            "birthday_in_future",
            "The birthday lies ahead: send it as due_date until the child is born",
            "出生日期晚于今天：未出生请使用 due_date（预产期）",
        )
    if due is not None and due > today + LONGEST_PREGNANCY:
        raise Invalid.field(
            f"{pointer}/due_date",
            "due_date_too_far",
            f"A due date lies at most {LONGEST_PREGNANCY.days} days ahead",
            f"预产期最多为今天起 {LONGEST_PREGNANCY.days} 天内",
        )


def needs_guardian(born: date | None, today: date) -> bool:
    """Tell whether a guardian must consent before this child's details are stored; unknown ages are taken as young."""
    if born is None:
        return True
    birthday_this_year = (today.month, today.day) >= (born.month, born.day)
    return today.year - born.year - (not birthday_this_year) < CONSENT_AGE_YEARS


# -- members -----------------------------------------------------------------------------------------------------------


def check_member(data: HouseholdMemberCreate, pointer: str) -> None:
    """Raise Invalid when the fields do not go together."""
    errors: list[FieldError] = []
    if data.customer_id is None and data.relation != CHILD:
        errors.append(
            FieldError(
                f"{pointer}/customer_id",
                "customer_required",
                "Only a child can be a member without being a customer: create the customer first",
                "只有孩子可以不是客户：请先创建客户",
            )
        )
    if data.customer_id is not None:
        errors += [_of_the_customer(f"{pointer}/{name}") for name in sorted(DETAILS & data.model_fields_set)]
    if data.relation != CHILD and data.guardian_id is not None:
        errors.append(only_children(f"{pointer}/guardian_id"))
    if data.birthday is not None and data.due_date is not None:
        errors.append(
            FieldError(f"{pointer}/due_date", "one_of", "Give the birthday or the due date", "生日与预产期只能提供其一")
        )
    if errors:
        raise Invalid(errors=errors)


def _of_the_customer(pointer: str) -> FieldError:
    return FieldError(
        pointer,
        "of_the_customer",
        "This member is a customer: change the customer instead",
        "该成员是客户：请修改客户资料",
    )


def only_children(pointer: str) -> FieldError:
    """Return the error for a guardian of somebody grown up."""
    return FieldError(pointer, "only_children", "Only a child has a guardian", "只有孩子需要监护人")


def check_change(before: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise Invalid when a change does not fit the member as it is."""
    is_customer = before["customer_id"] is not None
    relation = given.get("relation", before["relation"])
    errors = [_of_the_customer(f"/{name}") for name in sorted(DETAILS & given.keys())] if is_customer else []
    if not is_customer and relation != CHILD:
        errors.append(
            FieldError(
                "/relation", "customer_required", "A member that is no customer is a child", "非客户成员只能是孩子"
            )
        )
    if relation != CHILD and given.get("guardian_id") is not None:
        errors.append(only_children("/guardian_id"))
    errors += _check_new_days(before, given)
    if errors:
        raise Invalid(errors=errors)


def _check_new_days(before: Mapping[str, Any], given: Mapping[str, Any]) -> list[FieldError]:
    """Tell a birthday from a birth: an expected child is born by its own call, a born one is expected no more."""
    is_born = before["birth_month"] is not None
    if given.get("birthday") is not None and not is_born and given.get("due_date", before["due_date"]) is not None:
        return [
            FieldError(
                "/birthday",
                "record_the_birth",
                "This child is expected: record its birth by POST /v1/household-members/{id}/birth",
                "该孩子尚未出生：请通过 POST /v1/household-members/{id}/birth 登记出生",
            )
        ]
    if given.get("due_date") is not None and (is_born or given.get("birthday") is not None):
        return [FieldError("/due_date", "one_of", "This child is born: it has a birthday", "该孩子已出生：请使用生日")]
    return []


def check_birth(before: Mapping[str, Any], data: ChildBirth) -> None:
    """Raise unless the member is a child whose birth can be recorded here."""
    if before["customer_id"] is not None:
        raise Invalid(errors=[_of_the_customer("/birthday")])
    if data.birthday.year is None:
        raise Invalid.field("/birthday/year", "required", "A birth has a year", "出生日期须包含年份")
    if before["born_on"] is not None and before["born_on"] != born_on(data.birthday, "/birthday"):
        message, zh = (
            "The child was born on another day: correct its birthday instead",
            "该孩子已登记其他出生日期：请改正生日",
        )
        raise Conflict(
            message,
            zh=zh,
            code="already_born",
            errors=[FieldError("/birthday", "already_born", message, zh)],
            extra={"born_on": before["born_on"].isoformat()},
        )


_PARTS: Final = ("calendar", "year", "month", "day", "leap_month")


def birth_columns(birthday: Birthday | None) -> dict[str, Any]:
    """Return the birthday's columns."""
    return {f"birth_{part}": getattr(birthday, part) if birthday else None for part in _PARTS}


_EMPTY: Final[Mapping[str, Any]] = {
    "name": None,
    "sex": None,
    "born_on": None,
    "due_date": None,
    "guardian_id": None,
    **birth_columns(None),
}


def new_member(household_id: UUID, data: HouseholdMemberCreate, pointer: str) -> dict[str, Any]:
    """Return the columns of a new member, the same for all."""
    given = {name: getattr(data, name) for name in (*DETAILS, "customer_id", "relation", "guardian_id")}
    return {**_EMPTY, "id": new_id(), "household_id": household_id, **columns_of(given, f"{pointer}/birthday")}


def columns_of(given: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    """Return what was given as columns: a birthday as its parts and as its solar day."""
    values = {name: value for name, value in given.items() if name != "birthday"}
    if "birthday" in given:
        birthday: Birthday | None = given["birthday"]
        values |= {**birth_columns(birthday), "born_on": born_on(birthday, pointer)}
    return values


def changed(before: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that differ."""
    return {name: value for name, value in values.items() if before[name] != value}


def has_details(row: Mapping[str, Any]) -> bool:
    """Tell whether anything is stored here about a child."""
    return any(row[name] is not None for name in ("name", "sex", "birth_month", "due_date"))


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns as JSON has them."""
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def first_guardian(members: Sequence[Mapping[str, Any]]) -> UUID | None:
    """Return the customer who answers for a child when nobody is named: mother, father or guardian, in this order."""
    for relation in FIRST_GUARDIANS:
        for member in members:
            if member["relation"] == relation and member["customer_id"] is not None:
                found: UUID = member["customer_id"]
                return found
    return None


def check_guardian(guardian_id: UUID | None, members: Sequence[Mapping[str, Any]], pointer: str) -> None:
    """Raise Invalid unless the guardian is an adult of the household."""
    if guardian_id is None:
        return
    adults = {member["customer_id"] for member in members if member["relation"] != CHILD}
    if guardian_id not in adults:
        raise Invalid.field(
            pointer,
            "guardian_not_member",
            "The guardian is an adult member of the household: add them first",
            "监护人须为该家庭的成人成员：请先添加",
        )
