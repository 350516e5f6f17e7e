"""Taking imports back: everything is as it was, and nothing that came since is lost."""

import asyncio
import random
from uuid import UUID

import pytest

from crm_api.core.messages import Message
from crm_api.earning.jobs import follow_orders
from crm_api.exchange import jobs
from crm_api.exchange.undo import UndoRun
from crm_api.loyalty.repository import drift
from tests.exchange.files import imported, ndjson, rows, undone
from tests.support.import_worker import working
from tests.support.imports import order, orders_csv

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

HEADER = "姓名,手机号,邮箱,城市,标签,平台,客户编号\n"

STATE = """
SELECT json_build_object(
  'customers', (SELECT json_agg(json_build_array(name, kind, city, attributes, birth_year) ORDER BY id)
                FROM customers WHERE tenant_id = $1 AND deleted_at IS NULL),
  'contacts', (SELECT json_agg(json_build_array(p.kind, value, p.customer_id) ORDER BY p.kind, value)
               FROM contact_points p JOIN customers c ON c.tenant_id = p.tenant_id AND c.id = p.customer_id
               WHERE p.tenant_id = $1 AND c.deleted_at IS NULL),
  'identities', (SELECT json_agg(json_build_array(platform, external_id, customer_id) ORDER BY platform, external_id)
                 FROM customer_identities WHERE tenant_id = $1),
  'tags', (SELECT json_agg(json_build_array(t.customer_id, tag) ORDER BY t.customer_id, tag) FROM customer_tags t
           JOIN customers c ON c.tenant_id = t.tenant_id AND c.id = t.customer_id
           WHERE t.tenant_id = $1 AND c.deleted_at IS NULL),
  'orders', (SELECT json_agg(json_build_array(external_id, status, total_amount, paid_amount, refunded_amount,
                                              customer_id, placed_at, paid_at) ORDER BY id)
             FROM orders WHERE tenant_id = $1),
  'refunds', (SELECT json_agg(json_build_array(external_id, amount) ORDER BY id) FROM refunds WHERE tenant_id = $1),
  'products', (SELECT json_agg(json_build_array(sku, name, price_amount, active, new_arrival_on) ORDER BY id)
               FROM products WHERE tenant_id = $1),
  'interactions', (SELECT count(*) FROM interactions WHERE tenant_id = $1),
  'events', (SELECT count(*) FROM events WHERE tenant_id = $1),
  'points', (SELECT json_agg(json_build_array(customer_id, available, pending, held, debt) ORDER BY customer_id)
             FROM loyalty_wallets WHERE tenant_id = $1 AND available + pending + held + debt > 0),
  'facts', (SELECT json_agg(json_build_array(f.customer_id, order_count, gross_spend_amount, net_spend_amount)
                            ORDER BY f.customer_id)
            FROM customer_purchase_facts f WHERE tenant_id = $1 AND order_count > 0)
)
"""


async def state(database, tenant):
    """Return all that an import can touch."""
    async with database.read(tenant.actor) as unit:
        return await unit.connection.fetchval(STATE, tenant.id)


async def search(client, text):
    return len((await client.get("/v1/customers", params={"q": text})).json()["data"])


KNOWN = {
    "name": "王小明",
    "city": "上海",
    "tags": ["老客"],
    "contact_points": [{"kind": "mobile", "value": "13812345678"}],
}

FILES = {
    "customers": HEADER
    + "王大明,13812345678,w@example.com,北京,vip,taobao,t1\n李雷,13912345678,,,,,\n李雷,13912345678,,杭州,新,,\n",
    "companies": "公司名称,电话,城市\n浦东幼儿园,021-12345678,上海\n",
    "products": "sku,name,price,new arrival\nknown,新名字,2.50,2026-01-31\nnew,新品,1,\nnew,新品二,3,\n",
    "orders": "platform,order_id,customer_id,placed_at,status,total,currency\n"
    "taobao,T1,b1,2026-05-04,refunded,10,CNY\ntaobao,T2,b2,2026-05-04,paid,20,CNY\n"
    "taobao,T2,b2,2026-05-04,completed,20,CNY\n",
    "refunds": "platform,order_id,refund_id,amount\ntaobao,T1,R1,4\ntaobao,T1,R2,6\n",
    "interactions": "手机号,时间,方式,方向,内容\n13812345678,2026-05-04 10:00,电话,来电,问发货\n",
    "events": "event_id,type,occurred_at,device_id\ne1,page_view,2026-05-04T10:00:00Z,d1\n",
    "opening_balances": "手机号,积分,到期日\n13812345678,100,2099-12-31\n",
}


