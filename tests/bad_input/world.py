"""A shop with one of everything, and a digest of all a tenant owns."""

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

from crm_api.churn.service import run_assessment
from crm_api.db.pool import Database
from crm_api.duplicates.finder import run_search
from tests.bad_input.corpus.case import Bad
from tests.bad_input.corpus.webhooks import BODY
from tests.support.rows import tenant_tables

_PLACE = re.compile(r"\{([a-z_]+)\}")
SECRET = "shpss_made_up_for_tests"
NO_LIMIT = {"uses_per_voucher": None}
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TABLES = [table.name for table in tenant_tables()]
# One statement for all tables: a digest is taken before and after each of a thousand requests.
_DIGEST = " UNION ALL ".join(
    f"SELECT '{name}', count(*)::text || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {name} t"
    for name in TABLES
)


_WATCH = """
CREATE SEQUENCE written;
CREATE FUNCTION note_written() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
  $$ BEGIN PERFORM nextval('written'); RETURN NULL; END $$;
""" + "".join(
    f"CREATE TRIGGER zz_written AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {name} "
    "FOR EACH STATEMENT EXECUTE FUNCTION note_written();"
    for name in TABLES
)


async def watch(owner: asyncpg.Connection) -> None:
    """Count from now on every statement that writes to a table of tenants, rolled back or not."""
    await owner.execute(_WATCH)


async def written(owner: asyncpg.Connection) -> int:
    """Return how many statements wrote since `watch`: the same number means that nothing has changed."""
    return await owner.fetchval("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM written")


async def digest(owner: asyncpg.Connection) -> dict[str, str]:
    """Return a digest of every table of tenants, whoever's rows they are."""
    return dict(await owner.fetch(_DIGEST))


