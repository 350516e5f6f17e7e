"""Orders: what a message does, by the service."""

from datetime import timedelta
from uuid import uuid4

import pytest

from crm_api.catalogue.models import ProductCreate
from crm_api.catalogue.service import ProductService
from crm_api.core.errors import Conflict, Duplicate, Forbidden, Invalid, NotFound, PreconditionFailed
from crm_api.customers.models import CustomerCreate
from crm_api.customers.service import CustomerService
from crm_api.orders.models import OrderRow, RefundCreate
from crm_api.orders.service import OrderService
from tests.orders.shop import DAY, announced, facts, message, order, put, put_many, refund, rows, yuan

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

SHRIMP = {"title": "大虾", "sku": "S-1", "quantity": 2, "unit_price": yuan(4_000)}


@pytest.fixture
def actor(tenant):
    return tenant.actor


def pointers(error):
    return {each.pointer: each.code for each in error.value.errors}


class TestUpsert:
    async def test_creates_order_and_buyer(self, database, actor):
        order_id, verdict = await put(
            database, actor, "T-1", message(customer={"external_id": "tb_1", "name": "王小明"}, lines=[SHRIMP])
        )
        assert verdict == "created"
        stored = await order(database, actor, order_id)
        assert (stored["status"], stored["paid_amount"], stored["currency"]) == ("paid", 10_000, "CNY")
        (buyer,) = await rows(database, actor, "SELECT name, source FROM customers WHERE tenant_id = $1")
        assert buyer == {"name": "王小明", "source": "taobao"}
        (line,) = await rows(database, actor, "SELECT * FROM order_lines WHERE tenant_id = $1")
        assert (line["position"], line["amount"], line["product_id"]) == (1, 8_000, None)

    async def test_takes_a_customer_that_is_known(self, database, actor):
        customer_id = await database.run(actor, lambda unit: CustomerService(unit).create(CustomerCreate(name="李雷")))
        order_id, _ = await put(database, actor, "T-1", message(customer_id=customer_id))
        assert (await order(database, actor, order_id))["customer_id"] == customer_id
        with pytest.raises(NotFound):
            await put(database, actor, "T-2", message(customer_id=uuid4()))

    async def test_line_finds_its_product(self, database, actor):
        product = ProductCreate(sku="S-1", name="大虾", category="海鲜/虾")
        product_id = await database.run(actor, lambda unit: ProductService(unit).create(product))
        await put(database, actor, "T-1", message(lines=[SHRIMP, {**SHRIMP, "sku": "S-2", "category": "冻品"}]))
        lines = await rows(
            database, actor, "SELECT product_id, category FROM order_lines WHERE tenant_id = $1 ORDER BY position"
        )
        assert lines == [
            {"product_id": product_id, "category": "海鲜/虾"},
            {"product_id": None, "category": "冻品"},
        ]
        assert (await facts(database, actor))["c1"]["favourite_categories"] == sorted(["海鲜/虾", "冻品"])

    async def test_newer_version_wins_older_is_stale(self, database, actor):
        first = await put(database, actor, "T-1", message(total=100, platform_version=2))
        assert (await put(database, actor, "T-1", message(total=1, platform_version=1))).verdict == "stale"
        assert (await put(database, actor, "T-1", message(total=2, platform_version=2))).verdict == "unchanged"
        assert (await put(database, actor, "T-1", message(total=300, platform_version=3))).verdict == "updated"
        stored = await order(database, actor, first.order_id)
        assert (stored["total_amount"], stored["version"]) == (300, 2)

    async def test_newer_time_wins_when_there_is_no_version(self, database, actor):
        first = await put(database, actor, "T-1", message(platform_updated_at=DAY + timedelta(hours=2)))
        older = message(status="cancelled", platform_updated_at=DAY + timedelta(hours=1))
        assert (await put(database, actor, "T-1", older)).verdict == "stale"
        newer = message(status="shipped", platform_updated_at=DAY + timedelta(hours=3))
        assert (await put(database, actor, "T-1", newer)).verdict == "updated"
        assert (await order(database, actor, first.order_id))["status"] == "shipped"

    async def test_undated_messages_never_go_back(self, database, actor):
        await put(database, actor, "T-1", message(status="shipped"))
        assert (await put(database, actor, "T-1", message(status="paid"))).verdict == "stale"
        assert (await put(database, actor, "T-1", message(status="shipped"))).verdict == "unchanged"
        assert (await put(database, actor, "T-1", message(status="shipped", channel="app"))).verdict == "updated"
        assert (await put(database, actor, "T-1", message(status="completed"))).verdict == "updated"

    async def test_undated_message_does_not_overrule_a_dated_one(self, database, actor):
        await put(database, actor, "T-1", message(platform_version=1))
        assert (await put(database, actor, "T-1", message(status="completed"))).verdict == "stale"

    async def test_lines_are_replaced_and_kept_when_left_out(self, database, actor):
        await put(database, actor, "T-1", message(lines=[SHRIMP, SHRIMP]))
        assert (await put(database, actor, "T-1", message(lines=[SHRIMP, SHRIMP]))).verdict == "unchanged"
        assert (await put(database, actor, "T-1", message(lines=[SHRIMP]))).verdict == "updated"
        assert (await put(database, actor, "T-1", message(status="shipped"))).verdict == "updated"
        assert len(await rows(database, actor, "SELECT 1 FROM order_lines WHERE tenant_id = $1")) == 1

    async def test_order_may_move_to_another_buyer(self, database, actor):
        await put(database, actor, "T-1", message("guest"))
        await put(database, actor, "T-1", message("member", status="shipped"))
        kept = await facts(database, actor)
        assert (kept["guest"]["order_count"], kept["member"]["order_count"]) == (0, 1)

    async def test_expected_version(self, database, actor):
        async def upsert(version):
            return await database.run(
                actor,
                lambda unit: OrderService(unit).upsert(
                    "taobao", "T-1", message(status="shipped"), expected_version=version
                ),
            )

        await put(database, actor, "T-1", message())
        with pytest.raises(PreconditionFailed):
            await upsert(2)
        assert (await upsert(1)).verdict == "updated"

    async def test_needs_the_scope(self, database, tenant):
        with pytest.raises(Forbidden):
            await put(database, tenant.actor_with("orders:read"), "T-1", message())

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"placed_at": DAY + timedelta(days=3650)}, {"/placed_at": "impossible_date"}),
            ({"placed_at": DAY.replace(year=1900)}, {"/placed_at": "impossible_date"}),
            ({"paid_at": DAY - timedelta(days=1)}, {"/paid_at": "impossible_date"}),
            ({"completed_at": DAY - timedelta(days=1)}, {"/completed_at": "impossible_date"}),
            ({"platform_updated_at": DAY + timedelta(days=3650)}, {"/platform_updated_at": "impossible_date"}),
            ({"paid": yuan(1, "USD")}, {"/paid/currency": "currency_mismatch"}),
            ({"lines": [{**SHRIMP, "amount": yuan(1, "EUR")}]}, {"/lines/0/amount/currency": "currency_mismatch"}),
            ({"refunded": yuan(10_001)}, {"/refunded/amount": "exceeds_paid"}),
            ({"customer": None}, {"/customer_id": "required"}),
        ],
    )
    async def test_refuses_what_cannot_be(self, database, actor, fields, expected):
        with pytest.raises(Invalid) as error:
            await put(database, actor, "T-1", message(**fields))
        assert pointers(error) == expected
        assert await rows(database, actor, "SELECT 1 FROM orders WHERE tenant_id = $1") == []

    async def test_currency_stays(self, database, actor):
        await put(database, actor, "T-1", message())
        with pytest.raises(Invalid) as error:
            await put(database, actor, "T-1", message(status="shipped", currency="USD"))
        assert pointers(error) == {"/total/currency": "currency_mismatch"}

    @pytest.mark.parametrize(("platform", "external_id"), [("Taobao!", "1"), ("taobao", "a b"), ("taobao", "")])
    async def test_refuses_impossible_names(self, database, actor, platform, external_id):
        with pytest.raises(Invalid):
            await put(database, actor, external_id, message(), platform=platform)


