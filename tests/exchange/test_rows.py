"""Wrong rows and files through the whole way: exact verdicts, nothing else harmed."""

from uuid import uuid4

import pytest

from tests.exchange.files import imported
from tests.support.imports import HEADER, finished, order, orders_csv, rows_of, start

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

BAD_ORDERS = [
    ({"platform": ""}, "platform", "required"),
    ({"platform": "淘宝"}, "platform", "bad_format"),
    ({"platform": "tao bao"}, "platform", "bad_format"),
    ({"platform": "x" * 65}, "platform", "too_long"),
    ({"order_id": ""}, "order_id", "required"),
    ({"order_id": "A 1"}, "order_id", "bad_format"),
    ({"order_id": "A\x001"}, "order_id", "nul_character"),
    ({"order_id": "x" * 201}, "order_id", "too_long"),
    ({"customer_id": ""}, None, "no_customer"),
    ({"customer_id": "b\t1"}, "customer_id", "bad_format"),
    ({"customer_id": "\x00"}, "customer_id", "nul_character"),
    ({"customer_id": "t***b"}, "customer_id", "masked_id"),
    ({"customer_id": "王＊＊"}, "customer_id", "masked_id"),
    ({"placed_at": ""}, "placed_at", "required"),
    ({"placed_at": "2025-02-30"}, "placed_at", "impossible_date"),
    ({"placed_at": "2025-13-01"}, "placed_at", "impossible_date"),
    ({"placed_at": "20259999"}, "placed_at", "impossible_date"),
    ({"placed_at": "0000-00-00"}, "placed_at", "impossible_date"),
    ({"placed_at": "2025-01-01 24:30"}, "placed_at", "impossible_date"),
    ({"placed_at": "3025-01-01"}, "placed_at", "impossible_date"),
    ({"placed_at": "01/02/2025"}, "placed_at", "bad_date"),
    ({"placed_at": "452920"}, "placed_at", "bad_date"),
    ({"placed_at": "tomorrow"}, "placed_at", "bad_date"),
    ({"status": ""}, "status", "required"),
    ({"status": "eaten"}, "status", "unknown_choice"),
    ({"total": ""}, "total", "required"),
    ({"total": "abc"}, "total", "bad_number"),
    ({"total": "1e5"}, "total", "bad_number"),
    ({"total": "NaN"}, "total", "bad_number"),
    ({"total": "inf"}, "total", "bad_number"),
    ({"total": "1_000"}, "total", "bad_number"),
    ({"total": "--1"}, "total", "bad_number"),
    ({"total": "٣"}, "total", "bad_number"),
    ({"total": "-5"}, "total", "negative"),
    ({"total": "9" * 30}, "total", "out_of_range"),
    ({"currency": ""}, "currency", "required"),
    ({"currency": "XYZ"}, "currency", "unknown_currency"),
    ({"currency": "RMB"}, "currency", "unknown_currency"),
    ({"currency": "US"}, "currency", "unknown_currency"),
    ({"currency": "CNY\x00"}, "currency", "nul_character"),
]

BAD_LINES = [
    (b"taobao,L1,b1,2026-05-04,completed,1", "ragged_row"),
    (b"taobao,L2,b1,2026-05-04,completed,1,CNY,more", "ragged_row"),
    (b"lonely", "ragged_row"),
    (b'taobao,"L3,b1,2026-05-04,completed,1,CNY', "malformed_row"),
    (b'taobao,"L4"x,b1,2026-05-04,completed,1,CNY', "malformed_row"),
    (b"taobao,L5,b\xff\xfe,2026-05-04,completed,1,CNY", "bad_encoding"),
    (b"taobao,L6," + b"x" * 140_000 + b",2026-05-04,completed,1,CNY", "row_too_long"),
]

BAD_CUSTOMERS = [
    (",,,,,,", None, "no_key"),
    ("无名,,,,,,", None, "no_key"),
    ("无名,12345,,,,,", "mobile", "invalid_phone"),
    ("无名,+86 138 0013 800,,,,,", "mobile", "invalid_phone"),
    ("无名,,nobody,,,,", "email", "invalid_email"),
    ("无名,,a@b@c.d,,,,", "email", "invalid_email"),
    ("无名,13800138000,,x,,,", "gender", "unknown_choice"),
    ("无名,13800138000,,,1990-02-30,,", "birthday", "impossible_date"),
    ("无名,13800138000,,,soon,,", "birthday", "bad_date"),
    ("无名,,,,,taobao,", "external_id", "required"),
    ("无名,,,,,,b1", "platform", "required"),
    ("无名,,,,,Tao Bao,b1", "platform", "bad_format"),
    ("无名,,,,,taobao,b 1", "external_id", "bad_format"),
    ("无名,13800138000,,,,taobao,t***b", "external_id", "masked_id"),
    (",13800138000,,,,,", "name", "required"),
    (f"{'长' * 201},13800138000,,,,,", "name", "too_long"),
    ("无\x00名,13800138000,,,,,", "name", "nul_character"),
]
CUSTOMER_HEADER = "name,mobile,email,gender,birthday,platform,external_id"


