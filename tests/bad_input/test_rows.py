"""Bad rows in good files: each fails alone, names its column, and brings nothing into the shop."""

import pytest

from tests.support.imports import finished, order, orders_csv, rows_of

pytestmark = [pytest.mark.asyncio, pytest.mark.database]
ROWS = {
    "platform in Chinese": ({"platform": "淘宝"}, "platform"),
    "platform empty": ({"platform": ""}, "platform"),
    "order id empty": ({"order_id": ""}, "order_id"),
    "order id with a blank": ({"order_id": "A 1"}, "order_id"),
    "order id too long": ({"order_id": "A" * 201}, "order_id"),
    "customer id empty": ({"customer_id": ""}, None),
    "customer id with a blank": ({"customer_id": "b 1"}, "customer_id"),
    "date empty": ({"placed_at": ""}, "placed_at"),
    "date is no date": ({"placed_at": "soon"}, "placed_at"),
    "30 February": ({"placed_at": "2026-02-30"}, "placed_at"),
    "month 13": ({"placed_at": "2026-13-01"}, "placed_at"),
    "hour 25": ({"placed_at": "2026-05-04T25:00:00Z"}, "placed_at"),
    "year 2999": ({"placed_at": "2999-01-01"}, "placed_at"),
    "year 0": ({"placed_at": "0000-01-01"}, "placed_at"),
    "status empty": ({"status": ""}, "status"),
    "unknown status": ({"status": "lost"}, "status"),
    "total empty": ({"total": ""}, "total"),
    "total is text": ({"total": "many"}, "total"),
    "total is negative": ({"total": "-1"}, "total"),
    "total is NaN": ({"total": "NaN"}, "total"),
    "total is Infinity": ({"total": "Infinity"}, "total"),
    "total of 10^400": ({"total": "1" + "0" * 400}, "total"),
    "total of 1e999999999": ({"total": "1e999999999"}, "total"),
    "total with two points": ({"total": "1.2.3"}, "total"),
    "currency empty": ({"currency": ""}, "currency"),
    "unknown currency": ({"currency": "ZZZ"}, "currency"),
    "currency of the past": ({"currency": "DEM"}, "currency"),
    "NUL": ({"order_id": "A\x00B"}, None),
}


async def test_every_bad_row(client, database):
    """All in one file, between good rows."""
    rows = [
        order(number, **({"order_id": f"BAD-{number}"} | cells)) for number, (cells, _) in enumerate(ROWS.values(), 100)
    ]
    done = await finished(client, database, orders_csv(order(1), *rows, order(2)))
    assert (done["state"], done["created"], done["failed"]) == ("completed", 2, len(ROWS)), done
    verdicts = (await rows_of(client, done, verdict="failed", limit=200))["data"]
    found = {each["row"]: each["errors"] for each in verdicts}
    for number, (name, (_, column)) in enumerate(ROWS.items(), 2):
        errors = found[number]
        assert errors, name
        assert all(each["code"] and each["message"] for each in errors)
        if column is not None:
            assert column in {each["column"] for each in errors}, f"{name}: {errors}"
    orders = (await client.get("/v1/orders?limit=200")).json()["data"]
    assert {each["external_id"] for each in orders} == {"A-1", "A-2"}
    assert len((await client.get("/v1/customers?limit=200")).json()["data"]) == 2


async def test_rows_of_the_wrong_length(client, database):
    done = await finished(client, database, orders_csv(order(1), ("taobao", "A-9"), (*order(3), "more"), order(2)))
    assert (done["created"], done["failed"]) == (2, 2), done
