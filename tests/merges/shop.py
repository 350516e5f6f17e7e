"""A shop over REST: short ways to say what happens in it."""

from dataclasses import dataclass
from typing import Any

import httpx

VOLATILE = ("version", "updated_at")


@dataclass
class Shop:
    """A tenant's client."""

    client: httpx.AsyncClient

    async def get(self, path: str) -> Any:
        answer = await self.client.get(f"/v1{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, **body: Any) -> Any:
        answer = await self.client.post(f"/v1{path}", json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def customer(self, name: str, *, mobile: str | None = None, **fields: Any) -> str:
        points = [{"kind": "mobile", "value": mobile, "is_primary": True}] if mobile else []
        made = await self.post("/customers", name=name, contact_points=points, **fields)
        identity = {"platform": "taobao", "external_id": f"buyer-{made['id']}"}
        await self.post(f"/customers/{made['id']}/identities", **identity)
        return made["id"]

    async def order(self, customer: str, external_id: str, amount: int = 100_00) -> str:
        return (await self.order_of_buyer(f"buyer-{customer}", external_id, amount))["id"]

    async def order_of_buyer(self, buyer: str, external_id: str, amount: int = 100_00) -> Any:
        answer = await self.client.put(
            f"/v1/orders/taobao/{external_id}",
            json={
                "status": "paid",
                "total": {"amount": amount, "currency": "CNY"},
                "placed_at": "2026-01-05T03:00:00Z",
                "customer": {"external_id": buyer},
            },
        )
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    async def give(self, customer: str, points: int) -> None:
        await self.post(f"/loyalty/accounts/{customer}/adjustments", points=points, reason="given")

    async def spend(self, customer: str, points: int) -> None:
        await self.post(f"/loyalty/accounts/{customer}/redemptions", points=points, reason="spent")

    async def points(self, customer: str) -> tuple[int, int]:
        account = await self.get(f"/loyalty/accounts/{customer}")
        return account["available"], account["debt"]

    async def preview(self, winner: str, loser: str, choices: dict[str, str] | None = None) -> Any:
        answer = await self.client.post(
            "/v1/customers/merge",
            json={"winner_id": winner, "loser_ids": [loser], "field_choices": choices or {}, "dry_run": True},
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def merge(self, winner: str, loser: str, choices: dict[str, str] | None = None) -> Any:
        return await self.post("/customers/merge", winner_id=winner, loser_ids=[loser], field_choices=choices or {})

    async def undo(self, merge: Any) -> Any:
        return await self.post(f"/merges/{merge['id']}/undo")

    async def shown(self, customer: str) -> Any:
        """Return the customer as the client sees it, but for what every write changes."""
        seen = await self.get(f"/customers/{customer}")
        if seen.get("purchases"):
            seen["purchases"].pop("updated_at")
        return {name: value for name, value in seen.items() if name not in VOLATILE}
