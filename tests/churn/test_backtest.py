"""Back-tests: a shop whose answer is known, and CDNOW."""

import asyncio
import json

import pytest

from crm_api.churn import jobs
from crm_api.churn.backtests import backtest_now
from crm_api.churn.models import ChurnBacktestCreate
from crm_api.churn.report import lines
from crm_api.core.errors import Invalid
from tests.churn.shop import visits
from tests.lifetime.test_models import cdnow_purchases, load
from tests.support.command_line import crm_api

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

# Everybody comes weekly. Assessed on days 160 and 190, 60 days to look ahead:
SHOP = {
    **{f"stays {n}": range(0, 360, 7) for n in range(4)},  # quiet, twice
    "left on 126": range(0, 127, 7),  # silent for 34 and 64 days: a hit, twice
    "left on 133": range(0, 134, 7),
    "left on 140": range(0, 141, 7),
    **{f"away until 196, {n}": [*range(0, 127, 7), *range(196, 360, 7)] for n in range(2)},  # a false alarm, twice
    "left on 189": range(0, 190, 7),  # quiet, then a miss: nobody can know on day 190
}
PLAN = {"until": "2026-07-14", "cuts": 2, "step_days": 30, "horizon_days": 60}
FIRST = {
    "on": "2026-06-14",
    "customers": 10,
    "lost_already": 0,
    "alarms": 5,
    "hits": 3,
    "false_alarms": 2,
    "misses": 0,
    "quiet": 5,
    "recall": 1.0,
    "false_alarm_rate": 0.2857,
    "precision": 0.6,
    "base_rate": 0.3,
}
TOTAL = {
    "customers": 20,
    "lost_already": 0,
    "alarms": 10,
    "hits": 6,
    "false_alarms": 4,
    "misses": 1,
    "quiet": 9,
    "recall": 0.8571,
    "false_alarm_rate": 0.3077,
    "precision": 0.6,
    "base_rate": 0.35,
}


async def backtested(client, database, tenant, **plan):
    answer = await client.post("/v1/churn/backtests", json=plan)
    assert answer.status_code == 202, answer.text
    payload = {"tenant_id": str(tenant.id), "backtest_id": answer.json()["id"]}
    await jobs.backtest(database, payload)
    await jobs.backtest(database, payload)
    return (await client.get(f"/v1/churn/backtests/{answer.json()['id']}")).json()


async def test_a_shop_whose_answer_is_known(client, database, tenant, settings):
    await visits(database, tenant, **SHOP)
    made = await backtested(client, database, tenant, **PLAN)
    assert (made["state"], made["processed"], made["error"]) == ("completed", 2, None)
    result = made["result"]
    assert result["cuts"][0] == FIRST
    assert result["total"] == TOTAL
    assert (result["lost"], result["warned"]) == (4, 3)
    # Lost by silence alone 90 days after the last purchase (days 216, 223 and 230), first warned of on day 160.
    assert result["lead_days"] == {"median": 63, "quarter_below": 59.5, "quarter_above": 66.5}
    assert result["days_from_purchase_to_warning"] == {"median": 27, "quarter_below": 23.5, "quarter_above": 30.5}
    assert (await client.get("/v1/churn/customers")).json()["data"] == []

    def command(*more):
        options = [f"--{name.replace('_', '-')}={value}" for name, value in PLAN.items()]
        given = ("churn", "backtest", "--tenant", str(tenant.id), *options, *more)
        return crm_api(*given, CRM_DATABASE_URL=settings.database_url)

    done = await asyncio.to_thread(command, "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert {name: printed[name] for name in result} == result
    table = list(lines(printed))
    assert table[5].split() == ["all", "20", "10", "6", "4", "1", "85.7", "%", "60.0", "%", "30.8", "%", "35.0", "%"]
    assert "Lead time, first warning to lost by silence alone: median 63 days (half of them 59.5–66.5)" in table


async def test_cdnow_levels_tell_who_comes_back(client, database, tenant):
    """Nothing is known but purchases, and two in three customers never bought twice: still each level says more."""
    await load(database, tenant, cdnow_purchases())
    made = await backtested(client, database, tenant, cuts=2, step_days=90, horizon_days=180)
    assert (made["until"], made["state"]) == ("1998-01-02", "completed")
    result = made["result"]
    assert [each["on"] for each in result["cuts"]] == ["1997-10-04", "1998-01-02"]
    shares = [result["levels"][level]["share"] for level in ("none", "watch", "high", "lost")]
    assert shares == sorted(shares)
    assert shares[-1] > 0.85
    assert sum(each["customers"] for each in result["levels"].values()) == 2 * 2357
    total = result["total"]
    assert total["hits"] + total["false_alarms"] == total["alarms"] == 372
    assert (total["recall"], total["precision"], total["false_alarm_rate"], total["base_rate"]) == (
        0.3506,
        0.5995,
        0.2191,
        0.4833,
    )


async def test_data_that_are_over_are_not_losses(client, database, tenant):
    refused = await client.post("/v1/churn/backtests", json={})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "no_purchases")
    await visits(database, tenant, ann=range(0, 100, 7))
    # On the command line noughts everywhere would look like a result.
    with pytest.raises(Invalid, match="not valid") as refusal:
        await backtest_now(database, tenant.id, ChurnBacktestCreate(until="2026-01-05"), report=None)
    assert "the first purchase was on 2026-01-05" in refusal.value.errors[0].message
    made = await client.post("/v1/churn/backtests", json={"horizon_days": 30})
    assert made.json()["until"] == "2026-03-15"  # 30 days before the day after the last purchase
    payload = {"tenant_id": str(tenant.id), "backtest_id": made.json()["id"]}
    await jobs.give_up_backtest(database, payload, "Given up")
    await jobs.backtest(database, payload)
    shown = (await client.get(f"/v1/churn/backtests/{made.json()['id']}")).json()
    assert (shown["state"], shown["error"], shown["result"]) == ("failed", "Given up", None)