@pytest.mark.parametrize("kind", FILES)
async def test_everything_is_as_it_was_and_can_be_imported_again(client, database, tenant, kind):
    await client.post("/v1/customers", json=KNOWN)
    await client.post(
        "/v1/products", json={"sku": "known", "name": "旧名字", "price": {"amount": 100, "currency": "CNY"}}
    )
    first = orders_csv(order(9, order_id="T1", customer_id="b1", status="paid", total="10"))
    await imported(client, database, first, "orders")
    before = await state(database, tenant)
    data = FILES[kind].encode()
    done = await imported(client, database, data, kind)
    assert (done["failed"], done["duplicate"]) == (0, 0), await rows(client, done)
    after = await state(database, tenant)
    assert after != before
    back = await undone(client, database, done)
    assert (back["undo"]["kept"], back["undo"]["undone"]) == (0, done["created"] + done["updated"])
    assert await state(database, tenant) == before
    again = await imported(client, database, data, kind)
    assert (again["created"], again["updated"], again["failed"]) == (done["created"], done["updated"], 0)
    refused = await client.post(f"/v1/imports/{done['id']}/undo")
    assert (refused.status_code, refused.json()["code"]) == (409, "already_undone")
    async with database.read(tenant.actor) as unit:
        assert await drift(unit) == []


async def test_orders_with_their_lines(client, database, tenant):
    """A row's `lines` replace those of the order; the undo brings the old ones back, unless somebody changed them."""
    product = {"sku": "S1", "name": "大虾", "category": "海鲜/虾"}
    product_id = (await client.post("/v1/products", json=product)).json()["id"]
    body = {
        "customer": {"external_id": "b1"},
        "status": "paid",
        "total": {"amount": 1000, "currency": "CNY"},
        "placed_at": "2026-05-04T00:00:00+08:00",
        "lines": [{"title": "旧", "unit_price": {"amount": 1000, "currency": "CNY"}, "category": "旧"}],
    }
    before = (await client.put("/v1/orders/taobao/T1", json=body)).json()
    row = {"platform": "taobao", "customer_id": "b1", "placed_at": "2026-05-04", "status": "paid", "total": 10}
    lines = [
        {"sku": "S1", "title": "虾", "quantity": 2, "unit_price": "3.50"},
        {"title": "袋", "unit_price": 3, "amount": {"amount": 250, "currency": "CNY"}, "category": "杂"},
    ]
    wrong = [{"title": "x"}], [{"title": "x", "unit_price": {"amount": 1, "currency": "USD"}}]
    rows_ = [{**row, "order_id": f"T{n}", "currency": "CNY", "lines": lines} for n in (1, 2)]
    rows_ += [{**rows_[0], "order_id": f"W{n}", "lines": each} for n, each in enumerate(wrong)]
    done = await imported(client, database, ndjson(*rows_), "orders")
    assert (done["created"], done["updated"], done["failed"]) == (1, 1, 2)
    failed = [each["errors"] for each in await rows(client, done, verdict="failed")]
    assert [(error["column"], error["code"]) for (error,) in failed] == [
        ("lines", "bad_lines"),
        ("lines", "currency_mismatch"),
    ]
    for number in (1, 2):
        found = (await client.get(f"/v1/orders/taobao/T{number}")).json()["lines"]
        assert [(each["title"], each["amount"]["amount"], each["product_id"], each["category"]) for each in found] == [
            ("虾", 700, product_id, "海鲜/虾"),
            ("袋", 250, None, "杂"),
        ]
    (customer,) = (await client.get("/v1/customers")).json()["data"]
    assert set(customer["purchases"]["favourite_categories"]) == {"海鲜/虾", "杂"}
    again = await imported(client, database, ndjson(*rows_[:2]), "orders")
    assert again["unchanged"] == 2
    assert (await undone(client, database, done))["undo"]["undone"] == 2
    after = (await client.get("/v1/orders/taobao/T1")).json()
    assert [{**each, "id": None} for each in after["lines"]] == [{**each, "id": None} for each in before["lines"]]
    assert (await client.get("/v1/customers")).json()["data"][0]["purchases"]["favourite_categories"] == ["旧"]
    assert (await client.get("/v1/orders/taobao/T2")).status_code == 404
    once_more = await imported(client, database, ndjson(rows_[0]), "orders")
    await client.put("/v1/orders/taobao/T1", json={**body, "lines": []})
    assert (await undone(client, database, once_more))["undo"]["kept"] == 1
    assert (await client.get("/v1/orders/taobao/T1")).json()["lines"] == []


