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
