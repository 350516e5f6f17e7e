"""Classifications and scoring schemes.

Revision ID: 0024
Revises: 0023b
"""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect, refuse_merged

revision = "0024"
down_revision = "0023b"
branch_labels = None
depends_on = None

_STARTING = json.loads("""
{
 "frequency": {
  "definition": {
   "window_days": 365,
   "high": 12,
   "mid": 4
  },
  "contact_limits": {}
 },
 "amount": {
  "definition": {
   "window_days": 365,
   "large": 500000,
   "mid": 100000
  },
  "contact_limits": {}
 },
 "loyalty": {
  "definition": {
   "window_days": 365,
   "purchases": 5,
   "lost_days": 365
  },
  "contact_limits": {}
 },
 "value": {
  "definition": {
   "window_days": 365,
   "frequency": {
    "high": 12,
    "mid": 4
   },
   "order_value": {
    "high": 50000,
    "mid": 20000
   },
   "cells": {
    "high_high": "high",
    "high_mid": "high",
    "high_low": "mid",
    "mid_high": "high",
    "mid_mid": "mid",
    "mid_low": "low",
    "low_high": "mid",
    "low_mid": "low",
    "low_low": "low"
   }
  },
  "contact_limits": {}
 },
 "activity": {
  "definition": {
   "active_days": 90,
   "lost_days": 365
  },
  "contact_limits": {}
 },
 "value_potential": {
  "definition": {
   "industry_position": {
    "leading": 3,
    "strong": 2,
    "average": 1,
    "weak": 0
   },
   "outlook": {
    "growing": 3,
    "stable": 1,
    "shrinking": 0
   },
   "purchase_intent": {
    "high": 3,
    "mid": 1,
    "low": 0
   },
   "high": 6,
   "mid": 3,
   "policies": {
    "high_high": {
     "en": "Serve personally, offer first, visit regularly",
     "zh": "专人服务，新品优先，定期拜访"
    },
    "high_mid": {
     "en": "Keep close: regular contact and loyalty benefits",
     "zh": "保持密切联系，给予会员权益"
    },
    "high_low": {
     "en": "Keep what there is at little cost",
     "zh": "以较低成本维持现有业务"
    },
    "mid_high": {
     "en": "Invest: learn their needs, offer more of the range",
     "zh": "重点投入：了解需求，扩大品类"
    },
    "mid_mid": {
     "en": "Standard service with occasional offers",
     "zh": "标准服务，适时推荐"
    },
    "mid_low": {
     "en": "Standard service",
     "zh": "标准服务"
    },
    "low_high": {
     "en": "Develop: trial offers, follow up on intent",
     "zh": "重点培育：试用优惠，跟进意向"
    },
    "low_mid": {
     "en": "Self-service with invitations",
     "zh": "以自助服务为主，适时邀约"
    },
    "low_low": {
     "en": "Self-service; no cost for contact",
     "zh": "自助服务，不主动投入"
    }
   }
  },
  "contact_limits": {}
 },
 "grade": {
  "definition": {
   "window_days": null,
   "shares": [
    0.5,
    0.8,
    0.95
   ]
  },
  "contact_limits": {
   "A": {
    "contacts": 4,
    "per": "month"
   },
   "B": {
    "contacts": 2,
    "per": "month"
   },
   "C": {
    "contacts": 1,
    "per": "month"
   },
   "D": {
    "contacts": 1,
    "per": "quarter"
   }
  }
 },
 "rfm": {
  "definition": {
   "scheme": "quantile",
   "window_days": null,
   "edges": null,
   "groups": [
    {
     "key": "key_value",
     "name": {
      "en": "Champions",
      "zh": "重要价值客户"
     },
     "r": [
      4,
      5
     ],
     "f": [
      4,
      5
     ],
     "m": [
      4,
      5
     ]
    },
    {
     "key": "key_develop",
     "name": {
      "en": "Big spenders to develop",
      "zh": "重要发展客户"
     },
     "r": [
      4,
      5
     ],
     "f": [
      1,
      3
     ],
     "m": [
      4,
      5
     ]
    },
    {
     "key": "key_keep",
     "name": {
      "en": "Big customers to win back",
      "zh": "重要保持客户"
     },
     "r": [
      1,
      3
     ],
     "f": [
      4,
      5
     ],
     "m": [
      4,
      5
     ]
    },
    {
     "key": "key_retain",
     "name": {
      "en": "Big spenders to hold",
      "zh": "重要挽留客户"
     },
     "r": [
      1,
      3
     ],
     "f": [
      1,
      3
     ],
     "m": [
      4,
      5
     ]
    },
    {
     "key": "value",
     "name": {
      "en": "Regulars of small orders",
      "zh": "一般价值客户"
     },
     "r": [
      4,
      5
     ],
     "f": [
      4,
      5
     ],
     "m": [
      1,
      3
     ]
    },
    {
     "key": "develop",
     "name": {
      "en": "Newcomers",
      "zh": "一般发展客户"
     },
     "r": [
      4,
      5
     ],
     "f": [
      1,
      3
     ],
     "m": [
      1,
      3
     ]
    },
    {
     "key": "keep",
     "name": {
      "en": "Regulars gone quiet",
      "zh": "一般保持客户"
     },
     "r": [
      1,
      3
     ],
     "f": [
      4,
      5
     ],
     "m": [
      1,
      3
     ]
    },
    {
     "key": "retain",
     "name": {
      "en": "Small and gone quiet",
      "zh": "一般挽留客户"
     },
     "r": [
      1,
      3
     ],
     "f": [
      1,
      3
     ],
     "m": [
      1,
      3
     ]
    }
   ]
  },
  "contact_limits": {}
 },
 "lifecycle": {
  "definition": {
   "active_days": 90,
   "lost_days": 365,
   "loyal_purchases": 5
  },
  "contact_limits": {}
 }
}
""")

