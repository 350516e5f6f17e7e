"""Why somebody is in a segment or not, and what a rule would select."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from crm_api.core.errors import Conflict, Invalid, NotFound
from crm_api.core.paging import PageRequest
from crm_api.core.rules import (
    AggregateTest,
    All,
    AnyOf,
    AsOf,
    BucketTest,
    FieldTest,
    Not,
    SequenceTest,
    Step,
    rule_sentence,
)
from crm_api.customers.service import READ as CUSTOMERS_READ
from crm_api.db.rule_explain import Explained, Part, RuleProbe
from crm_api.db.uow import UnitOfWork
from crm_api.segments.models_explain import Preview, RuleExplain
from crm_api.segments.repository import Chosen, SegmentRepository, list_customers
from crm_api.segments.repository.catalogue import customer_rules
from crm_api.segments.repository.explain import count, is_customer, membership, probe, transitions
from crm_api.segments.repository.words import segment_names

READ = "segments:read"
SAMPLE: Final = 20
RULE: Final = "/rule"
"""Where the rule is in every answer: pointers lead into it."""

_KINDS: Final[Mapping[type, str]] = {
    All: "all",
    AnyOf: "any",
    Not: "not",
    FieldTest: "field",
    AggregateTest: "aggregate",
    BucketTest: "bucket",
    SequenceTest: "sequence",
    Step: "step",
}

_GAPS: Final[Mapping[str, tuple[str, str, str]]] = {
    "draft": ("not_evaluated", "It is a draft: nobody has been evaluated yet", "草稿状态，尚未计算"),
    "compiling": (
        "not_evaluated",
        "Its rule is new: not everybody has been evaluated by it yet",
        "规则刚刚变更，尚未完成计算",
    ),
    "failed": (
        "evaluation_failed",
        "Its evaluation failed, so the last good members stay: {error}",
        "计算失败，保留上次正确的成员：{error}",
    ),
    "snapshot": (
        "snapshot",
        "It is a snapshot of {as_of}: its members stay as they were",
        "快照（{as_of}），成员保持不变",
    ),
    "archived": ("archived", "It is archived: its members stay as they were", "分群已归档，成员保持不变"),
    "active": (
        "not_evaluated_since",
        "Something changed a moment ago and is not evaluated yet; everybody was last evaluated {evaluated_at}",
        "刚刚发生的变化尚未计算；上次全量计算时间：{evaluated_at}",
    ),
}
"""State of a segment → code and words for a stored membership that is not what the rule says."""


class ExplainService:
    """Explanations and previews: nothing is stored."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = SegmentRepository(unit)

    async def preview(self, data: Preview) -> dict[str, Any]:
        """Return how many customers a rule selects, the newest of them, and how it narrows them down.

        Returns:
            The fields of `PreviewResult`.

        """
        self.unit.actor.require(READ)
        chosen = await self._chosen(data.rule, data.as_of)
        counts = await count(self.unit, chosen) if data.funnel else None
        page = PageRequest(limit=SAMPLE, count=counts is None)
        found = orjson.loads(await list_customers(self.unit, page, rule=chosen))
        shown = {"sample": found["data"], "as_of": chosen.as_of.instant}
        if counts is None:
            reason = _no_funnel(self.unit.settings.statement_timeout_ms, asked=data.funnel)
            return {"count": found["page"]["total"], **shown, "funnel": None, "no_funnel": reason}
        names = await segment_names(self.unit, chosen.rule)
        funnel = {
            "customers": counts.total,
            "leaves": [{**_named(part, names), "count": number} for part, number in counts.leaves],
            "steps": [{**_named(part, names), "remaining": number} for part, number in counts.steps],
        }
        return {"count": counts.selected, **shown, "funnel": funnel, "no_funnel": None}

    async def rule(self, data: RuleExplain) -> dict[str, Any]:
        """Return what a rule says of a customer, and why, as `RuleExplanation` with ``nodes`` for ``tree``.

        Raises:
            Forbidden: the rule names what the caller may not know; ``errors`` says where.
            NotFound: there is no such customer.

        """
        self._require()
        chosen = await self._chosen(data.rule, data.as_of)
        return {"customer_id": data.customer_id, **await self._explained(chosen, data.customer_id)}

    async def segment(self, segment_id: UUID, customer_id: UUID) -> dict[str, Any]:
        """Return why a customer is in a segment or not, as `SegmentExplanation` with ``nodes`` for ``tree``.

        Raises:
            Conflict: the segment's rule is not valid any more; ``errors`` says why.
            Forbidden: the rule names what the caller may not know; ``errors`` says where.
            NotFound: there is no such segment or customer.

        """
        self._require()
        segment = await self.repository.get(segment_id)
        stored = await membership(self.unit, segment_id, customer_id)
        said = await (self._listed if segment["rule"] is None else self._kept)(segment, customer_id)
        agrees = said["holds"] is None or said["holds"] == (stored is not None)
        return {
            "segment_id": segment_id,
            "customer_id": customer_id,
            "member": stored is not None,
            "entered_at": None if stored is None else stored["entered_at"],
            **said,
            "gap": None if agrees else _gap(segment),
            "log": await transitions(self.unit, segment_id, customer_id),
        }

    async def _listed(self, _segment: asyncpg.Record, customer_id: UUID) -> dict[str, Any]:
        """Say what there is to say of a segment without a rule."""
        if not await is_customer(self.unit, customer_id):
            raise NotFound
        return {"as_of": self.unit.now(), "rule": None, "holds": None, "nodes": []}

    async def _kept(self, segment: asyncpg.Record, customer_id: UUID) -> dict[str, Any]:
        try:
            chosen = await self._chosen(segment["rule"], segment["as_of"])
        except Invalid as error:
            raise Conflict(
                "The segment's rule is not valid any more: give it another",
                zh="该分群的规则已失效：请更换规则",
                code="segment_rule_invalid",
                errors=error.errors,
            ) from None
        return await self._explained(chosen, customer_id)

    def _require(self) -> None:
        for scope in (READ, CUSTOMERS_READ):
            self.unit.actor.require(scope)

    async def _chosen(self, tree: Any, as_of: datetime | None) -> Chosen:
        """Check a rule that the caller must be allowed to know all of; pointers lead into its stored form."""
        rules = await customer_rules(self.unit, tree)
        rule = rules.check(rules.check(tree, RULE, self.unit.actor).document, RULE)
        return Chosen(rules, rule, AsOf(as_of or self.unit.now(), await self.repository.zone()))

    async def _explained(self, chosen: Chosen, customer_id: UUID) -> dict[str, Any]:
        asked = RuleProbe(chosen.rules, chosen.rule, chosen.as_of)
        found = await probe(self.unit, asked, customer_id)
        if found is None:
            raise NotFound
        names = await segment_names(self.unit, chosen.rule)
        return {
            "as_of": chosen.as_of.instant,
            "rule": chosen.rule.document,
            "holds": found[0].holds,
            "nodes": [_node(asked, each, names) for each in found],
        }


