"""What can be done with exports. The work itself is in ``runner.py``.

An export may do no more than the key that asked for it: its scopes are frozen into the export. Whoever fetches the file
must be allowed to see all that is in it, or have been given a link by somebody who is.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from pydantic import TypeAdapter, ValidationError

from crm_api.accounts.service import AccountService
from crm_api.attributes.service import check_listing, definitions_of
from crm_api.core.actor import Actor
from crm_api.core.errors import Conflict, FieldError, Forbidden, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.core.models import Instant
from crm_api.core.rules import RuleTree
from crm_api.db.plans.selection import Selection, whole
from crm_api.db.pool import Database
from crm_api.db.projections import Projection, projections, wire_model
from crm_api.db.uow import UnitOfWork
from crm_api.exports import rules
from crm_api.exports.columns import Column, columns_of
from crm_api.exports.formats import EXTENSIONS
from crm_api.exports.models import ExportLink, ExportStart
from crm_api.exports.repository import ExportRepository, Listing, chosen, linked, takes_rules

log = structlog.get_logger(__name__)

READ = "exports:read"
WRITE = "exports:write"
JOB = "exports.run"
BLOCK: Final = 512 * 1024


def resources() -> dict[str, Projection]:
    """Return what can be exported: everything that can be read by itself, by its name in the plural."""
    return {rules.plural(each.name): each for each in projections() if each.node}


@dataclass(frozen=True, slots=True)
class File:
    """A finished file, on its way to somebody.

    Attributes:
        name: to save it as.
        media_type: of its content.
        size: in bytes.
        blocks: its content.

    """

    name: str
    media_type: str
    size: int
    blocks: AsyncIterator[bytes]


class ExportService:
    """Exports: asked for, followed, stopped, fetched, deleted."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ExportRepository(unit)

    async def start(self, data: ExportStart) -> UUID:
        """Queue an export, with this transaction; returns its id.

        Raises:
            Invalid: there is no such resource, field, filter or order, or the rule is wrong.
            Forbidden: the key may not read it.

        """
        actor = self.unit.actor
        actor.require(WRITE)
        of = _resource(data.resource)
        actor.require(of.scope)
        names = await self._names(of, data)
        listing = await self._listing(of, names, _filters_of(of, data), data.order, data.rule)
        await listing.check(self.unit)
        if data.format != "ndjson":
            await self._require_columns(of, names, listing.fields)
        export_id = new_id()
        shown = {
            "resource": data.resource,
            "filters": _filters_of(of, data),
            "rule": None if listing.rule is None else listing.rule.rule.document,
            "fields": names,
            "format": data.format,
            "masked": not actor.may(rules.REVEAL),
        }
        zone = data.time_zone or (await AccountService(self.unit).tenant()).time_zone
        how = {"sort": data.order, "bom": data.bom, "headers": data.headers, "time_zone": zone, "locale": actor.locale}
        whose = {"actor_kind": actor.kind, "actor_id": actor.id, "scopes": sorted(actor.scopes)}
        await self.repository.insert({"id": export_id, **shown, **how, **whose})
        self.unit.audit("export.requested", "Export", export_id, after=shown)
        await self.unit.enqueue(JOB, {"export_id": str(export_id)})
        return export_id

    async def cancel(self, export_id: UUID, *, expected_version: int | None = None) -> None:
        """Stop an export for good.

        Raises:
            Conflict: ``export_ended``: it has ended already.

        """
        self.unit.actor.require(WRITE)
        row = await self.repository.get(export_id, lock=True, expected_version=expected_version)
        if not await self.repository.finish(export_id, {"state": "cancelled"}):
            raise _ENDED
        told = {"state": "cancelled"}
        self.unit.audit("export.cancelled", "Export", export_id, before={"state": row["state"]}, after=told)
        tell_finished(self.unit, {**row, **told})

    async def delete(self, export_id: UUID, *, expected_version: int | None = None) -> None:
        """Delete an export, its file and its link, in whatever state it is."""
        self.unit.actor.require(WRITE)
        row = await self.repository.get(export_id, lock=True, expected_version=expected_version)
        await self.repository.remove(export_id)
        told = {name: row[name] for name in ("resource", "format", "state", "rows")}
        self.unit.audit("export.deleted", "Export", export_id, before=told)

    async def link(self, export_id: UUID) -> ExportLink:
        """Make a link that opens the file without a key for a while; one that was made before stops.

        Raises:
            Conflict: ``export_not_ready`` or ``export_expired``.
            Forbidden: the key may not see all that is in the file.

        """
        self.unit.actor.require(WRITE)
        row = dict(await self.repository.get(export_id, lock=True))
        await self._require_all_of(row)
        self._require_file(row)
        secret, hours = rules.new_secret(), self.unit.settings.export_link_hours
        until = min(row["expires_at"], self.unit.now() + timedelta(hours=hours))
        await self.repository.change(export_id, {"link_hash": rules.hash_secret(secret), "link_expires_at": until})
        self.unit.audit("export.link_created", "Export", export_id, after={"expires_at": until.isoformat()})
        return ExportLink(download_path=f"/v1/exports/{export_id}/download?token={secret}", expires_at=until)

    async def fetch(self, export_id: UUID, *, by_link: bool = False) -> dict[str, Any]:
        """Return an export whose file is to be sent; that somebody took it is audited.

        Raises:
            NotFound: there is no such export.
            Conflict: ``export_not_ready`` or ``export_expired``.
            Forbidden: the key may not see all that is in the file.

        """
        self.unit.actor.require(READ)
        row = dict(await self.repository.get(export_id))
        if not by_link:
            # First of all, so that nobody learns the state of what they may not have.
            await self._require_all_of(row)
        self._require_file(row)
        told = {"resource": row["resource"], "rows": row["rows"], "by_link": by_link, "sha256": row["sha256"]}
        self.unit.audit("export.downloaded", "Export", export_id, after=told)
        return row

    async def _require_all_of(self, row: Mapping[str, Any]) -> None:
        """Raise Forbidden unless the caller could have made this very file."""
        actor = self.unit.actor
        of = _resource(row["resource"])
        actor.require(of.scope)
        theirs = frozenset(row["scopes"])
        try:
            listing = await self.listing_of(row)
            await listing.check(self.unit)
            same = whole(of, theirs, listing.fields) == whole(of, actor.scopes, listing.fields)
        except Invalid:
            # What it names is no more, an attribute say: then only who may do all that its maker could.
            same = all(actor.may(scope) for scope in theirs)
        if not same:
            raise _MORE
        if not row["masked"]:
            actor.require(rules.REVEAL)

    def _require_file(self, row: Mapping[str, Any]) -> None:
        over = row["expires_at"] is not None and row["expires_at"] <= self.unit.now()
        if row["state"] == "expired" or over:
            raise Conflict(
                "This file was deleted: export again", zh="该文件已过期删除：请重新导出", code="export_expired"
            )
        if row["state"] != "completed":
            raise Conflict(
                f"There is no file: the export is {row['state']}",
                zh=f"文件不可用：当前状态 {row['state']}",
                code="export_not_ready",
                extra={"state": row["state"]},
            )

    # -- what is exported ------------------------------------------------------------------------------------------

    async def _names(self, of: Projection, data: ExportStart) -> list[str]:
        """Return the names of fields and columns to export, all of them checked."""
        scopes = self.unit.actor.scopes
        if data.fields is None:
            return [each.field for each in whole(of, scopes)]
        known = set() if data.format == "ndjson" else {each.name for each in await self._all_columns(of)}
        shown = wire_model(of.name).model_fields
        errors = [
            FieldError(
                f"/fields/{place}",
                "unknown_field",
                f"There is no field or column '{name[:60]}'; there are: {', '.join(sorted({*shown, *known}))}",
                f"没有字段或列 “{name[:60]}”；可用：{'、'.join(sorted({*shown, *known}))}",
            )
            for place, name in enumerate(data.fields)
            if name not in shown and name not in known
        ]
        if errors:
            raise Invalid(errors=errors)
        return list(dict.fromkeys(data.fields))

    async def _require_columns(self, of: Projection, names: Sequence[str], fields: Sequence[str]) -> None:
        """Refuse a column of something inside a field that the caller may not see."""
        theirs = await columns(self.unit, of, whole(of, self.unit.actor.scopes, fields))
        there = {*fields, *(each.name for each in theirs)}
        lacking = [name for name in names if name not in there]
        if lacking:
            shown = ", ".join(lacking)
            raise Forbidden(f"This key may not see: {shown}", zh=f"此密钥无权查看：{shown}", extra={"fields": lacking})

    async def _listing(
        self,
        of: Projection,
        names: Sequence[str],
        filters: Mapping[str, Any],
        order: str | None,
        rule: RuleTree | Mapping[str, Any] | None,
    ) -> Listing:
        values = _checked_filters(of, filters)
        if takes_rules(of):
            await check_listing(self.unit, "customer", values.get("attribute"), order)
        elif rule is not None:
            raise _NO_RULE
        found = None if rule is None else await chosen(self.unit, rule)
        return Listing(of, values, order, await self._fields(of, names), found)

    async def _fields(self, of: Projection, names: Sequence[str]) -> list[str]:
        """Return the resource's fields that these fields and columns come from."""
        shown = wire_model(of.name).model_fields
        if all(name in shown for name in names):
            return list(names)
        home = {each.name: each.field for each in await self._all_columns(of)}
        # An attribute may have gone meanwhile; its column is empty then.
        fields = [name if name in shown else home.get(name, name.partition(".")[0]) for name in names]
        return list(dict.fromkeys(fields))

    async def _all_columns(self, of: Projection) -> list[Column]:
        """Return the columns there are, whoever asks: what the caller lacks is refused by name afterwards."""
        return await columns(self.unit, of, whole(of, Actor.system(self.unit.tenant_id).scopes))

    async def listing_of(self, row: Mapping[str, Any]) -> Listing:
        """Return the list an export reads, checked again for the unit's actor."""
        of = _resource(row["resource"])
        return await self._listing(of, row["fields"], row["filters"], row["sort"], row["rule"])

    # -- for the worker --------------------------------------------------------------------------------------------

    async def give_up(self, export_id: UUID, reason: str) -> None:
        """Fail an export whose job failed too often."""
        if await self.repository.finish(export_id, {"state": "failed", "error_code": "given_up", "error": reason}):
            self.unit.audit("export.failed", "Export", export_id, after={"error_code": "given_up"})
            tell_finished(self.unit, dict(await self.repository.get(export_id)))

    async def enqueue_again(self, export_id: UUID) -> None:
        """Queue an export once more whose job was lost; a second job does no harm."""
        await self.repository.change(export_id, {"lease_until": None})
        await self.unit.enqueue(JOB, {"export_id": str(export_id)})

    async def expire(self) -> None:
        """Delete the tenant's files whose time is over."""
        for export_id in await self.repository.expire(self.unit.now()):
            self.unit.audit("export.expired", "Export", export_id)


