"""Households over REST and GraphQL: members, guardians, births."""

import asyncio
from uuid import uuid4

import pytest

from tests.households.home import day, home
from tests.support.api import client_of

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.database]

CHILD = {"relation": "child"}


def faults(answer):
    return [(each["pointer"], each["code"]) for each in answer["errors"]]


class TestCreate:
    async def test_answers_with_what_was_stored(self, house, here):
        mother, grandmother = await here.customer("王芳"), await here.customer("李奶奶")
        body = {
            "name": "王芳一家",
            "members": [
                {"customer_id": mother, "relation": "mother"},
                {"customer_id": grandmother, "relation": "grandparent"},
                {**CHILD, "name": "小宝", "sex": "female", "birthday": day("2026-05-22")},
                {**CHILD, "due_date": "2027-02-01", "guardian_id": grandmother},
            ],
        }
        response = await here.client.post("/v1/households", json=body)
        made = response.json()
        assert response.status_code == 201, made
        assert response.headers["location"] == f"/v1/households/{made['id']}"
        assert response.headers["etag"] == '"1"'
        shown = [
            {name: each[name] for name in ("relation", "name", "sex", "guardian_id", "stage")}
            for each in made["members"]
        ]
        assert shown == [
            {"relation": "mother", "name": "王芳", "sex": None, "guardian_id": None, "stage": None},
            {"relation": "grandparent", "name": "李奶奶", "sex": None, "guardian_id": None, "stage": None},
            {"relation": "child", "name": "小宝", "sex": "female", "guardian_id": mother, "stage": "6-12m"},
            {"relation": "child", "name": None, "sex": None, "guardian_id": grandmother, "stage": "pregnant"},
        ]
        assert (await here.get(f"/v1/households/{made['id']}")) == made
        ((kind, told),) = await here.messages(made["id"])
        assert (kind, told) == ("household.created", {"customer_ids": sorted([mother, grandmother])})

    @pytest.mark.parametrize(
        ("member", "pointer", "code"),
        [
            ({"relation": "mother"}, "customer_id", "customer_required"),
            ({"relation": "uncle"}, "relation", "unknown_choice"),
            (
                {**CHILD, "birthday": {"year": 2020, "month": 1, "day": 1}, "due_date": "2027-01-01"},
                "due_date",
                "one_of",
            ),
            ({**CHILD, "due_date": "2028-01-01"}, "due_date", "due_date_too_far"),
            ({**CHILD, "due_date": "2027-02-30"}, "due_date", "invalid_date"),
            ({**CHILD, "due_date": 20270101}, "due_date", "invalid_date"),
            ({**CHILD, "due_date": "2027-01-01T00:00:00Z"}, "due_date", "invalid_date"),
            ({**CHILD, "birthday": {"year": 2026, "month": 11, "day": 23}}, "birthday", "birthday_in_future"),
            ({**CHILD, "guardian_id": str(uuid4())}, "guardian_id", "guardian_not_member"),
        ],
    )
    async def test_says_what_is_wrong_and_stores_nothing(self, house, here, member, pointer, code):
        body = {"name": "x", "members": [CHILD, member]}
        assert (f"/members/1/{pointer}", code) in faults(await here.post("/v1/households", body, 422))
        assert (await here.get("/v1/households"))["data"] == []

    async def test_whose_a_customers_details_are(self, house, here):
        body = {"name": "x", "members": [{"customer_id": await here.customer(), **CHILD, "name": "y"}]}
        assert faults(await here.post("/v1/households", body, 422)) == [("/members/0/name", "of_the_customer")]

    async def test_only_persons_of_this_shop_once(self, house, here, other_tenant):
        company = await here.customer("公司", kind="company")
        person = await here.customer()
        async with client_of(house.app, other_tenant.key) as other:
            foreign = (await other.post("/v1/customers", json={"name": "韩梅梅"})).json()["id"]
        for who, status, code in (
            (company, 422, "not_a_person"),
            (foreign, 404, "unknown_customer"),
            (str(uuid4()), 404, "unknown_customer"),
        ):
            body = {"name": "x", "members": [{"customer_id": who, "relation": "mother"}]}
            assert faults(await here.post("/v1/households", body, status)) == [("/members/0/customer_id", code)]
        twice = {"name": "x", "members": [{"customer_id": person, "relation": r} for r in ("mother", "other")]}
        assert faults(await here.post("/v1/households", twice, 409)) == [("/members/1/customer_id", "duplicate")]