class TestAnnouncements:
    async def test_paid_is_announced_once(self, database, actor):
        order_id, _ = await put(database, actor, "T-1", message(status="pending_payment"))
        for status in ("paid", "paid", "shipped", "completed"):
            await put(database, actor, "T-1", message(status=status, paid_at=DAY + timedelta(hours=1)))
        told = await announced(database, actor, order_id)
        assert [kind for kind, _ in told] == ["order.created", "order.paid", "order.updated", "order.completed"]
        customer_id = (await order(database, actor, order_id))["customer_id"]
        assert told[1][1] == {
            "order_id": str(order_id),
            "customer_id": str(customer_id),
            "platform": "taobao",
            "external_id": "T-1",
            "amount": 10_000,
            "currency": "CNY",
            "placed_at": "2025-03-01T12:00:00+00:00",
            "paid_at": "2025-03-01T13:00:00+00:00",
            "completed_at": None,
        }
        assert told[3][1]["completed_at"] == "2025-03-01T13:00:00+00:00", "as near as is known"

    async def test_first_sight_of_a_later_state_announces_paid(self, database, actor):
        order_id, _ = await put(database, actor, "T-1", message(status="refunded", platform_version=9))
        told = await announced(database, actor, order_id)
        assert [(kind, payload["amount"]) for kind, payload in told] == [
            ("order.paid", 10_000),
            ("order.refunded", 10_000),
        ]

    async def test_cancelled(self, database, actor):
        order_id, _ = await put(database, actor, "T-1", message(status="pending_payment"))
        await put(database, actor, "T-1", message(status="cancelled"))
        assert [kind for kind, _ in await announced(database, actor, order_id)] == ["order.created", "order.cancelled"]

    async def test_new_version_without_news_is_not_announced(self, database, actor):
        order_id, _ = await put(database, actor, "T-1", message(platform_version=1))
        assert (await put(database, actor, "T-1", message(platform_version=2))).verdict == "updated"
        assert [kind for kind, _ in await announced(database, actor, order_id)] == ["order.paid"]

    async def test_every_write_is_audited(self, database, actor):
        order_id, _ = await put(database, actor, "T-1", message())
        await put(database, actor, "T-1", message(status="shipped"))
        await refund(database, actor, order_id, RefundCreate(amount=yuan(1), refunded_at=DAY))
        log = await rows(
            database,
            actor,
            "SELECT operation, before, after FROM audit_log WHERE tenant_id = $1 AND subject_id = $2 ORDER BY seq",
            order_id,
        )
        assert [each["operation"] for each in log] == ["order.created", "order.updated", "order.refunded"]
        assert (log[1]["before"]["status"], log[1]["after"]["status"]) == ("paid", "shipped")
        assert log[2]["after"]["refunded_amount"] == 1