async def test_wrong_orders_fail_alone(client, database):
    good_before, good_after = order(1), order(2)
    wrong = [order(100 + place, **cells) for place, (cells, _, _) in enumerate(BAD_ORDERS)]
    done = await finished(client, database, orders_csv(good_before, *wrong, good_after))
    assert (done["state"], done["created"], done["failed"]) == ("completed", 2, len(wrong))
    rows = (await rows_of(client, done, verdict="failed", limit=200))["data"]
    found = [[(each["column"], each["code"]) for each in row["errors"]] for row in rows]
    assert found == [[(column, code)] for _, column, code in BAD_ORDERS]
    assert [row["row"] for row in rows] == list(range(2, len(wrong) + 2))
    assert all(row["resource_id"] is None for row in rows)
    assert len((await client.get("/v1/orders")).json()["data"]) == 2


async def test_broken_lines_fail_alone(client, database):
    good = ",".join(order(1)).encode()
    data = b"\n".join([HEADER, good, *(line for line, _ in BAD_LINES), good, good])
    done = await finished(client, database, data)
    assert (done["state"], done["created"], done["unchanged"]) == ("completed", 1, 2)
    rows = (await rows_of(client, done, verdict="failed"))["data"]
    assert [[(each["column"], each["code"]) for each in row["errors"]] for row in rows] == [
        [(None, code)] for _, code in BAD_LINES
    ]
    assert [row["line"] for row in rows] == list(range(3, len(BAD_LINES) + 3))


async def test_wrong_customers_fail_alone(client, database):
    lines = [CUSTOMER_HEADER, "王小明,13912345678,,,,,", *(line for line, _, _ in BAD_CUSTOMERS), ""]
    done = await finished(client, database, "\n".join(lines).encode(), "customers")
    assert (done["created"], done["failed"]) == (1, len(BAD_CUSTOMERS))
    rows = (await rows_of(client, done, verdict="failed"))["data"]
    assert [[(each["column"], each["code"]) for each in row["errors"]] for row in rows] == [
        [(column, code)] for _, column, code in BAD_CUSTOMERS
    ]
    assert len((await client.get("/v1/customers")).json()["data"]) == 1


async def test_the_export_of_taobao_itself(client, database):
    header = "订单编号,买家会员名,总金额,买家实际支付金额,买家应付邮费,订单状态,收货人姓名,订单创建时间"
    header += ",订单付款时间,平台,币种"
    line = "2026110100001,tb小红,98.00,88.00,10.00,交易成功,李红,2026-11-01 10:00:00,2026-11-01 10:01:00,taobao,CNY"
    done = await finished(client, database, f"{header}\n{line}\n".encode("gb18030"))
    assert (done["created"], done["failed"]) == (1, 0)
    (order,) = (await client.get("/v1/orders")).json()["data"]
    assert [order[name]["amount"] for name in ("total", "paid", "shipping")] == [9800, 8800, 1000]
    assert (order["status"], order["paid_at"]) == ("completed", "2026-11-01T02:01:00+00:00")


async def test_orders_of_a_till_name_buyers_by_phone(client, database):
    """Nobody is made twice, whoever is known stays as known, and the phone beside an account says nothing."""
    known = {"name": "李雷", "contact_points": [{"kind": "mobile", "value": "13800138001"}]}
    known = (await client.post("/v1/customers", json=known)).json()["id"]
    header = "平台,订单编号,会员号,联系手机,邮箱,系统编号,收货人姓名,日期,状态,金额,币种"
    lines = [
        "till,1,,13800138001,,,别人,2026-05-04,completed,1,CNY",
        "till,2,,13800138002,mei@example.com,,韩梅梅,2026-05-04,completed,2,CNY",
        "till,3,,,mei@example.com,,,2026-05-04,completed,3,CNY",
        f"till,4,,,,{known},,2026-05-04,completed,4,CNY",
        "till,5,m1,13800138001,,,,2026-05-04,completed,5,CNY",
        "till,6,t***b,13800138001,,,,2026-05-04,completed,6,CNY",
        "till,7,,021-61234567,,,,2026-05-04,completed,7,CNY",
        f"till,8,,,,{uuid4()},,2026-05-04,completed,8,CNY",
        "till,9,,123,,,,2026-05-04,completed,9,CNY",
    ]
    data = "\n".join([header, *lines, ""]).encode()
    for dry, counts in (("true", (6, 0, 3)), ("false", (6, 0, 3)), ("false", (0, 6, 3))):
        done = await imported(client, database, data, "orders", dry_run=dry)
        assert (done["created"], done["unchanged"], done["failed"]) == counts
        failed = (await client.get(f"/v1/imports/{done['id']}/rows?verdict=failed")).json()["data"]
        assert [(error["column"], error["code"]) for each in failed for error in each["errors"]] == [
            ("mobile", "not_a_mobile"),
            ("crm_id", "unknown_customer"),
            ("mobile", "invalid_phone"),
        ]
    orders = (await client.get("/v1/orders")).json()["data"]
    buyers = {each["external_id"]: each["customer_id"] for each in orders}
    assert buyers["1"] == buyers["4"] == buyers["6"] == known
    assert buyers["2"] == buyers["3"] != buyers["5"] != known
    customers = (await client.get("/v1/customers")).json()["data"]
    assert sorted((each["name"], each["source"]) for each in customers) == [
        ("m1", "till"),
        ("李雷", None),
        ("韩梅梅", "till"),
    ]


