"""Workbooks and NDJSON for tests."""

import io
import json
import zipfile
from typing import Any

import httpx
import xlsxwriter

from crm_api.db.pool import Database
from crm_api.exchange import jobs
from tests.support.imports import tenant_of


def workbook(
    *rows: list[Any], sheet: str = "Sheet1", more: dict[str, list[list[Any]]] | None = None, **how: Any
) -> bytes:
    """Return an .xlsx file; ``how`` may have ``edit(book, sheet)``."""
    data = io.BytesIO()
    with xlsxwriter.Workbook(data, {"in_memory": True, "default_date_format": "yyyy-mm-dd hh:mm"}) as book:
        for name, lines in {sheet: list(rows), **(more or {})}.items():
            page = book.add_worksheet(name)
            for number, row in enumerate(lines):
                for place, value in enumerate(row):
                    page.write(number, place, value)
        if "edit" in how:
            how["edit"](book, book.get_worksheet_by_name(sheet))
    return data.getvalue()


def repacked(data: bytes, **parts: bytes) -> bytes:
    """Return a workbook with some of its parts replaced; ``__`` in a name stands for ``/``, ``_X`` for ``.X``."""
    out = io.BytesIO()
    names = {name.replace("__", "/").replace("_xml", ".xml"): content for name, content in parts.items()}
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, names.pop(entry.filename, None) or old.read(entry))
        for name, content in names.items():
            new.writestr(name, content)
    return out.getvalue()


def ndjson(*rows: Any) -> bytes:
    """Return one JSON value per line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


async def upload(client: httpx.AsyncClient, data: bytes, name: str = "file.csv", **fields: str) -> dict[str, Any]:
    """Upload a file and return the upload."""
    response = await client.post("/v1/uploads", data=fields, files={"file": (name, data)})
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def imported(
    client: httpx.AsyncClient, database: Database, data: bytes, kind: str = "customers", **how: Any
) -> dict[str, Any]:
    """Upload a file, import it with these fields of the form, do the worker's work, return the import."""
    fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in how.items()}
    response = await client.post("/v1/imports", data={"kind": kind, **fields}, files={"file": ("file", data)})
    assert response.status_code == 202, response.text
    return await worked(client, database, response.json()["id"])


async def worked(client: httpx.AsyncClient, database: Database, import_id: str) -> dict[str, Any]:
    """Do the worker's work for an import and return it."""
    payload = {"tenant_id": str(await tenant_of(client, database)), "import_id": import_id}
    await jobs.run(database, payload)
    body: dict[str, Any] = (await client.get(f"/v1/imports/{import_id}")).json()
    return body


async def undone(client: httpx.AsyncClient, database: Database, of: dict[str, Any]) -> dict[str, Any]:
    """Take an import back and return it."""
    response = await client.post(f"/v1/imports/{of['id']}/undo")
    assert response.status_code == 202, response.text
    await jobs.undo(database, {"tenant_id": str(await tenant_of(client, database)), "import_id": of["id"]})
    body: dict[str, Any] = (await client.get(f"/v1/imports/{of['id']}")).json()
    assert body["undo"]["state"] == "completed", body
    return body


async def rows(client: httpx.AsyncClient, of: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    """Return an import's rows."""
    response = await client.get(f"/v1/imports/{of['id']}/rows", params={"limit": 200, **query})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["data"]
    return found
