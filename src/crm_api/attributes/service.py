"""What can be done with attribute definitions, and what other domains ask about values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from crm_api.accounts.service import AccountService
from crm_api.attributes import rules
from crm_api.attributes.labels import labels_of
from crm_api.attributes.models import (
    MAX_DEFINITIONS,
    PREFIX,
    AttributeDefinitionCreate,
    AttributeDefinitionUpdate,
    CheckedValues,
    Definition,
    Definitions,
)
from crm_api.attributes.repository import AttributeRepository, asked_of, definition_of
from crm_api.core.errors import Conflict, Duplicate, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as

READ = "attributes:read"
WRITE = "attributes:write"

_KEY_TAKEN = {
    "uq_attribute_definitions_key": Duplicate(
        errors=[FieldError("/key", "duplicate", "Another attribute has this key", "该 key 已被其他属性使用")]
    )
}


class AttributeService:
    """A tenant's own attributes."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = AttributeRepository(unit)

    async def create(self, data: AttributeDefinitionCreate) -> UUID:
        """Define an attribute; returns the definition's id.

        Raises:
            Invalid: its parts do not fit its type.
            Duplicate: the key is taken.
            Conflict: there are too many.

        """
        self.unit.actor.require(WRITE)
        if await self.repository.count(data.entity) >= MAX_DEFINITIONS:
            raise Conflict(
                f"There are {MAX_DEFINITIONS} attributes already: delete those nobody uses",
                zh=f"自定义属性已达上限 {MAX_DEFINITIONS} 个：请删除不用的属性",
                code="too_many_attributes",
            )
        label_en, label_zh = data.label.both()
        definition = Definition(
            id=new_id(),
            label_en=label_en,
            label_zh=label_zh,
            choices=rules.choices_of(data.choices),
            **data.model_dump(exclude={"label", "choices"}),
        )
        rules.check_definition(definition)
        with unique_as(_KEY_TAKEN):
            await self.repository.insert(_columns(definition))
        self._tell("created", definition.id, after=_shown(definition))
        return definition.id

    async def update(
        self, definition_id: UUID, data: AttributeDefinitionUpdate, *, expected_version: int | None = None
    ) -> None:
        """Change the fields given.

        Raises:
            Conflict: values stand against it: the type of an attribute in use, a choice somebody has.

        """
        self.unit.actor.require(WRITE)
        before = definition_of(await self.repository.get(definition_id, lock=True, expected_version=expected_version))
        after = _changed(before, data)
        rules.check_definition(after)
        await self._refuse_in_use(before, after)
        was, became = _shown(before), _shown(after)
        changes = {name for name in became if was[name] != became[name]}
        if not changes:
            return
        columns = {name: value for name, value in _columns(after).items() if name != "id"}
        await self.repository.change(definition_id, columns)
        self._tell(
            "updated",
            definition_id,
            before={name: was[name] for name in sorted(changes)},
            after={name: became[name] for name in sorted(changes)},
        )

    async def _refuse_in_use(self, before: Definition, after: Definition) -> None:
        entity, key = before.entity, before.key
        for name in ("type", "refers_to"):
            if getattr(before, name) != getattr(after, name) and await self.repository.in_use(entity, key):
                raise _in_use(f"/{name}", "Customers have values of this attribute: archive it and define another one")
        gone = {choice.value for choice in before.choices} - {choice.value for choice in after.choices}
        for value in sorted(gone):
            if await self.repository.in_use(entity, key, (value,)):
                raise _in_use("/choices", f"Customers have the choice '{value}': archive it instead", value)

    async def delete(self, definition_id: UUID, *, expected_version: int | None = None) -> None:
        """Remove a definition that no customer has a value of.

        Raises:
            Conflict: it is in use; it can be archived.

        """
        self.unit.actor.require(WRITE)
        row = await self.repository.get(definition_id, lock=True, expected_version=expected_version)
        before = definition_of(row)
        if await self.repository.in_use(before.entity, before.key):
            raise _in_use("", "Customers have values of this attribute: archive it instead")
        await self.repository.delete(definition_id)
        self._tell("deleted", definition_id, before=_shown(before))

    def _tell(
        self,
        what: str,
        definition_id: UUID,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> None:
        operation = f"attribute_definition.{what}"
        self.unit.audit(operation, "AttributeDefinition", definition_id, before=before, after=after)
        self.unit.emit(operation, definition_id, {})


def _in_use(pointer: str, message: str, value: str = "") -> Conflict:
    zh = f"已有客户选择了 “{value}”：请改为归档该选项" if value else "已有客户填写了该属性：请改为归档"
    return Conflict(
        message, zh=zh, code="attribute_in_use", errors=[FieldError(pointer, "attribute_in_use", message, zh)]
    )


def _changed(before: Definition, data: AttributeDefinitionUpdate) -> Definition:
    given = data.model_fields_set
    changes = data.model_dump(include=given - {"label", "choices"})
    if "label" in given:
        changes["label_en"], changes["label_zh"] = data.label.both()
    if "choices" in given:
        changes["choices"] = rules.choices_of(data.choices)
    if changes.get("type", before.type) != before.type:
        changes = _without_old_limits(before, changes)
    return rules.changed(before, **changes)


def _without_old_limits(before: Definition, changes: dict[str, Any]) -> dict[str, Any]:
    """Drop what belonged to the old type, unless the change says otherwise."""
    defaults = {"choices": (), "refers_to": None, "minimum": None, "maximum": None, "max_length": None}
    choosing = before.type in rules.CHOOSING and changes["type"] in rules.CHOOSING
    kept = {"choices"} if choosing else set()
    return {**{name: value for name, value in defaults.items() if name not in kept}, **changes}


def _columns(definition: Definition) -> dict[str, Any]:
    return {**asdict(definition), "choices": [choice.stored() for choice in definition.choices]}


def _shown(definition: Definition) -> dict[str, Any]:
    shown = {name: value for name, value in _columns(definition).items() if not name.startswith("label_")}
    label = {"en": definition.label_en, "zh": definition.label_zh}
    return {**shown, "id": str(definition.id), "label": label}


# -- for domains whose things have attributes --------------------------------------------------------------------------


async def definitions_of(unit: UnitOfWork, entity: str) -> Definitions:
    """Return a tenant's definitions of an entity by key, oldest first, the archived ones too.

    Takes no scope: callers show no more of them than their own operation does.
    """
    return await AttributeRepository(unit).definitions(entity)


def field_labels(name: str) -> dict[str, str]:
    """Return the names of a field for people, English and Chinese."""
    return labels_of(name)


async def attribute_labels(unit: UnitOfWork, entity: str = "customer") -> list[tuple[str, str, str]]:
    """Return (key, English label, Chinese label) of the attributes in use, oldest first: columns of an export."""
    definitions = await definitions_of(unit, entity)
    return [(each.key, each.label_en, each.label_zh) for each in definitions.values() if not each.archived]


class AttributeValues:
    """Checks values against the tenant's definitions, for one entity and one unit.

    The definitions that values are checked against stay as they are until the unit ends.
    """

    def __init__(self, unit: UnitOfWork, entity: str) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.entity = entity
        self.repository = AttributeRepository(unit)

    async def known(self) -> Definitions:
        """Return the definitions by key, the archived ones too."""
        return await self.repository.definitions(self.entity, hold=False)

    async def of_new(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of something new, as they are stored.

        Raises:
            Invalid: a value is wrong, refers to nothing, or a required one is missing.

        """
        definitions = await self.repository.definitions(self.entity, hold=bool(given))
        values = rules.merged({}, rules.read_values(definitions, given)) if given else {}
        lacking = rules.missing(definitions, values)
        if lacking:
            raise Invalid(errors=lacking)
        await self._require_references(definitions, values)
        return values

    async def changes(self, known: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what differs from what is known, as it is stored; None for what is cleared.

        What is sent back unchanged is not looked at: an archived choice may stay.

        Raises:
            Invalid: a value is wrong or refers to nothing.

        """
        news = {key: value for key, value in given.items() if key not in known or known[key] != value}
        if not news:
            return {}
        definitions = await self.repository.definitions(self.entity, hold=True)
        values = rules.read_values(definitions, news)
        await self._require_references(definitions, values)
        return {key: value for key, value in values.items() if known.get(key) != value}

    async def of_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[CheckedValues]:
        """Return what each row of cells or JSON values says; a few statements for all of them.

        Text is read as a cell of a file is (`rules.parse_cell`); an empty one says nothing.
        """
        said = any(rows)
        definitions = await self.repository.definitions(self.entity, hold=said)
        currency = (await AccountService(self.unit).tenant()).currency if said else ""
        read = [_read_row(definitions, row, currency) for row in rows]
        await self._check_references(definitions, [(each.values, each.errors) for each in read])
        return read

    async def _require_references(self, definitions: Definitions, values: Mapping[str, Any]) -> None:
        errors: list[FieldError] = []
        await self._check_references(definitions, [(values, errors)])
        if errors:
            raise Invalid(errors=errors)

    async def _check_references(
        self, definitions: Definitions, read: Sequence[tuple[Mapping[str, Any], list[FieldError]]]
    ) -> None:
        """Add an error to each row that refers to nothing: one statement for each kind of target."""
        wanted: dict[str, set[UUID]] = {}
        found = [rules.references(definitions, values) for values, _ in read]
        for each in found:
            for target, ids in each.items():
                wanted.setdefault(target, set()).update(map(UUID, ids.values()))
        there = {target: await self.repository.existing(target, sorted(ids)) for target, ids in wanted.items()}
        for each, (_, errors) in zip(found, read, strict=True):
            for target, ids in each.items():
                errors.extend(_unknown(key, target) for key, id_ in ids.items() if UUID(id_) not in there[target])


def merged(known: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values after changes; None takes one away."""
    return rules.merged(known, changes)


async def check_listing(unit: UnitOfWork, entity: str, filters: list[str] | None, order: str | None) -> None:
    """Refuse to list by an attribute that does not exist: nobody would notice the mistake in an empty page.

    Args:
        unit: the unit.
        entity: what is listed.
        filters: as the list's ``attribute`` parameter has them.
        order: name of an order, maybe ``attributes.<key>``.

    Raises:
        Invalid: names the attribute.

    """
    named = {(f"/attribute/{place}", each.key) for place, each in enumerate(asked_of(filters or []))}
    if order is not None and order.lstrip("-").startswith(PREFIX):
        named.add(("/order", order.lstrip("-").removeprefix(PREFIX)))
    if not named:
        return
    definitions = await definitions_of(unit, entity)
    errors = [_no_such(pointer, key) for pointer, key in sorted(named) if key not in definitions]
    if errors:
        raise Invalid(errors=errors)


def _no_such(pointer: str, key: str) -> FieldError:
    return FieldError(pointer, "unknown_attribute", f"There is no attribute '{key}'", f"没有自定义属性 “{key}”")


def _read_row(definitions: Definitions, row: Mapping[str, Any], currency: str) -> CheckedValues:
    said = {key: value for key, value in row.items() if not (isinstance(value, str) and not value.strip())}
    cells = {
        key: rules.parse_cell(definitions[key], value, currency)
        if isinstance(value, str) and key in definitions
        else value
        for key, value in said.items()
    }
    lacking = rules.missing(definitions, cells)
    try:
        return CheckedValues(rules.read_values(definitions, cells), [], lacking)
    except Invalid as error:
        return CheckedValues({}, list(error.errors), lacking)


def _unknown(key: str, target: str) -> FieldError:
    return FieldError(f"/attributes/{key}", "unknown_reference", f"There is no such {target}", "引用的对象不存在")