async def test_a_file_that_turns_out_to_be_none(client, database):
    data = orders_csv(*[order(n) for n in range(1, 4)]) + b"x" * 3_000_000
    done = await finished(client, database, data)
    assert (done["state"], done["error"]["code"]) == ("failed", "row_too_long")
    assert done["finished_at"] is not None


class TestUpload:
    """What is refused at once changes nothing."""

    @pytest.mark.parametrize(
        ("form", "files", "wanted"),
        [
            ({}, {"kind": (None, "orders")}, [("/file", "required")]),
            ({}, {"file": ("a.csv", HEADER)}, [("/kind", "required")]),
            ({"kind": "stars"}, {"file": ("a.csv", HEADER)}, [("/kind", "unknown_choice")]),
            ({"kind": "orders", "extra": "1"}, {"file": ("a.csv", HEADER)}, [("/extra", "unknown_field")]),
            ({"kind": ["orders", "orders"]}, {"file": ("a.csv", HEADER)}, [("/kind", "duplicate")]),
            ({"kind": "orders", "mapping": "{"}, {"file": ("a.csv", HEADER)}, [("/mapping", "bad_format")]),
            ({"kind": "orders", "mapping": "[1]"}, {"file": ("a.csv", HEADER)}, [("/mapping", "bad_format")]),
            ({"kind": "orders", "mapping": '{"a": 1}'}, {"file": ("a.csv", HEADER)}, [("/mapping", "bad_format")]),
            ({"kind": "orders", "mapping": "[" * 99}, {"file": ("a.csv", HEADER)}, [("/mapping", "bad_format")]),
            (
                {"kind": "orders", "mapping": '{"a": "total"}'},
                {"file": ("a.csv", HEADER)},
                [("/mapping/a", "unknown_header")],
            ),
            ({"kind": "orders"}, {"file": ("a.csv", b"")}, [("/file", "empty_file")]),
            ({"kind": "orders"}, {"file": ("a.xlsx", b"PK\x03\x04")}, [("/file", "not_csv")]),
            ({"kind": "orders"}, {"file": ("a.csv", b"total\n1\n")}, [("/file", "missing_column")] * 6),
            ({"kind": "customers"}, {"file": ("a.csv", b"name\nx\n")}, [("/file", "missing_column")]),
        ],
    )
    async def test_refused(self, client, form, files, wanted):
        response = await client.post("/v1/imports", data=form, files=files)
        problem = response.json()
        assert (response.status_code, problem["code"]) == (422, "invalid"), problem
        assert [(each["pointer"], each["code"]) for each in problem["errors"]] == wanted
        assert (await client.get("/v1/imports")).json()["data"] == []

    async def test_the_file_as_text_is_no_file(self, client):
        response = await client.post("/v1/imports", files={"kind": (None, "orders"), "file": (None, "x")})
        assert [each["pointer"] for each in response.json()["errors"]] == ["/file"]

    @pytest.mark.parametrize(
        ("content", "kind", "status"),
        [
            (b"{}", "application/json", 415),
            (b"kind=orders", "application/x-www-form-urlencoded", 415),
            (b"x", None, 415),
            (b"rubbish", "multipart/form-data; boundary=b", 400),
            (b"x", "multipart/form-data", 400),
            (b"", "multipart/form-data; boundary=b", 422),
        ],
    )
    async def test_not_a_form(self, client, content, kind, status):
        headers = {"content-type": kind} if kind else {}
        response = await client.post("/v1/imports", content=content, headers=headers)
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"

    async def test_larger_than_the_limit(self, client, app):
        response = await client.post(
            "/v1/imports", content=b"x", headers={"content-length": str(2**31), "content-type": "multipart/form-data"}
        )
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")

    async def test_a_bad_idempotency_key(self, client):
        response = await start(client, orders_csv(order()), headers={"idempotency-key": "a b"})
        assert response.status_code == 422

    @pytest.mark.parametrize("query", [{"verdict": "lost"}, {"limit": 0}, {"after": "rubbish"}, {"row": 1}])
    async def test_bad_queries_of_rows(self, client, query):
        created = (await start(client, orders_csv(order()))).json()
        response = await client.get(f"/v1/imports/{created['id']}/rows", params=query)
        assert response.status_code in {400, 422}
