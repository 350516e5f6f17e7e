"""A shop whose clock stands still, and ages reckoned in Python from the calendar alone."""

import calendar
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import httpx

from crm_api import admin
from crm_api.core.clock import FixedClock
from crm_api.db.pool import Database
from crm_api.settings import Settings
from tests.support.api import TestTenant, application, client_of

NOON = datetime(2026, 11, 22, 4, tzinfo=UTC)
"""Noon of 22 November 2026 in Shanghai."""
DEFAULT = (("0-6m", 0), ("6-12m", 6), ("1-3y", 12), ("3-6y", 36), ("6y+", 72))


@dataclass
class Home:
    """A tenant, its client, and the clock all of it goes by."""

    client: httpx.AsyncClient
    database: Database
    tenant: TestTenant
    clock: FixedClock

    async def post(self, path: str, body: Any, status: int = 201) -> Any:
        """Send a body and return the answer."""
        answer = await self.client.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def get(self, path: str, status: int = 200) -> Any:
        """Return what stands at a path."""
        answer = await self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def customer(self, name: str = "王小明", **fields: Any) -> str:
        """Make a customer; return its id."""
        return (await self.post("/v1/customers", {"name": name, **fields}))["id"]

    async def family(self, *children: dict[str, Any], mother: str | None = None) -> tuple[str, Any]:
        """Make a mother and her household with children; return her id and the household."""
        mother = mother or await self.customer()
        members = [{"customer_id": mother, "relation": "mother"}, *({"relation": "child", **each} for each in children)]
        return mother, await self.post("/v1/households", {"name": "一家", "members": members})

    async def ask(self, query: str, **variables: Any) -> Any:
        """Ask GraphQL."""
        answer = (await self.client.post("/graphql", json={"query": query, "variables": variables})).json()
        assert "errors" not in answer, answer
        return answer["data"]

    async def child_stages(self, customer: str) -> list[str]:
        """Return the stages of a customer's children."""
        query = "query ($id: ID!) { customer(id: $id) { childStages } }"
        return (await self.ask(query, id=f"Customer:{customer}"))["customer"]["childStages"]

    async def messages(self, subject: str) -> list[tuple[str, Any]]:
        """Return the messages about something, oldest first."""
        async with self.database.read(self.tenant.actor) as unit:
            found = await unit.connection.fetch(
                "SELECT type, payload FROM outbox WHERE subject_id = $1 ORDER BY id", UUID(subject)
            )
        return [(row["type"], row["payload"]) for row in found]


@dataclass(frozen=True)
class House:
    """The application, for all tests of a module: each has a tenant of its own, and sets the clock."""

    settings: Settings
    database: Database
    app: Any
    clock: FixedClock


@asynccontextmanager
async def open_house(settings):
    """Run the application with a clock that stands still."""
    clock = FixedClock(NOON)
    database = await Database.open(settings, clock)
    async with application(settings, database) as app:
        yield House(settings, database, app, clock)
    await database.close()


@asynccontextmanager
async def home(house, instant=NOON, *, zone="Asia/Shanghai", preset="retail", consent=False):
    """Open a shop in a zone at a time; ``consent`` says whether it asks guardians for theirs."""
    house.clock.instant = instant
    created = await admin.create_tenant(house.settings, "娃娃家", preset, time_zone=zone)
    tenant = TestTenant(created.tenant_id, created.api_key)
    async with client_of(house.app, tenant.key) as client:
        await client.patch("/v1/consent-settings", json={"guardian_consent_required": consent})
        yield Home(client, house.database, tenant, house.clock)


def day(text: str) -> dict[str, Any]:
    """Return a birthday as the API takes it."""
    year, month, number = map(int, text.split("-"))
    return {"year": year, "month": month, "day": number}


def later(born: date, months: int) -> date:
    """Return the day so many months after a birth: the same day, or the last of a month that is too short."""
    year, month = divmod(born.year * 12 + born.month - 1 + months, 12)
    return date(year, month + 1, min(born.day, calendar.monthrange(year, month + 1)[1]))


def age(born: date, today: date) -> int:
    """Return whole months, counted one by one from above."""
    months = (today.year - born.year) * 12 + 12
    while later(born, months) > today:
        months -= 1
    return months


def stage(born: date | None, due: date | None, today: date, cuts=DEFAULT, patience: int = 14) -> str | None:
    """Return the stage by the stated rules."""
    if born is not None:
        return [code for code, start in cuts if start <= age(born, today)][-1]
    if due is None:
        return None
    return "pregnant" if (today - due).days <= patience else "overdue"
