"""Forgetting what is no longer needed: relayed messages, receipts, old idempotency keys."""

from typing import Any

from crm_api import registry
from crm_api.core.work import Schedule
from crm_api.db.pool import Database

KEEP_DAYS = 7
"""How long relayed messages stay for replay."""

_BATCH = 10_000
_PASSED = f"""
    DELETE FROM outbox WHERE ctid = any(ARRAY(
      SELECT o.ctid FROM outbox o
      WHERE o.occurred_at < now() - interval '{KEEP_DAYS} days'
        AND NOT EXISTS (SELECT FROM outbox_failures f WHERE f.tenant_id = o.tenant_id AND f.message_id = o.id)
        AND o.xid < coalesce(
          (SELECT xid FROM outbox_cursors WHERE subscriber = any($1) ORDER BY xid LIMIT 1), '0'::xid8)
      LIMIT {_BATCH}))
    """  # noqa: S608 - constants of this module
_STATEMENTS = (
    f"""
    DELETE FROM outbox_receipts WHERE ctid = any(ARRAY(
      SELECT r.ctid FROM outbox_receipts r
      WHERE r.created_at < now() - interval '{KEEP_DAYS} days'
        AND NOT EXISTS (SELECT FROM outbox o WHERE o.tenant_id = r.tenant_id AND o.id = r.message_id)
      LIMIT {_BATCH}))
    """,  # noqa: S608
    f"""
    DELETE FROM pgqueuer_log WHERE ctid = any(ARRAY(
      SELECT ctid FROM pgqueuer_log WHERE created < now() - interval '{KEEP_DAYS} days' LIMIT {_BATCH}))
    """,  # noqa: S608
    f"""
    DELETE FROM idempotency_keys WHERE ctid = any(ARRAY(
      SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '24 hours' LIMIT {_BATCH}))
    """,  # noqa: S608
)


async def prune(database: Database) -> None:
    """Delete in batches, each its own short transaction."""
    # What all subscribers have passed and nobody failed at; the position of one that is no more holds nothing back.
    await _delete(database, _PASSED, [each.name for each in registry.subscribers()])
    for statement in _STATEMENTS:
        await _delete(database, statement)


async def _delete(database: Database, statement: str, *arguments: Any) -> None:
    while True:
        async with database.system() as connection:
            status = await connection.execute(statement, *arguments)
        if int(status.rpartition(" ")[2]) < _BATCH:
            break


SCHEDULES = (Schedule("housekeeping.prune", "17 * * * *", prune),)