async def columns(unit: UnitOfWork, of: Projection, selections: Sequence[Selection]) -> list[Column]:
    """Return the columns of what is selected, the tenant's own attributes among them."""
    return columns_of(of, selections, await definitions_of(unit, of.name.lower()))


def tell_finished(unit: UnitOfWork, row: Mapping[str, Any]) -> None:
    """Put the message that an export has ended into the outbox."""
    told = {name: row[name] for name in ("resource", "format", "state", "rows")}
    unit.emit("export.finished", row["id"], {"export_id": str(row["id"]), **told})


# -- downloads ---------------------------------------------------------------------------------------------------------


async def open_file(database: Database, actor: Actor, export_id: UUID) -> File:
    """Return the file for somebody with a key. Raises as `ExportService.fetch`."""
    async with database.write(actor) as unit:
        return _file(database, actor, await ExportService(unit).fetch(export_id))


async def open_linked_file(database: Database, export_id: UUID, secret: str) -> File:
    """Return the file for somebody with a link.

    Raises:
        NotFound: no such link, or its time is over; which of these is not told.

    """
    async with database.system() as connection:
        candidates = await linked(connection, export_id)
    now = database.clock.now()
    for tenant_id, digest, until in candidates:
        if rules.fits(secret, digest) and until > now:
            actor = Actor.system(tenant_id, f"export-link:{export_id}")
            async with database.write(actor) as unit:
                return _file(database, actor, await ExportService(unit).fetch(export_id, by_link=True))
    raise NotFound


