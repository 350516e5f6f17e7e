"""Compensations over REST and GraphQL: approved within limits, paid once, taken back."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import pairwise

import pytest
import pytest_asyncio

from crm_api.compensations import jobs
from crm_api.compensations.service import CompensationService
from crm_api.complaints import jobs as complaint_jobs
from crm_api.core.clock import SystemClock
from crm_api.loyalty.service import LoyaltyService
from tests.compensations.shop import WAY, Shop
from tests.complaints.desk import follow
from tests.vouchers.shop import cart, money

pytestmark = [pytest.mark.asyncio, pytest.mark.database]
REFUND = {"kind": "refund", "amount": money(8800)}


@pytest_asyncio.fixture
async def shop(client, database, tenant, app, settings):
    """A shop at a time that stands still."""
    made = Shop(client, database, tenant)
    made.app, made.settings = app, settings
    return made


@pytest_asyncio.fixture
async def keys(shop):
    """Make clients with keys of their own."""
    async with AsyncExitStack() as stack:

        async def key(*scopes):
            return await shop.key(stack, *scopes)

        yield key


class TestPaying:
    async def test_points_are_paid_by_the_worker_and_the_case_can_then_be_closed(self, shop):
        case = await shop.case()
        made = await shop.propose(case, kind="points", points=500, note="内部说明")
        assert (made["state"], made["points"], made["amount"]) == ("approved", 500, None)
        assert (made["decided_by"], made["customer_id"]) == (made["proposed_by"], case["customer_id"])
        assert (await shop.queued(made), await shop.points(case["customer_id"])) == (1, 0)

        refused = await shop.move(case, *WAY, "close", decision_told=True)
        assert (refused.status_code, refused.json()["code"]) == (409, "transition_guard")
        assert refused.json()["errors"][0]["code"] == "compensation_not_settled"
        assert refused.json()["compensations"] == [{"id": made["id"], "state": "approved"}]

        paid = await shop.pay(made)
        assert (paid["state"], paid["settled_at"]) == ("settled", "2026-05-01T04:00:00+00:00")
        assert await shop.points(case["customer_id"]) == 500
        [booked] = await shop.fetch(
            "SELECT key, reason FROM loyalty_transactions WHERE id = $1", paid["transaction_id"]
        )
        assert booked["key"] == f"compensation:{made['id']}"
        assert "内部" not in booked["reason"], "customers do not read the shop's own notes"
        closed = await shop.move(case, "close", decision_told=True)
        assert (closed.status_code, closed.json()["state"]) == (200, "closed")

        over = await shop.propose(case, status=409, kind="apology")
        assert (over["code"], over["state"]) == ("case_over", "closed")
        told = {kind: await shop.told(f"compensation.{kind}") for kind in ("proposed", "approved", "settled")}
        assert {kind: len(each) for kind, each in told.items()} == {"proposed": 1, "approved": 1, "settled": 1}
        assert told["settled"][0][1]["customer_id"] == case["customer_id"]
        audited = await shop.fetch(
            "SELECT operation FROM audit_log WHERE subject_type = 'Compensation' ORDER BY at, id"
        )
        assert [row[0] for row in audited] == [f"compensation.{kind}" for kind in told]

    async def test_many_workers_pay_once(self, shop):
        shop.database.clock = SystemClock()
        case = await shop.case()
        made = await shop.propose(case, kind="points", points=500)
        shown = await asyncio.gather(*(shop.pay(made) for _ in range(6)))
        assert {each["transaction_id"] for each in shown} == {shown[0]["transaction_id"]}
        assert (await shop.points(case["customer_id"]), await shop.grants()) == (500, 1)
        assert len(await shop.told("compensation.settled")) == 1

    @pytest.mark.parametrize("where", ["after the ledger", "after the row", "in the commit"])
    async def test_a_worker_that_dies_between_ledger_and_settling_has_paid_nothing(self, shop, monkeypatch, where):
        case = await shop.case()
        made = await shop.propose(case, kind="points", points=500)
        monkeypatch.undo()
        with monkeypatch.context() as broken:
            place, name = {
                "after the ledger": (LoyaltyService, "grant"),
                "after the row": (CompensationService, "_move"),
                "in the commit": (CompensationService, "pay"),
            }[where]
            real = getattr(place, name)

            async def dies(*given, **named):
                await real(*given, **named)
                raise MemoryError(where)

            broken.setattr(place, name, dies)
            for _ in range(2):
                with pytest.raises(MemoryError):
                    await shop.pay(made)
        assert ((await shop.shown(made))["state"], await shop.points(case["customer_id"])) == ("approved", 0)
        assert await shop.told("compensation.settled") == await shop.told("points.granted") == []
        for _ in range(2):
            assert (await shop.pay(made))["state"] == "settled"
        assert (await shop.points(case["customer_id"]), await shop.grants()) == (500, 1)

    async def test_what_the_ledger_refuses_fails_with_its_reason_and_can_be_tried_again(self, shop):
        case = await shop.case()
        campaign = await shop.campaign("late", ends_at="2026-05-02T00:00:00Z")
        made = await shop.propose(case, kind="voucher", campaign_id=campaign["id"])
        assert made["amount"] == money(500)
        await shop.client.patch(f"/v1/voucher-campaigns/{campaign['id']}", json={"ends_at": "2026-05-01T01:00:00Z"})
        failed = await shop.pay(made)
        assert (failed["state"], failed["failure"]) == ("failed", "campaign_over")
        assert "The campaign is over" in failed["reason"]
        assert "活动已结束" in failed["reason"]
        assert (await shop.told("compensation.failed"))[0][1]["failure"] == "campaign_over"
        assert (await shop.move(case, *WAY, "close", decision_told=True)).json()["code"] == "transition_guard"
        await shop.client.patch(f"/v1/voucher-campaigns/{campaign['id']}", json={"ends_at": None})
        again = await shop.step("retry", made)
        assert (again["state"], again["failure"], again["reason"]) == ("approved", None, None)
        paid = await shop.pay(made)
        assert (paid["state"], (await shop.pay(made))["voucher_id"]) == ("settled", paid["voucher_id"])
        assert (
            len((await shop.client.get("/v1/vouchers", params={"customer_id": case["customer_id"]})).json()["data"])
            == 1
        )

    async def test_a_job_that_is_given_up_says_so(self, shop):
        made = await shop.propose(await shop.case(), kind="points", points=5)
        payload = {"tenant_id": str(shop.tenant.id), "compensation_id": made["id"]}
        for _ in range(2):
            await jobs.give_up(shop.database, payload, "Given up after 8 attempts: internal error")
        shown = await shop.shown(made)
        assert (shown["state"], shown["failure"]) == ("failed", "given_up")
        ended = await shop.step("cancel", made, reason="改为退款")
        assert (ended["state"], (await shop.pay(made))["state"]) == ("cancelled", "cancelled")
        assert await shop.grants() == 0


class TestDoneByTheShop:
    async def test_a_refund_is_settled_by_its_number_once(self, shop):
        customer = await shop.customer("ann")
        order = await shop.order(customer, 10_000)
        case = await shop.case(customer, order_id=order)
        made = await shop.propose(case, **REFUND)
        assert (made["state"], made["order_id"], await shop.queued(made)) == ("approved", order, 0)
        assert (await shop.pay(made))["state"] == "approved", "the worker pays no refunds"
        needed = await shop.step("settle", made, status=422, note="x")
        assert needed["errors"][0]["pointer"] == "/reference"
        settled = await shop.step("settle", made, reference="wx-1")
        assert (settled["state"], settled["reference"]) == ("settled", "wx-1")
        assert (await shop.step("settle", made, status=409, reference="wx-1"))["code"] == "wrong_state"

        more = await shop.propose(case, status=422, **REFUND)
        assert (more["errors"][0]["pointer"], more["errors"][0]["code"]) == ("/amount/amount", "exceeds_paid")
        other = await shop.propose(await shop.case(customer), kind="refund", amount=money(1))
        same = await shop.step("settle", other, status=409, reference="wx-1")
        assert (same["code"], same["errors"][0]["pointer"]) == ("duplicate", "/reference")
        assert (await shop.shown(other))["state"] == "approved"

        needed = await shop.step("reverse", made, status=422, reason="x")
        assert needed["errors"][0]["pointer"] == "/reference"
        back = await shop.step("reverse", made, reason="退款失败，款项退回", reference="wx-1-back")
        assert (back["state"], back["reversal_reference"]) == ("reversed", "wx-1-back")
        assert (await shop.step("settle", other, reference="wx-1"))["state"] == "settled"
        assert (await shop.propose(case, **REFUND))["state"] == "approved", "there is room for it again"

    async def test_refunds_of_one_order_never_exceed_what_was_paid(self, shop):
        shop.database.clock = SystemClock()
        customer = await shop.customer("ann")
        order = await shop.order(customer, 10_000)
        cases = [await shop.case(customer) for _ in range(4)]
        body = {"kind": "refund", "amount": money(4_000), "order_id": order}
        paths = [f"/v1/complaints/{case['id']}/compensations" for case in cases for _ in range(2)]
        answers = await asyncio.gather(*(shop.client.post(path, json=body) for path in paths))
        assert sorted(each.status_code for each in answers) == [201] * 2 + [422] * 6

    async def test_what_was_paid_back_already_is_not_refunded_again(self, shop):
        customer = await shop.customer("ann")
        order = await shop.order(customer, 10_000)
        case = await shop.case(customer, order_id=order)
        made = await shop.propose(case, kind="refund", amount=money(3_000))
        await shop.step("settle", made, reference="R1")
        for number, amount in (("R1", 3_000), ("R2", 5_000)):
            body = {"external_id": number, "amount": money(amount), "refunded_at": "2026-05-01T01:00:00Z"}
            answer = await shop.client.post(f"/v1/orders/{order}/refunds", json=body)
            assert answer.is_success, answer.text
        refused = await shop.propose(case, status=422, kind="refund", amount=money(2_001))
        assert refused["errors"][0]["code"] == "exceeds_paid"
        assert (await shop.propose(case, kind="refund", amount=money(2_000)))["state"] == "approved"

    @pytest.mark.parametrize(
        ("kind", "more"),
        [
            ("replacement", {"sku": "SHRIMP-2KG", "amount": money(16_800)}),
            ("apology", {}),
            ("service", {"amount": money(1)}),
        ],
    )
    async def test_others_are_settled_by_the_shop(self, shop, kind, more):
        made = await shop.propose(await shop.case(), kind=kind, **more)
        assert made["quantity"] == (1 if kind == "replacement" else None)
        given = {} if kind == "apology" else {"reference": "SF1"}
        assert (await shop.step("settle", made, note="done", **given))["state"] == "settled"

    async def test_a_settled_refund_stops_the_clock_that_waits_for_it(self, shop):
        case = await shop.case()
        path = f"/v1/complaints/{case['id']}"
        await shop.send(f"{path}/clock-marks", {"what": "return_received"}, 200)
        paid = await shop.propose(case, kind="points", points=1)
        made = await shop.propose(case, **REFUND)
        await shop.pay(paid)
        shop.clock.advance(timedelta(minutes=5))
        await shop.step("settle", made, reference="wx-1")
        await follow(shop.database, shop.tenant, jobs.refunded, "compensation.settled")
        clocks = (await shop.client.get(f"{path}/clocks", params={"clock": "refund"})).json()["data"]
        assert [(each["state"], each["stopped_at"]) for each in clocks] == [("met", "2026-05-01T04:05:00+00:00")]

    async def test_a_refund_that_the_order_knows_is_noted_once_and_the_next_return_waits_for_its_own(self, shop):
        customer = await shop.customer("ann")
        order = await shop.order(customer, 10_000)
        case = await shop.case(customer, order_id=order)
        path = f"/v1/complaints/{case['id']}"
        await shop.send(f"{path}/clock-marks", {"what": "return_received"}, 200)
        made = await shop.propose(case, kind="refund", amount=money(3_000))
        shop.clock.advance(timedelta(minutes=5))
        refund = {"external_id": "wx-1", "amount": money(3_000), "refunded_at": shop.clock.now().isoformat()}
        await shop.send(f"/v1/orders/{order}/refunds", refund)
        await follow(shop.database, shop.tenant, complaint_jobs.refund, "order.refunded")
        shop.clock.advance(timedelta(minutes=5))
        await shop.step("settle", made, reference="wx-1")
        await follow(shop.database, shop.tenant, jobs.refunded, "compensation.settled")
        await shop.send(f"{path}/clock-marks", {"what": "return_received"}, 200)
        clocks = (await shop.client.get(f"{path}/clocks", params={"clock": "refund"})).json()["data"]
        assert [(each["state"], each["stopped_at"]) for each in clocks] == [
            ("met", "2026-05-01T04:05:00+00:00"),
            ("running", None),
        ]

    async def test_points_are_not_settled_by_hand(self, shop):
        made = await shop.propose(await shop.case(), kind="points", points=1)
        assert (await shop.step("settle", made, status=409, reference="x"))["code"] == "paid_by_itself"
        assert (await shop.shown(made))["state"] == "approved"


class TestLimits:
    async def test_a_role_approves_up_to_its_limit_for_a_case_and_its_head_beyond(self, shop):
        await shop.limit("客服", role="客服", amount=money(5_000), points=500)
        await shop.limit("主管", role="客服主管", amount=money(50_000))
        agent, head = await shop.staff("小王", "客服"), await shop.staff("老李", "客服主管")
        case = await shop.case()
        small = await shop.propose(case, kind="refund", amount=money(3_000), staff_id=agent)
        assert (small["state"], small["decided_by_staff_id"]) == ("approved", agent)
        split = await shop.propose(case, kind="refund", amount=money(2_001), staff_id=agent)
        assert (split["state"], split["decided_at"]) == ("proposed", None), "splitting does not help"
        assert (await shop.propose(case, kind="points", points=500, staff_id=agent))["state"] == "approved"
        assert (await shop.step("approve", split, status=409, staff_id=agent))["code"] == "same_person"
        assert (await shop.step("approve", split, status=409))["code"] == "same_person", "the same key for nobody"
        done = await shop.step("approve", split, staff_id=head, note="同意")
        assert (done["state"], done["decided_by_staff_id"], done["decision_note"]) == ("approved", head, "同意")
        large = await shop.propose(case, kind="refund", amount=money(45_000), staff_id=agent)
        over = await shop.step("approve", large, status=409, staff_id=head)
        assert (over["code"], (await shop.shown(large))["state"]) == ("over_limit", "proposed")
        said = await shop.step("reject", large, staff_id=head, reason="超出商品金额")
        assert (said["state"], said["reason"]) == ("rejected", "超出商品金额")
        assert (await shop.propose(case, kind="refund", amount=money(1), staff_id=head))["state"] == "approved"

    async def test_a_key_needs_another_key_and_the_scope(self, shop, keys):
        agent, _ = await keys("compensations:write", "compensations:read")
        desk, desk_id = await keys("compensations:write", "compensations:approve", "compensations:read")
        case = await shop.case()
        made = await shop.propose(case, client=agent, **REFUND)
        assert made["state"] == "proposed"
        assert (await shop.step("approve", made, client=agent, status=403))["required_scope"] == "compensations:approve"
        assert (await shop.step("approve", made, client=desk, status=409))["code"] == "over_limit"
        await shop.limit("前台", key_id=desk_id, amount=money(8_800))
        assert (await shop.step("approve", made, client=desk))["decided_by"] == desk_id
        own = await shop.propose(await shop.case(), client=desk, kind="refund", amount=money(8_801))
        assert (await shop.step("approve", own, client=desk, status=409))["code"] == "same_person"
        assert (await shop.step("approve", own))["state"] == "approved", "the shop's owner has no limit"
        points = await shop.propose(await shop.case(), kind="points", points=5)
        await shop.pay(points)
        assert (await shop.step("reverse", points, client=desk, status=403, reason="x"))[
            "required_scope"
        ] == "loyalty:write"
        assert (await shop.shown(points))["state"] == "settled"

    async def test_a_name_lifts_no_limit_and_two_names_of_one_key_are_no_two_people(self, shop, keys):
        await shop.limit("店长", role="店长", unlimited=True)
        head, other = await shop.staff("老李", "店长"), await shop.staff("小王", "客服")
        agent, _ = await keys("compensations:write", "compensations:read")
        desk, desk_id = await keys("compensations:write", "compensations:approve", "compensations:read")
        case = await shop.case()
        assert (await shop.propose(case, client=agent, staff_id=head, **REFUND))["state"] == "proposed"
        made = await shop.propose(case, client=desk, staff_id=other, **REFUND)
        assert made["state"] == "proposed"
        assert (await shop.step("approve", made, client=desk, status=409, staff_id=head))["code"] == "same_person"
        await shop.limit("前台", key_id=desk_id, amount=money(50_000))
        assert (await shop.step("approve", made, client=desk, staff_id=head))["state"] == "approved"

    async def test_goods_are_worth_their_price_at_least(self, shop, keys):
        agent, key_id = await keys("compensations:write", "compensations:read")
        await shop.limit("x", key_id=key_id, amount=money(20_000))
        await shop.send("/v1/products", {"sku": "SHRIMP", "name": "虾", "price": money(10_000)})
        goods = {"kind": "replacement", "sku": "SHRIMP", "amount": money(1)}
        many = await shop.propose(await shop.case(), client=agent, quantity=3, **goods)
        assert (many["state"], many["amount"]) == ("proposed", money(30_000))
        few = await shop.propose(await shop.case(), client=agent, quantity=2, **goods)
        assert (few["state"], few["amount"]) == ("approved", money(20_000))
        other = await shop.propose(await shop.case(), client=agent, **{**goods, "sku": "NONE"})
        assert (other["state"], other["amount"]) == ("approved", money(1))

    async def test_parallel_proposals_do_not_pass_a_limit_together(self, shop, keys):
        shop.database.clock = SystemClock()
        agent, key_id = await keys("compensations:write", "compensations:read")
        await shop.limit("x", key_id=key_id, points=100)
        case = await shop.case()
        asked = (shop.propose(case, client=agent, kind="points", points=40) for _ in range(8))
        made = await asyncio.gather(*asked)
        assert sorted(each["state"] for each in made) == ["approved"] * 2 + ["proposed"] * 6

    async def test_parallel_approvals_count_once(self, shop, keys):
        shop.database.clock = SystemClock()
        agent, _ = await keys("compensations:write", "compensations:read")
        case = await shop.case()
        made = await shop.propose(case, client=agent, kind="points", points=40)
        path = f"/v1/compensations/{made['id']}/approve"
        answers = await asyncio.gather(*(shop.client.post(path) for _ in range(6)))
        assert sorted(each.status_code for each in answers) == [200] + [409] * 5
        assert {each.json()["code"] for each in answers if each.status_code == 409} == {"wrong_state"}
        assert await shop.queued(made) == 1

    async def test_limits_are_the_administrations(self, shop, keys):
        head, _ = await keys("compensations:write", "compensations:approve", "compensations:read")
        body = {"name": "x", "unlimited": True}
        assert (await shop.send("/v1/approval-limits", body, 403, head))["required_scope"] == "accounts:write"
        made = await shop.limit("x", points=10)
        path = f"/v1/approval-limits/{made['id']}"
        assert (await shop.client.patch(path, json={"unlimited": True})).status_code == 422
        changed = await shop.client.patch(path, json={"unlimited": True, "points": None}, headers={"if-match": '"1"'})
        assert (changed.json()["unlimited"], changed.json()["version"]) == (True, 2)
        assert (await shop.client.delete(path, headers={"if-match": '"1"'})).status_code == 412
        assert (await shop.client.delete(path)).status_code == 204
        assert (await shop.client.get("/v1/approval-limits")).json()["data"] == []


class TestTakingBack:
    async def test_points_come_out_of_the_ledger_once(self, shop):
        case = await shop.case()
        made = await shop.propose(case, kind="points", points=500)
        assert (await shop.step("reverse", made, status=409, reason="x"))["code"] == "wrong_state"
        await shop.pay(made)
        back = await shop.step("reverse", made, reason="投诉不属实")
        assert (back["state"], back["reason"]) == ("reversed", "投诉不属实")
        assert (await shop.step("reverse", made, status=409, reason="x"))["allowed"] == []
        assert await shop.points(case["customer_id"]) == 0
        assert len(await shop.told("points.reversed")) == len(await shop.told("compensation.reversed")) == 1

    async def test_a_voucher_is_void_unless_it_was_used(self, shop):
        case, campaign = await shop.case(), await shop.campaign("own")
        made, used = [await shop.propose(case, kind="voucher", campaign_id=campaign["id"]) for _ in range(2)]
        for each in (made, used):
            await shop.pay(each)
        await shop.step("reverse", made, reason="x")
        by_id = {
            each["id"]: each
            for each in (await shop.client.get("/v1/vouchers", params={"customer_id": case["customer_id"]})).json()[
                "data"
            ]
        }
        assert by_id[(await shop.shown(made))["voucher_id"]]["state"] == "void"
        code = by_id[(await shop.shown(used))["voucher_id"]]["code"]
        answer = await shop.redeem("o1", code, on=cart(10_000), customer_id=case["customer_id"])
        assert answer.status_code == 201, answer.text
        assert (await shop.step("reverse", used, status=409, reason="x"))["code"] == "voucher_used"
        assert (await shop.shown(used))["state"] == "settled"


class TestSurfaces:
    async def test_graphql_timeline_and_rules(self, shop):
        case = await shop.case()
        listed = await shop.send("/graphql", {"query": "{ complaints { nodes { id } } }"}, 200)
        case_id = listed["data"]["complaints"]["nodes"][0]["id"]
        propose = """mutation($in: CompensationProposeInput!) {
          compensationPropose(input: $in) { compensation { id state version } userErrors { code } } }"""
        body = {"query": propose, "variables": {"in": {"id": case_id, "kind": "POINTS", "points": 7}}}
        made = (await shop.send("/graphql", body, 200))["data"]["compensationPropose"]["compensation"]
        assert (made["state"], made["version"]) == ("APPROVED", 2)
        [listed] = (await shop.client.get("/v1/compensations")).json()["data"]
        await shop.pay(listed)
        query = "{ complaints { nodes { compensations { nodes { kind transaction { points } customer { name } } } } } }"
        nodes = (await shop.send("/graphql", {"query": query}, 200))["data"]["complaints"]["nodes"]
        assert nodes[0]["compensations"]["nodes"] == [
            {"kind": "POINTS", "transaction": {"points": 7}, "customer": {"name": "ann"}}
        ]
        [shown] = (await shop.client.get(f"/v1/complaints/{case['id']}/compensations")).json()["data"]
        feed = (await shop.client.get(f"/v1/customers/{case['customer_id']}/timeline")).json()["data"]
        assert [each["id"] for each in feed if each["kind"] == "compensation"] == [shown["id"]]
        rule = {"rule": "compensations.count(where kind = points) >= 1"}
        assert (await shop.send("/v1/customers/search", rule, 200))["data"][0]["id"] == case["customer_id"]

    async def test_a_merge_takes_them_along_and_they_are_paid_to_the_winner(self, shop):
        winner, loser = await shop.customer("ann"), await shop.customer("ann")
        made = await shop.propose(await shop.case(loser), kind="points", points=9)
        merged = await shop.client.post("/v1/customers/merge", json={"winner_id": winner, "loser_ids": [loser]})
        assert merged.is_success, merged.text
        assert (await shop.pay(made))["customer_id"] == winner
        assert await shop.points(winner) == 9

    async def test_a_case_waits_for_the_compensations_of_those_that_repeat_it(self, shop):
        customer = await shop.customer("ann")
        parent, child = await shop.case(customer), await shop.case(customer)
        made = await shop.propose(child, kind="apology")
        merged = await shop.move(child, "mark_duplicate", merged_into=parent["id"])
        assert merged.status_code == 200, merged.text
        assert (await shop.propose(child, status=409, kind="apology"))["merged_into_id"] == parent["id"]
        refused = await shop.move(parent, *WAY, "close", decision_told=True)
        assert refused.json()["compensations"] == [{"id": made["id"], "state": "approved"}]
        await shop.step("settle", made, note="已致歉")
        assert (await shop.move(parent, "close", decision_told=True)).status_code == 200

    async def test_nothing_is_paid_for_a_case_that_was_refused(self, shop, keys):
        desk, _ = await keys("compensations:write", "compensations:read")
        customer = await shop.customer("ann")
        case, refused = await shop.case(customer), await shop.case(customer)
        asked = await shop.propose(case, client=desk, kind="points", points=5)
        owed = await shop.propose(case, kind="points", points=7)
        for action in ("reject", "withdraw"):
            answer = await shop.move(case, action, reason="不属实")
            assert (answer.status_code, answer.json()["code"]) == (409, "transition_guard"), answer.text
        assert (await shop.move(refused, "reject", reason="不属实")).status_code == 200
        # Nor by a detour over a case that is over.
        assert (await shop.move(case, "mark_duplicate", merged_into=refused["id"])).status_code == 422
        assert await shop.grants() == 0
        await shop.step("reject", asked, reason="不属实")
        await shop.step("cancel", owed, reason="不属实")
        assert (await shop.move(case, "reject", reason="不属实")).status_code == 200
        assert await shop.grants() == 0

    async def test_merged_cases_count_as_one_at_any_depth(self, shop, keys):
        desk, key_id = await keys("compensations:write", "compensations:read")
        await shop.limit("x", key_id=key_id, points=100)
        customer = await shop.customer("ann")
        cases = [await shop.case(customer) for _ in range(3)]
        made = await shop.propose(cases[0], client=desk, kind="points", points=100)
        assert made["state"] == "approved"
        for each, into in pairwise(cases):
            assert (await shop.move(each, "mark_duplicate", merged_into=into["id"])).status_code == 200
        more = await shop.propose(cases[2], client=desk, kind="points", points=1)
        assert more["state"] == "proposed", "merging does not help"
        await shop.step("cancel", more, reason="x")
        refused = await shop.move(cases[2], *WAY, "close", decision_told=True)
        assert refused.json()["compensations"] == [{"id": made["id"], "state": "approved"}]
        assert (await shop.pay(made))["state"] == "settled"
        period = {"from": "2020-01-01", "to": "2030-01-01"}
        total = (await shop.client.get("/v1/analytics/complaints", params=period)).json()["total"]
        assert (total["cases"], total["compensated"]) == (1, 1)
        assert (await shop.move(cases[2], "close", decision_told=True)).status_code == 200
