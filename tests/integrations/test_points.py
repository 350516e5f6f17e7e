"""Points on platforms, by fixtures of the documented shapes: Tmall's point changes, WeChat's member cards."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from crm_api.core.messages import Message
from crm_api.integrations import standard, tmall, wechat_card
from crm_api.integrations.commands import ChangePoints, Ignore
from crm_api.integrations.points import POINTS_CHANGED, MemberCards, PointChanges
from crm_api.loyalty.ledger import MESSAGES
from tests.loyalty.shop import START, Shop

HERE = Path(__file__).parent / "fixtures"
CARD = "pMadeUpCard0000000000000001:478515830001:oMadeUpOpenid00000000000001"


def fixture(name):
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def asked(**changes):
    given = fixture("tmall_point_change")
    given["Content"] = json.dumps({**json.loads(given["Content"]), **changes})
    return standard.read({"type": "tmall.message", "data": given})


def test_a_message_of_the_channel_is_read_in_both_spellings():
    expected = ChangePoints("tmall", "mix-0001", "77001", -30, "积分兑换")
    captured = fixture("tmall_point_change")
    consumed = {"topic": captured["Topic"], "content": captured["Content"], "id": 1}
    assert tmall.read(captured) == tmall.read(consumed) == asked() == expected


def test_what_is_none_of_ours_is_ignored():
    assert isinstance(tmall.read({"topic": "taobao_trade_TradeRated", "content": "{}"}), Ignore)
    assert isinstance(asked(point=0), Ignore)


@pytest.mark.parametrize(
    ("remark", "reason"), [("  ", None), ("\0", None), (None, None), (" a\0b ", "ab"), ("x" * 300, "x" * 200)]
)
def test_no_remark_stops_a_change(remark, reason):
    assert asked(remark=remark).reason == reason


@pytest.mark.parametrize(
    "changes", [{"point": "many"}, {"record_id": ""}, {"mix_mobile": None}, {"mix_mobile": "a\0b"}]
)
def test_what_cannot_be_read_is_refused(changes):
    with pytest.raises(ValueError, match="validation error"):
        asked(**changes)


@pytest.fixture
def shop(database, tenant):
    return Shop(database, tenant)


async def known_as(shop, customer, platform, external_id):
    sql = (
        "INSERT INTO customer_identities (tenant_id, id, customer_id, platform, external_id) "
        "VALUES ($1, $2, $3, $4, $5)"
    )
    await shop.rows(sql, shop.tenant.id, uuid4(), customer, platform, external_id)


async def book(shop, command):
    return await shop.run(lambda unit: PointChanges(unit).book(command))


@pytest.mark.asyncio
@pytest.mark.database
async def test_message_ledger_answer(shop):
    customer = await shop.customer(100)
    await known_as(shop, customer, "tmall", "mix-0001")
    told = {"record_id": "77001", "mix_mobile": "mix-0001"}
    for _ in range(2):  # told twice, booked once
        answer = await book(shop, asked())
        assert answer == {"method": "tmall.mei.crm.callback.point.change", "params": {**told, "result": 0, "point": 70}}
    too_many = await book(shop, asked(record_id=77002, point=-71))
    assert too_many["params"] == {**told, "record_id": "77002", "result": 1, "point": 70, "error_code": "E05"}
    other = await book(shop, asked(point=-31))
    assert other["params"] == {**told, "result": 1, "point": 70, "error_code": "E05"}
    given = await book(shop, asked(record_id=77003, point=5))
    assert given["params"]["point"] == 75
    silent = await book(shop, asked(record_id=77004, point=-5, remark="   "))
    assert silent["params"]["point"] == 70
    nobody = await book(shop, asked(mix_mobile="mix-9999"))
    assert nobody["params"]["error_code"] == "E01"
    assert [kind for kind, _ in await shop.history(customer)] == ["adjust", "redeem", "grant", "redeem"]
    assert await shop.drift() == []


def test_a_card_follows_whatever_changes_a_balance():
    assert set(MESSAGES.values()) == POINTS_CHANGED


@pytest.mark.asyncio
@pytest.mark.database
async def test_a_card_shows_what_can_be_spent(shop):
    customer, other = await shop.customer(70), await shop.customer(5)
    await known_as(shop, customer, "wechat_card", CARD)
    await known_as(shop, other, "wechat_card", "no card at all")
    booked = uuid4()
    messages = [
        Message(uuid4(), shop.tenant.id, "points.granted", each, {"transaction_id": str(booked)}, START)
        for each in (customer, other)
    ]
    for _ in range(2):
        await shop.run(lambda unit: MemberCards(unit).follow(messages))
    due = await shop.rows(
        "SELECT subject_id, payload FROM outbox WHERE tenant_id = $1 AND type = $2", shop.tenant.id, wechat_card.DUE
    )
    assert [row["subject_id"] for row in due] == [customer, customer]
    first, again = (row["payload"] for row in due)
    assert first == again  # the same request, so sent twice it counts once
    number = first["body"]["out_request_no"]
    assert len(number) == 32
    assert number.isalnum()
    expected = fixture("wechat_user_points_sync")
    assert first == {**expected, "body": {**expected["body"], "out_request_no": number}}
    assert wechat_card.update(wechat_card.card_of(CARD), uuid4(), 70)["body"]["out_request_no"] != number