_BEGIN = """
INSERT INTO classifications (tenant_id, id, dimension, definition, contact_limits)
SELECT t.tenant_id, gen_random_uuid(), d.key,
  CASE d.key
    WHEN 'lifecycle' THEN (d.value -> 'definition') || jsonb_strip_nulls(jsonb_build_object(
      'active_days', s.active_days, 'lost_days', s.dormant_days, 'loyal_purchases', s.loyal_purchases))
    WHEN 'activity' THEN (d.value -> 'definition') || jsonb_strip_nulls(jsonb_build_object(
      'active_days', s.active_days, 'lost_days', s.dormant_days))
    WHEN 'grade' THEN (d.value -> 'definition') || jsonb_strip_nulls(jsonb_build_object('shares', s.grade_shares))
    ELSE d.value -> 'definition' END,
  d.value -> 'contact_limits'
FROM jsonb_each('{starting}'::jsonb) AS d, tenants t
LEFT JOIN scoring_settings s ON s.tenant_id = t.tenant_id
"""

_VERSIONS = """
INSERT INTO classification_versions (tenant_id, id, dimension, version, definition, contact_limits, actor_kind)
SELECT tenant_id, gen_random_uuid(), dimension, 1, definition, contact_limits, 'system' FROM classifications
"""

_HISTORY = """
INSERT INTO class_log (tenant_id, id, customer_id, at, cause, run_id, changed, lifecycle)
SELECT tenant_id, id, customer_id, at, 'before', run_id, '{lifecycle}', to_stage FROM lifecycle_log
"""


def upgrade() -> None:
    """Apply."""
    _create()
    _extend()
    _take_over()


