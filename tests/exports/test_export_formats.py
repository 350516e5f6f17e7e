"""Each format, read back by a reader that is not ours, says what the API's lists say."""

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytest_asyncio

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

EVIL = '=HYPERLINK("http://evil")'


@pytest_asyncio.fixture
async def shop(desk):
    """Customers with all there is about one, and orders in three currencies."""
    for key, kind in (("shoe_size", "number"), ("joined", "date"), ("wallet", "money"), ("likes", "multi_choice")):
        more = (
            {"choices": [{"value": each, "label": {"en": each, "zh": each}} for each in ("tea", "wine")]}
            if kind == "multi_choice"
            else {}
        )
        label = {"en": key.title(), "zh": f"属性{key}"}
        await desk.post("attribute-definitions", {"key": key, "type": kind, "label": label, **more})
    people = [
        {
            "name": "王小明",
            "gender": "male",
            "contact_points": [
                {"kind": "mobile", "value": "13812341234"},
                {"kind": "mobile", "value": "13899998888", "is_primary": True},
                {"kind": "email", "value": "xm@example.com"},
            ],
            "identities": [{"platform": "taobao", "external_id": "123456789012345678"}],
            "birthday": {"year": 1990, "month": 5, "day": 20},
            "tags": ["vip", "老客"],
            "attributes": {
                "shoe_size": 42.5,
                "joined": "2024-02-29",
                "wallet": {"amount": 1999, "currency": "CNY"},
                "likes": ["tea", "wine"],
            },
        },
        {"name": EVIL, "notes": 'two\nlines, "quoted"', "birthday": {"calendar": "lunar", "month": 8, "day": 15}},
        {"name": "李雷", "city": "杭州", "birthday": {"month": 2, "day": 29}},
    ]
    made = [await desk.post("customers", each) for each in people]
    for place, (amount, currency) in enumerate([(1999, "CNY"), (500, "JPY"), (1234, "KWD")]):
        body = {
            "customer_id": made[0]["id"],
            "status": "paid",
            "total": {"amount": amount, "currency": currency},
            "placed_at": f"2026-05-0{place + 1}T16:30:00.25Z",
        }
        answer = await desk.client.put(f"/v1/orders/shop/O-{place}", json=body)
        assert answer.is_success, answer.text
    return desk


def read_csv(data):
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))


class TestNdjson:
    async def test_lines_are_the_resources_as_the_api_answers_them(self, shop):
        for resource in ("customers", "orders", "attribute_definitions"):
            lines = (await shop.file(resource, format="ndjson", page=2)).splitlines()
            assert [json.loads(line) for line in lines] == await shop.listed(resource.replace("_", "-"))

    async def test_of_some_fields_in_an_order(self, shop):
        lines = (await shop.file("orders", format="ndjson", fields=["total", "id"], order="placed_at_asc")).splitlines()
        listed = await shop.listed("orders", fields="id,total", order="placed_at_asc")
        assert [json.loads(line) for line in lines] == listed

    async def test_by_the_lists_own_filters(self, shop):
        lines = (await shop.file("customers", format="ndjson", filters={"tag": "vip"})).splitlines()
        assert [json.loads(line)["name"] for line in lines] == ["王小明"]

    async def test_by_search(self, shop):
        lines = (await shop.file("customers", format="ndjson", filters={"q": "wxm"})).splitlines()
        assert [json.loads(line)["name"] for line in lines] == ["王小明"]


class TestCsv:
    async def test_of_customers(self, shop):
        rows = read_csv(await shop.file(page=1))
        listed = await shop.listed()
        assert [row["crm_id"] for row in rows] == [each["id"] for each in listed]
        person = next(row for row in rows if row["name"] == "王小明")
        assert person["mobile"] == "'+8613899998888"
        assert json.loads(person["further_contact_points"]) == [{"kind": "mobile", "value": "+8613812341234"}]
        expected = {
            "email": "xm@example.com",
            "platform": "taobao",
            "external_id": "123456789012345678",
            "birthday": "1990-05-20",
            "lunar_birthday": "",
            "tags": "vip,老客",
            "blacklisted": "false",
            "attributes.shoe_size": "42.5",
            "attributes.joined": "2024-02-29",
            "attributes.wallet": "19.99",
            "attributes.wallet.currency": "CNY",
            "attributes.likes": "tea,wine",
        }
        assert {name: person[name] for name in expected} == expected

    async def test_no_cell_is_a_formula_and_lines_stay_in_their_cells(self, shop):
        rows = read_csv(await shop.file(fields=["name", "notes", "lunar_birthday", "birthday"]))
        by_name = {row["name"]: row for row in rows}
        assert by_name[f"'{EVIL}"]["notes"] == 'two\nlines, "quoted"'
        assert by_name[f"'{EVIL}"]["lunar_birthday"] == "08-15"
        assert by_name["李雷"]["birthday"] == "02-29"

    async def test_money_in_major_units_and_times_in_the_zone(self, shop):
        rows = read_csv(
            await shop.file(
                "orders", fields=["total", "placed_at"], order="placed_at_asc", time_zone="America/New_York"
            )
        )
        assert [(row["total"], row["total.currency"]) for row in rows] == [
            ("19.99", "CNY"),
            ("500", "JPY"),
            ("1.234", "KWD"),
        ]
        assert rows[0]["placed_at"] == "2026-05-01T12:30:00.250000-04:00"

    async def test_columns_in_the_order_asked_for(self, shop):
        data = await shop.file(fields=["attributes.shoe_size", "mobile", "name"])
        assert data.splitlines()[0] == b"attributes.shoe_size,mobile,name"
        assert data.count(b"\r\n") == 4

    async def test_mark_and_headers_in_both_languages(self, shop):
        fields = ["name", "mobile", "tags", "attributes.shoe_size", "created_at"]
        chinese = await shop.file(fields=fields, bom=True, headers="zh")
        assert chinese.startswith("\ufeff姓名,手机号,标签,属性shoe_size,创建时间\r\n".encode())
        english = await shop.file(fields=fields, headers="en")
        assert english.startswith(b"Name,Mobile,Tags,Shoe_Size,Created at\r\n")

    async def test_all_headers_differ(self, shop):
        for language in ("en", "zh", "names"):
            for resource in ("customers", "orders", "complaints", "interactions"):
                header = next(csv.reader(io.StringIO((await shop.file(resource, headers=language)).decode())))
                assert len(header) == len(set(header)) > 5


