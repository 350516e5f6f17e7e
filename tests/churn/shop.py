"""A shop whose customers come and stay away, and what was told of them."""

from datetime import UTC, date, datetime, timedelta

from crm_api.churn import jobs
from tests.lifetime.test_models import load, names_of

START = date(2026, 1, 5)


def noon(day):
    """Return noon in Shanghai: shops of these tests are there."""
    return datetime(day.year, day.month, day.day, 4, tzinfo=UTC)


def at(days):
    """Return noon so many days after the beginning."""
    return noon(START + timedelta(days=days))


async def visits(database, tenant, **of):
    """Enter purchases: name → days after the beginning; returns name → customer."""
    rows = [(name, START + timedelta(days=day), 1_000) for name, days in of.items() for day in days]
    await load(database, tenant, rows)
    return {name: key for key, name in (await names_of(database, tenant)).items()}


async def assessed(client, database, tenant, day=None):
    """Assess as of noon of a day and return the assessment."""
    body = {} if day is None else {"as_of": at(day).isoformat()}
    answer = await client.post("/v1/churn/assessments", json=body)
    assert answer.status_code == 202, answer.text
    made = answer.json()
    await jobs.assess(database, {"tenant_id": str(tenant.id), "assessment_id": made["id"]})
    return (await client.get(f"/v1/churn/assessments/{made['id']}")).json()


async def told(database, tenant, kind):
    """Return (customer, payload) of all messages of a type, oldest first."""
    async with database.read(tenant.actor) as unit:
        rows = await unit.connection.fetch(
            "SELECT subject_id, payload FROM outbox WHERE tenant_id = $1 AND type = $2 ORDER BY xid, id",
            tenant.id,
            kind,
        )
    return [(str(row["subject_id"]), row["payload"]) for row in rows]
