"""What can be done with imports."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final
from uuid import UUID

from crm_api.core.errors import Conflict
from crm_api.core.ids import new_id
from crm_api.customers.service import WRITE as WRITE_CUSTOMERS
from crm_api.db.uow import UnitOfWork
from crm_api.exchange import rules
from crm_api.exchange.models import ImportKind
from crm_api.exchange.repository import BLOCK, ImportRepository
from crm_api.exchange.sniff import FileFormat
from crm_api.orders.service import WRITE as WRITE_ORDERS

READ = "imports:read"
WRITE = "imports:write"
JOB = "exchange.import"

SCOPES: Final[Mapping[ImportKind, str]] = {"customers": WRITE_CUSTOMERS, "orders": WRITE_ORDERS}


@dataclass(frozen=True, slots=True)
class Upload:
    """A received file and what the caller says about it.

    Attributes:
        kind: what its rows are.
        filename: as the caller calls it.
        file: its bytes.
        format: how to read them.
        mapping: header of the file → column of ours, where the header itself does not tell.

    """

    kind: ImportKind
    filename: str
    file: BinaryIO
    format: FileFormat
    mapping: Mapping[str, str] = field(default_factory=dict)


class ImportService:
    """Imports: taking a file in and stopping halfway. The work itself is in ``runner.py``."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ImportRepository(unit)

    async def create(self, upload: Upload) -> UUID:
        """Store a file and queue its import, both with this transaction; returns the import's id.

        Needs the scope to write imports and the one to write what the file holds.

        Raises:
            Invalid: header and mapping do not give the columns that are needed.

        """
        self.unit.actor.require(WRITE)
        self.unit.actor.require(SCOPES[upload.kind])
        how = upload.format
        columns = rules.match_columns(upload.kind, how.header, upload.mapping)
        import_id = new_id()
        shown = {"kind": upload.kind, "filename": upload.filename, "total_bytes": how.size}
        await self.repository.insert(
            {
                "id": import_id,
                **shown,
                "sha256": how.sha256,
                "encoding": how.encoding,
                "delimiter": how.delimiter,
                "columns": columns,
                "header": how.header,
                "locale": self.unit.actor.locale,
                "byte_offset": how.offset,
                "line": how.line,
            }
        )
        await self._store(import_id, upload.file)
        self.unit.audit("import.created", "Import", import_id, after={**shown, "sha256": how.sha256.hex()})
        await self.unit.enqueue(JOB, {"import_id": str(import_id)})
        return import_id

    async def _store(self, import_id: UUID, file: BinaryIO) -> None:
        await asyncio.to_thread(file.seek, 0)
        position = 0
        while block := await asyncio.to_thread(file.read, BLOCK):
            await self.repository.store_block(import_id, position, block)
            position += len(block)

    async def cancel(self, import_id: UUID, *, expected_version: int | None = None) -> None:
        """Stop an import for good: rows done so far stay done, no further row is.

        Raises:
            Conflict: it has ended already.

        """
        self.unit.actor.require(WRITE)
        row = await self.repository.get(import_id, lock=True, expected_version=expected_version)
        self.unit.actor.require(SCOPES[row["kind"]])
        if not await self.repository.finish(import_id, {"state": "cancelled"}):
            raise _ENDED
        self.unit.audit(
            "import.cancelled", "Import", import_id, before={"state": row["state"]}, after={"state": "cancelled"}
        )
        tell_finished(self.unit, {**row, "state": "cancelled"})

    async def give_up(self, import_id: UUID, reason: str) -> None:
        """Fail an import whose job failed too often; the rows done so far stay done."""
        if await self.repository.finish(import_id, {"state": "failed", "error_code": "given_up", "error": reason}):
            tell_finished(self.unit, dict(await self.repository.get(import_id)))

    async def enqueue_again(self, import_id: UUID) -> None:
        """Queue an import once more whose job was lost; a second job does no harm."""
        await self.repository.change(import_id, {"lease_until": None})
        await self.unit.enqueue(JOB, {"import_id": str(import_id)})


def tell_finished(unit: UnitOfWork, row: Mapping[str, Any]) -> None:
    """Put the message that an import has ended into the outbox."""
    told = ("kind", "state", "processed", "created", "updated", "unchanged", "failed")
    unit.emit("import.finished", row["id"], {name: row[name] for name in told})


_ENDED = Conflict("The import has ended already", zh="导入已结束", code="import_ended")
