"""What a kind of import is: one declaration says all that differs between customers, orders and the rest."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from crm_api.attributes.models import Definition
from crm_api.core.errors import FieldError, Invalid
from crm_api.core.undo import Entry, Undone
from crm_api.customers.models import CustomerRow
from crm_api.customers.service import CustomerBulkService
from crm_api.db.uow import UnitOfWork
from crm_api.exchange import cells, rules
from crm_api.exchange.cells import CellError, Fault, Parse, RowParser
from crm_api.exchange.models import ImportKind, ImportMode, MatchKey, Verdict
from crm_api.exchange.rules import ATTRIBUTE, Column

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a tenant brings into the reading of a file.

    Attributes:
        zone: in which dates without an offset are read.
        currency: of amounts that name none.
        attributes: the tenant's own attributes of customers, by key.

    """

    zone: ZoneInfo
    currency: str = "CNY"
    attributes: Mapping[str, Definition] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Options:
    """How rows are written."""

    mode: ImportMode = "upsert"
    match_by: Sequence[MatchKey] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one row: see `crm_api.exchange.models.ImportRow`; the journal is for taking it back."""

    verdict: Verdict
    resource_id: UUID | None
    errors: Sequence[FieldError] = ()
    journal: Mapping[str, Any] = field(default_factory=dict)


Write = Callable[[UnitOfWork, Sequence[Any], Options], Awaitable[list[Written]]]
Undo = Callable[[UnitOfWork, Sequence[Entry]], Awaitable[list[Undone]]]
Keys = Callable[[UnitOfWork, Sequence[Any]], Awaitable[list[list[str]]]]
Make = Callable[[Values, list[Fault], Setting], Any]
Lacks = Callable[[frozenset[str]], Iterable[FieldError]]


def _lacks_nothing(_known: frozenset[str]) -> Iterable[FieldError]:
    return ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of import.

    Attributes:
        name: as in ``kind``.
        subject: the type its rows make, as the audit log names it.
        table: of that type: rows that others refer to are kept when the import is taken back.
        scopes: needed beside ``imports:write``.
        columns: column of ours → what it takes.
        make: makes a row of values by column.
        write: writes rows, a few statements for all of them; later rows see what earlier ones did.
        undo: takes rows back, in the order given.
        keys: what rows may be recognised by: of two rows without a common key neither changes the other's verdict.
        lacks: which errors a file with only these columns has, beside required ones.
        match_keys: what its rows can be recognised by, when there is a choice.
        modes: which are possible.
        takes_attributes: whether the tenant's own attributes are columns.
        pointers: names of a service's errors → column of ours, where they differ.
        ignored_ties: tables whose rows do not count as hanging on a row.

    """

    name: ImportKind
    subject: str
    table: str
    scopes: tuple[str, ...]
    columns: Mapping[str, Column]
    make: Make
    write: Write
    undo: Undo
    keys: Keys
    lacks: Lacks = _lacks_nothing
    match_keys: tuple[MatchKey, ...] = ()
    modes: tuple[ImportMode, ...] = ("upsert", "create_only", "update_only")
    takes_attributes: bool = False
    pointers: Mapping[str, str] = field(default_factory=dict)
    ignored_ties: frozenset[str] = frozenset()

    def columns_for(self, setting: Setting) -> Mapping[str, Column]:
        """Return all columns rows of this kind can have in this shop."""
        if not self.takes_attributes:
            return self.columns
        taken = {rules.plain_header(name) for name in rules.guesses(self.columns)}
        own = {
            ATTRIBUTE + each.key: Column(
                _attribute, names=tuple(n for n in _labels(each) if rules.plain_header(n) not in taken)
            )
            for each in setting.attributes.values()
            if not each.archived
        }
        return {**self.columns, **own}

    def match(
        self, setting: Setting, header: Sequence[str], mapping: Mapping[str, str], defaults: Mapping[str, str]
    ) -> rules.Match:
        """Return what a file's headers mean, and why it could not be imported like that."""
        columns = self.columns_for(setting)
        given = frozenset(defaults)
        match = rules.match_columns(columns, header, mapping, given)
        problems = [*match.problems, *self._default_faults(columns, defaults, setting)]
        if match.columns or not match.problems:
            problems += self.lacks(frozenset(match.columns.values()) | given)
        return rules.Match(match.columns, match.ignored, tuple(problems))

    def _default_faults(
        self, columns: Mapping[str, Column], defaults: Mapping[str, str], setting: Setting
    ) -> Iterable[FieldError]:
        for name, text in defaults.items():
            pointer = rules.pointer_to("defaults", name)
            if name not in columns:
                yield rules.unknown_column(pointer, name)
                continue
            try:
                _parse_of(columns[name], setting)(text.strip())
            except CellError as error:
                code = str(error)
                yield FieldError(pointer, code, rules.reason(code, "en"), rules.reason(code, "zh"))

    def parser(self, setting: Setting, positions: Mapping[str, int], defaults: Mapping[str, str]) -> RowParser[Any]:
        """Return what reads a file's rows.

        Args:
            setting: of the tenant.
            positions: column of ours → index of its cell.
            defaults: column of ours → text for rows without a value, checked already.

        """
        columns = self.columns_for(setting)
        parsers = {name: _parse_of(column, setting) for name, column in columns.items()}
        constants = {name: parsers[name](text.strip()) for name, text in defaults.items() if text.strip()}
        required = frozenset(name for name, column in columns.items() if column.required)
        return RowParser(positions, parsers, lambda v, f: self.make(v, f, setting), required, constants)

    def column_of(self, pointer: str) -> str | None:
        """Return the column that a service's error points at, by the name it has in files."""
        first, _, rest = pointer.strip("/").partition("/")
        if first == "attributes" and rest:
            return ATTRIBUTE + rest.partition("/")[0]
        name = self.pointers.get(first, first)
        return name if name in self.columns else None

    def check(self, mode: ImportMode, match_by: Sequence[MatchKey]) -> None:
        """Raise Invalid unless rows of this kind can be written like that."""
        if mode not in self.modes:
            shown = ", ".join(self.modes)
            raise Invalid.field("/mode", "unknown_choice", f"For {self.name} it is one of: {shown}", f"可选值：{shown}")
        wrong = [key for key in match_by if key not in self.match_keys]
        if wrong or len(set(match_by)) != len(match_by):
            shown = ", ".join(self.match_keys) or "–"
            raise Invalid.field(
                "/match_by",
                "unknown_choice",
                f"{self.name} can be matched by: {shown}, each once",
                f"可用的匹配键：{shown}，不可重复",
            )


