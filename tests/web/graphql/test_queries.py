"""What queries answer, on a world small enough to know by heart."""

import pytest

from tests.support import zoo

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


def keeper(number):
    return f"Keeper:{zoo.uid(1, number)}"


async def test_a_resource_in_full(ask):
    data = await ask.data(
        "query($id: ID!) { keeper(id: $id) { id name status salary { amount currency } hiredOn rating bossId secret"
        " phone skills moods extras years version address { city door } mealCount asOf boss { name } } }",
        {"id": keeper(7)},
    )

    assert data["keeper"] == {
        "id": keeper(7),
        "name": "k07",
        "status": "ON_DUTY",
        "salary": {"amount": 7 * 10**9, "currency": "CNY"},
        "hiredOn": "2020-01-04",
        "rating": 2,
        "bossId": keeper(3),
        "secret": "s7",
        "phone": "13800000007",
        "skills": ["feed"],
        "moods": ["GOOD", "VERY_BAD"],
        "extras": {"n": 7, "deep": {"a": [1, None]}},
        "years": 6,
        "version": 7,
        "address": {"city": "k07", "door": 2},
        "mealCount": 0,
        "asOf": "2026-01-01T00:00:00+00:00",
        "boss": {"name": "k03"},
    }


BADGE = {"n": 2, "kind": "SILVER", "price": {"amount": 2, "__typename": "Money"}, "__typename": "Badge"}


async def test_parts_of_ready_objects(ask):
    data = await ask.data(
        "query($id: ID!) { keeper(id: $id) { badges { n: number kind price { amount __typename } __typename }"
        " rank { kind } moodsNow } }",
        {"id": keeper(4)},
    )

    first, second = data["keeper"]["badges"]
    assert first == {**BADGE, "n": 1, "kind": "PURE_GOLD", "price": {"amount": 3 * 10**9, "__typename": "Money"}}
    assert second == BADGE
    assert data["keeper"]["rank"] is None
    assert data["keeper"]["moodsNow"] == ["GOOD", "VERY_BAD"]


async def test_a_computed_field(ask):
    data = await ask.data(
        "{ shortestKeeper { keeper { name } badge { kind price { amount } } badges { n: number } mood } }"
    )

    assert data["shortestKeeper"] == {
        "keeper": {"name": "k01"},
        "badge": {"kind": "PURE_GOLD", "price": {"amount": 3 * 10**9}},
        "badges": [{"n": 7}],
        "mood": "VERY_BAD",
    }


async def pages(ask, size, order, *, backward=False):
    """Yield the pages of keepers in one direction."""
    arguments = "last: $n, before: $c" if backward else "first: $n, after: $c"
    query = (
        f"query($n: Int!, $c: String, $o: KeeperSort) {{ keepers({arguments}, orderBy: $o)"
        " { edges { cursor node { name } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"
    )
    cursor = None
    while True:
        page = (await ask.data(query, {"n": size, "c": cursor, "o": order}))["keepers"]
        yield page
        info = page["pageInfo"]
        assert info["startCursor"] == page["edges"][0]["cursor"]
        assert info["endCursor"] == page["edges"][-1]["cursor"]
        assert info["hasNextPage" if backward else "hasPreviousPage"] is (cursor is not None)
        if not info["hasPreviousPage" if backward else "hasNextPage"]:
            return
        cursor = info["startCursor" if backward else "endCursor"]


@pytest.mark.parametrize("order", ["NEWEST", "NAME", "BEST", "WORST", "BEST_FIRST_HIRED", "MIXED"])
@pytest.mark.parametrize("size", [1, 5, 23, 30])
async def test_both_directions_show_every_row_once(ask, order, size):
    forward = [edge["node"]["name"] async for page in pages(ask, size, order) for edge in page["edges"]]
    chunks = [[edge["node"]["name"] for edge in page["edges"]] async for page in pages(ask, size, order, backward=True)]
    backward = [name for chunk in reversed(chunks) for name in chunk]

    assert len(set(forward)) == len(forward) == len(zoo.KEEPERS)
    assert backward == forward


