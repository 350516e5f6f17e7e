"""Candidates for one customer kept twice, the runs that look for them, and what the runs compare."""

from sqlalchemy import REAL, CheckConstraint, Column, Index, Integer, SmallInteger, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import INSTANT, reference, resource_table, tenant_table

duplicate_runs = resource_table(
    "duplicate_runs",
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'queued'")),
    Column("phase", Text, nullable=False, server_default=text("'features'")),
    # Where the phase stands: the last customer's id, or the last block's key.
    Column("cursor", Text),
    Column("total", Integer),
    Column("processed", Integer, nullable=False, server_default=text("0")),
    Column("changed", Integer, nullable=False, server_default=text("0")),
    Column("compared", Integer, nullable=False, server_default=text("0")),
    Column("found", Integer, nullable=False, server_default=text("0")),
    Column("skipped", JSONB, nullable=False, server_default=text("'{}'")),
    Column("error", Text),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    CheckConstraint("kind IN ('full', 'incremental')", name="kind"),
    CheckConstraint("state IN ('queued', 'running', 'completed', 'failed')", name="state"),
    CheckConstraint("phase IN ('features', 'pairs', 'done')", name="phase"),
)

duplicate_features = tenant_table(
    "duplicate_features",
    Column("customer_id", Uuid, nullable=False),
    # The customer's version they were made of, and the run that made them.
    Column("version", Integer, nullable=False),
    Column("rules_version", SmallInteger, nullable=False),
    Column("run_id", Uuid, nullable=False),
    Column("features", JSONB, nullable=False),
    reference("customer_id", "customers"),
    key=("customer_id",),
)
"""What is compared of a customer, in normal form."""

duplicate_keys = tenant_table(
    "duplicate_keys",
    Column("key", Text, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Index("ix_duplicate_keys_customer", "tenant_id", "customer_id"),
    key=("key", "customer_id"),
    tied=False,
)
"""Blocks: customers with a key in common are compared, and only they. Made anew by searches, so without a foreign key:
there are six to a customer, and checking each would be a third of the work."""

duplicate_candidates = resource_table(
    "duplicate_candidates",
    # In the order of their ids: the first is the customer known longer.
    Column("first_id", Uuid, nullable=False),
    Column("second_id", Uuid, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("score", SmallInteger, nullable=False),
    Column("weight", REAL, nullable=False),
    Column("reasons", JSONB, nullable=False),
    # Of what was compared: a rejected pair is proposed again only when it differs and speaks louder.
    Column("fingerprint", Text, nullable=False),
    Column("run_id", Uuid, nullable=False),
    Column("decided_at", INSTANT),
    Column("decided_by", Uuid),
    Column("note", Text),
    Column("merge_id", Uuid),
    CheckConstraint("state IN ('open', 'accepted', 'rejected')", name="state"),
    CheckConstraint("first_id <= second_id", name="ordered"),
    CheckConstraint("score BETWEEN 0 AND 100", name="score"),
    reference("first_id", "customers"),
    reference("second_id", "customers"),
    Index("uq_duplicate_candidates_pair", "tenant_id", "first_id", "second_id", unique=True),
    Index("ix_duplicate_candidates_second", "tenant_id", "second_id"),
    Index("ix_duplicate_candidates_queue", "tenant_id", "state", "weight", "id"),
)
"""Pairs that may be one customer. ``merge_id`` and ``decided_by`` are not referred to: what they name may go first."""
