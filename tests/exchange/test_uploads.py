"""Uploads, previews, saved mappings, and the error file."""

import csv
import io
from typing import ClassVar

import pytest

from crm_api.exchange import jobs
from tests.exchange.files import imported, ndjson, rows, upload, workbook, worked
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

MEMBERS = "会员卡号,姓名,手机号,备用\nA1,王小明,13812345678,x\nA2,李雷,123,y\n".encode()


async def begin(client, upload_id, kind="customers", **how):
    return await client.post("/v1/imports/start", json={"upload_id": upload_id, "kind": kind, **how})


class TestUpload:
    async def test_is_read_preview_rehearsed_and_imported(self, client, database):
        sent = await upload(client, MEMBERS, "C:\\members.csv")
        assert (sent["filename"], sent["format"], sent["header"][0]) == ("members.csv", "csv", "会员卡号")
        defaults = {"platform": "store"}
        for dry in (True, False):
            started = await begin(client, sent["id"], defaults=defaults, dry_run=dry)
            assert started.status_code == 202, started.text
            done = await worked(client, database, started.json()["id"])
            assert (done["dry_run"], done["created"], done["failed"], done["error"]) == (dry, 1, 1, None)
            assert len((await client.get("/v1/customers")).json()["data"]) == (0 if dry else 1)
        # It has been imported and is of no more use.
        assert (await client.get(f"/v1/uploads/{sent['id']}")).status_code == 404
        gone = await begin(client, sent["id"], defaults=defaults)
        assert [each["code"] for each in gone.json()["errors"]] == ["unknown_upload"]

    async def test_workbook_with_a_sheet(self, client, database):
        data = workbook(["x", "y"], more={"会员": [["姓名", "手机号", "生日"], ["王小明", 13812345678.0, 33100]]})
        done = await imported(client, database, data, sheet="会员")
        assert (done["created"], done["format"], done["sheet"]) == (1, "xlsx", "会员")
        assert done["processed_bytes"] == done["total_bytes"]
        [row] = await rows(client, done)
        stored = (await client.get(f"/v1/customers/{row['resource_id']}")).json()
        assert stored["contact_points"][0]["value"] == "+8613812345678"
        assert stored["birthday"] | {"calendar": "solar"} == stored["birthday"]
        assert (stored["birthday"]["year"], stored["birthday"]["month"], stored["birthday"]["day"]) == (1990, 8, 15)
        assert row["line"] == 2

    async def test_ndjson(self, client, database):
        data = ndjson({"name": "王小明", "mobile": "13812345678", "tags": ["vip", "新客"]}, {"name": "x"}, [1])
        done = await imported(client, database, data)
        assert (done["format"], done["created"], done["failed"]) == ("ndjson", 1, 2)
        found = await rows(client, done)
        assert [[each["code"] for each in row["errors"]] for row in found] == [[], ["no_key"], ["malformed_json"]]

    async def test_of_another_shop(self, client, app, other_tenant):
        sent = await upload(client, MEMBERS)
        async with client_of(app, other_tenant.key) as other:
            assert (await other.get(f"/v1/uploads/{sent['id']}")).status_code == 404
            refused = await begin(other, sent["id"], defaults={"platform": "store"})
            assert refused.json()["errors"][0]["code"] == "unknown_upload"

    async def test_goes_after_a_day(self, client, database, tenant):
        sent = await upload(client, MEMBERS)
        async with database.write(tenant.actor) as unit:
            await unit.connection.execute(
                "UPDATE uploads SET expires_at = now() - interval '1 minute' WHERE id = $1", sent["id"]
            )
        await jobs.forget_uploads(database)
        assert (await client.get(f"/v1/uploads/{sent['id']}")).status_code == 404
        async with database.read(tenant.actor) as unit:
            assert (
                await unit.connection.fetchval("SELECT count(*) FROM upload_blocks WHERE tenant_id = $1", tenant.id)
                == 0
            )


async def preview(client, sent, kind="customers", **how):
    response = await client.post("/v1/imports/preview", json={"upload_id": sent["id"], "kind": kind, **how})
    assert response.status_code == 200, response.text
    return response.json()


