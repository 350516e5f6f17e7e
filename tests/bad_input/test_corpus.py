"""Every bad request gets a problem document that names what is wrong, in two languages, and changes nothing."""

import re

import pytest

from tests.bad_input.corpus import CORPUS, GENERATED
from tests.bad_input.corpus.operations import filled, operations
from tests.bad_input.world import TABLES, digest, shown, written

CHINESE = re.compile(r"[\u4e00-\u9fff]")


def check_problem(answer, case, language):
    """Assert that an answer is the problem document the case says."""
    assert answer.status_code == case.status, shown(answer)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["content-language"] == language
    body = answer.json()
    assert set(body) >= {"type", "title", "status", "detail", "code", "instance", "request_id", "errors"}
    assert (body["status"], body["code"]) == (case.status, case.code), shown(answer)
    assert body["type"] == f"urn:crm-api:problem:{case.code}"
    assert body["request_id"] == answer.headers["x-request-id"]
    if case.pointer is not None:
        found = {(each["pointer"], each["code"]) for each in body["errors"]}
        assert case.pointer in {pointer for pointer, _ in found}, shown(answer)
        if case.error is not None:
            assert (case.pointer, case.error) in found, shown(answer)
    texts = [body["title"], body["detail"], *(each["message"] for each in body["errors"])]
    for text in texts:
        assert text
        assert "Traceback" not in text
        assert "asyncpg" not in text
        if language == "zh":
            assert CHINESE.search(text), f"not Chinese: {text}"


async def check_unchanged(shop):
    """Assert that no row of any tenant is another than before; most requests were refused before they wrote at all."""
    before, shop.written = shop.written, await written(shop.owner)
    if before == shop.written:
        return
    after = await digest(shop.owner)
    before, shop.digest = shop.digest, after
    assert {name for name in TABLES if before[name] != after[name]} == set()


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.database
@pytest.mark.edge
class TestCorpus:
    @pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
    async def test_written_case(self, shop, case):
        await self._check(shop, case)

    @pytest.mark.parametrize("case", GENERATED, ids=lambda case: case.name)
    async def test_every_operation(self, shop, case):
        await self._check(shop, case)

    async def _check(self, shop, case):
        for language, wish in (("en", "en"), ("zh", "zh-CN,zh;q=0.9,en;q=0.1")):
            answer = await shop.client.send(shop.request(case, accept_language=wish))
            if case.method == "HEAD":
                assert answer.status_code == case.status
                continue
            check_problem(answer, case, language)
            if case.status == 405:
                assert answer.headers["allow"]
            if case.status == 401:
                assert answer.headers["www-authenticate"].startswith("Bearer")
        await check_unchanged(shop)


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.database
@pytest.mark.edge
async def test_what_is_written_is_noticed(shop):
    for name in TABLES:
        await shop.owner.execute(f"DELETE FROM {name} WHERE false")
    assert await written(shop.owner) == shop.written + len(TABLES)
    await check_unchanged(shop)


class TestCoverage:
    def test_there_are_enough(self):
        assert len(CORPUS) >= 400
        assert len(CORPUS) + len(GENERATED) >= 800

    def test_names_are_unique(self):
        names = [case.name for case in CORPUS + GENERATED]
        assert {name for name in names if names.count(name) > 1} == set()

    def test_every_operation_has_one(self):
        tried = {(case.method, case.path.partition("?")[0]) for case in CORPUS + GENERATED}
        missing = [
            f"{method} {path}"
            for method, path, _ in operations()
            if (method, filled(path)) not in tried and not path.startswith("/v1/inbound/")
        ]
        assert missing == []
        assert any(path == "/v1/inbound/{source}" for _, path in tried)
