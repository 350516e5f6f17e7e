"""Guard: whatever text or JSON a customer owns, in any table, is gone after an erasure, or is listed with a reason.

A new table or column is found by itself: marks are planted by the schema, not by hand.
"""

from typing import Any

import asyncpg
import pytest
from sqlalchemy import LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from crm_api.classifications.definitions import COLUMNS
from crm_api.customers.tables import customers
from crm_api.db.compile import compile_statement
from crm_api.db.ownership import everything
from crm_api.db.pool import Database
from crm_api.db.tables import audit_log, outbox
from crm_api.privacy import rules
from crm_api.privacy.models import ErasureCreate, PrivacySettingsUpdate
from crm_api.privacy.runner import ErasureRun, steps
from crm_api.privacy.service import ErasureService, PrivacySettingsService
from crm_api.settings import Settings
from tests.privacy.scan import mark, places
from tests.support.api import make_tenant
from tests.support.rows import row_for, tenant_tables

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

ACCOUNTS = "a number under which the shop's books and the platform know the sale; E-Commerce Law Art. 31"
STATISTICS = "a class, not a person's words"
PROOF = "what was agreed to, without the proof itself: a slug"
KEPT = {
    "orders.platform": ACCOUNTS,
    "orders.external_id": ACCOUNTS,
    "orders.currency": "a code",
    "orders.channel": STATISTICS,
    "order_lines.sku": "what was bought",
    "order_lines.title": "what was bought",
    "order_lines.category": "what was bought",
    "order_lines.currency": "a code",
    "refunds.external_id": ACCOUNTS,
    "refunds.currency": "a code",
    "customer_purchase_facts.currency": "a code",
    "complaints.source_ref": ACCOUNTS,
    "complaints.category": STATISTICS,
    "complaints.root_cause": STATISTICS,
    "complaints.channel": STATISTICS,
    "complaints.regulator_ref": ACCOUNTS,
    "complaints.merged_from": "a code",
    "complaint_products.sku": "what was bought",
    "complaint_products.batch": "what was bought",
    "complaint_messages.channel": STATISTICS,
    "complaint_messages.source_ref": ACCOUNTS,
    "complaint_events.action": "a step's name",
    "follow_ups.key": "ids and days, by which a task is made once",
    "follow_ups.channel": STATISTICS,
    "complaint_events.actor_kind": "who of the shop",
    "complaint_events.from_state": "a code",
    "complaint_events.to_state": "a code",
    "complaint_clock_alerts.step": "the code of a step of escalation",
    "compensations.sku": "what was sent or done again",
    "compensations.failure": "a code",
    "compensations.reference": ACCOUNTS,
    "compensations.reversal_reference": ACCOUNTS,
    "loyalty_transactions.key": "a hash or id under which a booking happens once",
    "loyalty_transactions.actor_kind": "who of the shop",
    "loyalty_lots.source_kind": "a code",
    "earnings.decisions": "rules, codes and numbers",
    "vouchers.code": "a random code, of no use to who is not the customer any more",
    "vouchers.issue_key": "a hash or id under which a voucher is given once",
    "vouchers.occasion": "what for, such as birthday:2026",
    "voucher_redemptions.session_id": ACCOUNTS,
    "voucher_redemptions.order_ref": ACCOUNTS,
    "voucher_redemptions.currency": "a code",
    "consents.purpose": PROOF,
    "consents.channel": PROOF,
    "consents.source": PROOF,
    "consents.actor_kind": "who of the shop",
    "audit_log.actor_kind": "who of the shop",
    "audit_log.operation": "what was done",
    "audit_log.subject_type": "to what",
    "audit_log.request_id": "of the shop's own request",
    "outbox.type": "what happened, not to whom",
    "channel_messages.address_kind": "a code",
    "channel_messages.purpose": STATISTICS,
    "customer_scores.currency": "a code",
    "lifecycle_log.from_stage": "a code",
    "lifecycle_log.to_stage": "a code",
    "churn_log.reasons": "codes, numbers and days, as statistics are",
    "tier_log.from_code": "a tier's code",
    "tier_log.to_code": "a tier's code",
    "tier_overrides.tier_code": "a tier's code",
    "tier_overrides.actor_kind": "who of the shop",
    "period_scores.currency": "a code",
    "period_scores.period": "a month",
    **{
        f"{table}.{name}": "a code"
        for table in ("customer_scores", "class_log", "period_scores")
        for name in COLUMNS.values()
        if (table, name) not in {("customer_scores", "grade"), ("customer_scores", "lifecycle")}
    },
    "referral_events.action": "a step's name",
    "referral_events.actor_kind": "who of the shop",
    "referral_events.from_state": "a code",
    "referral_events.to_state": "a code",
    "referrals.terms": "what the programme promised: amounts and days",
    "referrals.findings": "codes of checks, numbers and ids",
    "referrals.waived": "codes of checks",
    "referrals.referrer_booked": "points and ids",
    "referrals.friend_booked": "points and ids",
    "referrals.failure": "what failed, in words of ours",
    "merge_rows.table_name": "a name of ours",
    "merges.counts": "numbers by table",
    "merges.notes": "ids and numbers",
    "merges.report": "numbers by table; values of fields go by the hook of merges (test_erasure)",
    "subject_exports.sha256": "a hash",
    "subject_exports.error": "what failed, in words of ours",
}
"""Columns in which something stays: the reason of each."""