async def test_search_follows(client, database):
    await client.post("/v1/customers", json=KNOWN)
    done = await imported(client, database, FILES["customers"].encode())
    assert (await search(client, "王大明"), await search(client, "王小明"), await search(client, "李雷")) == (1, 0, 1)
    await undone(client, database, done)
    assert (await search(client, "王大明"), await search(client, "王小明"), await search(client, "李雷")) == (0, 1, 0)


async def verdicts(client, of):
    return [(row["undo"], [(e["column"], e["code"]) for e in row["undo_errors"]]) for row in await rows(client, of)]


async def test_what_was_changed_since_is_reported_and_left_alone(client, database):
    known = (await client.post("/v1/customers", json=KNOWN)).json()
    done = await imported(client, database, FILES["customers"].encode())
    made = (await rows(client, done))[1]["resource_id"]
    await client.patch(f"/v1/customers/{known['id']}", json={"city": "广州", "notes": "since"})
    await client.patch(f"/v1/customers/{made}", json={"notes": "since"})
    back = await undone(client, database, done)
    assert await verdicts(client, back) == [
        ("kept", [("city", "changed_since")]),
        ("kept", [(None, "changed_since")]),
        ("undone", []),
    ]
    one = (await client.get(f"/v1/customers/{known['id']}")).json()
    assert (one["name"], one["city"], one["notes"]) == ("王大明", "广州", "since")
    other = (await client.get(f"/v1/customers/{made}")).json()
    assert (other["name"], other["city"], other["notes"], other["tags"]) == ("李雷", None, "since", [])


async def test_other_fields_changed_since_stay(client, database):
    known = (await client.post("/v1/customers", json=KNOWN)).json()
    done = await imported(client, database, FILES["customers"].encode())
    await client.patch(f"/v1/customers/{known['id']}", json={"notes": "since"})
    await undone(client, database, done)
    one = (await client.get(f"/v1/customers/{known['id']}")).json()
    assert (one["name"], one["city"], one["notes"], one["tags"]) == ("王小明", "上海", "since", ["老客"])


@pytest.mark.parametrize("what", ["order", "interaction", "points"])
async def test_a_customer_on_whom_others_hang_is_kept(client, database, tenant, what):
    done = await imported(client, database, "姓名,手机号\n李雷,13912345678\n".encode())
    [row] = await rows(client, done)
    about = {"customer_id": row["resource_id"]}
    money = {"amount": 100, "currency": "CNY"}
    placed = {"status": "paid", "total": money, "placed_at": "2026-05-04T00:00:00Z"}
    answer = {
        "order": lambda: client.put("/v1/orders/own/X1", json={**about, **placed}),
        "interaction": lambda: client.post(
            "/v1/interactions", json={**about, "channel": "call", "direction": "inbound"}
        ),
        "points": lambda: client.post(
            f"/v1/loyalty/accounts/{row['resource_id']}/adjustments", json={"points": 5, "reason": "x"}
        ),
    }[what]
    assert (await answer()).status_code in {200, 201}
    back = await undone(client, database, done)
    assert back["undo"]["kept"] == 1
    [(kept, [(_, code)])] = await verdicts(client, back)
    assert (kept, code) == ("kept", "changed_since" if what == "points" else "in_use")
    assert (await client.get(f"/v1/customers/{row['resource_id']}")).status_code == 200


async def test_a_customer_merged_since_is_kept(client, database):
    known = (await client.post("/v1/customers", json=KNOWN)).json()
    done = await imported(client, database, "姓名,手机号\n李雷,13912345678\n".encode())
    [row] = await rows(client, done)
    merge = {"winner_id": known["id"], "loser_ids": [row["resource_id"]]}
    assert (await client.post("/v1/customers/merge", json=merge)).status_code in {200, 201}
    again = await imported(client, database, f"crm_id,城市\n{row['resource_id']},杭州\n".encode())
    assert (await rows(client, again))[0]["resource_id"] == known["id"]  # the old id answers for the new one
    back = await undone(client, database, done)
    assert await verdicts(client, back) == [("kept", [(None, "merged_since")])]


async def test_orders_leave_with_their_buyers_unless_these_bought_since(client, database, tenant):
    done = await imported(
        client, database, orders_csv(*(order(n, customer_id=f"b{n % 3}") for n in range(6))), "orders"
    )
    await imported(client, database, orders_csv(order(100, customer_id="b1")), "orders")
    await undone(client, database, done)
    left = (await client.get("/v1/orders")).json()["data"]
    assert [each["external_id"] for each in left] == ["A-100"]
    people = (await client.get("/v1/customers")).json()["data"]
    assert [each["name"] for each in people] == ["b1"]
    assert people[0]["purchases"]["order_count"] == 1


