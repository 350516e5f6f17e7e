"""Several addresses of a customer, one of them the default."""

import pytest

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

HOME = {"label": "家", "province": "上海市", "city": "上海市", "street": "世纪大道 100 号", "is_default": True}
OFFICE = {"label": "公司", "city": "杭州市"}


async def customer(client, **fields):
    answer = await client.post("/v1/customers", json={"name": "王", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def defaults(shown):
    return {each["label"]: each["is_default"] for each in shown["addresses"]}


async def test_they_come_with_a_new_customer(client):
    made = await customer(client, addresses=[HOME, OFFICE], address="旧的一行地址")
    assert defaults(made) == {"家": True, "公司": False}
    assert made["address"] == "旧的一行地址"


async def test_there_is_one_default(client):
    made = await customer(client, addresses=[HOME])
    path = f"/v1/customers/{made['id']}/addresses"
    shown = (await client.post(path, json={**OFFICE, "is_default": True})).json()
    assert defaults(shown) == {"家": False, "公司": True}
    office = next(each for each in shown["addresses"] if each["label"] == "公司")
    shown = (await client.patch(f"{path}/{office['id']}", json={"is_default": False, "district": "西湖区"})).json()
    assert defaults(shown) == {"家": False, "公司": False}
    assert (await client.patch(f"{path}/{office['id']}", json={"district": "西湖区"})).json()["version"] == 3
    assert (await client.delete(f"{path}/{office['id']}")).status_code == 204
    assert (await client.delete(f"{path}/{office['id']}")).status_code == 404
    log = (await client.get(f"/v1/audit-log?subject_id={made['id']}")).json()["data"]
    assert [each["operation"] for each in log] == [
        "customer.address_removed",
        "customer.address_changed",
        "customer.address_added",
        "customer.created",
    ]


async def test_an_address_says_where_it_is(client):
    made = await customer(client, addresses=[OFFICE])
    path = f"/v1/customers/{made['id']}/addresses"
    empty = await client.post(path, json={"label": "家"})
    assert empty.json()["errors"][0]["code"] == "address_empty"
    emptied = await client.patch(f"{path}/{made['addresses'][0]['id']}", json={"city": None})
    assert emptied.json()["errors"][0]["code"] == "address_empty"


async def test_there_are_only_so_many(client):
    made = await customer(client, addresses=[OFFICE] * 20)
    refused = await client.post(f"/v1/customers/{made['id']}/addresses", json=OFFICE)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_addresses")
    shown = await client.post("/v1/customers", json={"name": "x", "addresses": [OFFICE] * 21})
    assert shown.json()["errors"][0]["pointer"] == "/addresses"


async def test_the_wider_profile_is_kept(client):
    profile = {"age_range": "25_34", "family": "先生和一个女儿", "interests": ["露营", "烘焙"]}
    made = await customer(client, **profile)
    assert {name: made[name] for name in profile} == profile
    changed = await client.patch(f"/v1/customers/{made['id']}", json={"interests": [], "age_range": None})
    assert (changed.json()["interests"], changed.json()["age_range"]) == ([], None)
    rule = {"field": "interests", "op": "contains", "value": "露营"}
    found = await client.post("/v1/customers/search", json={"rule": rule})
    assert found.json()["data"] == []
