"""A shop with complaints and compensations: short ways to say what happens to them."""

from typing import Any
from uuid import UUID

from crm_api import admin
from crm_api.compensations import jobs
from tests.support.api import client_of
from tests.vouchers.shop import Shop as VoucherShop
from tests.vouchers.shop import money

WAY = ("acknowledge", "assess", "start", "propose", "resolve")


class Shop(VoucherShop):
    """A tenant's client, its database, its clock and further keys."""

    app: Any = None
    settings: Any = None

    async def send(self, path: str, body: Any = None, status: int = 201, client: Any = None, **headers: str) -> Any:
        answer = await (client or self.client).post(path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def case(self, customer: str | None = None, **more: Any) -> dict[str, Any]:
        body = {"customer_id": customer or await self.customer("ann"), "channel": "call", "subject": "x", **more}
        return await self.send("/v1/complaints", body)

    async def propose(self, case: dict[str, Any], *, client: Any = None, status: int = 201, **body: Any) -> Any:
        return await self.send(f"/v1/complaints/{case['id']}/compensations", body, status, client)

    async def step(self, what: str, compensation: Any, *, client: Any = None, status: int = 200, **body: Any) -> Any:
        path = f"/v1/compensations/{compensation['id']}/{what}"
        return await self.send(path, body or None, status, client)

    async def limit(self, name: str, **more: Any) -> Any:
        return await self.send("/v1/approval-limits", {"name": name, **more})

    async def staff(self, name: str, title: str) -> str:
        return (await self.send("/v1/staff", {"name": name, "title": title}))["id"]

    async def key(self, stack: Any, *scopes: str) -> tuple[Any, str]:
        """Return a client with a key of its own, and the key's id."""
        made = await admin.create_key(self.settings, self.tenant.id, frozenset(scopes))
        return await stack.enter_async_context(client_of(self.app, made.api_key)), str(made.key_id)

    async def pay(self, compensation: Any) -> Any:
        """Let the worker do the job; returns the compensation."""
        await jobs.pay(self.database, {"tenant_id": str(self.tenant.id), "compensation_id": compensation["id"]})
        return await self.shown(compensation)

    async def shown(self, compensation: Any) -> Any:
        return (await self.client.get(f"/v1/compensations/{compensation['id']}")).json()

    async def queued(self, compensation: Any) -> int:
        """Return how many jobs wait to pay it."""
        async with self.database.system() as connection:
            rows = await connection.fetch("SELECT payload FROM pgqueuer WHERE entrypoint = 'compensations.pay'")
        return sum(compensation["id"].encode() in row["payload"] for row in rows)

    async def points(self, customer: str) -> int:
        return (await self.client.get(f"/v1/loyalty/accounts/{customer}")).json()["available"]

    async def grants(self) -> int:
        """Return how many grants the ledger has booked."""
        return (await self.fetch("SELECT count(*) FROM loyalty_transactions WHERE type = 'grant'"))[0][0]

    async def move(self, case: dict[str, Any], *actions: str, **last: Any) -> Any:
        for action in actions[:-1]:
            await self.send(f"/v1/complaints/{case['id']}/transitions", {"action": action}, 200)
        return await self.client.post(f"/v1/complaints/{case['id']}/transitions", json={"action": actions[-1], **last})

    async def order(self, customer: str, paid: int, number: str = "T1") -> str:
        body = {
            "customer_id": customer,
            "status": "paid",
            "total": money(paid),
            "paid": money(paid),
            "placed_at": "2026-05-01T00:00:00Z",
        }
        answer = await self.client.put(f"/v1/orders/taobao/{number}", json=body)
        assert answer.is_success, answer.text
        return str(UUID(answer.json()["id"]))
