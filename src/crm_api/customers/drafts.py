"""A customer as a bulk write leaves it: pure bookkeeping, stored in one go at the end."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from crm_api.core.errors import FieldError
from crm_api.core.ids import new_id
from crm_api.customers import rules
from crm_api.customers.errors import GuardianConsentRequired
from crm_api.customers.models import DEFAULT_KEYS, MAX_TAGS, BulkMode, CustomerRow, CustomerRowVerdict, MatchKey

Pair = tuple[str, str]


_ATTRIBUTE = "attributes."


def flat(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attribute values under the names drafts, journals and the audit log know them by: ``attributes.key``."""
    return {_ATTRIBUTE + key: value for key, value in attributes.items()}


@dataclass(slots=True)
class Draft:
    """One customer in the course of a bulk write.

    Attributes:
        id: the customer's.
        is_new: to be inserted.
        is_deleted: softly; nothing may be written to it.
        values: its columns, and each attribute as ``attributes.key``.
        contacts: (kind, value) of every contact point, old and new.
        identities: (platform, external id), old and new.
        tags: old and new.
        before: what changed columns were.
        new_contacts: (kind, value, is_primary) to insert.
        new_identities: to insert.
        new_tags: to insert.
        verified: contact points the customer has proved.
        is_undone: something a bulk write did was taken back.
        gone: (part, value) of what was taken away: part is ``contacts``, ``identities`` or ``tags``.

    """

    id: UUID
    is_new: bool = False
    is_deleted: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    contacts: set[Pair] = field(default_factory=set)
    identities: set[Pair] = field(default_factory=set)
    tags: set[str] = field(default_factory=set)
    before: dict[str, Any] = field(default_factory=dict)
    new_contacts: list[tuple[str, str, bool]] = field(default_factory=list)
    new_identities: list[Pair] = field(default_factory=list)
    new_tags: list[str] = field(default_factory=list)
    verified: set[Pair] = field(default_factory=set)
    is_undone: bool = False
    gone: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name."""
        name: str = self.values["name"]
        return name

    @property
    def attributes(self) -> dict[str, Any]:
        """The values of its attributes."""
        return {
            name.removeprefix(_ATTRIBUTE): value
            for name, value in self.values.items()
            if name.startswith(_ATTRIBUTE) and value is not None
        }

    @property
    def changed(self) -> bool:
        """Whether anything has to be stored."""
        return bool(self.before or self.new_contacts or self.new_identities or self.new_tags or self.is_undone)

    @property
    def is_searchable_changed(self) -> bool:
        """Whether the search box must learn something."""
        return "name" in self.before or bool(self.new_contacts or self.new_identities or self.new_tags or self.gone)

    def take(self, row: CustomerRow, contacts: list[Pair]) -> dict[str, Any]:
        """Apply a row; returns its journal (see ``crm_api.customers.undo``), empty when it said nothing new."""
        journal: dict[str, Any] = {
            "values": self._take_values(row),
            "contacts": self._take_contacts(contacts),
            "identities": self._take_identity(row),
            "tags": self._take_tags(row.tags),
        }
        return {name: changes for name, changes in journal.items() if changes}

    def _take_contacts(self, contacts: list[Pair]) -> list[Pair]:
        news = []
        for kind, value in contacts:
            if (kind, value) not in self.contacts:
                first = all(known != kind for known, _ in self.contacts)
                self.new_contacts.append((kind, value, first))
                self.contacts.add((kind, value))
                news.append((kind, value))
        return news

    def _take_identity(self, row: CustomerRow) -> list[Pair]:
        if row.platform is None or row.external_id is None:
            return []
        identity = (row.platform, row.external_id)
        if identity in self.identities:
            return []
        self.new_identities.append(identity)
        self.identities.add(identity)
        return [identity]

    def _take_tags(self, tags: Sequence[str]) -> list[str]:
        news = [tag for tag in dict.fromkeys(tags) if tag not in self.tags]
        self.new_tags += news
        self.tags.update(news)
        return news

    def _take_values(self, row: CustomerRow) -> dict[str, tuple[Any, Any]]:
        given: Mapping[str, Any] = row.profile
        if row.attributes:
            given = {**given, **flat(row.attributes)}
        if row.birthday is not None:
            given = {**given, **rules.birth_columns(row.birthday)}
        changes: dict[str, tuple[Any, Any]] = {}
        for name, value in given.items():
            before = self.values.get(name)
            if before != value:
                changes[name] = (before, value)
                self.before.setdefault(name, before)
                self.values[name] = value
        return changes

    def give_back(self, journal: Mapping[str, Any]) -> None:
        """Restore what a row changed; what of it has gone in the meantime stays gone."""
        self.is_undone = True
        for name, (before, _) in journal.get("values", {}).items():
            self.before.setdefault(name, self.values.get(name))
            self.values[name] = before
        parts: tuple[tuple[str, set[Any]], ...] = (
            ("contacts", self.contacts),
            ("identities", self.identities),
            ("tags", self.tags),
        )
        for part, known in parts:
            for given in journal.get(part, ()):
                value = given if part == "tags" else tuple(given)
                if value in known:
                    known.remove(value)
                    self.gone.setdefault(part, []).append(value)

    def undone(self) -> dict[str, Any]:
        """Return what an undo changed, as plain values for the audit log."""
        return {
            **{name: self.values[name] for name in self.before},
            **{f"removed_{k}": v for k, v in self.gone.items()},
        }

    def after(self) -> dict[str, Any]:
        """Return what changed, as plain values for the audit log."""
        changes: dict[str, Any] = {name: self.values[name] for name in self.before}
        if self.new_contacts:
            changes["contact_points"] = [{"kind": kind, "value": value} for kind, value, _ in self.new_contacts]
        if self.new_identities:
            changes["identities"] = [
                {"platform": platform, "external_id": external_id} for platform, external_id in self.new_identities
            ]
        if self.new_tags:
            changes["tags"] = self.new_tags
        return changes


@dataclass(slots=True)
class ImportDesk:
    """Decides for each row which customer it means.

    Attributes:
        drafts: every customer that may be meant, by id.
        by_identity: (platform, external id) → customer.
        by_contact: (kind, value) → living customers with it.
        aliases: merged customer → who answers for it.
        match_by: what a row is recognised by, first of these first.
        mode: whether rows may create, change, or both.
        guarded: customers whose guardian has agreed to the storing of a child's birthday; None: nobody has to.

    """

    drafts: dict[UUID, Draft]
    by_identity: dict[Pair, UUID]
    by_contact: dict[Pair, set[UUID]]
    aliases: Mapping[UUID, UUID] = field(default_factory=dict)
    match_by: Sequence[MatchKey] = DEFAULT_KEYS
    mode: BulkMode = "upsert"
    guarded: Collection[UUID] | None = None

    def decide(self, row: CustomerRow, contacts: list[Pair]) -> CustomerRowVerdict:
        """Apply one row to the customer it means, or to a new one."""
        draft, error = self._meant(row, contacts)
        if error is None and draft is not None and self.mode == "create_only":
            return CustomerRowVerdict(draft.id, "duplicate")
        error = error or self._refusal(row, draft)
        if error is not None:
            return CustomerRowVerdict(None, "failed", (error,))
        target = draft or self._new(row)
        journal = target.take(row, contacts)
        self._learn(target, row, contacts)
        if draft is None:
            return CustomerRowVerdict(target.id, "created")
        return CustomerRowVerdict(target.id, "updated" if journal else "unchanged", journal=journal)

    def locate(self, row: CustomerRow, contacts: list[Pair]) -> UUID | FieldError:
        """Return the customer the row means, or why there is none."""
        draft, error = self._meant(row, contacts)
        if draft is not None and error is None:
            return draft.id
        return error or FieldError("", "unknown_customer", "No customer has these keys", "没有匹配的客户")

    def admit(self, row: CustomerRow, contacts: list[Pair]) -> CustomerRowVerdict:
        """Return the customer the row means, as it is, or a new one made of the row when nobody is meant."""
        draft, error = self._meant(row, contacts)
        if error is not None:
            return CustomerRowVerdict(None, "failed", (error,))
        if draft is not None:
            return CustomerRowVerdict(draft.id, "unchanged")
        if all(kind == "landline" for kind, _ in contacts):  # a new customer each time the row is read
            return CustomerRowVerdict(None, "failed", (_SHARED_PHONE,))
        return self.decide(row, contacts)

    def _refusal(self, row: CustomerRow, draft: Draft | None) -> FieldError | None:
        """Return why the row cannot be written, or None."""
        if draft is None and row.lacking:
            return row.lacking[0]
        if draft is None and self.mode == "update_only":
            return _NOBODY
        if draft is None and "name" not in row.profile:
            return FieldError("/name", "required", "A new customer needs a name", "新客户必须有姓名")
        identity = (row.platform or "", row.external_id or "")
        if draft is not None and self.by_identity.get(identity, draft.id) != draft.id:
            return _OTHERS_IDENTITY
        if draft is not None and len(draft.tags | set(row.tags)) > MAX_TAGS:
            return FieldError("/tags", "too_many", f"At most {MAX_TAGS} tags", f"标签最多 {MAX_TAGS} 个")
        return _CHILD if row.is_child and not self._may_know_birthday(row, draft) else None

    def _may_know_birthday(self, row: CustomerRow, draft: Draft | None) -> bool:
        if self.guarded is None or (draft is not None and draft.id in self.guarded):
            return True
        told = rules.birth_columns(row.birthday)
        return draft is not None and all(draft.values.get(name) == value for name, value in told.items())

    def _new(self, row: CustomerRow) -> Draft:
        draft = Draft(new_id(), is_new=True, values={"kind": row.kind})
        self.drafts[draft.id] = draft
        return draft

    def _meant(self, row: CustomerRow, contacts: list[Pair]) -> tuple[Draft | None, FieldError | None]:
        for key in self.match_by:
            draft, error = self._by(key, row, contacts)
            if error is not None:
                return None, error
            if draft is not None:
                return draft, _DELETED if draft.is_deleted else None
        return None, None

    def _by(self, key: MatchKey, row: CustomerRow, contacts: list[Pair]) -> tuple[Draft | None, FieldError | None]:
        if key == "id":
            if row.customer_id is None:
                return None, None
            known = self.drafts.get(self.aliases.get(row.customer_id, row.customer_id))
            return known, _UNKNOWN if known is None else None
        if key == "identity":
            owner = self.by_identity.get((row.platform or "", row.external_id or ""))
            return (None if owner is None else self.drafts[owner]), None
        for contact in contacts:
            owners = self.by_contact.get(contact, set()) if contact[0] == key else set()
            if len(owners) > 1:
                return None, FieldError(
                    f"/{contact[0]}",
                    "ambiguous_customer",
                    "Several customers have this contact point: give platform and external_id",
                    "多个客户使用此联系方式：请提供 platform 和 external_id",
                )
            for owner_id in owners:
                return self.drafts[owner_id], None
        return None, None

    def _learn(self, draft: Draft, row: CustomerRow, contacts: list[Pair]) -> None:
        if row.platform is not None and row.external_id is not None:
            self.by_identity[row.platform, row.external_id] = draft.id
        for contact in contacts:
            self.by_contact.setdefault(contact, set()).add(draft.id)


_DELETED = FieldError("/external_id", "customer_deleted", "This customer has been deleted", "该客户已被删除")
_UNKNOWN = FieldError("/customer_id", "unknown_customer", "There is no customer with this id", "没有此编号的客户")
_NOBODY = FieldError(
    "", "not_found", "Nobody has these keys, and the import only updates", "未找到对应客户，且仅允许更新"
)
_SHARED_PHONE = FieldError(
    "/mobile",
    "not_a_mobile",
    "A landline is shared and says not who it is: give a mobile number, an e-mail address or an id",
    "固定电话由多人共用，无法确定客户：请提供手机号、邮箱或编号",
)
_CHILD = FieldError(
    "/birthday",
    GuardianConsentRequired.code,
    "The customer is under 14: import the row without the birthday, record the guardian's consent (POST /v1/customers/"
    "{id}/consents with purpose 'guardian'), then import the birthday",
    "该客户未满 14 周岁：请先导入不含生日的行，记录监护人同意（POST /v1/customers/{id}/consents，用途 guardian），"
    "再导入生日",
)
_OTHERS_IDENTITY = FieldError(
    "/external_id",
    "identity_taken",
    "This identity belongs to another customer than the one the row is matched with",
    "该平台身份属于另一位客户，与匹配到的客户不一致",
)