class TestPreview:
    async def test_tells_what_it_guessed_ignored_and_misses(self, client):
        sent = await upload(client, MEMBERS)
        told = await preview(client, sent)
        assert told["columns"] == {"会员卡号": "external_id", "姓名": "name", "手机号": "mobile"}
        assert told["ignored"] == ["备用"]
        assert [each["code"] for each in told["problems"]] == ["missing_column"]
        told = await preview(client, sent, defaults={"platform": "store"}, mapping={"备用": "notes"})
        assert (told["problems"], told["ignored"]) == ([], [])
        assert told["sample"][0] == {"line": 2, "cells": ["A1", "王小明", "13812345678", "x"], "errors": []}
        assert next(each for each in told["available"] if each["name"] == "mobile")["header"] == "手机号"

    async def test_own_attributes_are_columns(self, client, database):
        definition = {
            "key": "shoe_size",
            "entity": "customer",
            "type": "number",
            "label": {"zh": "鞋码", "en": "Shoe size"},
        }
        assert (await client.post("/v1/attribute-definitions", json=definition)).status_code == 201
        data = "姓名,手机号,鞋码\n王小明,13812345678,40\n李雷,13912345678,big\n".encode()
        told = await preview(client, await upload(client, data))
        assert told["columns"]["鞋码"] == "attributes.shoe_size"
        done = await imported(client, database, data)
        found = await rows(client, done)
        assert [(row["verdict"], [e["column"] for e in row["errors"]]) for row in found] == [
            ("created", []),
            ("failed", ["attributes.shoe_size"]),
        ]
        stored = (await client.get(f"/v1/customers/{found[0]['resource_id']}")).json()
        assert stored["attributes"] == {"shoe_size": 40}

    async def test_over_graphql(self, client):
        sent = await upload(client, MEMBERS)
        query = """
          query P($id: ID!) { importPreview(input: {uploadId: $id, kind: CUSTOMERS}) {
            preview { ignored problems { code } columns sample { line cells } } } }
        """
        answer = await client.post("/graphql", json={"query": query, "variables": {"id": sent["id"]}})
        told = answer.json()
        assert "errors" not in told, told
        assert told["data"]["importPreview"]["preview"]["ignored"] == ["备用"]


class TestMappings:
    BODY: ClassVar = {
        "name": "门店系统",
        "kind": "customers",
        "columns": {"备用": "notes", "没有": "city"},
        "defaults": {"platform": "store"},
        "match_by": ["identity", "mobile"],
        "mode": "create_only",
    }

    async def test_saved_and_used(self, client, database):
        made = await client.post("/v1/import-mappings", json=self.BODY)
        assert made.status_code == 201, made.text
        body = made.json()
        listed = await client.get("/v1/import-mappings", params={"kind": "customers"})
        assert listed.json()["data"] == [body]
        sent = await upload(client, MEMBERS)
        started = (await begin(client, sent["id"], mapping_id=body["id"])).json()
        assert started["columns"]["备用"] == "notes"
        assert (started["defaults"], started["match_by"], started["mode"]) == (
            {"platform": "store"},
            ["identity", "mobile"],
            "create_only",
        )
        changed = await client.patch(f"/v1/import-mappings/{body['id']}", json={"mode": "upsert"})
        assert (changed.json()["mode"], changed.json()["columns"]) == ("upsert", body["columns"])
        assert (await client.delete(f"/v1/import-mappings/{body['id']}")).status_code == 204
        assert (await client.get(f"/v1/import-mappings/{body['id']}")).status_code == 404

    @pytest.mark.parametrize(
        ("change", "pointer", "code"),
        [
            ({"columns": {"a": "nothing"}}, "/columns/a", "unknown_column"),
            ({"columns": {"a": "city", "b": "city"}}, "/columns", "duplicate_column"),
            ({"defaults": {"nothing": "x"}}, "/defaults/nothing", "unknown_column"),
            ({"defaults": {"birthday": "soon"}}, "/defaults/birthday", "bad_date"),
            ({"kind": "products", "columns": {}, "defaults": {}}, "/match_by", "unknown_choice"),
            ({"kind": "refunds", "columns": {}, "defaults": {}, "match_by": []}, "/mode", "unknown_choice"),
        ],
    )
    async def test_refused(self, client, change, pointer, code):
        response = await client.post("/v1/import-mappings", json={**self.BODY, **change})
        assert response.status_code == 422, response.text
        assert [(each["pointer"], each["code"]) for each in response.json()["errors"]] == [(pointer, code)]

    async def test_one_name_per_kind(self, client):
        await client.post("/v1/import-mappings", json=self.BODY)
        again = await client.post("/v1/import-mappings", json=self.BODY)
        assert (again.status_code, again.json()["errors"][0]["pointer"]) == (409, "/name")


