"""Business calendars: the table, and those that the shops there are begin with.

Revision ID: 0040
Revises: 0033
"""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from crm_api.db.protect import protect

revision = "0040"
down_revision = "0033"
branch_labels = None
depends_on = None

OFFICE = [["09:00", "12:00"], ["13:30", "18:00"]]
WHOLE_DAY = [["00:00", "24:00"]]
SHOPS = {
    "salon": ("门店营业时间", "Salon hours", ["10:00", "21:00"]),
    "seafood": ("店铺营业时间", "Shop hours", ["07:00", "19:00"]),
    "taobao": ("客服在线时间", "Customer service hours", ["09:00", "23:00"]),
    "baby-store": ("门店营业时间", "Shop hours", ["09:30", "20:30"]),
}
"""What the presets give new shops, as of this release: Chinese name, English name, hours of every day."""

CHINA_2026 = [
    ("01-01", "元旦", False),
    ("01-02", "元旦", False),
    ("01-03", "元旦", False),
    ("01-04", "元旦调休上班", True),
    ("02-14", "春节调休上班", True),
    ("02-15", "春节", False),
    ("02-16", "春节", False),
    ("02-17", "春节", False),
    ("02-18", "春节", False),
    ("02-19", "春节", False),
    ("02-20", "春节", False),
    ("02-21", "春节", False),
    ("02-22", "春节", False),
    ("02-23", "春节", False),
    ("02-28", "春节调休上班", True),
    ("04-04", "清明", False),
    ("04-05", "清明", False),
    ("04-06", "清明", False),
    ("05-01", "劳动节", False),
    ("05-02", "劳动节", False),
    ("05-03", "劳动节", False),
    ("05-04", "劳动节", False),
    ("05-05", "劳动节", False),
    ("05-09", "劳动节调休上班", True),
    ("06-19", "端午", False),
    ("06-20", "端午", False),
    ("06-21", "端午", False),
    ("09-20", "国庆节调休上班", True),
    ("09-25", "中秋", False),
    ("09-26", "中秋", False),
    ("09-27", "中秋", False),
    ("10-01", "国庆节", False),
    ("10-02", "国庆节", False),
    ("10-03", "国庆节", False),
    ("10-04", "国庆节", False),
    ("10-05", "国庆节", False),
    ("10-06", "国庆节", False),
    ("10-07", "国庆节", False),
    ("10-10", "国庆节调休上班", True),
]
"""Month and day, name, and whether it is a workday: the State Council's notice 国办发明电 (2025) 7, of 2025-11-04."""


def upgrade() -> None:
    """Apply."""
    _table()
    _begin("办公时间", "Office hours", _each("12345", OFFICE), default=True)
    for preset, (zh, en, hours) in SHOPS.items():
        _begin(zh, en, _each("1234567", [hours]), preset=preset)
    _begin("全天候", "Around the clock", _each("1234567", WHOLE_DAY))


def _each(days: str, hours: list[list[str]]) -> dict[str, list[list[str]]]:
    return dict.fromkeys(days, hours)


def _begin(zh: str, en: str, weekly: dict[str, list[list[str]]], *, default: bool = False, preset: str = "") -> None:
    """Give every tenant, or those of a preset, a calendar; the default ones in China its holidays of 2026."""
    holidays = _literal(_china_2026() if default else [])
    where = f"WHERE preset = '{preset}'" if preset else ""
    op.execute(
        "INSERT INTO calendars (tenant_id, id, name, time_zone, weekly, exceptions, is_default) "  # noqa: S608 - constants
        f"SELECT tenant_id, gen_random_uuid(), CASE locale WHEN 'zh' THEN '{zh}' ELSE '{en}' END, time_zone, "
        f"{_literal(weekly)}, CASE WHEN time_zone IN ('Asia/Shanghai', 'Asia/Urumqi') THEN {holidays} "
        f"ELSE '[]'::jsonb END, {str(default).lower()} FROM tenants {where}"
    )


def _china_2026() -> list[dict[str, object]]:
    return [
        {"date": f"2026-{day}", "name": name, "intervals": OFFICE if working else [], "source": "holidays"}
        for day, name, working in CHINA_2026
    ]


def _literal(value: object) -> str:
    return f"'{json.dumps(value, ensure_ascii=False)}'::jsonb"


def _table() -> None:
    op.create_table(
        "calendars",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("weekly", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "exceptions", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("archived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("NOT (is_default AND archived)", name=op.f("ck_calendars_default_is_offered")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_calendars_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_calendars")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_calendars_tenant_id_name")),
    )
    op.create_index(
        "uq_calendars_default", "calendars", ["tenant_id"], unique=True, postgresql_where=sa.text("is_default")
    )
    protect("calendars")


def downgrade() -> None:
    """Not offered: restore a backup instead."""
    raise NotImplementedError