class TestRefunds:
    async def test_in_parts_up_to_what_was_paid(self, database, actor):
        order_id, _ = await put(database, actor, "T-1", message())
        for part in (3_000, 7_000):
            await refund(database, actor, order_id, RefundCreate(amount=yuan(part), refunded_at=DAY))
        stored = await order(database, actor, order_id)
        assert (stored["status"], stored["refunded_amount"]) == ("refunded", 10_000)
        with pytest.raises(Conflict) as error:
            await refund(database, actor, order_id, RefundCreate(amount=yuan(1), refunded_at=DAY))
        assert error.value.code == "refund_exceeds_paid"
        told = [payload for kind, payload in await announced(database, actor, order_id) if kind == "order.refunded"]
        assert [(each["amount"], each["refunded_amount"]) for each in told] == [(3_000, 3_000), (7_000, 10_000)]
        kept = (await facts(database, actor))["c1"]
        assert (kept["paid_order_count"], kept["gross_spend_amount"], kept["net_spend_amount"]) == (0, 10_000, 0)

    async def test_same_external_id_changes_nothing(self, database, actor):
        order_id, _ = await put(database, actor, "T-1", message())
        data = RefundCreate(external_id="R-1", amount=yuan(4_000), refunded_at=DAY)
        first = await refund(database, actor, order_id, data)
        assert await refund(database, actor, order_id, data) == (first[0], False)
        assert (await order(database, actor, order_id))["refunded_amount"] == 4_000
        with pytest.raises(Duplicate):
            await refund(
                database,
                actor,
                order_id,
                data.model_copy(update={"amount": data.amount.model_copy(update={"amount": 1})}),
            )

    async def test_survives_later_messages(self, database, actor):
        order_id, _ = await put(database, actor, "T-1", message(platform_version=1))
        await refund(database, actor, order_id, RefundCreate(amount=yuan(10_000), refunded_at=DAY))
        await put(database, actor, "T-1", message(status="completed", platform_version=2))
        assert (await order(database, actor, order_id))["status"] == "refunded"

    async def test_platforms_own_total_is_not_counted_twice(self, database, actor):
        order_id, _ = await put(database, actor, "T-1", message(refunded=yuan(4_000)))
        await refund(database, actor, order_id, RefundCreate(amount=yuan(4_000), refunded_at=DAY))
        assert (await order(database, actor, order_id))["refunded_amount"] == 4_000

    @pytest.mark.parametrize(
        ("fields", "pointer"),
        [
            ({"amount": yuan(0)}, "/amount/amount"),
            ({"amount": yuan(1, "USD")}, "/amount/currency"),
            ({"amount": yuan(1), "refunded_at": DAY - timedelta(days=1)}, "/refunded_at"),
        ],
    )
    async def test_refuses_what_cannot_be(self, database, actor, fields, pointer):
        order_id, _ = await put(database, actor, "T-1", message())
        with pytest.raises(Invalid) as error:
            await refund(database, actor, order_id, RefundCreate.model_validate({"refunded_at": DAY, **fields}))
        assert list(pointers(error)) == [pointer]

    async def test_of_another_tenant_is_not_found(self, database, actor, other_tenant):
        order_id, _ = await put(database, actor, "T-1", message())
        with pytest.raises(NotFound):
            await refund(database, other_tenant.actor, order_id, RefundCreate(amount=yuan(1), refunded_at=DAY))