async def test_points_of_orders_go_with_them(client, database, tenant):
    async def relay():
        async with database.read(tenant.actor) as unit:
            found = await unit.connection.fetch(
                "SELECT id, tenant_id, type, subject_id, payload, occurred_at FROM outbox"
                " WHERE tenant_id = $1 AND type LIKE 'order.%' ORDER BY xid, id",
                tenant.id,
            )
        async with database.write(tenant.actor) as unit:
            await follow_orders(unit, [Message(**dict(row)) for row in found])

    async def points():
        async with database.read(tenant.actor) as unit:
            assert await drift(unit) == []
            return await unit.connection.fetchval(
                "SELECT coalesce(sum(available), 0)::int FROM loyalty_wallets WHERE tenant_id = $1", tenant.id
            )

    done = await imported(client, database, orders_csv(order(1, total="20"), order(2, total="30")), "orders")
    await relay()
    assert await points() == 50
    await undone(client, database, done)
    await relay()
    assert await points() == 0


async def test_spent_points_are_not_taken_back(client, database):
    known = (await client.post("/v1/customers", json=KNOWN)).json()
    done = await imported(client, database, FILES["opening_balances"].encode(), "opening_balances")
    account = f"/v1/loyalty/accounts/{known['id']}"
    assert (await client.post(f"{account}/redemptions", json={"points": 1, "reason": "x"})).status_code == 201
    back = await undone(client, database, done)
    assert await verdicts(client, back) == [("kept", [("points", "points_used")])]
    assert (await client.get(account)).json()["available"] == 99


async def test_refused_while_it_runs(client):
    started = await client.post("/v1/imports", data={"kind": "orders"}, files={"file": ("a.csv", orders_csv(order(1)))})
    refused = await client.post(f"/v1/imports/{started.json()['id']}/undo")
    assert (refused.status_code, refused.json()["code"]) == (409, "import_running")


async def test_over_graphql(client, database):
    done = await imported(client, database, orders_csv(order(1)), "orders")
    mutation = "mutation($id: ID!) { importUndo(input: {id: $id}) { import { undo { state } } userErrors { code } } }"
    answer = await client.post("/graphql", json={"query": mutation, "variables": {"id": f"Import:{done['id']}"}})
    assert answer.json() == {"data": {"importUndo": {"import": {"undo": {"state": "QUEUED"}}, "userErrors": []}}}


async def test_two_workers_at_once(client, database, tenant):
    before = await state(database, tenant)
    done = await imported(client, database, orders_csv(*(order(n) for n in range(600))), "orders")
    await client.post(f"/v1/imports/{done['id']}/undo")
    runs = [UndoRun(database, tenant.id, UUID(done["id"]), chunk=50, lease=0.2) for _ in range(2)]
    await asyncio.gather(*(run.run() for run in runs))
    told = (await client.get(f"/v1/imports/{done['id']}")).json()["undo"]
    assert (told["state"], told["undone"], told["processed"]) == ("completed", 600, 600)
    assert await state(database, tenant) == before


@pytest.mark.slow
async def test_killed_again_and_again_it_ends_the_same(client, database, tenant, database_url):
    before = await state(database, tenant)
    done = await imported(client, database, orders_csv(*(order(n) for n in range(3_000))), "orders")
    await client.post(f"/v1/imports/{done['id']}/undo")
    killed = 0
    while (told := (await client.get(f"/v1/imports/{done['id']}")).json()["undo"])["state"] != "completed":
        async with working(database_url, tenant.id, done["id"], chunk=100, lease=0.3, undo=True) as process:
            if killed < 4:
                while (await client.get(f"/v1/imports/{done['id']}")).json()["undo"]["processed"] == told["processed"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                await asyncio.sleep(random.uniform(0, 0.15))
                if process.is_alive():
                    process.kill()
                    killed += 1
    assert killed >= 3
    assert (told["undone"], told["kept"], told["processed"]) == (3_000, 0, 3_000)
    assert await state(database, tenant) == before
    async with database.read(tenant.actor) as unit:
        removed = await unit.connection.fetchval(
            "SELECT count(*) FROM outbox WHERE tenant_id = $1 AND type = 'order.withdrawn'", tenant.id
        )
    assert removed == 3_000
    await jobs.undo(database, {"tenant_id": str(tenant.id), "import_id": done["id"]})  # nothing is left to do
