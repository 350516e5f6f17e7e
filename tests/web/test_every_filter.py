"""Every parameter of every list, sent once for each kind of value it has."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

pytestmark = [pytest.mark.asyncio, pytest.mark.database, pytest.mark.edge]

DOCUMENT = json.loads((Path(__file__).parents[2] / "openapi" / "openapi.json").read_bytes())
NOBODY = "01890a5d-ac96-774b-bcce-b302099a8057"
PAGING = {"limit", "after", "before", "fields", "count", "from", "to", "since", "until"}
BY_FORMAT = {"uuid": NOBODY, "date-time": "2026-10-01T00:00:00Z", "date": "2026-10-01"}


def resolved(schema):
    """Return the schema a parameter's schema means: without references, null and lists."""
    while True:
        if "$ref" in schema:
            schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        elif "anyOf" in schema:
            (schema,) = [each for each in schema["anyOf"] if each.get("type") != "null"][:1]
        elif schema.get("type") == "array":
            schema = schema["items"]
        else:
            return schema


def values(schema, parameter):
    """Return values worth a request: all choices, true and false, or one."""
    if "enum" in schema or "const" in schema:
        return schema.get("enum", [schema.get("const")])
    if schema.get("type") == "boolean":
        return ["true", "false"]
    example = next(iter(parameter.get("schema", {}).get("examples") or schema.get("examples") or ()), None)
    if example is not None:
        return [example]
    return [BY_FORMAT.get(schema.get("format"), 1 if schema.get("type") in {"integer", "number"} else "x")]


LISTS = {
    path: [each for each in operations["get"].get("parameters", ()) if each["in"] == "query"]
    for path, operations in DOCUMENT["paths"].items()
    if "get" in operations and any(each["name"] == "after" for each in operations["get"].get("parameters", ()))
}


def queries(parameters):
    """Return the queries to send: one for each value of each parameter, and neighbours together."""
    given = [
        (each["name"], value)
        for each in parameters
        if each["name"] not in PAGING
        for value in values(resolved(each["schema"]), each)
    ]
    yield from ({name: value} for name, value in given)
    yield from ({name: value, other: more} for (name, value), (other, more) in pairwise(given) if name != other)


@pytest.mark.parametrize("path", LISTS)
async def test_every_filter_and_order_can_be_answered(client, path):
    assert len(LISTS) > 100
    address = re.sub(r"{\w+}", NOBODY, path)
    for query in queries(LISTS[path]):
        answer = await client.get(address, params=query)
        assert answer.status_code in {200, 404, 422}, (query, answer.text)
        if answer.status_code == 200:
            assert isinstance(answer.json()["data"], list)
        elif answer.status_code == 422:
            named = {error["pointer"].removeprefix("/query").split("/")[1] for error in answer.json()["errors"]}
            assert named <= set(query), (query, answer.text)


BELOW = [path for path in LISTS if "{" in path]


@pytest.mark.parametrize("path", BELOW)
async def test_a_list_below_what_is_not_there_is_not_empty_but_not_there(client, path):
    assert len(BELOW) > 25
    answer = await client.get(re.sub(r"{\w+}", NOBODY, path))
    assert (answer.status_code, answer.json().get("code")) == (404, "not_found")
