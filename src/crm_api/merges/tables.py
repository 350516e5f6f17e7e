"""The journal of merges: who became whom, what each side was, and which rows changed hands."""

from sqlalchemy import ARRAY, CheckConstraint, Column, Index, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_api.db.schema import INSTANT, reference, resource_table, tenant_table

merges = resource_table(
    "merges",
    Column("winner_id", Uuid, nullable=False),
    Column("loser_ids", ARRAY(Uuid), nullable=False),
    Column("state", Text, nullable=False, server_default=text("'merged'")),
    Column("merged_at", INSTANT, nullable=False),
    Column("undone_at", INSTANT),
    # What hooks noted, by their name: ids and numbers only.
    Column("notes", JSONB, nullable=False, server_default=text("'{}'")),
    # Of each table with rows of the losers, what became of them: models.TableCount.
    Column("counts", JSONB, nullable=False, server_default=text("'[]'")),
    Column("report", JSONB(none_as_null=True)),
    CheckConstraint("state IN ('merged', 'undone')", name="state"),
    CheckConstraint("(state = 'undone') = (undone_at IS NOT NULL)", name="undone"),
    reference("winner_id", "customers"),
    Index("ix_merges_winner", "tenant_id", "winner_id", "merged_at", "id"),
)

merge_sides = tenant_table(
    "merge_sides",
    Column("merge_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("role", Text, nullable=False),
    # The customer's whole row before the merge; null once a side was erased: then there is nothing to go back to.
    Column("before", JSONB(none_as_null=True)),
    # Of the winner: column → {"before", "after", "from"}, for what the merge changed.
    Column("changes", JSONB(none_as_null=True)),
    CheckConstraint("role IN ('winner', 'loser')", name="role"),
    reference("merge_id", "merges"),
    reference("customer_id", "customers"),
    Index("ix_merge_sides_customer", "tenant_id", "customer_id", "merge_id"),
    key=("merge_id", "customer_id"),
)
"""Profiles as they were: with `merges.report` (fields an undo kept) all that is personal; see ``erasure.py``."""

merge_rows = tenant_table(
    "merge_rows",
    Column("merge_id", Uuid, nullable=False),
    Column("table_name", Text, nullable=False),
    # The row's primary key without tenant and owner, as text; empty where a customer has one row at most.
    Column("row_key", ARRAY(Text), nullable=False),
    Column("from_id", Uuid, nullable=False),
    reference("merge_id", "merges"),
    key=("merge_id", "table_name", "row_key"),
)
"""Every row that changed hands, and whose it was."""
