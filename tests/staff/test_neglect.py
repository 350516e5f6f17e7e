"""Who has not been spoken with for longer than their class asks for."""

from datetime import timedelta

import asyncpg
import pytest

from tests.staff.shop import NOW, clocked, customers, listed, post, staff

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


async def spoken(client, customer, days):
    said = {"customer_id": customer, "channel": "call", "direction": "outbound"}
    await post(client, "/v1/interactions", said | {"occurred_at": (NOW - timedelta(days=days)).isoformat()})


async def test_the_strictest_standard_of_their_classes_counts(client, database, tenant, settings):
    (owner,) = await staff(client, "李娜")
    fresh, late, graded, free = await customers(client, 3, owner_id=owner) + await customers(client, 1)
    later = NOW + timedelta(days=60)  # long after they got their owner
    clocked(database, later)
    for each, days in ((fresh, -55), (late, -20), (graded, -50)):
        await spoken(client, each, days)
    path = "/v1/contact-standards"
    await post(client, path, {"dimension": "all", "every_days": 30})
    made = await post(client, path, {"dimension": "grade", "class_name": "A", "every_days": 7})
    assert (await client.post(path, json={"dimension": "all", "every_days": 9})).status_code == 409
    (found,) = await listed(client, "/v1/neglected-customers")
    assert (found["id"], found["owner_id"], found["every_days"]) == (late, owner, 30)
    assert found["overdue_since"].startswith((NOW + timedelta(days=50)).date().isoformat())
    connection = await asyncpg.connect(settings.database_url)
    await connection.execute(
        "INSERT INTO customer_scores (tenant_id, customer_id, frequency, grade, scored_at, lifecycle) "
        "VALUES ($1, $2, 1, 'A', now(), 'repeat')",
        tenant.id,
        graded,
    )
    await connection.close()
    assert {each["id"] for each in await listed(client, f"/v1/neglected-customers?owner_id={owner}")} == {late, graded}
    await client.patch(f"{path}/{made['id']}", json={"every_days": 20})
    assert {each["id"] for each in await listed(client, "/v1/neglected-customers")} == {late}
    assert (await client.delete(f"{path}/{made['id']}")).status_code == 204
    assert free not in {each["id"] for each in await listed(client, "/v1/neglected-customers")}


async def test_a_cell_of_value_and_potential_is_a_class_too(client, database, tenant, settings):
    (owner,) = await staff(client, "李娜")
    promising, other = await customers(client, 2, owner_id=owner)
    clocked(database, NOW + timedelta(days=60))
    body = {"dimension": "value_potential", "class_name": "mid_high", "every_days": 7}
    await post(client, "/v1/contact-standards", body)
    refused = await client.post("/v1/contact-standards", json=body | {"class_name": "mid"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/class_name")
    connection = await asyncpg.connect(settings.database_url)
    for each, cell in ((promising, "mid_high"), (other, "mid_low")):
        await connection.execute(
            "INSERT INTO customer_scores (tenant_id, customer_id, frequency, value_potential, scored_at, lifecycle) "
            "VALUES ($1, $2, 1, $3, now(), 'repeat')",
            tenant.id,
            each,
            cell,
        )
    await connection.close()
    assert [each["id"] for each in await listed(client, "/v1/neglected-customers")] == [promising]


async def test_a_tier_is_a_class_too(client, database, tenant):
    (owner,) = await staff(client, "李娜")
    golden, _ = await customers(client, 2, owner_id=owner)
    given = {"tier": "gold", "ends_at": (NOW + timedelta(days=365)).isoformat()}
    await post(client, f"/v1/loyalty/accounts/{golden}/tier/overrides", given)
    clocked(database, NOW + timedelta(days=60))
    await post(client, "/v1/contact-standards", {"dimension": "tier", "class_name": "gold", "every_days": 7})
    body = {"dimension": "tier", "class_name": "mithril", "every_days": 7}
    refused = await client.post("/v1/contact-standards", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/class_name")
    assert [each["id"] for each in await listed(client, "/v1/neglected-customers")] == [golden]


async def test_an_attempt_counts_as_the_documentation_says(client, database):
    (owner,) = await staff(client, "李娜")
    (who,) = await customers(client, 1, owner_id=owner)
    await post(client, "/v1/contact-standards", {"dimension": "all", "every_days": 30})
    clocked(database, NOW + timedelta(days=60))
    assert [each["id"] for each in await listed(client, "/v1/neglected-customers")] == [who]
    task = await post(client, "/v1/follow-ups", {"customer_id": who, "due_on": "2026-11-30", "channel": "call"})
    done = await client.post(f"/v1/follow-ups/{task['id']}/complete", json={"result": "no_answer"})
    assert done.status_code == 200, done.text
    assert await listed(client, "/v1/neglected-customers") == []


async def test_without_standards_nobody_is_neglected_and_a_new_owner_has_time(client, database):
    (owner,) = await staff(client, "李娜")
    await customers(client, 1, owner_id=owner)
    assert await listed(client, "/v1/neglected-customers") == []
    await post(client, "/v1/contact-standards", {"dimension": "all", "every_days": 30})
    assert await listed(client, "/v1/neglected-customers") == []
    said = "{ neglectedCustomers(first: 3) { nodes { name everyDays overdueSince } } }"
    answer = await client.post("/graphql", json={"query": said})
    assert answer.json()["data"]["neglectedCustomers"]["nodes"] == []
