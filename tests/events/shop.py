"""Events to send."""

from datetime import UTC, datetime

from crm_api.core.ids import new_id


def event(**given):
    """Return a good event, with what is given instead; None leaves a field out."""
    good = {"id": str(new_id()), "type": "search", "occurred_at": datetime.now(UTC).isoformat(), "device_id": "d-1"}
    return {name: value for name, value in {**good, **given}.items() if value is not None}


async def send(client, *events, headers=None):
    """Send a batch."""
    return await client.post("/v1/events/batch", json={"events": list(events)}, headers=headers or {})


async def customer(client, name="王小明", **given):
    """Make a customer; returns the id."""
    answer = await client.post("/v1/customers", json={"name": name, **given})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def identify(client, device_id, at=None, **who):
    """Say whose a device is."""
    body = {"device_id": device_id, **who} | ({} if at is None else {"at": at.isoformat()})
    return await client.post("/v1/identify", json=body)