class TestErrorFile:
    async def test_corrected_and_sent_again(self, client, database):
        lines = ["姓名,手机号,备注", "王小明,+8613812345678,=1+1", "=cmd|' /C calc'!A0,12,-x", "李雷,13912345678,@a"]
        done = await imported(client, database, "\n".join(lines).encode())
        assert (done["created"], done["failed"]) == (2, 1)
        response = await client.get(f"/v1/imports/{done['id']}/errors.csv")
        assert response.headers["content-type"] == "text/csv; charset=utf-8"
        assert response.content.startswith(b"\xef\xbb\xbf")
        [header, row] = csv.reader(io.StringIO(response.content.decode("utf-8-sig")))
        assert header == ["crm_line", "crm_errors", "姓名", "手机号", "备注"]
        assert row[0] == "3"
        assert row[1].startswith("手机号: ")  # as the file calls it
        assert row[2:] == ["'=cmd|' /C calc'!A0", "12", "'-x"]  # no spreadsheet runs these
        corrected = response.content.replace(b",12,", b",13712345678,")
        again = await imported(client, database, corrected)
        assert (again["created"], again["failed"]) == (1, 0)
        [made] = await rows(client, again)
        stored = (await client.get(f"/v1/customers/{made['resource_id']}")).json()
        assert (stored["name"], stored["notes"]) == ("=cmd|' /C calc'!A0", "-x")

    async def test_of_an_import_without_failures_and_of_none(self, client, database):
        done = await imported(client, database, "姓名,手机号\n王小明,13812345678\n".encode())
        response = await client.get(f"/v1/imports/{done['id']}/errors.csv")
        assert response.text.splitlines() == ["\ufeffcrm_line,crm_errors,姓名,手机号"]
        assert (await client.get(f"/v1/imports/{done['upload_id']}/errors.csv")).status_code == 404


class TestDefaultsAndModes:
    async def test_a_bad_default(self, client):
        sent = await upload(client, MEMBERS)
        refused = await begin(client, sent["id"], defaults={"platform": "Tao Bao", "nothing": "1"})
        assert [(each["pointer"], each["code"]) for each in refused.json()["errors"]] == [
            ("/defaults/platform", "bad_format"),
            ("/defaults/nothing", "unknown_column"),
        ]

    async def test_modes(self, client, database):
        known = "姓名,手机号\n王小明,13812345678\n".encode()
        both = "姓名,手机号\n王大明,13812345678\n李雷,13912345678\n".encode()
        first = await imported(client, database, known)
        [row] = await rows(client, first)
        only_new = await imported(client, database, both, mode="create_only")
        assert (only_new["created"], only_new["duplicate"], only_new["updated"]) == (1, 1, 0)
        assert (await rows(client, only_new, verdict="duplicate"))[0]["resource_id"] == row["resource_id"]
        third = "姓名,手机号\n王大明,13812345678\n韩梅梅,13712345678\n".encode()
        only_known = await imported(client, database, third, mode="update_only")
        assert (only_known["updated"], only_known["failed"]) == (1, 1)
        assert (await rows(client, only_known, verdict="failed"))[0]["errors"][0]["code"] == "not_found"

    async def test_matched_by_the_chosen_key_only(self, client, database):
        first = "姓名,手机号,邮箱\n王小明,13812345678,w@example.com\n".encode()
        await imported(client, database, first)
        done = await imported(
            client, database, "姓名,手机号,邮箱\n王,13912345678,w@example.com\n".encode(), match_by="email"
        )
        assert (done["updated"], done["match_by"]) == (1, ["email"])
        refused = await client.post(
            "/v1/imports", data={"kind": "customers", "match_by": "email,shoe"}, files={"file": ("a.csv", first)}
        )
        assert refused.json()["errors"][0]["pointer"] == "/match_by"