class TestMany:
    def row(self, number, **fields):
        values = {
            "platform": "cdnow",
            "external_id": str(number),
            "customer_external_id": f"c{number % 3}",
            "placed_at": DAY,
            "status": "completed",
            "total_amount": 1_000 + number,
            "currency": "CNY",
        }
        return OrderRow(**values | fields)

    async def test_creates_orders_and_unknown_customers(self, database, actor):
        verdicts = await put_many(database, actor, [self.row(number) for number in range(30)])
        assert {each.verdict for each in verdicts} == {"created"}
        people = await rows(database, actor, "SELECT name, source FROM customers WHERE tenant_id = $1 ORDER BY name")
        assert people == [{"name": f"c{n}", "source": "cdnow"} for n in range(3)]
        kept = await facts(database, actor)
        # Thirty orders on one day are thirty orders.
        assert {each["paid_order_count"] for each in kept.values()} == {10}
        assert [kind for kind, _ in await announced(database, actor, verdicts[0].order_id)] == ["order.paid"]
        found = await rows(database, actor, "SELECT customer_id FROM customer_search_keys WHERE tenant_id = $1")
        assert len(found) == 3

    async def test_again_changes_nothing(self, database, actor):
        given = [self.row(number) for number in range(10)]
        first = await put_many(database, actor, given)
        again = await put_many(database, actor, given)
        assert {each.verdict for each in again} == {"unchanged"}
        assert [each.order_id for each in again] == [each.order_id for each in first]

    async def test_updates_and_keeps_what_it_does_not_know(self, database, actor):
        order_id, _ = await put(database, actor, "0", message("c0", lines=[SHRIMP], buyer_note="快"), platform="cdnow")
        (verdict,) = await put_many(database, actor, [self.row(0)])
        assert (verdict.order_id, verdict.verdict) == (order_id, "updated")
        stored = await order(database, actor, order_id)
        assert (stored["status"], stored["buyer_note"], stored["version"]) == ("completed", "快", 2)
        assert len(await rows(database, actor, "SELECT 1 FROM order_lines WHERE tenant_id = $1")) == 1

    async def test_an_order_may_come_twice(self, database, actor):
        verdicts = await put_many(
            database,
            actor,
            [self.row(1, status="pending_payment"), self.row(2), self.row(1), self.row(1, status="paid"), self.row(1)],
        )
        assert [each.verdict for each in verdicts] == ["created", "created", "updated", "stale", "unchanged"]

    async def test_bad_rows_fail_alone(self, database, actor):
        verdicts = await put_many(
            database,
            actor,
            [
                self.row(1, currency="XXQ"),
                self.row(2, total_amount=-1),
                self.row(3, placed_at=DAY + timedelta(days=9999)),
                self.row(4, status="lost"),
                self.row(5, external_id="a b"),
                self.row(6, customer_external_id="\x00"),
                self.row(7, placed_at=DAY.replace(tzinfo=None)),
                self.row(8, platform="No!"),
                self.row(9, customer_name="\ud800"),
                self.row(10),
            ],
        )
        assert [each.verdict for each in verdicts] == ["failed"] * 9 + ["created"]
        assert [each.errors[0].pointer for each in verdicts[:-1]] == [
            "/currency",
            "/total_amount",
            "/placed_at",
            "/status",
            "/external_id",
            "/customer_external_id",
            "/placed_at",
            "/platform",
            "/customer_name",
        ]

    async def test_currency_stays(self, database, actor):
        await put_many(database, actor, [self.row(1, status="paid")])
        (verdict,) = await put_many(database, actor, [self.row(1, currency="USD")])
        assert (verdict.verdict, verdict.errors[0].code) == ("failed", "currency_mismatch")

    async def test_several_platforms(self, database, actor):
        verdicts = await put_many(database, actor, [self.row(1), self.row(1, platform="taobao")])
        assert [each.verdict for each in verdicts] == ["created", "created"]
        assert len({each.order_id for each in verdicts}) == 2

    async def test_refuses_too_many(self, database, actor):
        with pytest.raises(Invalid):
            await put_many(database, actor, [self.row(1)] * 5_001)

    async def test_nothing(self, database, actor):
        assert await put_many(database, actor, []) == []