@dataclass
class Shop:
    """What the places in the corpus stand for."""

    client: httpx.AsyncClient
    places: dict[str, str] = field(default_factory=dict)

    def fill(self, text: str) -> str:
        """Put our things into their places; braces around anything else stay."""
        return _PLACE.sub(lambda found: self.places.get(found[1], found[0]), text)

    def fill_bytes(self, body: bytes | None) -> bytes | None:
        """Do the same with a body that may be no text."""
        if body is None or len(body) > 1_000_000:
            return body
        return re.sub(
            rb"\{([a-z_]+)\}", lambda found: self.places.get(found[1].decode(), found[0].decode()).encode(), body
        )

    def fill_header(self, value: str | bytes) -> bytes:
        """Return a header's bytes."""
        return value if isinstance(value, bytes) else self.fill(value).encode()

    def request(self, case: Bad, **headers: str) -> httpx.Request:
        """Return the case as a request, its headers byte for byte."""
        given = {name.encode(): self.fill_header(value) for name, value in case.headers.items()}
        if case.key:
            given[b"authorization"] = self.client.headers["authorization"].encode()
        given |= {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        request = httpx.Request(
            case.method, "http://crm.test" + self.fill(case.path), content=self.fill_bytes(case.body)
        )
        own = [(name, value) for name, value in request.headers.raw if name.lower() not in given]
        request.headers = httpx.Headers([*own, *given.items()])
        return request

    async def _post(self, path: str, body: Any, *, method: str = "POST", **headers: str) -> dict[str, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.client.request(method, path, json=body, headers=named)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        return answer.json() if answer.content else {}

    async def build(self, other: httpx.AsyncClient) -> None:
        """Make one of everything."""
        self.places["missing"] = str(uuid4())
        await self._people(other)
        await self._wishes()
        await self._families()
        await self._sales()
        await self._work()
        await self._points()
        await self._earning()
        await self._vouchers()
        await self._friends()
        await self._rewards()
        await self._compensations()
        await self._machines()
        await self._messages()
        await self._forms()
        await self._follow_ups()

    async def run_jobs(self, database: Database, tenant_id: UUID) -> None:
        """Make two of one and let them be found; have everybody assessed."""
        point = {"kind": "mobile", "value": "13711112222"}
        twins = [await self._post("/v1/customers", {"name": "孙小圣"})]
        twins.append(await self._post("/v1/customers", {"name": "孙小圣", "contact_points": [point]}))
        path = f"/v1/customers/{twins[0]['id']}/contact-points"
        await self._post(path, point, x_allow_duplicate="true")
        run = await self._post("/v1/duplicate-runs", {"kind": "full"})
        await run_search(database, tenant_id, UUID(run["id"]))
        (pair,) = (await self.client.get("/v1/duplicate-candidates")).json()["data"]
        self.places |= {"duplicate_run": run["id"], "candidate": pair["id"], "twin": twins[0]["id"]}
        await run_assessment(database, tenant_id, UUID(self.places["churn_assessment"]))

    async def _people(self, other: httpx.AsyncClient) -> None:
        store = await self._post("/v1/stores", {"name": "徐汇店"})
        calendar = await self._post("/v1/calendars", {"name": "x", "weekly": {"1": [["09:00", "17:00"]]}})
        default = (await self.client.get("/v1/calendars?is_default=true")).json()["data"][0]
        self.places |= {"calendar": calendar["id"], "default_calendar": default["id"]}
        staff = await self._post("/v1/staff", {"name": "李娜", "email": "li@example.com"})
        await self._attributes()
        customer = await self._post(
            "/v1/customers",
            {
                "name": "王小明",
                "contact_points": [{"kind": "mobile", "value": "13812345678"}],
                "identities": [{"platform": "taobao", "external_id": "tb_1"}],
                "tags": ["vip"],
                "addresses": [{"city": "上海"}],
                "attributes": {"skin": "dry", "size": 40},
            },
            idempotency_key="used",
        )
        another = await self._post(
            "/v1/customers", {"name": "李雷", "identities": [{"platform": "taobao", "external_id": "taken"}]}
        )
        winner, loser = [(await self._post("/v1/customers", {"name": name}))["id"] for name in ("周一", "周二")]
        merge = await self._post("/v1/customers/merge", {"winner_id": winner, "loser_ids": [loser]})
        self.places |= {"merge": merge["id"], "winner": winner, "loser": loser}
        foreign = (await other.post("/v1/customers", json={"name": "韩梅梅"})).json()
        foreign_staff = (await other.post("/v1/staff", json={"name": "韩梅梅"})).json()
        self.places |= {
            "store": store["id"],
            "staff": staff["id"],
            "customer": customer["id"],
            "contact_point": customer["contact_points"][0]["id"],
            "address": customer["addresses"][0]["id"],
            "identity": customer["identities"][0]["id"],
            "other": another["id"],
            "foreign": foreign["id"],
            "foreign_staff": foreign_staff["id"],
        }
        await self._crew()

    async def _crew(self) -> None:
        """Teams, skills, training, and a proposal: of staff who have no customers, so nobody's owner changes."""
        staff = self.places["staff"]
        mate = (await self._post("/v1/staff", {"name": "陈静"}))["id"]
        skill = (await self._post("/v1/skills", {"name": "x"}))["id"]
        course = (await self._post("/v1/courses", {"name": "x", "skill_id": skill}))["id"]
        done = await self._post(f"/v1/courses/{course}/completions", {"staff_id": staff, "score": 90})
        at = {"staff_id": staff, "starts_at": "2026-05-01T00:00:00Z", "ends_at": "2026-05-01T08:00:00Z"}
        rule = {"name": "x", "target": "cases"}
        standard = {"dimension": "grade", "class_name": "B", "every_days": 60}
        self.places |= {
            "mate": mate,
            "team": (await self._post("/v1/teams", {"name": "x", "member_ids": [staff]}))["id"],
            "skill": skill,
            "course": course,
            "course_completion": done["id"],
            "shift": (await self._post("/v1/shifts", at))["id"],
            "assignment_rule": (await self._post("/v1/assignment-rules", rule))["id"],
            "contact_standard": (await self._post("/v1/contact-standards", standard))["id"],
            "rebalancing": (await self._post("/v1/rebalancings", {}))["id"],
        }

    async def _follow_ups(self) -> None:
        plan = {"name": "x", "cadences": [{"dimension": "all", "every_days": 30}]}
        self.places["follow_up_plan"] = (await self._post("/v1/follow-up-plans", plan))["id"]
        task = {"customer_id": self.places["customer"], "due_on": "2026-11-30", "channel": "call"}
        for name in ("follow_up", "follow_up_to_skip", "follow_up_to_snooze"):
            self.places[name] = (await self._post("/v1/follow-ups", task))["id"]

    async def _attributes(self) -> None:
        label = {"en": "x", "zh": "某"}
        choices = [{"value": value, "label": label} for value in ("dry", "oily")]
        skin = {"key": "skin", "type": "choice", "label": label, "choices": choices}
        size = {"key": "size", "type": "number", "label": label, "maximum": 60}
        self.places["attribute_definition"] = (await self._post("/v1/attribute-definitions", skin))["id"]
        self.places["size"] = (await self._post("/v1/attribute-definitions", size))["id"]
        gone = await self._post("/v1/attribute-definitions", {"key": "gone", "type": "text", "label": label})
        await self._post(f"/v1/attribute-definitions/{gone['id']}", {"archived": True}, method="PATCH")

    async def _wishes(self) -> None:
        text = {"purpose": "analytics", "language": "zh", "title": "x", "body": "x"}
        said = {"purpose": "marketing", "channel": "sms", "action": "granted", "source": "checkout"}
        leaving = f"/v1/customers/{(await self._post('/v1/customers', {'name': '赵'}))['id']}"
        self.places |= {
            "consent_text": (await self._post("/v1/consent-texts", text))["id"],
            "consent": (await self._post(f"/v1/customers/{self.places['customer']}/consents", said))["id"],
            "subject_export": (await self._post(f"{leaving}/subject-exports", None))["id"],
            "erasure": (await self._post(f"{leaving}/erasures", {}))["id"],
            "leaving": leaving.rpartition("/")[2],
        }
        cancelled = (await self._post(f"/v1/customers/{self.places['other']}/erasures", {}))["id"]
        await self._post(f"/v1/erasures/{cancelled}/cancel", None)
        self.places["kept"] = cancelled

    async def _families(self) -> None:
        said = {"purpose": "guardian", "action": "granted", "source": "store_form"}
        for who in ("customer", "other"):
            await self._post(f"/v1/customers/{self.places[who]}/consents", said)
        mother = {"customer_id": self.places["other"], "relation": "mother"}
        child = {"relation": "child", "due_date": "2025-12-24"}
        home = await self._post("/v1/households", {"name": "李雷一家", "members": [mother, child]})
        company = await self._post("/v1/customers", {"name": "幼儿园", "kind": "company"})
        contacts = f"/v1/customers/{company['id']}/contacts"
        self.places |= {
            "household": home["id"],
            "mother": home["members"][0]["id"],
            "household_member": home["members"][1]["id"],
            "company": company["id"],
            "company_contact": (await self._post(contacts, {"customer_id": self.places["other"]}))["id"],
        }

    async def _sales(self) -> None:
        product = await self._post("/v1/products", {"sku": "SKU-1", "name": "大虾"})
        body = {"status": "paid", "total": {"amount": 1999, "currency": "CNY"}, "placed_at": "2026-05-01T00:00:00Z"}
        order = await self._post("/v1/orders/taobao/T1", body | {"customer_id": self.places["customer"]}, method="PUT")
        other = await self._post("/v1/orders/taobao/T2", body | {"customer_id": self.places["other"]}, method="PUT")
        page = (await self.client.get("/v1/orders?limit=1")).json()
        self.places |= {
            "product": product["id"],
            "order": order["id"],
            "other_order": other["id"],
            "order_cursor": page["page"]["next"],
        }

    async def _work(self) -> None:
        for name, of in (("interaction", "customer"), ("other_interaction", "other")):
            call = {"customer_id": self.places[of], "channel": "call", "direction": "inbound"}
            self.places[name] = (await self._post("/v1/interactions", call))["id"]
        seen = {"id": str(uuid4()), "type": "search", "occurred_at": datetime.now(UTC).isoformat(), "device_id": "d"}
        await self._post("/v1/events/batch", {"events": [seen]})
        known = {"device_id": "known", "customer_id": self.places["customer"]}
        self.places |= {"event": seen["id"], "identification": (await self._post("/v1/identify", known))["id"]}
        complaint = {
            "customer_id": self.places["customer"],
            "channel": "call",
            "subject": "x",
            "source_ref": "taobao:1",
        }
        self.places["complaint"] = (await self._post("/v1/complaints", complaint))["id"]
        await self.client.patch("/v1/complaint-settings", json={"known_causes_only": True})
        said = {"direction": "in", "body": "x", "source_ref": "wx:1"}
        path = f"/v1/complaints/{self.places['complaint']}/messages"
        self.places["complaint_message"] = (await self._post(path, said))["id"]
        causes = (await self.client.get("/v1/complaint-causes?path=quality&limit=1")).json()["data"]
        self.places["complaint_cause"] = causes[0]["id"]
        clocks = await self.client.get(f"/v1/complaints/{self.places['complaint']}/clocks")
        self.places["complaint_clock"] = clocks.json()["data"][0]["id"]
        self.places["clock_policy"] = (await self.client.get("/v1/clock-policies")).json()["data"][0]["id"]
        await self._aftercare(complaint)

    async def _aftercare(self, complaint: dict[str, Any]) -> None:
        """What is told of a case, a question about one that is resolved, and what is done about causes."""
        resolved = (await self._post("/v1/complaints", complaint | {"source_ref": "taobao:2"}))["id"]
        for state in ("acknowledged", "assessed", "in_progress", "proposed", "resolved"):
            await self._post(f"/v1/complaints/{resolved}/transitions", {"to": state})
        path = f"/v1/complaints/{resolved}/tellings"
        told = await self._post(path, {"what": "result", "text": "x"})
        await self._post(f"/v1/complaint-tellings/{told['id']}/confirm", {})
        telling = await self._post(path, {"what": "decision", "text": "x"})
        action = {"title": "x", "cause": "quality", "owner_id": self.places["staff"], "due_on": "2026-12-31"}
        done = (await self._post("/v1/corrective-actions", action))["id"]
        await self._post(f"/v1/corrective-actions/{done}/transitions", {"action": "finish"})
        self.places |= {
            "telling": telling["id"],
            "told": told["id"],
            "resolved": resolved,
            "rating": (await self._post(f"/v1/complaints/{resolved}/rating", None))["id"],
            "corrective_action": (await self._post("/v1/corrective-actions", action))["id"],
            "action_done": done,
        }

    async def _points(self) -> None:
        account = f"/v1/loyalty/accounts/{self.places['customer']}"
        entry = (await self._post(f"{account}/adjustments", {"points": 100, "reason": "x"}))["transaction"]["id"]
        spent = [
            (await self._post(f"{account}/redemptions", {"points": 10, "reason": "x"}))["transaction"]["id"]
            for _ in range(2)
        ]
        await self._post(f"/v1/loyalty/redemptions/{spent[1]}/reversal", {})
        self.places |= {"entry": entry, "redemption": spent[0], "undone": spent[1]}
        hold = await self._post(f"{account}/holds", {"points": 10, "reason": "x"})
        voided = await self._post(f"{account}/holds", {"points": 10, "reason": "x"})
        await self._post(f"/v1/loyalty/holds/{voided['id']}/void", {})
        [lot] = (await self.client.get(f"/v1/loyalty/lots?wallet_id={hold['wallet_id']}&limit=1")).json()["data"]
        [programme] = (await self.client.get("/v1/loyalty/programmes")).json()["data"]
        self.places |= {
            "hold": hold["id"],
            "voided": voided["id"],
            "wallet": hold["wallet_id"],
            "lot": lot["id"],
            "programme": programme["id"],
            "review": self.places["missing"],  # it takes a refund that a worker has heard of
        }
        given = {"tier": "gold", "ends_at": "2999-01-01T00:00:00Z"}
        self.places["tier_override"] = (await self._post(f"{account}/tier/overrides", given))["id"]
        self.places["tier_replay"] = (await self._post("/v1/loyalty/tiers/replays", {}))["id"]
        for name in ("scheme", "transition"):
            [found] = (await self.client.get(f"/v1/loyalty/tiers/{name}s")).json()["data"]
            self.places[f"tier_{name}"] = found["id"]

    async def _earning(self) -> None:
        rule = {"formula": {"kind": "fixed", "points": 5}}
        draft = await self._post("/v1/loyalty/earning-rules", {"name": "草稿", "trigger": "birthday", **rule})
        active = {"name": "问卷", "trigger": "survey", **rule, "draft": False}
        self.places["active_rule"] = (await self._post("/v1/loyalty/earning-rules", active))["id"]
        told = {"trigger": "survey", "customer_id": self.places["customer"], "reference": "answer-1"}
        earning = await self._post("/v1/loyalty/earnings", told)
        self.places |= {"earning_rule": draft["id"], "earning": earning["id"]}

    async def _vouchers(self) -> None:
        worth = {"kind": "amount", "amount_off": {"amount": 100, "currency": "CNY"}}
        await self._post("/v1/voucher-campaigns", {"name": "共用", **worth, "shared_code": "SPRING15", **NO_LIMIT})
        campaign = await self._post("/v1/voucher-campaigns", {"name": "生日", **worth})
        path = f"/v1/voucher-campaigns/{campaign['id']}"
        voucher = await self._post(f"{path}/vouchers", {"customer_id": self.places["customer"], "key": "taken"})
        cart = {"currency": "CNY", "items": [{"sku": "SKU-1", "unit_price": 1999}]}
        used = {"codes": ["SPRING15"], "order_ref": "T-20261111-1", "cart": cart}
        locked = {"codes": ["SPRING15"], "session_id": "s-1", "cart": cart}
        self.places |= {
            "voucher_campaign": campaign["id"],
            "voucher_batch": (await self._post(f"{path}/batches", {"count": 1}))["id"],
            "voucher": voucher["id"],
            "voucher_use": (await self._post("/v1/vouchers/redemptions", used))["data"][0]["id"],
            "voucher_lock": (await self._post("/v1/vouchers/locks", locked))["data"][0]["id"],
        }

    async def _friends(self) -> None:
        codes = []
        for name, active, code in (("朋友", True, "K7QM2XWD"), ("已结束", False, "OVER-1")):
            made = await self._post("/v1/referral-programmes", {"name": name, "active": active})
            whose = {"customer_id": self.places["other"], "code": code}
            codes.append(await self._post(f"/v1/referral-programmes/{made['id']}/codes", whose))
        friend = await self._post("/v1/customers", {"name": "吴用"})
        referral = await self._post("/v1/referrals", {"code": codes[0]["code"], "customer_id": friend["id"]})
        self.places |= {
            "referral_programme": codes[0]["programme_id"],
            "referral_code": codes[0]["id"],
            "friend": friend["id"],
            "referral": referral["id"],
        }

    async def _rewards(self) -> None:
        reward = await self._post("/v1/loyalty/rewards", {"name": "杯垫", "kind": "service", "points": 1, "stock": 9})
        path, who = f"/v1/loyalty/rewards/{reward['id']}/redemptions", {"customer_id": self.places["customer"]}
        wanted, done = [(await self._post(path, who))["id"] for _ in range(2)]
        await self._post(f"/v1/loyalty/reward-redemptions/{done}/confirm", None)
        await self._post(f"/v1/loyalty/reward-redemptions/{done}/fulfil", None)
        self.places |= {"reward": reward["id"], "reward_redemption": wanted, "reward_done": done}

    async def _compensations(self) -> None:
        path = f"/v1/complaints/{self.places['complaint']}/compensations"
        points = await self._post(path, {"kind": "points", "points": 5})
        refund = {"kind": "refund", "amount": {"amount": 100, "currency": "CNY"}, "order_id": self.places["order"]}
        settled, refund = [await self._post(path, refund) for _ in range(2)]
        await self._post(f"/v1/compensations/{settled['id']}/settle", {"reference": "wx-1"})
        limit = await self._post("/v1/approval-limits", {"name": "前台", "role": "前台", "points": 100})
        # A staff member without a limit proposes, and somebody must decide.
        said = {"kind": "points", "points": 5, "staff_id": self.places["staff"]}
        self.places["proposal"] = (await self._post(path, said))["id"]
        self.places |= {
            "compensation": points["id"],
            "refund": refund["id"],
            "settled_refund": settled["id"],
            "approval_limit": limit["id"],
        }

    async def _forms(self) -> None:
        field = {"key": "phone", "label": "手机号", "type": "mobile", "maps_to": "mobile"}
        form = await self._post(
            "/v1/forms",
            {
                "name": "x",
                "kind": "activity",
                "title": "x",
                "fields": [field],
                "minimum_seconds": 0,
                "allowed_origins": ["https://shop.example.com"],
            },
        )
        ticket = (await self.client.get(form["public_path"])).json()["ticket"]
        sent = {"ticket": ticket, "answers": {"phone": "13700001111"}}
        received = await self._post(f"{form['public_path']}/submissions", sent)
        self.places |= {"form": form["id"], "form_submission": received["submission_id"]}

    async def _machines(self) -> None:
        segment = await self._post(
            "/v1/segments", {"name": "上海", "rule": {"field": "city", "op": "eq", "value": "上海"}}
        )
        listed = await self._post("/v1/segments", {"name": "线下活动", "kind": "static"})
        rule = {"aggregate": "count", "of": "orders", "op": "gte", "value": 1}
        snapshot = await self._post("/v1/segments", {"name": "买过的", "kind": "snapshot", "rule": rule})
        self.places |= {"listed_segment": listed["id"], "snapshot": snapshot["id"]}
        run = await self._post("/v1/scoring-runs", {})
        self.places["churn_model"] = (await self._post("/v1/churn/models", {}))["id"]
        self.places["churn_assessment"] = (await self._post("/v1/churn/assessments", {}))["id"]
        self.places["churn_backtest"] = (await self._post("/v1/churn/backtests", {"until": "2026-01-01"}))["id"]
        self.places["pattern_run"] = (await self._post("/v1/patterns/runs", {"kind": "customers"}))["id"]
        features = [{"name": "recency_days"}, {"name": "net_spend"}]
        clustering = await self._post("/v1/clusterings", {"name": "价值分群", "features": features})
        self.places["clustering"] = clustering["id"]
        shopify = await self._post("/v1/sources", {"name": "a", "platform": "shopify", "secret": SECRET})
        standard = await self._post("/v1/sources", {"name": "b", "platform": "standard", "secret": STANDARD_SECRET})
        inactive = await self._post("/v1/sources", {"name": "c", "platform": "shopify", "secret": SECRET})
        await self._post(f"/v1/sources/{inactive['id']}", {"active": False}, method="PATCH")
        signature = base64.b64encode(hmac.digest(SECRET.encode(), BODY, hashlib.sha256)).decode()
        self.places |= {
            "segment": segment["id"],
            "run": run["id"],
            "source": shopify["id"],
            "standard": standard["id"],
            "inactive": inactive["id"],
            "signature": signature,
        }
        headers = {"x-shopify-hmac-sha256": signature, "x-shopify-webhook-id": "w1", "x-shopify-topic": "orders/paid"}
        delivery = await self.client.post(shopify["inbound_path"], content=BODY, headers=headers)
        self.places["delivery"] = delivery.json()["delivery_id"]
        for name in ("import", "cancelled"):
            file = b"name,mobile\n\xe7\x8e\x8b,13900000000\n"
            answer = await self.client.post("/v1/imports", data={"kind": "customers"}, files={"file": ("c.csv", file)})
            assert answer.status_code == 202, answer.text
            self.places[name] = answer.json()["id"]
        await self._post(f"/v1/imports/{self.places['cancelled']}/cancel", None)
        file = "会员卡,name,mobile\nA1,王,13900000000\n".encode()
        sent = await self.client.post("/v1/uploads", files={"file": ("c.csv", file)})
        assert sent.status_code == 201, sent.text
        mapping = {"name": "x", "kind": "customers", "columns": {"会员卡": "external_id"}}
        self.places |= {
            "upload": sent.json()["id"],
            "import_mapping": (await self._post("/v1/import-mappings", mapping))["id"],
            "export": (await self._post("/v1/exports", {"resource": "customers"}))["id"],
            "cancelled_export": (await self._post("/v1/exports", {"resource": "orders"}))["id"],
        }
        await self._post(f"/v1/exports/{self.places['cancelled_export']}/cancel", None)

    async def _messages(self) -> None:
        channel = await self._post("/v1/channels", {"name": "x", "kind": "local"})
        point = f"/v1/customers/{self.places['customer']}/contact-points/{self.places['contact_point']}"
        sent = await self._post(f"{point}/verification", {})
        cleanup = await self._post("/v1/quality/cleanups", {"actions": ["reclassify_phones"]})
        await self._post(f"/v1/quality/cleanups/{cleanup['id']}/cancel", None)
        self.places |= {
            "channel": channel["id"],
            "channel_message": sent["message_id"],
            "verification": sent["id"],
            "cleanup": cleanup["id"],
        }


def shown(answer: httpx.Response) -> str:
    """Return an answer for the message of a failed test."""
    return f"{answer.status_code} {json.dumps(answer.json(), ensure_ascii=False) if answer.content else ''}"
