"""Merging customers who are one person, and taking that back.

The rules are in docs/domains/merges.md, the reasons in ADR 0015.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from crm_api.core.errors import Conflict, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.customers.service import READ as CUSTOMERS_READ
from crm_api.customers.service import unknown_customer
from crm_api.db.ownership import Merged, everything, hooks
from crm_api.db.uow import UnitOfWork
from crm_api.merges import rules
from crm_api.merges.models import (
    MAX_LOSERS,
    FieldPreview,
    MergePreview,
    SideValue,
    TableCount,
)
from crm_api.merges.repository import MergeRepository
from crm_api.merges.rules import Decision

READ = "merges:read"
WRITE = "merges:write"

Sides = Mapping[UUID, Any]
"""Customer → row as ``MergeRepository.hold`` returns it."""


class MergeService:
    """Customers become one, over all domains, in one transaction; and become two again."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = MergeRepository(unit)

    # -- merge ---------------------------------------------------------------------------------------------------------

    async def preview(
        self, winner_id: UUID, loser_ids: Sequence[UUID], field_choices: Mapping[str, UUID] | None = None
    ) -> MergePreview:
        """Say what a merge would do; nothing changes, nothing is locked. Raises as `merge`."""
        self.unit.actor.require(WRITE)
        self.unit.actor.require(CUSTOMERS_READ)
        winner_id, sides = await self._sides(winner_id, loser_ids, lock=False)
        decisions = _decide(winner_id, sides, field_choices or {})
        losers = sorted(each for each in sides if each != winner_id)
        counts = await self.repository.counts(winner_id, losers)
        return MergePreview(
            winner_id=winner_id,
            loser_ids=losers,
            fields=[_shown(each) for each in decisions],
            conflicts=[each.field for each in decisions if each.conflict],
            tables=[_count(name, row) for name, row in counts.items()],
        )

    async def merge(
        self, winner_id: UUID, loser_ids: Sequence[UUID], field_choices: Mapping[str, UUID] | None = None
    ) -> UUID:
        """Let customers become one; returns the merge's id.

        Args:
            winner_id: who stays; an id that was merged before means who it became.
            loser_ids: who becomes the winner: 1 to 50 living customers. Their ids answer as the winner's from now on.
            field_choices: field of the profile → the side whose value it gets.

        Raises:
            NotFound: a customer does not exist.
            Invalid: too many or no losers, the winner among them, or a choice that cannot be.
            Conflict: ``already_merged`` (the answer names who the loser became), ``kinds_differ`` (a person and a
                company), ``merge_conflict`` (two rows of theirs cannot both be one customer's).

        """
        self.unit.actor.require(WRITE)
        winner_id, sides = await self._sides(winner_id, loser_ids, lock=True)
        decisions = _decide(winner_id, sides, field_choices or {})
        losers = tuple(sorted(each for each in sides if each != winner_id))
        merged = Merged(new_id(), winner_id, losers)
        profiles = {each: sides[each]["profile"] for each in sides}
        changes = rules.changes(profiles[winner_id], decisions, profiles)
        noted = {name: {"before": profiles[winner_id][name], "after": value} for name, value in changes.items()}
        with _as_conflict():
            await self._take(merged, profiles, noted)
        self._tell(merged, decisions, noted)
        return merged.id

    async def _take(self, merged: Merged, profiles: Mapping[UUID, Any], noted: Mapping[str, Any]) -> None:
        repository, now = self.repository, self.unit.now()
        await self._lock_domains(merged)
        counts = await repository.counts(merged.winner_id, merged.loser_ids)
        await repository.begin(merged.id, merged.winner_id, merged.loser_ids, now)
        await repository.add_sides(merged.id, merged.winner_id, profiles, noted)
        notes = await self._call_hooks("before", merged)
        await repository.set_profile(merged.winner_id, {name: each["after"] for name, each in noted.items()}, now)
        await self._hand_over(merged, counts)
        for name, told in (await self._call_hooks("merged", merged)).items():
            notes[name] = {**notes.get(name, {}), **told}
        await repository.hide(merged.winner_id, merged.loser_ids, now)
        tables = [_count(name, row).model_dump() for name, row in counts.items()]
        await repository.note(merged.id, {"notes": notes, "counts": tables})

    async def _hand_over(self, merged: Merged, counts: Mapping[str, Any]) -> None:
        for owned in everything():
            if owned.changes_hands and owned.name in counts:
                await self.repository.hand_over(owned.name, merged.id, merged.winner_id, merged.loser_ids)

    async def _sides(self, winner_id: UUID, loser_ids: Sequence[UUID], *, lock: bool) -> tuple[UUID, Sides]:
        """Return the winner, and the rows of all sides; they are held in the order of their ids.

        A winner that was merged means who it became; that may happen while this waits for the lock: it looks again.
        """
        _check_ids(winner_id, loser_ids)
        while True:
            wanted = [winner_id, *loser_ids]
            sides = await (self.repository.hold(wanted) if lock else self.repository.look(wanted))
            winner = sides.get(winner_id)
            if winner is None or winner["merged_into_id"] is None:
                self._check_sides(winner_id, loser_ids, sides)
                return winner_id, sides
            winner_id = winner["merged_into_id"]
            if winner_id in loser_ids:
                raise _itself("/winner_id")

    def _check_sides(self, winner_id: UUID, loser_ids: Sequence[UUID], sides: Sides) -> None:
        pointers = {winner_id: "/winner_id"} | {each: f"/loser_ids/{place}" for place, each in enumerate(loser_ids)}
        for customer_id, pointer in pointers.items():
            side = sides.get(customer_id)
            if side is not None and side["merged_into_id"] is not None:
                raise _already(pointer, side["merged_into_id"])
            if side is None or side["deleted_at"] is not None:
                raise unknown_customer(pointer)
        if len({side["profile"]["kind"] for side in sides.values()}) > 1:
            raise _KINDS_DIFFER

    # -- the way back --------------------------------------------------------------------------------------------------

    async def undo(self, merge_id: UUID) -> None:
        """Take a merge back: everybody is again as they were, plus what came after; a second time nothing happens.

        Raises:
            NotFound: there is no such merge.
            Conflict: ``undo_order`` (the winner was merged on: ``undo_first`` names the merges to undo before, in
                order), ``side_erased`` (there is nothing to go back to).

        """
        self.unit.actor.require(WRITE)
        row = await self.repository.lock(merge_id)
        if row["state"] == "undone":
            return
        merged = Merged(merge_id, row["winner_id"], tuple(sorted(row["loser_ids"])))
        held = await self.repository.hold(merged.sides)
        if held[merged.winner_id]["merged_into_id"] is not None:
            raise _order(await self.repository.into(merged.winner_id))
        sides = await self.repository.sides(merge_id)
        if any(sides[each]["before"] is None for each in merged.sides):
            raise _ERASED
        await self._lock_domains(merged, row["notes"])
        with _as_conflict():
            report = await self._give_back(merged, held[merged.winner_id]["profile"], row["notes"], sides)
        self._tell_undone(merged, report)

    async def _give_back(
        self, merged: Merged, profile: Mapping[str, Any], notes: Mapping[str, Any], sides: Sides
    ) -> dict[str, Any]:
        repository, now = self.repository, self.unit.now()
        noted = sides[merged.winner_id]["changes"] or {}
        await repository.show(merged.loser_ids, now)
        tables = await self._return_rows(merged)
        values, kept = rules.restored(profile, noted)
        await repository.set_profile(merged.winner_id, values, now)
        await self._mend_later(merged, noted, {each["table"] for each in tables if each["returned"]})
        told = await self._call_hooks("undone", merged, notes)
        report = {"fields_kept": kept, "tables": tables, "points": told.get("loyalty", {}).get("points", [])}
        await repository.note(merged.id, {"state": "undone", "undone_at": now, "report": report})
        return report

    async def _return_rows(self, merged: Merged) -> list[dict[str, Any]]:
        """Give back all rows of the journal; what was made since goes along where it hangs on one of them."""
        repository = self.repository
        names = await repository.noted_tables(merged.id)
        about = (merged.id, merged.winner_id, merged.loser_ids)
        found: dict[str, dict[str, Any]] = {}
        for owned in everything():
            if owned.name in names:
                row = await repository.give_back(owned.name, *about)
                found[owned.name] = {
                    "table": owned.name,
                    "returned": row["returned"],
                    "followed": 0,
                    "deleted": row["noted"] - row["returned"] - row["elsewhere"],
                    "elsewhere": row["elsewhere"],
                }
        for owned in everything():
            if owned.follows is not None and owned.follows[1] in found:
                followed = await repository.follow(owned.name, *about)
                if followed:
                    empty = {"table": owned.name, "returned": 0, "followed": 0, "deleted": 0, "elsewhere": 0}
                    found.setdefault(owned.name, empty)["followed"] = followed
        return list(found.values())

    async def _mend_later(self, merged: Merged, noted: Mapping[str, Any], tables: Collection[str]) -> None:
        """Let later merges into the same winner stand as if this one had never been.

        Their notes of what they found become what this one had found; and of rows they had not moved, because an equal
        one of this merge's losers was there, they move theirs now.
        """
        for later in await self.repository.later(merged.winner_id, merged.id):
            mended = rules.without(later["changes"] or {}, noted)
            if mended != (later["changes"] or {}):
                await self.repository.set_changes(later["id"], merged.winner_id, mended)
            other = Merged(later["id"], merged.winner_id, tuple(sorted(later["loser_ids"])))
            for owned in everything():
                if owned.on_merge == "unite" and owned.name in tables:
                    await self.repository.reunite(owned.name, other, merged)

    # -- parts ---------------------------------------------------------------------------------------------------------

    async def _lock_domains(self, merged: Merged, notes: Mapping[str, Any] | None = None) -> None:
        await self._call_hooks("lock", merged, notes)

    async def _call_hooks(
        self, phase: str, merged: Merged, notes: Mapping[str, Any] | None = None
    ) -> dict[str, dict[str, Any]]:
        told = {}
        for hook in hooks():
            call = getattr(hook, phase)
            if call is None:
                continue
            mine = Merged(merged.id, merged.winner_id, merged.loser_ids, (notes or {}).get(hook.name, {}))
            said = await call(self.unit, mine)
            if said:
                told[hook.name] = dict(said)
        return told

    def _tell(self, merged: Merged, decisions: Sequence[Decision], noted: Mapping[str, Any]) -> None:
        about = _about(merged)
        reasons = {each.field: each.reason for each in decisions if each.reason in {"chosen", "filled", "any_side"}}
        self.unit.audit(
            "customer.merged",
            "Customer",
            merged.winner_id,
            before={name: each["before"] for name, each in noted.items()},
            after={**about, "fields": {name: each["after"] for name, each in noted.items()}, "reasons": reasons},
        )
        for loser_id in merged.loser_ids:
            self.unit.audit("customer.merged_away", "Customer", loser_id, after=about)
        self.unit.emit("customer.merged", merged.winner_id, {**about, "customer_ids": _ids(merged.sides)})

    def _tell_undone(self, merged: Merged, report: Mapping[str, Any]) -> None:
        about = _about(merged)
        self.unit.audit("customer.unmerged", "Customer", merged.winner_id, after={**about, "report": report})
        for loser_id in merged.loser_ids:
            self.unit.audit("customer.unmerged", "Customer", loser_id, after=about)
        self.unit.emit("customer.unmerged", merged.winner_id, {**about, "customer_ids": _ids(merged.sides)})