class TestMembers:
    async def test_a_grown_up_lives_in_several_households_a_child_in_one(self, house, here):
        child = await here.customer("小明", birthday=day("2016-01-31"))
        grandmother = await here.customer("奶奶")
        mother, first = await here.family()
        _, second = await here.family()
        for household in (first, second):
            body = {"customer_id": grandmother, "relation": "grandparent"}
            await here.post(f"/v1/households/{household['id']}/members", body)
        made = await here.post(f"/v1/households/{first['id']}/members", {"customer_id": child, **CHILD})
        assert (made["age_months"], made["stage"], made["born_on"]) == (129, "6y+", "2016-01-31")
        assert made["guardian_id"] == mother
        again = {"customer_id": child, **CHILD}
        refused = await here.post(f"/v1/households/{second['id']}/members", again, 409)
        assert refused["code"] == "child_elsewhere"
        homes = (await here.get(f"/v1/customers/{grandmother}/households"))["data"]
        assert [each["id"] for each in homes] == [second["id"], first["id"]]
        for who in (mother, grandmother):
            kids = (await here.get(f"/v1/customers/{who}/children"))["data"]
            assert [each["id"] for each in kids] == [made["id"]]
        assert (await here.get(f"/v1/customers/{child}/children"))["data"] == []

    async def test_two_at_once_make_one_member(self, house, here):
        _, family = await here.family()
        father = await here.customer("爸爸")
        body = {"customer_id": father, "relation": "father"}
        path = f"/v1/households/{family['id']}/members"
        answers = await asyncio.gather(*(here.client.post(path, json=body) for _ in range(4)))
        assert sorted(each.status_code for each in answers) == [201, 409, 409, 409]
        assert (await here.get(f"/v1/households/{family['id']}"))["version"] == 2

    async def test_changes(self, house, here):
        mother, family = await here.family({"due_date": "2027-01-01"})
        path = f"/v1/household-members/{family['members'][1]['id']}"
        changed = await here.client.patch(
            path, json={"name": "小宝", "due_date": "2027-01-03"}, headers={"if-match": '"1"'}
        )
        assert changed.headers["etag"] == '"2"'
        assert (changed.json()["name"], changed.json()["due_date"]) == ("小宝", "2027-01-03")
        assert (await here.client.patch(path, json={"name": "x"}, headers={"if-match": '"1"'})).status_code == 412
        same = await here.client.patch(path, json={"name": "小宝"})
        assert same.headers["etag"] == '"2"'
        for body, pointer, code in (
            ({"birthday": day("2026-11-01")}, "/birthday", "record_the_birth"),
            ({"relation": "other"}, "/relation", "customer_required"),
            ({"guardian_id": str(uuid4())}, "/guardian_id", "guardian_not_member"),
            ({"due_date": "2030-01-01"}, "/due_date", "due_date_too_far"),
        ):
            refused = await here.client.patch(path, json=body)
            assert (refused.status_code, faults(refused.json())) == (422, [(pointer, code)])
        grown = await here.client.patch(
            f"/v1/household-members/{family['members'][0]['id']}", json={"name": "x", "guardian_id": mother}
        )
        assert faults(grown.json()) == [("/name", "of_the_customer"), ("/guardian_id", "only_children")]

    async def test_a_guardian_stays_while_somebody_is_guarded(self, house, here):
        mother, family = await here.family({"due_date": "2027-01-01"})
        parent, child = (f"/v1/household-members/{each['id']}" for each in family["members"])
        refused = await here.client.delete(parent)
        assert (refused.status_code, refused.json()["code"]) == (409, "guards_children")
        assert (await here.client.patch(child, json={"guardian_id": None})).status_code == 200
        assert (await here.client.delete(parent)).status_code == 204
        assert await here.child_stages(mother) == []
        assert [kind for kind, _ in await here.messages(family["id"])] == [
            "household.created",
            "household.member_updated",
            "household.member_removed",
        ]

    async def test_deleting_a_household_leaves_its_customers(self, house, here):
        mother, family = await here.family({"name": "小宝"})
        assert (await here.client.delete(f"/v1/households/{family['id']}")).status_code == 204
        assert (await here.client.get(f"/v1/households/{family['id']}")).status_code == 404
        assert (await here.get("/v1/household-members"))["data"] == []
        assert (await here.get(f"/v1/customers/{mother}"))["name"] == "王小明"

    async def test_a_deleted_customer_is_no_member(self, house, here):
        mother, family = await here.family({"name": "小宝"})
        await here.client.delete(f"/v1/customers/{mother}")
        assert [each["name"] for each in (await here.get(f"/v1/households/{family['id']}"))["members"]] == ["小宝"]


