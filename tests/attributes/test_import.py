"""Attributes by the thousand, as imports write them."""

import pytest

from crm_api.customers.models import CustomerRow
from crm_api.customers.service import CustomerBulkService
from tests.attributes.test_rest import define, define_all

pytestmark = [pytest.mark.asyncio, pytest.mark.database]


def row(mobile, name="王", **attributes):
    return CustomerRow({"name": name} if name else {}, mobile=mobile, attributes=attributes)


async def write(database, tenant, *rows):
    async with database.write(tenant.actor) as unit:
        return await CustomerBulkService(unit).import_many(rows)


async def test_cells_are_read_by_their_type(client, database, tenant):
    await define_all(client)
    first, wrong, stranger = await write(
        database,
        tenant,
        row(
            "13800000001",
            shoe_size="40.0",
            skin="干性",
            hobbies="tea、golf",
            budget="19.99",
            wedding="",
            vegetarian="是",
        ),
        row("13800000002", shoe_size="forty", friend="0198a0c0-0000-7000-8000-000000000001"),
        row("13800000003", friend="0198a0c0-0000-7000-8000-000000000001"),
    )
    assert first.verdict == "created"
    assert [(error.pointer, error.code) for error in wrong.errors] == [("/attributes/shoe_size", "wrong_type")]
    assert [(error.pointer, error.code) for error in stranger.errors] == [("/attributes/friend", "unknown_reference")]
    shown = (await client.get(f"/v1/customers/{first.customer_id}")).json()["attributes"]
    assert shown == {
        "shoe_size": 40,
        "skin": "dry",
        "hobbies": ["golf", "tea"],
        "budget": {"amount": 1999, "currency": "CNY"},
        "vegetarian": True,
    }


async def test_a_row_changes_what_it_says_and_can_be_taken_back(client, database, tenant):
    await define_all(client)
    (made,) = await write(database, tenant, row("13800000001", shoe_size="40", nickname="明"))
    (again,) = await write(database, tenant, row("13800000001", name=None, shoe_size="41", nickname=""))
    assert again.verdict == "updated"
    assert again.journal["values"] == {"attributes.shoe_size": (40, 41)}
    path = f"/v1/customers/{made.customer_id}"
    assert (await client.get(path)).json()["attributes"] == {"shoe_size": 41, "nickname": "明"}
    (same,) = await write(database, tenant, row("13800000001", name=None, shoe_size="41.0"))
    assert same.verdict == "unchanged"
    log = (await client.get(f"/v1/audit-log?subject_id={made.customer_id}")).json()["data"]
    assert (log[0]["before"], log[0]["after"]) == ({"attributes.shoe_size": 40}, {"attributes.shoe_size": 41})


async def test_new_customers_need_what_is_required_known_ones_do_not(client, database, tenant):
    (made,) = await write(database, tenant, row("13800000001"))
    await define(client, "size", type="number", required=True)
    known, new = await write(database, tenant, row("13800000001", name="李"), row("13800000002"))
    assert (known.verdict, known.customer_id) == ("updated", made.customer_id)
    assert [(error.pointer, error.code) for error in new.errors] == [("/attributes/size", "required")]