def _about(merged: Merged) -> dict[str, Any]:
    return {
        "merge_id": str(merged.id),
        "winner_id": str(merged.winner_id),
        "loser_ids": _ids(merged.loser_ids),
    }


def _ids(ids: Sequence[UUID]) -> list[str]:
    return [str(each) for each in ids]


def _decide(winner_id: UUID, sides: Sides, choices: Mapping[str, UUID]) -> list[Decision]:
    newest = sorted(
        (each for each in sides if each != winner_id), key=lambda each: (sides[each]["updated_at"], each), reverse=True
    )
    return rules.decide(winner_id, {each: sides[each]["profile"] for each in sides}, newest, choices)


def _shown(decision: Decision) -> FieldPreview:
    return FieldPreview(
        field=decision.field,
        values=[SideValue(customer_id=each, value=value) for each, value in decision.values.items()],
        result=decision.result,
        from_id=decision.from_id,
        reason=decision.reason,
        conflict=decision.conflict,
    )


def _count(name: str, row: Any) -> TableCount:
    return TableCount(table=name, moves=row["moves"], unites=row["unites"], stays=row["stays"])


# -- what cannot be ----------------------------------------------------------------------------------------------------


def _check_ids(winner_id: UUID, loser_ids: Sequence[UUID]) -> None:
    if not 1 <= len(loser_ids) <= MAX_LOSERS:
        raise Invalid.field(
            "/loser_ids", "bad_count", f"Name 1 to {MAX_LOSERS} customers", f"请指定 1 到 {MAX_LOSERS} 位客户"
        )
    for place, loser_id in enumerate(loser_ids):
        if loser_id in loser_ids[:place]:
            raise Invalid.field(f"/loser_ids/{place}", "repeated", "Name each customer once", "每位客户只能出现一次")
    if winner_id in loser_ids:
        raise _itself(f"/loser_ids/{list(loser_ids).index(winner_id)}")