class TestXlsx:
    async def test_types(self, shop):
        data = await shop.file(format="xlsx", headers="zh", time_zone="Asia/Shanghai")
        sheet = openpyxl.load_workbook(io.BytesIO(data)).active
        header, *rows = sheet.iter_rows(values_only=True)
        person = next(row for row in (dict(zip(header, row, strict=True)) for row in rows) if row["姓名"] == "王小明")
        assert person["手机号"] == "+8613899998888"
        assert person["客户编号"] == "123456789012345678"
        assert person["属性shoe_size"] == 42.5
        assert person["属性wallet"] == 19.99
        assert person["属性joined"] == datetime(2024, 2, 29)  # noqa: DTZ001 - a cell knows no zone
        assert isinstance(person["创建时间"], datetime)
        formula = next(row for row in rows if row[header.index("姓名")] == EVIL)
        assert formula[header.index("备注")] == 'two\nlines, "quoted"'
        assert all(cell.data_type != "f" for row in sheet.iter_rows() for cell in row)

    async def test_times_as_on_the_shops_wall(self, shop):
        fields = ["placed_at"]
        data = await shop.file("orders", format="xlsx", fields=fields, order="placed_at_asc", time_zone="Asia/Shanghai")
        sheet = openpyxl.load_workbook(io.BytesIO(data)).active
        assert sheet["A2"].value == datetime(2026, 5, 2, 0, 30, 0, 250000)  # noqa: DTZ001 - see above

    async def test_more_rows_than_a_sheet_has(self, shop):
        data = await shop.file(format="xlsx", fields=["name"], sheet_rows=2)
        book = openpyxl.load_workbook(io.BytesIO(data))
        assert [[row[0] for row in sheet.iter_rows(values_only=True)] for sheet in book] == [
            ["name", "李雷", EVIL],
            ["name", "王小明"],
        ]


class TestParquet:
    async def test_types(self, shop):
        table = pq.read_table(io.BytesIO(await shop.file(format="parquet", page=2)))
        types = {field.name: field.type for field in table.schema}
        assert types["created_at"] == pa.timestamp("us", tz="UTC")
        assert types["attributes.joined"] == pa.date32()
        assert types["attributes.wallet"] == pa.decimal128(24, 4)
        assert types["tags"] == pa.list_(pa.field("element", pa.string()))
        assert types["blacklisted"] == pa.bool_()
        assert types["purchases.order_count"] == pa.int64()
        rows = table.to_pylist()
        listed = await shop.listed()
        assert [row["created_at"] for row in rows] == [datetime.fromisoformat(each["created_at"]) for each in listed]
        assert [row["tags"] for row in rows] == [each["tags"] for each in listed]
        person = next(row for row in rows if row["name"] == "王小明")
        assert person["attributes.wallet"] == Decimal("19.99")
        assert person["attributes.joined"] == date(2024, 2, 29)

    async def test_money_is_exact(self, shop):
        table = pq.read_table(io.BytesIO(await shop.file("orders", format="parquet", order="placed_at_asc")))
        found = [(row["total"], row["total.currency"], row["placed_at"]) for row in table.to_pylist()]
        moment = datetime(2026, 5, 1, 16, 30, 0, 250000, UTC)
        assert found[0] == (Decimal("19.99"), "CNY", moment)
        assert [amount for amount, *_ in found] == [Decimal("19.99"), Decimal(500), Decimal("1.234")]


async def test_an_empty_list_has_a_header_only(desk):
    assert (await desk.file("complaints", fields=["id", "state"])) == b"id,state\r\n"
    assert (await desk.file("complaints", format="ndjson")) == b""
    assert pq.read_table(io.BytesIO(await desk.file("complaints", format="parquet"))).num_rows == 0
    sheet = openpyxl.load_workbook(io.BytesIO(await desk.file("complaints", format="xlsx", fields=["id"]))).active
    assert list(sheet.iter_rows(values_only=True)) == [("id",)]