def _file(database: Database, actor: Actor, row: Mapping[str, Any]) -> File:
    extension, media_type = EXTENSIONS[row["format"]]
    name = f"{row['resource']}-{row['as_of']:%Y%m%d-%H%M%S}.{extension}"
    return File(name, media_type, row["size_bytes"], _blocks(database, actor, row["id"], row["size_bytes"]))


async def _blocks(database: Database, actor: Actor, export_id: UUID, size: int) -> AsyncIterator[bytes]:
    """Yield the file block by block, each read in a unit of its own: a slow reader holds no connection."""
    position = 0
    while position < size:
        # Not from a replica: it may not have the file yet.
        async with database.write(actor) as unit:
            data = await ExportRepository(unit).block(export_id, position)
        if data is None:  # deleted meanwhile: the answer ends before its length, which every client notices
            log.warning("export_deleted_while_sent", export_id=str(export_id))
            return
        yield data
        position += len(data)


# -- what a caller names -----------------------------------------------------------------------------------------------


def _resource(name: str) -> Projection:
    found = resources().get(name)
    if found is None:
        known = ", ".join(sorted(resources()))
        raise Invalid.field("/resource", "unknown_resource", f"It is one of: {known}", f"可选值：{known}")
    return found


def _filters_of(of: Projection, data: ExportStart) -> dict[str, Any]:
    if data.segment_id is None:
        return dict(data.filters)
    if not takes_rules(of):
        raise Invalid.field("/segment_id", "not_customers", "Only customers are in segments", "只有客户可以按分群导出")
    if "segment_id" in data.filters:
        raise Invalid.field("/segment_id", "duplicate", "Send it once", "只能提交一次")
    return {**data.filters, "segment_id": str(data.segment_id)}