def _labels(definition: Definition) -> tuple[str, ...]:
    return tuple(dict.fromkeys((definition.key, definition.label_zh, definition.label_en)))


def _attribute(text: str) -> str:
    return text


def _parse_of(column: Column, setting: Setting) -> Parse:
    return cells.moment(setting.zone) if column.parse is None else column.parse


# -- rows that hang on customers ---------------------------------------------------------------------------------------

REFERENCE: Final[Mapping[str, Column]] = {
    "crm_id": Column(cells.our_id, names=("crm编号", "系统编号")),
    "platform": Column(cells.platform, names=("平台", "来源平台")),
    "customer_id": Column(
        cells.account, names=("customer", "user id", "external id", "会员号", "会员卡号", "客户编号", "客户号", "买家")
    ),
    "mobile": Column(cells.phone, names=("phone", "手机", "手机号", "手机号码", "电话", "联系电话")),
    "email": Column(cells.line, names=("e-mail", "mail", "邮箱", "电子邮箱")),
}
"""How a row says which customer it is about: by our id, or, as files of orders do, by their id on a platform."""

REFERENCE_POINTERS: Final = {"external_id": "customer_id", "customer_id": "crm_id"}


def take_reference(values: Values, faults: list[Fault]) -> CustomerRow | None:
    """Take the columns that say which customer a row is about out of its values."""
    given = {name: values.pop(name) for name in REFERENCE if name in values}
    ours = given.pop("crm_id", None)
    if "customer_id" in given:
        if "platform" not in given:
            faults.append(Fault("platform", "required"))
            return None
        given["external_id"] = given.pop("customer_id")
    elif ours is None and not given.keys() - {"platform"}:
        faults.append(Fault(None, "no_customer"))
        return None
    else:
        given.pop("platform", None)
    return CustomerRow(profile={}, customer_id=ours, **given)


def lacks_reference(known: frozenset[str]) -> Iterable[FieldError]:
    """Tell what is missing to say which customer a row is about."""
    if not known & {"crm_id", "mobile", "email", "customer_id"}:
        yield rules.missing_any("customer_id", "mobile", "email", "crm_id")
    elif "customer_id" in known and "platform" not in known:
        yield rules.missing("platform")


async def located(unit: UnitOfWork, rows: Sequence[CustomerRow]) -> list[UUID | Written]:
    """Return each row's customer, or its verdict when there is none."""
    found = await CustomerBulkService(unit).locate_many(rows)
    return [Written("failed", None, (_placed(each),)) if isinstance(each, FieldError) else each for each in found]


def _placed(error: FieldError) -> FieldError:
    name = error.pointer.strip("/")
    return FieldError(f"/{REFERENCE_POINTERS.get(name, name)}", error.code, error.message, error.message_zh)