def _named(part: Part, names: Mapping[str, str]) -> dict[str, Any]:
    return {"pointer": part.node.pointer, "sentence": rule_sentence(part.raw, part.rules.catalogue, names)}


def _node(asked: RuleProbe, each: Explained, names: Mapping[str, str]) -> dict[str, Any]:
    part = each.part
    return {
        **_named(part, names),
        "parent": None if part.parent is None else asked.parts[part.parent].node.pointer,
        "kind": _KINDS[type(part.node)],
        "holds": each.holds,
        "op": part.raw.get("op"),
        "asked": asked.asked(part),
        "found": each.found,
        "window": asked.window(part),
        "rows": each.rows,
        "looked_at": each.looked_at,
        "first_at": each.first_at,
        "last_at": each.last_at,
    }


def _no_funnel(timeout_ms: int, *, asked: bool) -> dict[str, str]:
    if not asked:
        return {"code": "not_asked_for", "en": "`funnel` was false", "zh": "请求中 `funnel` 为 false"}
    seconds = f"{timeout_ms / 1000:g}"
    return {
        "code": "took_too_long",
        "en": f"Counting each part took longer than {seconds} seconds: only the count is shown, it is exact",
        "zh": f"逐条统计超过 {seconds} 秒，仅显示人数（人数准确）",
    }


def _gap(segment: asyncpg.Record) -> dict[str, str]:
    frozen = segment["kind"] == "snapshot" and segment["state"] == "active"
    code, english, chinese = _GAPS["snapshot" if frozen else segment["state"]]
    times = {name: "–" if segment[name] is None else segment[name].isoformat() for name in ("evaluated_at", "as_of")}
    return {
        "code": code,
        "en": english.format(error=segment["error"], **times),
        "zh": chinese.format(error=segment["error_zh"] or segment["error"], **times),
    }


def nested(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return nodes in the order they are written as a tree: each with its ``parts`` instead of its ``parent``."""
    made: dict[str, dict[str, Any]] = {}
    for node in nodes:
        shown = {**{name: value for name, value in node.items() if name != "parent"}, "parts": []}
        made[node["pointer"]] = shown
        if node["parent"] is not None:
            made[node["parent"]]["parts"].append(shown)
    return next(iter(made.values()), None)
