"""Mutations: thin calls of services, answered from the same projections in the same transaction."""

import pytest
import pytest_asyncio

from crm_api.web.graphql.ids import Targets
from tests.support import zoo

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

HIRE = """
mutation($input: HireKeeperInput!) {
  hireKeeper(input: $input) {
    k: keeper { id name status years boss { name } salary { amount } }
    team { name id }
    note
    __typename
    userErrors { code message path __typename }
  }
}
"""


@pytest_asyncio.fixture(autouse=True)
async def _undone(zoo_database):
    """Undo what a test wrote."""
    yield
    async with zoo_database.read(zoo.actor()) as unit:
        await unit.execute(zoo.keepers.delete().where(zoo.keepers.c.id == zoo.uid(1, 900)))
        await unit.execute(zoo.keepers.update().where(zoo.keepers.c.id == zoo.uid(1, 2)).values(name="k02"))


async def hire(ask, **given):
    return await ask(HIRE, {"input": given})


async def test_the_payload_reads_what_was_written(ask):
    body = await hire(ask, name="new", status="ON_DUTY", note="hello")

    assert body == {
        "data": {
            "hireKeeper": {
                "k": {
                    "id": f"Keeper:{zoo.uid(1, 900)}",
                    "name": "new",
                    "status": "ON_DUTY",
                    "years": 6,
                    "boss": None,
                    "salary": None,
                },
                "team": [
                    {"name": "new", "id": f"Keeper:{zoo.uid(1, 900)}"},
                    {"name": "k03", "id": f"Keeper:{zoo.uid(1, 3)}"},
                ],
                "note": "hello",
                "__typename": "HireKeeperPayload",
                "userErrors": [],
            }
        }
    }


async def test_all_resources_of_a_payload_come_in_one_statement(ask):
    ask.database.plans.clear()
    await hire(ask, name="new")

    assert len(ask.database.plans) == 1


@pytest.mark.parametrize(
    ("name", "code", "path"),
    [("taken", "duplicate", None), ("both", "unknown_reference", ["input", "bossId"])],
)
async def test_errors_of_the_service_become_user_errors(ask, name, code, path):
    payload = (await hire(ask, name=name))["data"]["hireKeeper"]

    assert payload["k"] is None
    assert payload["team"] is None
    (error,) = payload["userErrors"]
    assert (error["code"], error["path"], error["__typename"]) == (code, path, "UserError")


async def test_what_the_model_refuses_names_the_field(ask):
    payload = (await hire(ask, name="", salary={"amount": 1, "currency": "XXQ"}))["data"]["hireKeeper"]

    assert {tuple(error["path"]) for error in payload["userErrors"]} == {
        ("input", "name"),
        ("input", "salary", "currency"),
    }
    assert all(error["code"] and error["message"] for error in payload["userErrors"])


async def test_ids_may_be_global_or_plain(ask):
    for given in (f"Keeper:{zoo.uid(1, 3)}", str(zoo.uid(1, 3))):
        assert (await hire(ask, name="taken", bossId=given))["data"]["hireKeeper"]["userErrors"][0][
            "code"
        ] == "duplicate"
    payload = (await hire(ask, name="x", bossId="Keeper:nonsense"))["data"]["hireKeeper"]
    assert payload["userErrors"][0]["path"] == ["input", "bossId"]


async def test_further_arguments_are_checked_and_typed(ask):
    animal = zoo.uid(2, 1)

    assert (await hire(ask, name="a", animalId=f"Animal:{animal}"))["data"]["hireKeeper"]["note"] == repr(animal)
    for given, path in (({"note": "x" * 11}, "note"), ({"animalId": "zzz"}, "animalId")):
        payload = (await hire(ask, name="b", **given))["data"]["hireKeeper"]
        assert [error["path"] for error in payload["userErrors"]] == [["input", path]]


async def test_a_fault_of_ours_is_masked_and_undone(ask):
    body = await hire(ask, name="bug")

    assert body["data"] is None
    assert body["errors"][0]["extensions"] == {"code": "internal_error"}
    assert "secret" not in str(body)


async def test_messages_in_chinese(ask):
    body = await ask(HIRE, {"input": {"name": "taken"}}, actor=zoo.actor(locale="zh"))

    assert body["data"]["hireKeeper"]["userErrors"][0]["message"] == "名字已被使用"


