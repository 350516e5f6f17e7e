"""Every bad request of the corpus, by what is wrong with it."""

from tests.bad_input.corpus import (
    bodies,
    calendars,
    churn,
    clusters,
    consent,
    domains,
    duplicates,
    earning,
    events,
    exports,
    families,
    files,
    forms,
    headers,
    loyalty_reports,
    merges,
    messages,
    operations,
    patterns,
    queries,
    referrals,
    rewards,
    rules,
    tiers,
    vouchers,
    webhooks,
)
from tests.bad_input.corpus.case import Bad

CORPUS: list[Bad] = [
    *headers.CASES,
    *bodies.CASES,
    *queries.CASES,
    *domains.CASES,
    *consent.CASES,
    *events.CASES,
    *families.CASES,
    *merges.CASES,
    *duplicates.CASES,
    *messages.CASES,
    *rules.CASES,
    *calendars.CASES,
    *churn.CASES,
    *tiers.CASES,
    *loyalty_reports.CASES,
    *earning.CASES,
    *patterns.CASES,
    *referrals.CASES,
    *clusters.CASES,
    *files.CASES,
    *exports.CASES,
    *forms.CASES,
    *vouchers.CASES,
    *rewards.CASES,
    *webhooks.CASES,
]
"""Written by hand, one by one."""

GENERATED: list[Bad] = operations.CASES
"""The same few mistakes on every operation of the OpenAPI document."""
