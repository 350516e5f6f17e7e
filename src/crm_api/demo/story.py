"""What the demo does, step by step, through the public API."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from crm_api.core.money import format_money
from crm_api.demo import cdnow, shopify
from crm_api.demo.checks import Checks
from crm_api.demo.picture import draw_rfm
from crm_api.demo.tenant import CURRENCY, DemoTenant

AS_OF = "1998-07-01T00:00:00+00:00"
_PATIENCE = 120
_FREQUENT = 10
_REDEEMED = 50
_POINTS = """
query Points($after: String) {
  customers(first: 100, after: $after) { nodes { loyalty { available } } pageInfo { hasNextPage endCursor } }
}
"""
_STEPS: tuple[dict[str, Any], ...] = (
    {"to": "acknowledged"},
    {"to": "assessed", "root_cause": "quality/scratched"},
    {"to": "in_progress"},
    {"to": "proposed", "decision": "A new copy and an apology"},
    {"to": "resolved", "decision_told": True},
    {"to": "closed"},
)


class Story:
    """One run: does what is not done yet, then checks everything."""

    def __init__(self, client: httpx.Client, tenant: DemoTenant, console: Console, checks: Checks) -> None:
        """Tell it to a console, through a client."""
        self.client = client
        self.tenant = tenant
        self.console = console
        self.checks = checks
        self.truth = cdnow.Truth(cdnow.find_file())

    def run(self) -> None:
        """Do and check."""
        for step in (self._import, self._webhooks, self._wait_for_points, self._score, self._segment, self._complain):
            step()
        self._redeem()
        self._check_orders()
        self._check_webhooks()

    def _once(self, step: str, work: Callable[[], Any]) -> Any:
        """Do a step unless an earlier run did; return what it left."""
        if step not in self.tenant.done:
            self.tenant.remember(step, work())
        return self.tenant.done[step]

    # -- doing -----------------------------------------------------------------------------------------------------

    def _import(self) -> None:
        import_id = self._once("import", self._upload)
        columns = (TextColumn("importing orders"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task("import", total=self.truth.orders)
            done = self._until(
                f"/v1/imports/{import_id}",
                lambda it: it["state"] in {"completed", "failed"},
                each=lambda it: progress.update(bar, completed=it["processed"]),
            )
        self.checks.expect("import finished", "completed", done["state"])
        self.checks.expect("rows created and failed", (self.truth.orders, 0), (done["created"], done["failed"]))
        self.console.print(f"imported at {done['rows_per_second']:,.0f} rows/s")

    def _upload(self) -> str:
        with self.truth.path.open("rb") as file:
            answer = self.client.post(
                "/v1/imports",
                data={"kind": "orders"},
                files={"file": ("orders.csv", file, "text/csv")},
                headers={"idempotency-key": f"demo-import-{self.tenant.tenant_id}"},
            )
        return _id(answer)

    def _webhooks(self) -> None:
        source_id = self._once("source", self._add_source)
        self._once("webhooks", lambda: self._send_all(source_id))
        tampered = shopify.Webhook("demo-tampered", "orders/paid", b'{"id": 1}')
        answer = self.client.post(
            f"/v1/inbound/{source_id}", content=tampered.body, headers=tampered.headers("not the secret")
        )
        self.checks.expect("webhook with a wrong signature is refused", 401, answer.status_code)

    def _add_source(self) -> str:
        body = {"name": "Demo shop on Shopify", "platform": "shopify", "secret": shopify.SECRET}
        return _id(self.client.post("/v1/sources", json=body))

    def _send_all(self, source_id: str) -> int:
        sent = shopify.messages()
        for message in sent:
            path = f"/v1/inbound/{source_id}"
            self.client.post(path, content=message.body, headers=message.headers()).raise_for_status()
        self.console.print(f"sent {len(sent)} signed webhooks, some twice, some in the wrong order")
        return len(sent)

    def _wait_for_points(self) -> None:
        """Wait until the worker has carried every order to the ledger, looking at it through GraphQL."""
        wanted = self.truth.points + shopify.points() - self.tenant.done.get("redeemed", 0)
        deadline = time.monotonic() + _PATIENCE
        columns = (TextColumn("awarding points "), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task("points", total=wanted)
            while True:
                found = self._points()
                progress.update(bar, completed=found)
                # Above it for a moment: the refunded order has its points and not yet given any back.
                if found == wanted or time.monotonic() > deadline:
                    break
                time.sleep(0.5)
        self.checks.expect("points: one per whole dollar of each order", wanted, found)

    def _points(self) -> int:
        total, after = 0, None
        while True:
            answer = self.client.post("/graphql", json={"query": _POINTS, "variables": {"after": after}})
            page = _json(answer)["data"]["customers"]
            total += sum(int(each["loyalty"]["available"]) for each in page["nodes"])
            if not page["pageInfo"]["hasNextPage"]:
                return total
            after = page["pageInfo"]["endCursor"]

    def _score(self) -> None:
        run_id = self._once("scoring", lambda: _id(self.client.post("/v1/scoring-runs", json={"as_of": AS_OF})))
        run = self._until(f"/v1/scoring-runs/{run_id}", lambda it: it["state"] in {"completed", "failed"})
        people = self.truth.customers + shopify.CUSTOMERS
        self.checks.expect("customers scored", people, run["processed"])
        self.checks.expect(
            "customers in the RFM grid", people, sum(each["customers"] for each in run["summary"]["rfm"])
        )
        path = Path("crm-demo") / "rfm.svg"
        draw_rfm(run["summary"]["rfm"], run["currency"], path)
        stages = ", ".join(f"{name} {count}" for name, count in sorted(run["summary"]["lifecycle"].items()))
        self.console.print(f"scored as of {AS_OF[:10]}: {stages}; grades {run['summary']['grades']}; picture: {path}")

    def _segment(self) -> None:
        rule = {"aggregate": "count", "of": "orders", "op": "gte", "value": _FREQUENT, "where": _BY_FILE}
        wanted = self.truth.customers_with(_FREQUENT)
        preview = _json(self.client.post("/v1/segments/preview", json={"rule": rule}))
        self.checks.expect(f"customers with {_FREQUENT} orders or more, preview", wanted, preview["count"])
        body = {"name": "Frequent buyers", "rule": rule}
        segment_id = self._once("segment", lambda: _id(self.client.post("/v1/segments", json=body)))
        segment = self._until(f"/v1/segments/{segment_id}", lambda it: it["state"] != "compiling")
        self.checks.expect("… and as a segment", (wanted, "active"), (segment["size"], segment["state"]))

    def _complain(self) -> None:
        case_id = self._once("complaint", self._open_and_close)
        case = _json(self.client.get(f"/v1/complaints/{case_id}"))
        events = _json(self.client.get(f"/v1/complaints/{case_id}/events?limit=50"))["data"]
        self.checks.expect("complaint went its way", "closed", case["state"])
        self.checks.expect("each step is an event", len(_STEPS) + 1, len(events))
        back = self.client.post(f"/v1/complaints/{case_id}/transitions", json={"to": "proposed"})
        self.checks.expect("a step the state machine forbids", 409, back.status_code)

    def _open_and_close(self) -> str:
        customer = _json(self.client.get("/v1/customers?limit=1&identity=cdnow:00004"))["data"][0]
        body = {
            "customer_id": customer["id"],
            "kind": "complaint",
            "channel": "web",
            "severity": "S3",
            "subject": "光盘有划痕 / The disc is scratched",
        }
        case_id = _id(self.client.post("/v1/complaints", json=body))
        for step in _STEPS:
            self.client.post(f"/v1/complaints/{case_id}/transitions", json=step).raise_for_status()
        return case_id

    def _redeem(self) -> None:
        customer = _json(self.client.get("/v1/customers?limit=1&identity=cdnow:00021"))["data"][0]["id"]
        path = f"/v1/loyalty/accounts/{customer}"
        before = _json(self.client.get(path))["available"]
        redeemed = self.tenant.done.get("redeemed")
        self._once("redeemed", lambda: self._spend(path))
        after = _json(self.client.get(path))["available"]
        self.checks.expect("points left after a redemption", before - (0 if redeemed else _REDEEMED), after)
        too_much = self.client.post(f"{path}/redemptions", json={"points": 10**6, "reason": "everything"})
        self.checks.expect("more points than there are", 409, too_much.status_code)

    def _spend(self, path: str) -> int:
        _json(self.client.post(f"{path}/redemptions", json={"points": _REDEEMED, "reason": "A mug"}))
        return _REDEEMED

    # -- checking --------------------------------------------------------------------------------------------------

    def _check_orders(self) -> None:
        truth, orders = self.truth, list(self._all("/v1/orders?platform=cdnow&fields=customer_id,placed_at,total"))
        self.checks.expect("customers", truth.customers, len({each["customer_id"] for each in orders}))
        self.checks.expect("orders", truth.orders, len(orders))
        spend = sum(each["total"]["amount"] for each in orders)
        self.checks.expect("total spend", format_money(truth.spend, CURRENCY), format_money(spend, CURRENCY))
        days = {(each["customer_id"], each["placed_at"]) for each in orders}
        self.checks.expect("orders kept apart though of the same day", truth.same_day, len(orders) - len(days))
        people = self._all("/v1/customers?fields=purchases")
        kept = sum(each["purchases"]["net_spend"]["amount"] for each in people)
        wanted = truth.spend + shopify.spend() - shopify.REFUND_CENTS
        self.checks.expect(
            "spend kept on the customers, Shopify too", format_money(wanted, CURRENCY), format_money(kept, CURRENCY)
        )

    def _check_webhooks(self) -> None:
        orders = list(self._all("/v1/orders?platform=shopify&fields=external_id,status,refunded"))
        self.checks.expect("Shopify orders, each once", shopify.ORDERS, len(orders))
        self.checks.expect("… none fell back to unpaid", {"paid"}, {each["status"] for each in orders})
        refunded = sum(each["refunded"]["amount"] for each in orders)
        self.checks.expect("… refunded", format_money(shopify.REFUND_CENTS, CURRENCY), format_money(refunded, CURRENCY))
        failed = _json(self.client.get("/v1/inbound-deliveries?state=failed&count=exact"))["page"]["total"]
        self.checks.expect("… deliveries that failed", 0, failed)

    # -- talking ---------------------------------------------------------------------------------------------------

    def _until(
        self, path: str, good: Callable[[Any], bool], each: Callable[[Any], None] | None = None
    ) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE
        while True:
            found: dict[str, Any] = _json(self.client.get(path))
            if each is not None:
                each(found)
            if good(found):
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} did not get there in {_PATIENCE} s: {found}")
            time.sleep(0.1)

    def _all(self, path: str) -> Iterator[dict[str, Any]]:
        cursor = ""
        while True:
            page = _json(self.client.get(f"{path}&limit=200{cursor}"))
            yield from page["data"]
            if not page["page"]["has_more"]:
                return
            cursor = f"&after={page['page']['next']}"


_BY_FILE = {"field": "platform", "op": "eq", "value": "cdnow"}


def _json(answer: httpx.Response) -> Any:
    if answer.is_error:
        raise RuntimeError(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")
    return answer.json()


def _id(answer: httpx.Response) -> str:
    made: str = _json(answer)["id"]
    return made
