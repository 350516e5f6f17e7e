"""What a schedule does for every tenant."""

import pytest

from crm_api.accounts.service import for_each_tenant


@pytest.mark.database
@pytest.mark.asyncio
async def test_one_merchants_trouble_stops_no_other(database, tenant, other_tenant, capsys):
    mine, seen = {tenant.id, other_tenant.id}, []

    async def work(actor):
        if actor.tenant_id in mine:
            seen.append(actor)
            if len(seen) == 1:
                raise ValueError("broken")

    await for_each_tenant(database, "tests.every", work)
    assert {each.tenant_id for each in seen} == mine
    assert {(each.kind, each.request_id) for each in seen} == {("system", "tests.every")}
    told = "".join(capsys.readouterr())
    assert f"schedule=tests.every tenant_id={seen[0].tenant_id}" in told
    assert f"tenant_id={seen[1].tenant_id}" not in told