class TestBirth:
    async def test_a_due_date_passes_into_a_birth(self, house, here):
        mother, family = await here.family({"due_date": "2026-11-25"})
        child = family["members"][1]["id"]
        path = f"/v1/household-members/{child}/birth"
        body = {"birthday": day("2026-11-20"), "sex": "male", "name": "小宝"}
        born = await here.post(path, body, 200)
        assert {name: born[name] for name in ("born_on", "due_date", "sex", "name", "stage", "version")} == {
            "born_on": "2026-11-20",
            "due_date": "2026-11-25",
            "sex": "male",
            "name": "小宝",
            "stage": "0-6m",
            "version": 2,
        }
        # Again, with or without what was told before: nothing happens.
        assert await here.post(path, body, 200) == born
        assert await here.post(path, {"birthday": day("2026-11-20")}, 200) == born
        ((kind, told),) = await here.messages(child)
        assert kind == "child.born"
        assert (told["customer_ids"], told["guardian_id"]) == ([mother], mother)
        assert (told["born_on"], told["due_date"]) == ("2026-11-20", "2026-11-25")
        refused = await here.post(path, {"birthday": day("2026-11-19")}, 409)
        assert (refused["code"], refused["born_on"]) == ("already_born", "2026-11-20")
        corrected = await here.client.patch(f"/v1/household-members/{child}", json={"birthday": day("2026-11-19")})
        assert corrected.json()["born_on"] == "2026-11-19"

    async def test_the_timeline_tells_of_it(self, house, here):
        mother, family = await here.family({"due_date": "2026-11-25"})
        await here.post(
            f"/v1/household-members/{family['members'][1]['id']}/birth", {"birthday": day("2026-11-20")}, 200
        )
        (entry,) = (await here.get(f"/v1/customers/{mother}/timeline?kind=child_born"))["data"]
        assert entry["at"].startswith("2026-11-22T04:00:00")
        assert entry["data"] == {"born_on": "2026-11-20", "household_id": family["id"]}

    @pytest.mark.parametrize(
        ("body", "pointer", "code"),
        [
            ({}, "/birthday", "required"),
            ({"birthday": {"month": 1, "day": 1}}, "/birthday/year", "required"),
            ({"birthday": {"year": 2026, "month": 11, "day": 23}}, "/birthday", "birthday_in_future"),
            ({"birthday": {"year": 2026, "month": 2, "day": 29}}, "/birthday", None),
        ],
    )
    async def test_what_is_no_birth(self, house, here, body, pointer, code):
        _, family = await here.family({"due_date": "2026-11-25"})
        answer = await here.post(f"/v1/household-members/{family['members'][1]['id']}/birth", body, 422)
        ((found, said),) = faults(answer)
        assert (found, said) == (pointer, code or said)

    async def test_a_customers_birth_is_the_customers(self, house, here):
        mother, family = await here.family()
        answer = await here.post(
            f"/v1/household-members/{family['members'][0]['id']}/birth", {"birthday": day("2026-01-01")}, 422
        )
        assert faults(answer) == [("/birthday", "of_the_customer")]
        assert mother

    async def test_two_at_once_are_one_birth(self, house, here):
        _, family = await here.family({"due_date": "2026-11-25"})
        child = family["members"][1]["id"]
        body = {"birthday": day("2026-11-20")}
        answers = await asyncio.gather(
            *(here.client.post(f"/v1/household-members/{child}/birth", json=body) for _ in range(4))
        )
        assert {each.status_code for each in answers} == {200}
        assert len(await here.messages(child)) == 1


class TestConsent:
    async def test_details_wait_for_the_guardian(self, house):
        async with home(house, consent=True) as here:
            mother = await here.customer()
            _, family = await here.family({}, mother=mother)  # that there is a child tells nothing about it
            members = f"/v1/households/{family['id']}/members"
            child = f"/v1/household-members/{family['members'][1]['id']}"
            refused = await here.post(members, {**CHILD, "due_date": "2027-01-01"}, 409)
            assert (refused["code"], refused["customer_id"]) == ("guardian_consent_required", mother)
            assert (await here.client.patch(child, json={"name": "小宝"})).status_code == 409
            nobody = await here.post(members, {**CHILD, "name": "小宝", "guardian_id": None}, 422)
            assert faults(nobody) == [("/guardian_id", "guardian_required")]
            old = await here.post(members, {**CHILD, "birthday": day("2012-11-22")})
            assert old["age_months"] == 14 * 12
            consent = {"purpose": "guardian", "action": "granted", "source": "store_form"}
            await here.post(f"/v1/customers/{mother}/consents", consent)
            made = await here.post(members, {**CHILD, "due_date": "2026-11-20"})
            await here.post(f"/v1/customers/{mother}/consents", {**consent, "action": "withdrawn"})
            birth = f"/v1/household-members/{made['id']}/birth"
            assert (await here.post(birth, {"birthday": day("2026-11-20")}, 409))["code"] == "guardian_consent_required"


