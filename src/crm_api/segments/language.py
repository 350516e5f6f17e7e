"""The rule language for people and tools: rules in words, and the schema of rules."""

from typing import Any

from crm_api.core.rules import rule_json_schema, rule_sentence, rule_text
from crm_api.db.uow import UnitOfWork
from crm_api.segments.models import RuleDescribe, RuleParse
from crm_api.segments.repository.catalogue import customer_rules
from crm_api.segments.repository.words import segment_names

READ = "segments:read"


class RuleService:
    """What can be asked about rules of customers, without a segment."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit

    async def parse(self, data: RuleParse) -> dict[str, Any]:
        """Return the tree that a text stands for, as `RuleInWords`.

        Raises:
            Invalid: code ``rule_invalid``; each error has the position in the text.
            Forbidden: the rule names what the caller has no scope for.

        """
        return await self._in_words(data.text, "/text")

    async def describe(self, data: RuleDescribe) -> dict[str, Any]:
        """Return a rule in words, as `RuleInWords`; it is checked first, like any other."""
        return await self._in_words(data.rule.document, "/rule")

    async def schema(self) -> dict[str, Any]:
        """Return the exact JSON Schema of the tenant's rules: its own attributes too."""
        self.unit.actor.require(READ)
        return rule_json_schema((await customer_rules(self.unit)).catalogue)

    async def _in_words(self, tree: Any, pointer: str) -> dict[str, Any]:
        self.unit.actor.require(READ)
        rules = await customer_rules(self.unit, tree)
        rule = rules.check(tree, pointer, self.unit.actor)
        return {
            "rule": rule.document,
            "text": rule_text(rule.document, rules.catalogue),
            "sentence": rule_sentence(rule.document, rules.catalogue, await segment_names(self.unit, rule)),
        }
