"""A customer as a bulk write leaves it: pure bookkeeping, stored in one go at the end."""

from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from crm_api.core.errors import FieldError
from crm_api.core.ids import new_id
from crm_api.customers import rules
from crm_api.customers.models import MAX_TAGS, CustomerRow, CustomerRowVerdict

Pair = tuple[str, str]


@dataclass(slots=True)
class Draft:
    """One customer in the course of a bulk write.

    Attributes:
        id: the customer's.
        is_new: to be inserted.
        is_deleted: softly; nothing may be written to it.
        values: its columns.
        contacts: (kind, value) of every contact point, old and new.
        identities: (platform, external id), old and new.
        tags: old and new.
        before: what changed columns were.
        new_contacts: (kind, value, is_primary) to insert.
        new_identities: to insert.
        new_tags: to insert.

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

    @property
    def name(self) -> str:
        """Its name."""
        name: str = self.values["name"]
        return name

    @property
    def changed(self) -> bool:
        """Whether anything has to be stored."""
        return bool(self.before or self.new_contacts or self.new_identities or self.new_tags)

    @property
    def is_searchable_changed(self) -> bool:
        """Whether the search box must learn something."""
        return "name" in self.before or bool(self.new_contacts or self.new_identities)

    def take(self, row: CustomerRow, contacts: list[Pair]) -> Literal["updated", "unchanged"]:
        """Apply a row; returns whether it said anything new."""
        news = self._take_values(row)
        for kind, value in contacts:
            if (kind, value) not in self.contacts:
                first = all(known != kind for known, _ in self.contacts)
                self.new_contacts.append((kind, value, first))
                self.contacts.add((kind, value))
                news = True
        if row.platform is not None and row.external_id is not None:
            identity = (row.platform, row.external_id)
            if identity not in self.identities:
                self.new_identities.append(identity)
                self.identities.add(identity)
                news = True
        for tag in row.tags:
            if tag not in self.tags:
                self.new_tags.append(tag)
                self.tags.add(tag)
                news = True
        return "updated" if news else "unchanged"

    def _take_values(self, row: CustomerRow) -> bool:
        given: dict[str, Any] = dict(row.profile)
        if row.birthday is not None:
            given |= rules.birth_columns(row.birthday)
        changes = {name: value for name, value in given.items() if self.values.get(name) != value}
        for name, value in changes.items():
            self.before.setdefault(name, self.values.get(name))
            self.values[name] = value
        return bool(changes)

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

    """

    drafts: dict[UUID, Draft]
    by_identity: dict[Pair, UUID]
    by_contact: dict[Pair, set[UUID]]

    def decide(self, row: CustomerRow, contacts: list[Pair]) -> CustomerRowVerdict:
        """Apply one row to the customer it means, or to a new one."""
        draft, error = self._meant(row, contacts)
        if error is None and draft is None and "name" not in row.profile:
            error = FieldError("/name", "required", "A new customer needs a name", "新客户必须有姓名")
        if error is None and draft is not None and len(draft.tags | set(row.tags)) > MAX_TAGS:
            error = FieldError("/tags", "too_many", f"At most {MAX_TAGS} tags", f"标签最多 {MAX_TAGS} 个")
        if error is not None:
            return CustomerRowVerdict(None, "failed", (error,))
        target = draft or self._new()
        verdict = target.take(row, contacts)
        self._learn(target, row, contacts)
        return CustomerRowVerdict(target.id, verdict if draft else "created")

    def _new(self) -> Draft:
        draft = Draft(new_id(), is_new=True)
        self.drafts[draft.id] = draft
        return draft

    def _meant(self, row: CustomerRow, contacts: list[Pair]) -> tuple[Draft | None, FieldError | None]:
        if row.platform is not None and row.external_id is not None:
            known = self.by_identity.get((row.platform, row.external_id))
            if known is not None:
                draft = self.drafts[known]
                return draft, _DELETED if draft.is_deleted else None
        for contact in contacts:
            owners = self.by_contact.get(contact, set())
            if len(owners) > 1:
                return None, FieldError(
                    f"/{contact[0]}",
                    "ambiguous_customer",
                    "Several customers have this contact point: give platform and external_id",
                    "多个客户使用此联系方式：请提供 platform 和 external_id",
                )
            for owner in owners:
                return self.drafts[owner], None
        return None, None

    def _learn(self, draft: Draft, row: CustomerRow, contacts: list[Pair]) -> None:
        if row.platform is not None and row.external_id is not None:
            self.by_identity[row.platform, row.external_id] = draft.id
        for contact in contacts:
            self.by_contact.setdefault(contact, set()).add(draft.id)


_DELETED = FieldError("/external_id", "customer_deleted", "This customer has been deleted", "该客户已被删除")