async def test_a_target_and_its_version(ask):
    rename = (
        "mutation($id: ID!, $v: Int) { renameKeeper(input: {id: $id, expectedVersion: $v})"
        " { keeper { name } userErrors { code path } } }"
    )
    keeper = f"Keeper:{zoo.uid(1, 2)}"

    async def answer(**variables):
        return (await ask.data(rename, variables))["renameKeeper"]

    assert (await answer(id=keeper, v=1))["userErrors"] == [{"code": "precondition_failed", "path": None}]
    assert (await answer(id=keeper, v=2)) == {"keeper": {"name": "renamed"}, "userErrors": []}
    assert (await answer(id=keeper)) == {"keeper": {"name": "renamed"}, "userErrors": []}
    assert (await answer(id=f"Keeper:{zoo.uid(1, 999)}"))["userErrors"] == [{"code": "not_found", "path": None}]
    assert (await answer(id=f"Animal:{zoo.uid(2, 2)}"))["userErrors"] == [
        {"code": "invalid_id", "path": ["input", "id"]}
    ]


@pytest.mark.parametrize(
    ("given", "told", "zh"),
    [
        ("Animal:{}", "This is an id of type Animal; one of type Keeper is wanted here", "Animal 类型"),
        ("Nobody:{}", "This is not the id of a Keeper: in GraphQL they read", "Keeper 的 id"),
        ("Animal:1", "This is not the id of a Keeper: in GraphQL they read", "Keeper 的 id"),
    ],
)
async def test_an_id_of_another_type_is_refused_although_its_uuid_fits(ask, given, told, zh):
    boss = given.format(zoo.uid(1, 2))
    for locale, text in (("en", told), ("zh", zh)):
        body = await ask(HIRE, {"input": {"name": "a", "bossId": boss}}, actor=zoo.actor(locale=locale))
        (error,) = body["data"]["hireKeeper"]["userErrors"]
        assert (error["code"], error["path"]) == ("invalid_id", ["input", "bossId"])
        assert text in error["message"]
        assert "Nobody" not in error["message"]


async def test_a_plain_uuid_is_taken_as_it_is(ask):
    animal = zoo.uid(2, 2)
    assert (await hire(ask, name="a", animalId=str(animal)))["data"]["hireKeeper"]["note"] == repr(animal)


async def test_what_an_input_names_must_be_told():
    with pytest.raises(ValueError, match=r"Thing\.stranger_id may be the id of anything"):
        Targets().of("Thing", "stranger_id")


async def test_several_mutations_run_one_after_the_other(ask):
    keeper = f"Keeper:{zoo.uid(1, 2)}"
    data = await ask.data(
        "mutation($id: ID!) { a: renameKeeper(input: {id: $id}) { keeper { name } }"
        ' b: hireKeeper(input: {name: "new"}) { keeper { name } userErrors { code } }'
        " c: renameKeeper(input: {id: $id}) { userErrors { code } } }",
        {"id": keeper},
    )

    assert data == {
        "a": {"keeper": {"name": "renamed"}},
        "b": {"keeper": {"name": "new"}, "userErrors": []},
        "c": {"userErrors": []},
    }


async def test_a_payload_follows_directives_fragments_and_aliases(ask):
    query = """
    mutation($yes: Boolean!) {
      hireKeeper(input: {name: "new"}) { ...P a: note @include(if: $yes) b: note @skip(if: $yes) }
    }
    fragment P on HireKeeperPayload { keeper { name @skip(if: $yes) version } one: keeper { name } }
    """

    assert (await ask.data(query, {"yes": True}))["hireKeeper"] == {
        "keeper": {"version": 900},
        "one": {"name": "new"},
        "a": "None",
    }


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"name": 1},
        {"name": "x", "status": "on-duty"},
        {"name": "x", "shoe": 1},
        {"name": None},
        {"name": "x", "salary": 3},
    ],
)
async def test_what_the_schema_refuses_never_runs(ask, given):
    body = await hire(ask, **given)

    assert "data" not in body
    assert body["errors"][0]["extensions"]["code"] == "bad_request"


async def test_a_mutation_cannot_be_sent_by_get(ask):
    answer = await ask.answer(HIRE, {"input": {"name": "x"}}, read_only=True)

    assert (answer.status, answer.executed) == (405, False)
