"""A dry run says what a real run does, and leaves nothing behind."""

import random
from uuid import UUID

import pytest

from crm_api.exchange import jobs
from crm_api.exchange.runner import ImportRun
from tests.exchange.files import rows, upload
from tests.support.imports import order, orders_csv

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

LEFT = """
SELECT (SELECT count(*) FROM customers WHERE tenant_id = $1) AS customers,
       (SELECT count(*) FROM orders WHERE tenant_id = $1) AS orders,
       (SELECT count(*) FROM interactions WHERE tenant_id = $1) AS interactions,
       (SELECT count(*) FROM loyalty_transactions WHERE tenant_id = $1) AS points,
       (SELECT count(*) FROM products WHERE tenant_id = $1) AS products,
       (SELECT count(*) FROM outbox WHERE tenant_id = $1 AND type NOT LIKE 'import.%') AS messages,
       (SELECT count(*) FROM audit_log WHERE tenant_id = $1 AND subject_type NOT IN ('Import', 'Upload')) AS audited,
       (SELECT count(*) FROM import_keys WHERE tenant_id = $1) AS keys
"""


async def left(database, tenant):
    async with database.read(tenant.actor) as unit:
        return dict(await unit.connection.fetchrow(LEFT, tenant.id))


async def both(client, database, tenant, data, kind, chunk, **how):
    """Rehearse and run the same file in chunks of this size; return the verdicts of both."""
    sent = await upload(client, data)
    verdicts = []
    before = await left(database, tenant)
    for dry in (True, False):
        body = {"upload_id": sent["id"], "kind": kind, "dry_run": dry, **how}
        started = await client.post("/v1/imports/start", json=body)
        assert started.status_code == 202, started.text
        await ImportRun(database, tenant.id, UUID(started.json()["id"]), chunk=chunk).run()
        done = (await client.get(f"/v1/imports/{started.json()['id']}")).json()
        assert (done["state"], done["error"]) == ("completed", None)
        if dry:
            assert await left(database, tenant) == before
        verdicts.append([(row["verdict"], row["errors"]) for row in await rows(client, done)])
    assert verdicts[0] == verdicts[1]
    return verdicts[1]


def customers_file(pick, number):
    """Return rows of few people under many keys, some wrong, many meaning the same person by different keys."""
    lines = ["name,mobile,email,city,platform,external_id,tags"]
    for _ in range(number):
        who = pick.randrange(8)
        mobile = (
            f"1381234567{who}" if pick.random() < 0.6 else pick.choice(["", "12", f"1391234567{pick.randrange(8)}"])
        )
        email = f"p{who}@example.com" if pick.random() < 0.4 else ""
        identity = f"taobao,t{pick.randrange(8)}" if pick.random() < 0.4 else ","
        name = pick.choice(["", "王小明", "李雷"])
        lines.append(
            f"{name},{mobile},{email},{pick.choice(['', '上海', '北京'])},{identity},{pick.choice(['', 'vip'])}"
        )
    return "\n".join([*lines, ""]).encode()


@pytest.mark.parametrize("seed", range(6))
async def test_of_customers_that_are_connected_in_every_way(client, database, tenant, seed):
    pick = random.Random(seed)
    mode = pick.choice(["upsert", "upsert", "create_only", "update_only"])
    if seed % 2 or mode == "update_only":
        # Known by three keys: rows of the file may mean this one by any of them.
        body = {
            "name": "王",
            "contact_points": [
                {"kind": "mobile", "value": "13812345671"},
                {"kind": "email", "value": "p5@example.com"},
            ],
            "identities": [{"platform": "taobao", "external_id": "t3"}],
        }
        await client.post("/v1/customers", json=body)
    found = await both(client, database, tenant, customers_file(pick, 40), "customers", pick.randrange(1, 7), mode=mode)
    assert len({verdict for verdict, _ in found}) > 1


async def test_of_orders_that_come_twice(client, database, tenant):
    pick = random.Random(3)
    statuses = ["pending_payment", "paid", "completed", "refunded", "rubbish"]
    lines = [order(pick.randrange(9), status=pick.choice(statuses), total=str(pick.randrange(1, 4))) for _ in range(40)]
    found = await both(client, database, tenant, orders_csv(*lines), "orders", 3)
    assert {"created", "updated", "unchanged", "failed"} == {verdict for verdict, _ in found}


async def test_of_refunds_that_add_up(client, database, tenant):
    known = orders_csv(order(1, status="paid", total="10"))
    started = (await client.post("/v1/imports", data={"kind": "orders"}, files={"file": ("a.csv", known)})).json()
    await jobs.run(database, {"tenant_id": str(tenant.id), "import_id": started["id"]})
    data = b"platform,order_id,refund_id,amount\n" + b"".join(
        b"taobao,A-1,R%d,%d\n" % (n % 4, 4 if n != 3 else 7) for n in range(8)
    )
    found = await both(client, database, tenant, data, "refunds", 2)
    assert [verdict for verdict, _ in found] == ["created", "created", "failed", "failed", "unchanged", "unchanged"] + [
        "failed"
    ] * 2


async def test_of_points_for_one_customer_by_two_keys(client, database, tenant):
    body = {
        "name": "王",
        "contact_points": [{"kind": "mobile", "value": "13812345671"}],
        "identities": [{"platform": "store", "external_id": "A1"}],
    }
    await client.post("/v1/customers", json=body)
    data = "手机号,平台,会员号,积分\n13812345671,,,100\n,store,A1,100\n,store,A1,50\n,store,nobody,1\n".encode()
    found = await both(client, database, tenant, data, "opening_balances", 1)
    assert [verdict for verdict, _ in found] == ["created", "unchanged", "failed", "failed"]


async def test_of_products_and_interactions(client, database, tenant):
    products = b"sku,name,price\na,A,1\na,A,2\nb,,1\na,A,2\n"
    found = await both(client, database, tenant, products, "products", 1)
    assert [verdict for verdict, _ in found] == ["created", "updated", "failed", "unchanged"]
    await client.post(
        "/v1/customers", json={"name": "王", "contact_points": [{"kind": "mobile", "value": "13812345671"}]}
    )
    said = (
        "手机号,时间,方式,方向,内容\n"
        + "13812345671,2026-05-04 10:00,电话,来电,问发货\n" * 2
        + "1,2026-05-04,电话,来电,x\n"
        + "13812345671,2100-05-04 10:00,电话,来电,问发货\n"
    )
    found = await both(client, database, tenant, said.encode(), "interactions", 1)
    assert [verdict for verdict, _ in found] == ["created", "unchanged", "failed", "failed"]
    assert [(each["column"], each["code"]) for each in found[3][1]] == [("occurred_at", "in_the_future")]


async def test_names_what_exists_and_nothing_else(client, database, tenant):
    made = await client.post(
        "/v1/customers", json={"name": "王", "contact_points": [{"kind": "mobile", "value": "13812345671"}]}
    )
    data = "name,mobile\n王,13812345671\n李,13812345672\n李,13812345672\n".encode()
    sent = await upload(client, data)
    body = {"upload_id": sent["id"], "kind": "customers", "dry_run": True}
    started = (await client.post("/v1/imports/start", json=body)).json()
    await ImportRun(database, tenant.id, UUID(started["id"]), chunk=1).run()
    found = await rows(client, started)
    assert [(row["verdict"], row["resource_id"]) for row in found] == [
        ("unchanged", made.json()["id"]),
        ("created", None),
        ("unchanged", None),
    ]
    undo = await client.post(f"/v1/imports/{started['id']}/undo")
    assert (undo.status_code, undo.json()["code"]) == (409, "nothing_to_undo")