def _itself(pointer: str) -> Invalid:
    return Invalid.field(pointer, "merge_with_itself", "A customer cannot be merged into itself", "客户不能与自身合并")


def _already(pointer: str, merged_into_id: UUID) -> Conflict:
    message = f"This customer was merged into {merged_into_id}: name that one"
    zh = f"该客户已合并到 {merged_into_id}：请改用该客户"
    return Conflict(
        message,
        zh=zh,
        code="already_merged",
        errors=[FieldError(pointer, "already_merged", message, zh)],
        extra={"merged_into_id": str(merged_into_id)},
    )


def _order(merges: Sequence[UUID]) -> Conflict:
    first = ", ".join(str(each) for each in merges)
    return Conflict(
        f"The winner was merged on since: undo first, in this order: {first}",
        zh=f"保留的客户此后又被合并：请先依次撤销 {first}",
        code="undo_order",
        extra={"undo_first": [str(each) for each in merges]},
    )


_KINDS_DIFFER = Conflict(
    "A person and a company cannot become one: make the person a contact of the company instead",
    zh="个人与公司不能合并：可将此人设为公司的联系人",
    code="kinds_differ",
)
_ERASED = Conflict(
    "A side of this merge was erased since: there is nothing to go back to",
    zh="合并中的客户数据已被删除，无法恢复",
    code="side_erased",
)


@contextlib.contextmanager
def _as_conflict() -> Iterator[None]:
    """Say that two rows cannot both be one customer's, instead of failing."""
    try:
        yield
    except (asyncpg.UniqueViolationError, asyncpg.CheckViolationError) as error:
        raise Conflict(
            f"Two rows in '{error.table_name}' cannot both be one customer's: change or remove one, then try again",
            zh=f"“{error.table_name}” 中有两条记录不能同属一位客户：请修改或删除其中一条后重试",
            code="merge_conflict",
            extra={"table": error.table_name, "constraint": error.constraint_name},
        ) from error
