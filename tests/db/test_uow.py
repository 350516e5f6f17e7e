"""What a unit of work writes just before its end: messages and audit rows, few or many, with a read or alone."""

import pytest

from crm_api.core.ids import new_id
from crm_api.customers.repository import CUSTOMER
from crm_api.db.plans import read_one

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

AUDITED = "SELECT * FROM audit_log WHERE tenant_id = $1 AND operation = 'test.written' ORDER BY id"
TOLD = "SELECT * FROM outbox WHERE tenant_id = $1 AND type = 'test.told' ORDER BY id"


@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize(("audited", "told"), [(0, 1), (1, 0), (1, 1), (1, 3), (2, 1), (3, 2)])
async def test_all_that_was_noted_is_written_once(database, tenant, audited, told, reads):
    subjects = [new_id() for _ in range(3)]
    async with database.write(tenant.actor) as unit:
        for number in range(audited):
            unit.audit("test.written", "Test", subjects[number], before=None, after={"王": [number, None, "'"]})
        for number in range(told):
            unit.emit("test.told", subjects[number], {"items": [{"n": number}]})
        if reads:
            assert await read_one(unit, CUSTOMER, new_id()) is None
        now = unit.now()
    async with database.read(tenant.actor) as unit:
        rows = await unit.connection.fetch(AUDITED, tenant.id)
    async with database.system() as connection:
        messages = await connection.fetch(TOLD, tenant.id)
    assert [(row["subject_id"], row["before"], row["after"]) for row in rows] == [
        (subjects[number], None, {"王": [number, None, "'"]}) for number in range(audited)
    ]
    by = {(row["subject_type"], row["actor_kind"], row["actor_id"], row["request_id"]) for row in rows}
    assert by == ({("Test", "key", tenant.id, "test")} if audited else set())
    assert all(abs((now - row["at"]).total_seconds()) < 5 for row in rows)
    assert [(row["subject_id"], row["payload"]) for row in messages] == [
        (subjects[number], {"items": [{"n": number}]}) for number in range(told)
    ]
