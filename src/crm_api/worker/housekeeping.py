"""Forgetting what is no longer needed: relayed messages, receipts, old idempotency keys."""

from crm_api.core.work import Schedule
from crm_api.db.pool import Database

KEEP_DAYS = 7
"""How long relayed messages stay for replay."""

_BATCH = 10_000
_STATEMENTS = (
    # Only what every subscriber has passed.
    f"""
    DELETE FROM outbox WHERE ctid = any(ARRAY(
      SELECT ctid FROM outbox
      WHERE occurred_at < now() - interval '{KEEP_DAYS} days'
        AND xid < coalesce((SELECT xid FROM outbox_cursors ORDER BY xid LIMIT 1), '0'::xid8)
      LIMIT {_BATCH}))
    """,  # noqa: S608 - constants of this module
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
    for statement in _STATEMENTS:
        while True:
            async with database.system() as connection:
                status = await connection.execute(statement)
            if int(status.rpartition(" ")[2]) < _BATCH:
                break


SCHEDULES = (Schedule("housekeeping.prune", "17 * * * *", prune),)
