"""A shop's complaint desk: the API on one side, what the worker does on the other."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx

from crm_api.channels.jobs import deliver as deliver_letter
from crm_api.closing import jobs
from crm_api.core.actor import Actor
from crm_api.core.clock import FixedClock
from crm_api.core.messages import Message
from crm_api.db.pool import Database
from tests.support.api import TestTenant

PAGE = "https://shop.example.com/rate?case={rating_id}#{token}"
WAY = ("acknowledged", "assessed", "in_progress", "proposed")


@dataclass
class Desk:
    """What people and the worker do."""

    client: httpx.AsyncClient
    database: Database
    tenant: TestTenant
    clock: FixedClock
    handled: set[UUID] = field(default_factory=set)

    async def send(self, path: str, body: Any = None, status: int | None = None, method: str = "POST", **more: Any):
        """Send a body; the answer must be a success, or just this status."""
        answer = await self.client.request(method, f"/v1{path}", json=body, **more)
        assert answer.is_success if status is None else answer.status_code == status, f"{path}: {answer.text}"
        return answer.json() if answer.content else None

    async def get(self, path: str, **query: Any) -> Any:
        """Return what stands at a path; a list's rows."""
        answer = await self.client.get(f"/v1{path}", params=query)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        found = answer.json()
        return found["data"] if "page" in found else found

    async def customer(self, *, email: str | None = None, mobile: str | None = None, service: Any = False) -> str:
        """Make a customer; ``service`` names the channels by which they agree to it, True stands for e-mail."""
        given = {"email": email, "mobile": mobile}
        points = [{"kind": kind, "value": value} for kind, value in given.items() if value]
        made = await self.send("/customers", {"name": "王小明", "contact_points": points})
        for channel in ("email",) if service is True else service or ():
            said = {"purpose": "service", "channel": channel, "action": "granted", "source": "form"}
            await self.send(f"/customers/{made['id']}/consents", said)
        return made["id"]

    async def staff(self, name: str = "李娜") -> str:
        """Add somebody."""
        return (await self.send("/staff", {"name": name}))["id"]

    async def mail(self, mailbox: Any) -> None:
        """Set up e-mail."""
        smtp = {"host": "localhost", "port": mailbox.port, "security": "none", "from_address": "shop@example.com"}
        await self.send("/channels", {"name": "mail", "kind": "smtp", "smtp": smtp, "secret": "password"})

    async def texts(self, provider: Any, text: str = "{body}") -> None:
        """Set up short messages."""
        sms = {"url": f"{provider.url}/send", "body": {"phone": "{to}", "text": text}}
        await self.send("/channels", {"name": "sms", "kind": "sms", "sms": sms})

    async def configure(self, **settings: Any) -> Any:
        """Change the closing settings."""
        return await self.send("/closing-settings", settings, method="PATCH")

    async def open(self, customer_id: str, **more: Any) -> str:
        """Open a case."""
        body = {"customer_id": customer_id, "channel": "wechat", "subject": "收到的虾已变质", **more}
        return (await self.send("/complaints", body, 201))["id"]

    async def move(self, case: str, to: str, **more: Any) -> Any:
        """Take a step."""
        return await self.send(f"/complaints/{case}/transitions", {"to": to, **more})

    async def proposed(self, case: str, decision: str = "全额退款") -> None:
        """Work on a new case until there is a decision."""
        for state in WAY:
            await self.move(case, state, **({"decision": decision} if state == "proposed" else {}))

    async def resolved(self, customer_id: str, **more: Any) -> str:
        """Open a case and settle it; what the worker does about it is still to come."""
        case = await self.open(customer_id, **more)
        await self.proposed(case)
        await self.move(case, "resolved")
        return case

    # -- the worker ------------------------------------------------------------------------------------------------

    async def messages(self) -> list[Message]:
        """Return everything that was told, oldest first."""
        async with self.database.read(self.tenant.actor) as unit:
            rows = await unit.connection.fetch("SELECT * FROM outbox WHERE tenant_id = $1 ORDER BY id", self.tenant.id)
        return [
            Message(row["id"], row["tenant_id"], row["type"], row["subject_id"], row["payload"], row["occurred_at"])
            for row in rows
        ]

    async def told(self, *types: str) -> list[dict[str, Any]]:
        """Return what messages of these types said."""
        return [dict(each.payload) for each in await self.messages() if each.type in types]

    async def work(self) -> None:
        """Hand messages to this domain's subscribers until there are no more."""
        while new := [each for each in await self.messages() if each.id not in self.handled]:
            self.handled |= {each.id for each in new}
            for subscriber in jobs.SUBSCRIBERS:
                if wanted := [each for each in new if each.type in subscriber.types]:
                    await self.again(subscriber.handle, wanted)

    async def again(self, handle: Any, messages: list[Message]) -> None:
        """Hand messages to a subscriber."""
        await self.database.run(Actor.system(self.tenant.id), lambda unit: handle(unit, messages))

    async def post(self) -> None:
        """Let every letter that waits be sent, by two workers at once; then tell what came of it."""
        waiting = await self.get("/channel-messages", state="queued")
        payloads = [{"tenant_id": str(self.tenant.id), "message_id": each["id"]} for each in waiting]
        await asyncio.gather(*(deliver_letter(self.database, each) for each in payloads * 2))
        await self.work()

    async def sweep(self) -> None:
        """Do what time brings for this tenant."""
        for step in jobs._STEPS:
            await self.database.run(Actor.system(self.tenant.id), step)

    async def later(self, **how: int) -> None:
        """Let time pass, and do what it brings."""
        self.clock.advance(timedelta(**how))
        await self.sweep()
        await self.work()