UNFILLED = {
    "duplicate_candidates": "a pair takes two customers; ids and scores only",
}
"""Tables of which the one person of this test has no row."""


async def fill(owner, tenant_id):
    """Put a row of the tenant's into every table that takes one; returns the others."""
    unfilled = set()
    async with owner.transaction():
        for table in tenant_tables():
            sql, values = compile_statement(table.insert(), row_for(table, tenant_id))
            try:
                async with owner.transaction():
                    await owner.execute(f"{sql} ON CONFLICT DO NOTHING", *values)
            except asyncpg.PostgresError:
                unfilled.add(table.name)
        # The ledger refuses a transaction whose entries do not sum to zero.
        await owner.execute(
            "INSERT INTO loyalty_entries (tenant_id, transaction_id, account, points) VALUES ($1, $1, 'issued', -1)",
            tenant_id,
        )
    return unfilled


def texts(table):
    """Return the columns of a table that can hold anybody's words."""
    return [
        column
        for column in table.c
        if isinstance(column.type, (Text, JSONB, LargeBinary))
        or (isinstance(column.type, ARRAY) and isinstance(column.type.item_type, Text))
    ]


def marked(column) -> Any:
    """Return a mark in the column's type."""
    text = mark(f"{column.table.name}.{column.name}")
    if isinstance(column.type, LargeBinary):
        return text.encode()
    if isinstance(column.type, JSONB):
        return {"said": text}
    return [text] if isinstance(column.type, ARRAY) else text


async def plant(owner, table, tenant_id):
    """Put marks into every column that takes them; codes that a CHECK lists do not."""
    planted = set()
    for column in texts(table):
        statement = table.update().where(table.c.tenant_id == tenant_id).values({column.name: marked(column)})
        sql, values = compile_statement(statement)
        try:
            async with owner.transaction():
                await owner.execute(sql, *values)
        except asyncpg.PostgresError:
            continue
        planted.add(f"{table.name}.{column.name}")
    return planted


async def test_nothing_stays_that_is_not_listed(own_database_url):
    settings = Settings(database_url=own_database_url)
    tenant = await make_tenant(settings)
    database = await Database.open(settings)
    owner = await asyncpg.connect(own_database_url)
    await prepare(owner)
    unfilled = await fill(owner, tenant.id)
    assert {each.table.name for each in everything()} & unfilled - UNFILLED.keys() == set()
    await owner.execute("DELETE FROM erasures")
    for each in everything():
        if each.through is None and each.table is not customers:
            await owner.execute(f"UPDATE {each.table.name} SET {each.column} = $1", tenant.id)
    await owner.execute("UPDATE audit_log SET subject_id = $1", tenant.id)
    await owner.execute(
        "UPDATE outbox SET subject_id = $1, xid = '3', occurred_at = occurred_at - interval '2 days'", tenant.id
    )
    planted = set()
    for table in {each.table for each in everything()} | {customers, audit_log, outbox}:
        planted |= await plant(owner, table, tenant.id)
    assert len(planted) > 80

    erasure = await erased(database, tenant, tenant.id)

    left = {place for _, place in await places(owner, tenant.id)}
    assert left - KEPT.keys() == set(), "declare them in their domain's ownership.py, or list them with a reason"
    assert KEPT.keys() - left == set(), "these are gone: strike them off"
    row = await owner.fetchrow("SELECT * FROM erasures WHERE id = $1", erasure)
    assert set(row["counts"]) == {step.name for step in steps()}
    person = await owner.fetchrow("SELECT * FROM customers WHERE id = $1", tenant.id)
    assert person["name"] == rules.ERASED_NAME
    assert person["erased_at"] is not None
    await owner.close()
    await database.close()


async def prepare(owner):
    """Let a connection of the owner's speak JSON."""
    from crm_api.db.pool import _prepare  # noqa: PLC0415 - the application's own way

    await _prepare(owner)


async def erased(database, tenant, customer_id):
    """Erase somebody at once; returns the erasure's id."""
    async with database.write(tenant.actor) as unit:
        await PrivacySettingsService(unit).configure(PrivacySettingsUpdate(erasure_waiting_days=0))
        await unit.connection.execute(
            "UPDATE customers SET deleted_at = NULL, erased_at = NULL, merged_into_id = NULL WHERE id = $1", customer_id
        )
        erasure_id = await ErasureService(unit).request(customer_id, ErasureCreate(note=mark("erasures.note")))
    await ErasureRun(database, tenant.id, erasure_id).run()
    await ErasureRun(database, tenant.id, erasure_id).sweep()
    return erasure_id