def _checked_filters(of: Projection, given: Mapping[str, Any]) -> dict[str, Any]:
    errors: list[FieldError] = []
    values: dict[str, Any] = {}
    for name, value in given.items():
        known = of.filters.get(name)
        if known is None:
            names = ", ".join(sorted(of.filters)) or "–"
            errors.append(
                FieldError(
                    f"/filters/{_token(name)}",
                    "unknown_filter",
                    f"There is no filter '{name}'; there are: {names}",
                    f"没有筛选条件 “{name}”；可用：{names}",
                )
            )
            continue
        try:
            values[name] = _adapter(known.type).validate_python(value)
        except ValidationError as error:
            told = error.errors(include_url=False)[0]["msg"]
            errors.append(
                FieldError(
                    f"/filters/{_token(name)}",
                    "bad_filter",
                    f"This is no value for the filter '{name}': {told}",
                    f"筛选条件 “{name}” 的值无效",
                )
            )
    if errors:
        raise Invalid(errors=errors)
    return values


def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(Instant if kind is datetime else kind)


def _token(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


_ENDED: Final = Conflict("The export has ended already", zh="导出已结束", code="export_ended")
_NO_RULE: Final = Invalid.field(
    "/rule", "not_customers", "Rules select customers only: use filters here", "规则只能选择客户：请改用筛选条件"
)
_MORE: Final = Forbidden(
    "This file has more in it than this key may see: export it with this key",
    zh="该文件包含此密钥无权查看的内容：请使用此密钥重新导出",
)
