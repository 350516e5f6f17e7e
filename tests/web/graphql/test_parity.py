"""The planned way and the executor give the same bytes but for white space: one corpus, run both ways."""

import json
import re
from pathlib import Path

import pytest

from tests.support import zoo

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


def _filled(text):
    text = re.sub(r"<K(\d+)>", lambda found: f"Keeper:{zoo.uid(1, int(found[1]))}", text)
    text = re.sub(r"<A(\d+)>", lambda found: f"Animal:{zoo.uid(2, int(found[1]))}", text)
    text = re.sub(r"<(\d)\.(\d+)>", lambda found: str(zoo.uid(int(found[1]), int(found[2]))), text)
    return text.replace("<LONG>", "a" * 70)


def _corpus():
    text = _filled((Path(__file__).parent / "corpus.graphql").read_text())
    for block in text.split("### ")[1:]:
        name, _, query = block.partition("\n")
        variables, query = query.split("\n", 1) if query.startswith("# {") else ("# null", query)
        yield name, (query.strip(), json.loads(variables[2:]))


CORPUS = dict(_corpus())


def operation_of(name):
    return "B" if name == "several operations" else None


@pytest.mark.parametrize("name", CORPUS)
async def test_both_ways_answer_alike(ask, name):
    query, variables = CORPUS[name]
    for _ in range(2):  # the second time from the caches
        planned = await ask.answer(query, variables, operation_name=operation_of(name))
        executed = await ask.answer(query, variables, operation_name=operation_of(name), force_fallback=True)

        assert json.dumps(json.loads(planned.body)) == json.dumps(json.loads(executed.body))
        assert planned.status == executed.status


@pytest.mark.parametrize("scopes", [("zoo:read",), ("other",), ("zoo:read", "zoo:secret")])
async def test_both_ways_refuse_alike(ask, scopes):
    query = "{ a: keepers(first: 1) { nodes { name phone } } b: keepers(first: 1) { nodes { secret } } }"
    planned = await ask(query, actor=zoo.actor(*scopes))

    assert planned == await ask(query, actor=zoo.actor(*scopes), force_fallback=True)


async def test_what_is_planned_takes_one_statement(ask):
    for name, (query, variables) in CORPUS.items():
        ask.database.plans.clear()
        body = await ask(query, variables, operation_name=operation_of(name))
        if "errors" not in body and name not in ("introspection beside data", "computed"):
            assert len(ask.database.plans) == 1, name