class TestGraphQL:
    async def test_all_of_it(self, house, here):
        made = await here.ask(
            """mutation ($mother: ID!) {
              householdCreate(input: {name: "一家", members: [
                {customerId: $mother, relation: MOTHER}, {relation: CHILD, dueDate: "2026-11-25"}]}) {
                household { id members { id relation stage guardian { name } } } userErrors { code path } } }""",
            mother=f"Customer:{await here.customer('王芳')}",
        )
        household = made["householdCreate"]["household"]
        mother, child = household["members"]
        assert (child["stage"], child["guardian"]) == ("pregnant", {"name": "王芳"})
        born = await here.ask(
            """mutation ($id: ID!) {
              again: householdMemberBirth(input: {id: $id, birthday: {year: 2026, month: 11, day: 20}}) {
                member { bornOn stage } userErrors { code } }
              wrong: householdMemberBirth(input: {id: $id, birthday: {year: 2026, month: 11, day: 21}}) {
                member { bornOn } userErrors { code path } } }""",
            id=child["id"],
        )
        assert born["again"]["member"] == {"bornOn": "2026-11-20", "stage": "0-6m"}
        assert born["wrong"]["userErrors"][0]["code"] == "already_born"
        shown = await here.ask(
            """query ($stage: String) {
              customers(childStage: $stage) { nodes { name childStages households { nodes { name } } } }
              householdMembers(stage: $stage) { totalCount nodes { household { name } customer { name } } } }""",
            stage="0-6m",
        )
        assert shown == {
            "customers": {
                "nodes": [{"name": "王芳", "childStages": ["0-6m"], "households": {"nodes": [{"name": "一家"}]}}]
            },
            "householdMembers": {"totalCount": 1, "nodes": [{"household": {"name": "一家"}, "customer": None}]},
        }
        changed = await here.ask(
            """mutation ($home: ID!, $child: ID!, $mother: ID!) {
              householdUpdate(input: {id: $home, name: "王家"}) { household { name } }
              householdMemberUpdate(input: {id: $child, name: "小宝"}) { member { name } }
              guarding: householdMemberRemove(input: {id: $mother}) { deleted userErrors { code } }
              householdMemberRemove(input: {id: $child}) { deleted }
              householdAddMember(input: {id: $home, relation: CHILD}) { member { stage } }
              householdSettingsUpdate(input: {overdueAfterDays: 7}) { settings { overdueAfterDays } }
              householdDelete(input: {id: $home}) { deleted } }""",
            home=household["id"],
            child=child["id"],
            mother=mother["id"],
        )
        assert changed == {
            "householdUpdate": {"household": {"name": "王家"}},
            "householdMemberUpdate": {"member": {"name": "小宝"}},
            "guarding": {"deleted": None, "userErrors": [{"code": "guards_children"}]},
            "householdMemberRemove": {"deleted": True},
            "householdAddMember": {"member": {"stage": None}},
            "householdSettingsUpdate": {"settings": {"overdueAfterDays": 7}},
            "householdDelete": {"deleted": True},
        }


class TestTenants:
    async def test_anothers_household_is_not_there(self, house, here, other_tenant):
        mother, family = await here.family({"due_date": "2027-01-01"})
        child = family["members"][1]["id"]
        async with client_of(house.app, other_tenant.key) as other:
            for path in (
                f"/v1/households/{family['id']}",
                f"/v1/household-members/{child}",
            ):
                assert (await other.get(path)).status_code == 404
                assert (await other.delete(path)).status_code == 404
            birth = await other.post(f"/v1/household-members/{child}/birth", json={"birthday": day("2026-01-01")})
            assert birth.status_code == 404
            assert (await other.get(f"/v1/customers/{mother}/children")).status_code == 404
            for path in ("households", "household-members"):
                assert (await other.get(f"/v1/{path}")).json()["data"] == []
            assert (await other.get("/v1/customers?child_stage=pregnant")).json()["data"] == []
