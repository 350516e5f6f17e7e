"""Codes made per second against COPY of the same rows; how long validation and redemption take over HTTP.

python -m benchmarks vouchers

One server process as production runs it, on a database of its own with production settings (it waits for the disk), a
campaign of 100,000 codes. Every request names another code, unless it is said that all share one. Each redemption
holds its campaign's row, so the rounds with four connections show what waiting for it costs. COPY writes the rows as
the table's owner into a table with the same indexes, without foreign keys.
"""

import asyncio
import io
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from benchmarks.data import Shop
from benchmarks.events import empty_shop
from benchmarks.measure import Server, drive, ours, post, verdict
from crm_api.core.actor import ADMIN, Actor
from crm_api.customers.models import CustomerCreate
from crm_api.customers.service import CustomerService
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.settings import Settings
from crm_api.vouchers.campaigns import VoucherCampaignService
from crm_api.vouchers.generation import VoucherBatchService, generate
from crm_api.vouchers.models import VoucherBatchCreate, VoucherCampaignCreate

CODES = 100_000
REQUESTS = 2_000
WANTED_SECONDS = 20.0
PUBLISHED = {"validate": 100, "redeem": 170}
"""Medians that Voucherify publishes, milliseconds; over a network, so for orientation only."""

CART = {
    "currency": "CNY",
    "items": [
        {"sku": "SHRIMP-1", "quantity": 2, "unit_price": 12900, "category": "海鲜/虾"},
        {"sku": "CRAB-1", "quantity": 1, "unit_price": 29900, "category": "海鲜/蟹"},
        {"sku": "RICE-1", "quantity": 3, "unit_price": 3900, "category": "粮油"},
    ],
    "shipping": 1500,
}
WORTH = {"amount": 5000, "currency": "CNY"}


async def prepare(shop: Shop) -> tuple[float, dict[str, Any]]:
    """Make customer, campaigns and codes; returns seconds that the codes took, and what to send."""
    database = await Database.open(Settings(database_url=shop.url))
    actor = Actor(shop.tenant_id, "key", shop.tenant_id, frozenset({ADMIN}), "bench")

    async def make(unit: UnitOfWork) -> tuple[UUID, UUID, UUID]:
        customer = await CustomerService(unit).create(CustomerCreate(name="王小明", city="上海"))
        campaigns = VoucherCampaignService(unit)
        plain = await campaigns.create(
            VoucherCampaignCreate.model_validate(
                {"name": "unique", "kind": "amount", "amount_off": WORTH, "min_quantity": 2}
            )
        )
        shared = {"kind": "percent", "percent": 15, "uses_per_voucher": None, "uses_total": 10**6}
        rule = {
            "all": [
                {"field": "city", "op": "eq", "value": "上海"},
                {"field": "blacklisted", "op": "eq", "value": False},
            ]
        }
        await campaigns.create(
            VoucherCampaignCreate.model_validate({"name": "shared", "shared_code": "SPRING15", "rule": rule, **shared})
        )
        batch = await VoucherBatchService(unit).start(plain, VoucherBatchCreate(count=CODES))
        return customer, plain, batch

    customer, _, batch = await database.run(actor, make)
    began = time.perf_counter()
    await generate(database, shop.tenant_id, batch)
    seconds = time.perf_counter() - began
    await database.close()
    owner = await asyncpg.connect(shop.url)
    await owner.execute("VACUUM ANALYZE vouchers")
    codes = [row[0] for row in await owner.fetch("SELECT code FROM vouchers WHERE batch_id IS NOT NULL ORDER BY id")]
    await owner.close()
    if len(set(codes)) != CODES:
        raise RuntimeError(f"{len(set(codes))} codes were made")
    return seconds, {"codes": codes, "customer": str(customer)}


async def copied(shop: Shop) -> float:
    """Write the codes again by COPY into a table with the same indexes; returns seconds."""
    owner = await asyncpg.connect(shop.url)
    dump = io.BytesIO()
    await owner.copy_from_table("vouchers", output=dump)
    await owner.execute("CREATE TABLE vouchers_copied (LIKE vouchers INCLUDING ALL)")
    dump.seek(0)
    began = time.perf_counter()
    await owner.copy_to_table("vouchers_copied", source=dump)
    seconds = time.perf_counter() - began
    await owner.execute("DROP TABLE vouchers_copied")
    await owner.close()
    return seconds


def measured(server: Server, name: str, requests: Sequence[str], status: str, connections: int) -> float:
    """Send each request once; print and return the median in milliseconds."""
    result = drive(server, requests, len(requests), connections=connections)
    if set(result["statuses"]) != {status}:
        raise RuntimeError(f"{name}: {result['statuses']} {result['sample'][:500]}")
    times = sorted(result["times"])
    p50, p99 = (times[int(len(times) * share)] * 1e3 for share in (0.5, 0.99))
    rate = len(requests) / result["seconds"]
    noun = "connection " if connections == 1 else "connections"
    print(f"{name:<44} {connections} {noun} p50 {p50:6.1f} ms  p99 {p99:6.1f} ms  {rate:7.0f}/s", flush=True)
    return p50


def run(_customers: int = 0, _requests: int = 0) -> None:
    """Run; the shop's size and the number of requests are other benchmarks' business."""
    with empty_shop() as shop, ours(shop) as server:
        seconds, known = asyncio.run(prepare(shop))
        floor = asyncio.run(copied(shop))
        print(f"{CODES:,} codes: {seconds:.2f} s; COPY of the same rows: {floor:.2f} s ({seconds / floor:.1f} times)")
        codes = iter(known["codes"])

        def requests(what: str, count: int = REQUESTS, **more: Any) -> list[str]:
            path = "/v1/vouchers/redemptions" if what == "redeem" else f"/v1/vouchers/{what}"
            bodies = []
            for number in range(count):
                body = {"codes": [next(codes)], "cart": CART, **more}
                if what == "redeem":
                    body["order_ref"] = f"{more.get('codes', ['own'])[0]}-{number}-{body['codes'][0]}-{len(orders)}"
                    orders.append(body["order_ref"])
                bodies.append(post(path, body, shop.api_key))
            return bodies

        orders: list[str] = []
        shared = {"codes": ["SPRING15"], "customer_id": known["customer"]}
        drive(server, requests("validate", 200), 200, connections=2)
        drive(server, requests("redeem", 200), 200, connections=2)
        medians = {
            "validate": measured(server, "validate a code", requests("validate"), "200", 1),
            "redeem": measured(server, "redeem a code", requests("redeem"), "201", 1),
        }
        measured(server, "validate a code", requests("validate"), "200", 4)
        measured(server, "redeem codes of one campaign", requests("redeem"), "201", 4)
        measured(server, "validate, with a rule of the customer", requests("validate", **shared), "200", 1)
        measured(server, "redeem one shared code, rule, total limit", requests("redeem", **shared), "201", 1)
        measured(server, "redeem one shared code, rule, total limit", requests("redeem", **shared), "201", 4)
        back = [
            post("/v1/vouchers/redemptions/rollback", {"order_ref": each}, shop.api_key) for each in orders[200:2200]
        ]
        measured(server, "roll an order back", back, "200", 1)
        print(verdict("seconds for 100,000 codes", seconds, WANTED_SECONDS))
        for what, published in PUBLISHED.items():
            print(f"{what}: median {medians[what]:.1f} ms here, {published} ms published by Voucherify over a network")
