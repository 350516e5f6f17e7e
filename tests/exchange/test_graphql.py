"""Imports in GraphQL."""

import pytest

from tests.support.imports import finished, order, orders_csv, start

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def ask(client, query, **variables):
    response = await client.post("/graphql", json={"query": query, "variables": variables})
    assert response.status_code == 200, response.text
    body = response.json()
    assert "errors" not in body, body
    return body["data"]


async def test_imports_with_their_failures(client, database):
    done = await finished(client, database, orders_csv(order(1), order(2, currency="XYZ"), order(3, total="x")))
    data = await ask(
        client,
        """
        query ($id: ID!) {
          import(id: $id) { id kind state processed failed columns error { code }
            rows(first: 5, verdict: FAILED) { nodes { row line verdict errors { column code message } } } }
          imports(state: COMPLETED) { nodes { id } }
        }
        """,
        id=f"Import:{done['id']}",
    )
    found = data["import"]
    assert (found["state"], found["processed"], found["failed"], found["error"]) == ("COMPLETED", 3, 2, None)
    assert [(row["row"], row["errors"][0]["code"]) for row in found["rows"]["nodes"]] == [
        (2, "unknown_currency"),
        (3, "bad_number"),
    ]
    assert data["imports"]["nodes"] == [{"id": found["id"]}]


async def test_cancel(client):
    created = (await start(client, orders_csv(order()))).json()
    mutation = """
        mutation ($id: ID!) { importCancel(input: {id: $id}) { import { state } userErrors { code } } }
    """
    first = await ask(client, mutation, id=f"Import:{created['id']}")
    assert first["importCancel"] == {"import": {"state": "CANCELLED"}, "userErrors": []}
    again = await ask(client, mutation, id=f"Import:{created['id']}")
    assert [error["code"] for error in again["importCancel"]["userErrors"]] == ["import_ended"]


async def test_an_upload_is_started_and_mappings_are_kept(client):
    response = await client.post("/v1/uploads", files={"file": ("a.csv", orders_csv(order()))})
    sent = await ask(client, "query { uploads { nodes { id header sheets format expiresAt } } }")
    [node] = sent["uploads"]["nodes"]
    assert node["id"] == f"Upload:{response.json()['id']}"
    mutation = """
        mutation ($input: ImportStartInput!) {
          importStart(input: $input) { import { state dryRun mode uploadId } userErrors { code } } }
    """
    given = {"uploadId": node["id"], "kind": "ORDERS", "dryRun": True}
    made = (await ask(client, mutation, input=given))["importStart"]
    assert made["import"] == {"state": "QUEUED", "dryRun": True, "mode": "UPSERT", "uploadId": node["id"]}
    wrong = (await ask(client, mutation, input={**given, "kind": "PRODUCTS"}))["importStart"]
    assert {error["code"] for error in wrong["userErrors"]} == {"missing_column"}
    mapping = """
        mutation ($input: ImportMappingCreateInput!) {
          importMappingCreate(input: $input) { importMapping { id name columns } userErrors { code } } }
    """
    kept = {"name": "x", "kind": "CUSTOMERS", "columns": {"备用": "notes"}}
    saved = (await ask(client, mapping, input=kept))["importMappingCreate"]["importMapping"]
    assert saved["columns"] == {"备用": "notes"}
    gone = "mutation ($id: ID!) { importMappingDelete(input: {id: $id}) { deleted userErrors { code } } }"
    assert (await ask(client, gone, id=saved["id"]))["importMappingDelete"] == {"deleted": True, "userErrors": []}