def _create() -> None:
    op.create_table(
        "classifications",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "contact_limits",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "dimension IN ('frequency', 'amount', 'loyalty', 'value', 'activity', 'value_potential', 'grade', 'rfm', "
            "'lifecycle')",
            name=op.f("ck_classifications_dimension"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_classifications_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_classifications")),
        sa.UniqueConstraint("tenant_id", "dimension", name=op.f("uq_classifications_tenant_id_dimension")),
    )
    protect("classifications")

    op.create_table(
        "classification_versions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("contact_limits", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_classification_versions_tenant_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_classification_versions")),
        sa.UniqueConstraint(
            "tenant_id", "dimension", "version", name=op.f("uq_classification_versions_tenant_id_dimension_version")
        ),
        info={"append_only": True},
    )
    protect("classification_versions", writes="append")

    op.create_table(
        "customer_potentials",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("industry_position", sa.Text(), nullable=True),
        sa.Column("outlook", sa.Text(), nullable=True),
        sa.Column("purchase_intent", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("staff_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "industry_position IN ('leading', 'strong', 'average', 'weak')",
            name=op.f("ck_customer_potentials_industry_position"),
        ),
        sa.CheckConstraint(
            "outlook IN ('growing', 'stable', 'shrinking')", name=op.f("ck_customer_potentials_outlook")
        ),
        sa.CheckConstraint(
            "purchase_intent IN ('high', 'mid', 'low')", name=op.f("ck_customer_potentials_purchase_intent")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_customer_potentials_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "staff_id"],
            ["staff.tenant_id", "staff.id"],
            name=op.f("fk_customer_potentials_tenant_id_staff_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_customer_potentials")),
        sa.UniqueConstraint("tenant_id", "customer_id", name=op.f("uq_customer_potentials_tenant_id_customer_id")),
    )
    protect("customer_potentials")
    refuse_merged("customer_potentials")

    op.create_table(
        "class_log",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("changed", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("frequency_class", sa.Text(), nullable=True),
        sa.Column("amount_class", sa.Text(), nullable=True),
        sa.Column("loyalty_class", sa.Text(), nullable=True),
        sa.Column("value_class", sa.Text(), nullable=True),
        sa.Column("activity_class", sa.Text(), nullable=True),
        sa.Column("value_potential", sa.Text(), nullable=True),
        sa.Column("grade", sa.Text(), nullable=True),
        sa.Column("rfm_group", sa.Text(), nullable=True),
        sa.Column("lifecycle", sa.Text(), nullable=True),
        sa.CheckConstraint("cause IN ('run', 'edit', 'event', 'input', 'before')", name=op.f("ck_class_log_cause")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_class_log")),
        info={"append_only": True},
    )
    op.create_index("ix_class_log_at", "class_log", ["tenant_id", "at", "id"], unique=False)
    op.create_index("ix_class_log_customer", "class_log", ["tenant_id", "customer_id", "at"], unique=False)
    protect("class_log", writes="append")

    op.create_table(
        "period_scores",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("silent_days", sa.Integer(), nullable=True),
        sa.Column("frequency", sa.Integer(), nullable=False),
        sa.Column("monetary_amount", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("r", sa.SmallInteger(), nullable=True),
        sa.Column("f", sa.SmallInteger(), nullable=True),
        sa.Column("m", sa.SmallInteger(), nullable=True),
        sa.Column("frequency_class", sa.Text(), nullable=True),
        sa.Column("amount_class", sa.Text(), nullable=True),
        sa.Column("loyalty_class", sa.Text(), nullable=True),
        sa.Column("value_class", sa.Text(), nullable=True),
        sa.Column("activity_class", sa.Text(), nullable=True),
        sa.Column("value_potential", sa.Text(), nullable=True),
        sa.Column("grade", sa.Text(), nullable=True),
        sa.Column("rfm_group", sa.Text(), nullable=True),
        sa.Column("lifecycle", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_period_scores_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "run_id"],
            ["scoring_runs.tenant_id", "scoring_runs.id"],
            name=op.f("fk_period_scores_tenant_id_run_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_period_scores")),
        sa.UniqueConstraint(
            "tenant_id", "period", "customer_id", name=op.f("uq_period_scores_tenant_id_period_customer_id")
        ),
    )
    protect("period_scores")


def _extend() -> None:
    """Scores learn the other classes and what they were decided by; a customer between two runs has no run."""
    op.execute("-- squawk-ignore ban-drop-not-null\nALTER TABLE customer_scores ALTER COLUMN run_id DROP NOT NULL")
    op.execute(
        "-- squawk-ignore ban-drop-constraint\n"
        "ALTER TABLE customer_scores DROP CONSTRAINT fk_customer_scores_tenant_id_run_id"
    )
    for name in (
        "frequency_class",
        "amount_class",
        "loyalty_class",
        "value_class",
        "activity_class",
        "value_potential",
        "rfm_group",
    ):
        op.add_column("customer_scores", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("customer_scores", sa.Column("assessed_at", sa.DateTime(timezone=True), nullable=True))
    for name in ("purchases", "frequency_purchases", "loyalty_purchases", "value_purchases"):
        op.add_column("customer_scores", sa.Column(name, sa.Integer(), nullable=True))
    for name in ("amount_spent", "value_order_amount", "grade_amount"):
        op.add_column("customer_scores", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("customer_scores", sa.Column("potential_points", sa.SmallInteger(), nullable=True))
    op.add_column("scoring_runs", sa.Column("cause", sa.Text(), server_default=sa.text("'asked'"), nullable=False))
    op.add_column("scoring_runs", sa.Column("period", sa.Text(), nullable=True))
    versions = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())
    op.add_column("scoring_runs", sa.Column("versions", versions, nullable=True))
    op.execute(
        "ALTER TABLE scoring_runs ADD CONSTRAINT ck_scoring_runs_cause "
        "CHECK (cause IN ('asked', 'schedule', 'edit')) NOT VALID"
    )


def _take_over() -> None:
    """Thresholds become definitions, stages the first entries of the log.

    The old tables stay for workers that are still of the version before; nobody else reads them from now on.
    """
    op.execute(_BEGIN.replace("{starting}", json.dumps(_STARTING, ensure_ascii=False).replace("'", "''")))
    op.execute(_VERSIONS)
    op.execute(_HISTORY)


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
