"""What a schedule does for every tenant."""

import pytest
from structlog.testing import capture_logs

from crm_api.accounts.service import for_each_tenant


@pytest.mark.database
@pytest.mark.asyncio
async def test_one_merchants_trouble_stops_no_other(database, tenant, other_tenant):
    mine, seen = {tenant.id, other_tenant.id}, []

    async def work(actor):
        if actor.tenant_id in mine:
            seen.append(actor)
            if len(seen) == 1:
                raise ValueError("broken")

    with capture_logs() as logs:
        await for_each_tenant(database, "tests.every", work)
    assert {each.tenant_id for each in seen} == mine
    assert {(each.kind, each.request_id) for each in seen} == {("system", "tests.every")}
    (told,) = [each for each in logs if each["event"] == "schedule_failed"]
    assert (told["log_level"], told["schedule"], told["tenant_id"]) == ("error", "tests.every", str(seen[0].tenant_id))