async def test_a_window_between_two_cursors(ask):
    edges = (await ask.data("{ keepers(first: 10, orderBy: NAME) { edges { cursor node { name } } } }"))["keepers"][
        "edges"
    ]
    query = (
        "query($a: String, $b: String) { keepers(first: 9, after: $a, before: $b, orderBy: NAME) { nodes { name } } }"
    )

    data = await ask.data(query, {"a": edges[2]["cursor"], "b": edges[6]["cursor"]})

    assert [node["name"] for node in data["keepers"]["nodes"]] == ["k04", "k05", "k06"]


async def test_rows_of_other_tenants_are_not_there(ask):
    theirs = zoo.actor(tenant=zoo.TENANT_B)
    data = await ask.data("{ keepers { totalCount nodes { name animals { totalCount } } } }", actor=theirs)

    assert data["keepers"]["nodes"] == [{"name": "theirs", "animals": {"totalCount": 0}}]
    assert await ask.data(f'{{ node(id: "{keeper(5)}") {{ id }} }}', actor=theirs) == {"node": None}
    assert await ask.data(f'{{ nodes(ids: ["{keeper(5)}"]) {{ id }} }}', actor=theirs) == {"nodes": [None]}


async def test_the_default_page(ask):
    data = await ask.data("{ keepers { nodes { name } } }")

    assert [node["name"] for node in data["keepers"]["nodes"]] == ["k23", "k22", "k21", "k20", "k19"]


async def test_masking_and_scopes_are_part_of_the_plan(ask):
    query = f'{{ keeper(id: "{keeper(7)}") {{ phone }} }}'

    assert (await ask.data(query))["keeper"]["phone"] == "13800000007"
    assert (await ask.data(query, actor=zoo.actor("zoo:read")))["keeper"]["phone"] == "138****"
    assert (await ask.data(query))["keeper"]["phone"] == "13800000007"


async def test_a_field_without_its_scope_is_an_error_of_its_root_field(ask):
    body = await ask(
        f'{{ a: keeper(id: "{keeper(7)}") {{ secret }} b: keeper(id: "{keeper(7)}") {{ name }} }}',
        actor=zoo.actor("zoo:read"),
    )

    assert body["data"] == {"a": None, "b": {"name": "k07"}}
    (error,) = body["errors"]
    assert error["path"] == ["a"]
    assert error["extensions"] == {"code": "forbidden", "required_scope": "zoo:secret", "field": "a.secret"}


async def test_messages_follow_the_callers_language(ask):
    body = await ask('{ keepers(after: "x") { nodes { name } } }', actor=zoo.actor(locale="zh"))

    assert body["errors"][0]["extensions"]["errors"][0]["message"] == "此游标不属于该列表"


async def test_a_plan_serves_every_request_of_its_shape(ask):
    query = "query($q: String, $n: Int) { keepers(q: $q, first: $n) { nodes { name } } }"
    for variables in ({"q": "k01", "n": 3}, {"q": "k23", "n": 3}, {"q": "k2", "n": 3}, {"n": 3}, {"q": "k01", "n": 4}):
        await ask.data(query, variables)

    first, second, *others = ask.database.plans
    assert first is second
    assert len({id(plan) for plan in [first, *others]}) == 4


async def test_a_client_that_varies_page_sizes_cannot_fill_the_memory(ask):
    query = "query($n: Int) { keepers(first: $n) { nodes { id } } }"
    for size in range(101):
        await ask.data(query, {"n": size})

    prepared = ask.engine.prepare(query)
    assert all(shapes.count <= 64 for shapes, _ in prepared.plans._entries.values())


async def test_an_error_of_ours_tells_nothing(ask, monkeypatch):
    async def broken(*_args):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(zoo.CountingUnit, "fetch_plan", broken)
    body = await ask("{ keepers { totalCount } }", force_fallback=True)

    assert body["errors"][0]["extensions"] == {"code": "internal_error"}
    assert "secret" not in str(body)


async def test_plans_are_found_without_walking_the_document(ask):
    query = "{ keepers { totalCount } }"
    await ask.data(query)
    await ask.data(query, force_fallback=True)

    keys = [part for key in ask.engine.prepare(query).plans._entries for part in key]
    assert keys
    assert {type(part) for part in keys} <= {str, type(None), frozenset}
