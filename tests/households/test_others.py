"""What merges and erasures make of households and of companies' contacts."""

import pytest

from crm_api.privacy import jobs
from tests.households.home import day

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.database]


async def merge(here, winner, loser):
    return (await here.post("/v1/customers/merge", {"winner_id": winner, "loser_ids": [loser]}))["id"]


async def undo(here, merge_id):
    answer = await here.client.post(f"/v1/merges/{merge_id}/undo")
    assert answer.status_code == 200, answer.text


async def families(here, *people):
    """Return what everybody's family looks like."""
    shown = []
    for who in people:
        for path in ("households", "children"):
            rows = (await here.get(f"/v1/customers/{who}/{path}"))["data"]
            shown.append([{**row, "version": 0, "updated_at": ""} for row in rows])
    return shown


class TestMerge:
    async def test_two_records_of_one_mother_and_back(self, house, here):
        one, other = await here.customer("王芳"), await here.customer("王 芳")
        _, first = await here.family({"birthday": day("2026-05-22")}, mother=one)
        _, second = await here.family({"due_date": "2027-01-01"}, mother=other)
        # In the first household both records are members: one of them will be seen.
        body = {"customer_id": other, "relation": "other"}
        await here.post(f"/v1/households/{first['id']}/members", body)
        before = await families(here, one, other)
        done = await merge(here, one, other)
        homes = (await here.get(f"/v1/customers/{one}/households"))["data"]
        assert [each["id"] for each in homes] == [second["id"], first["id"]]
        assert [each["relation"] for each in homes[1]["members"]] == ["mother", "child"]
        assert {each["guardian_id"] for home in homes for each in home["members"] if each["relation"] == "child"} == {
            one
        }
        assert await here.child_stages(one) == ["pregnant", "6-12m"]
        await undo(here, done)
        assert await families(here, one, other) == before

    async def test_two_records_of_one_contact_and_back(self, here):
        firm, winner, loser = await here.customer("公司", kind="company"), await here.customer(), await here.customer()
        path = f"/v1/customers/{firm}/contacts"
        await here.post(path, {"customer_id": winner, "roles": ["buyer"], "since": "2026-06-01"})
        await here.post(path, {"customer_id": loser, "since": "2025-01-01", "until": "2025-12-31"})
        await here.post(path, {"customer_id": loser, "roles": ["finance"], "since": "2026-01-01"})
        before = (await here.get(path))["data"]
        done = await merge(here, winner, loser)
        seen = (await here.get(path))["data"]
        assert [(each["customer_id"], each["since"]) for each in seen] == [
            (winner, "2026-06-01"),
            (winner, "2025-01-01"),
        ]
        await undo(here, done)
        assert [each["customer_id"] for each in (await here.get(path))["data"]] == [
            each["customer_id"] for each in before
        ]

    async def test_two_records_of_one_company_and_back(self, here):
        winner, loser = await here.customer("公司", kind="company"), await here.customer("公 司", kind="company")
        shared, other = await here.customer("甲"), await here.customer("乙")
        for firm, who in ((winner, shared), (loser, shared), (loser, other)):
            await here.post(f"/v1/customers/{firm}/contacts", {"customer_id": who, "is_primary": True})
        done = await merge(here, winner, loser)
        seen = (await here.get(f"/v1/customers/{winner}/contacts"))["data"]
        assert sorted(each["customer_id"] for each in seen) == sorted([shared, other])
        assert (await here.get(f"/v1/customers/{winner}/rollup"))["contact_count"] == 2
        await undo(here, done)
        for firm, people in ((winner, {shared}), (loser, {shared, other})):
            seen = (await here.get(f"/v1/customers/{firm}/contacts"))["data"]
            assert {each["customer_id"] for each in seen} == people


class TestErasure:
    async def test_a_child_goes_with_its_guardian_a_shared_home_loses_its_name(self, house, here):
        mother, father = await here.customer("王芳"), await here.customer("李雷")
        _, alone = await here.family({"name": "独苗"}, mother=mother)
        _, shared = await here.family({"name": "老大"}, mother=mother)
        members = f"/v1/households/{shared['id']}/members"
        await here.post(members, {"customer_id": father, "relation": "father"})
        await here.post(members, {"relation": "child", "name": "老二", "guardian_id": father})
        await here.client.patch("/v1/privacy-settings", json={"erasure_waiting_days": 0})
        asked = await here.post(f"/v1/customers/{mother}/erasures", {}, 202)
        payload = {"tenant_id": str(here.tenant.id), "erasure_id": asked["id"], "sweep": False}
        await jobs.erase(here.database, payload)
        assert (await here.get(f"/v1/erasures/{asked['id']}"))["state"] == "completed"
        assert (await here.client.get(f"/v1/households/{alone['id']}")).status_code == 404
        left = await here.get(f"/v1/households/{shared['id']}")
        assert (left["name"], [each["name"] for each in left["members"]]) == ("—", ["李雷", "老二"])
        for household in (alone, shared):
            log = (await here.get("/v1/audit-log?limit=200"))["data"]
            told = [each for each in log if each["subject_id"] == household["id"]]
            assert "一家" not in str(told)
