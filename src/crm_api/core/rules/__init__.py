"""The rule language: one JSON condition tree for segments, search, campaigns, webhook filters and exports.

A rule is a node, or a node in a versioned envelope ``{"version": 1, "where": node}`` (the form that is stored)::

    {
        "all": [
            {"field": "lifecycle", "op": "in", "value": ["repeat", "loyal"]},
            {"field": "last_order_at", "op": "lt", "value": {"days_ago": 30}},
            {
                "aggregate": "count",
                "of": "orders",
                "window": {"last_days": 90},
                "op": "gte",
                "value": 3,
                "where": {"field": "status", "op": "eq", "value": "paid"},
            },
            {"aggregate": "sum", "of": "orders.total", "op": "gte", "value": {"amount": 100000, "currency": "CNY"}},
            {"not": {"field": "tags", "op": "contains", "value": "wholesale"}},
            {"field": "segments", "op": "contains", "value": "0198a5b0-0000-7000-8000-000000000001"},
            {"bucket": {"salt": "spring", "of": 100}, "op": "lt", "value": 20},
            {
                "sequence": [
                    {"of": "events", "where": {"field": "type", "op": "eq", "value": "product_viewed"}},
                    {"of": "orders"},
                ],
                "within": {"days": 7},
                "window": {"last_days": 90},
            },
        ]
    }

Meaning:

* ``all``, ``any`` and ``not`` are the logic of school. A leaf about a missing value is false (only ``missing`` is
  true), and ``not`` is its exact complement: ``{"not": {"field": "city", "op": "eq", …}}`` includes customers
  without a city, ``{"field": "city", "op": "ne", …}`` does not.
* Aggregates: ``count`` and ``sum`` of no rows are 0; ``avg``, ``min``, ``max``, ``first`` and ``last`` are missing.
  Rows whose field is missing are passed over, except by ``first`` and ``last``, which look at that one row.
* A window is half-open, ``[from, to)``; ``last_days: D`` is ``[t − D, t)`` for the instant ``t`` of evaluation, by the
  wall clock of the tenant's zone. Without a window all rows count. ``between`` includes both ends.
* A sequence holds when there are rows, one for each step, each strictly later than the one before, all in
  ``[first, first + within)``; ``within`` is an exact length, a day being 24 hours. ``not`` says it did not happen.
* A bucket is a hash of salt and customer id (`crm_api.core.rules.buckets`): a split that lasts without being stored.
* Money is compared within its currency; an amount in another currency is missing.
* ``contains`` and ``starts_with`` of text ignore case; all other comparisons of text are exact.

What a rule names takes the scope of the field or collection (`RuleField.scope`), because answers to "more than 100?"
tell the value in the end.

People may write rules shorter, as text (`read_text`); `rule_text` and `rule_sentence` put a rule into words::

    lifecycle in (repeat, loyal) and orders.count(last 90d, where status = paid) >= 3 and not tag:wholesale

What can be named is not known here: domains register it (`RuleField`, `RuleCollection`; with SQL in
`crm_api.db.rules`). Limits: 10 levels, 200 nodes, lists of 1,000 values.
"""

from crm_api.core.rules.buckets import MAX_BUCKETS, bucket_of
from crm_api.core.rules.catalogue import Aggregate, Op, RuleCatalogue, RuleCollection, RuleField, RuleType
from crm_api.core.rules.check import check_rule
from crm_api.core.rules.moments import Ago, AsOf, Window
from crm_api.core.rules.schema import rule_json_schema
from crm_api.core.rules.sentences import rule_sentence
from crm_api.core.rules.text import read_text
from crm_api.core.rules.tree import (
    AggregateTest,
    All,
    AnyOf,
    BucketTest,
    FieldTest,
    Leaf,
    Node,
    Not,
    Rule,
    SequenceTest,
    Step,
    settled,
)
from crm_api.core.rules.values import MAX_DEPTH, MAX_NODES, MAX_WRITTEN
from crm_api.core.rules.wire import RuleDocument, RuleTree
from crm_api.core.rules.written import rule_text

__all__ = [
    "MAX_BUCKETS",
    "MAX_DEPTH",
    "MAX_NODES",
    "MAX_WRITTEN",
    "Aggregate",
    "AggregateTest",
    "Ago",
    "All",
    "AnyOf",
    "AsOf",
    "BucketTest",
    "FieldTest",
    "Leaf",
    "Node",
    "Not",
    "Op",
    "Rule",
    "RuleCatalogue",
    "RuleCollection",
    "RuleDocument",
    "RuleField",
    "RuleTree",
    "RuleType",
    "SequenceTest",
    "Step",
    "Window",
    "bucket_of",
    "check_rule",
    "read_text",
    "rule_json_schema",
    "rule_sentence",
    "rule_text",
    "settled",
]
