"""What campaigns, batches, vouchers and their uses look like, and what rules can name of them."""

from typing import Any

from sqlalchemy import ColumnElement, Float, FromClause, cast, func

from crm_api.core.rules import RuleCollection, RuleField, RuleType
from crm_api.customers.repository import CUSTOMER
from crm_api.db.projections import (
    Projection,
    asc,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    many,
    money,
    one,
    ref,
    sql,
)
from crm_api.db.rules import SqlCollection, SqlField
from crm_api.segments.repository.catalogue import CUSTOMER_RULES
from crm_api.vouchers.models import (
    BatchState,
    CampaignState,
    UseState,
    Voucher,
    VoucherBatch,
    VoucherCampaign,
    VoucherKind,
    VoucherRedemption,
    VoucherState,
)
from crm_api.vouchers.tables import voucher_batches, voucher_campaigns, voucher_redemptions, vouchers

SCOPE = "vouchers:read"
REVEAL = "vouchers:reveal"


def _percent(t: FromClause) -> ColumnElement[Any]:
    return cast(t.c.basis_points, Float) / 100


def _last_four(t: FromClause) -> ColumnElement[Any]:
    return func.concat("…", func.right(t.c.code, 4))


VOUCHER_CAMPAIGN = Projection(
    "VoucherCampaign",
    table=voucher_campaigns,
    model=VoucherCampaign,
    scope=SCOPE,
    description="A campaign of vouchers.",
    fields={
        **columns(
            "id",
            "name",
            "description",
            "state",
            "kind",
            "gift_sku",
            "gift_quantity",
            "shared_code",
            "prefix",
            "code_length",
            "starts_at",
            "ends_at",
            "valid_days",
            "rule",
            "skus",
            "categories",
            "excluded_skus",
            "excluded_categories",
            "min_quantity",
            "uses_per_voucher",
            "uses_per_customer",
            "uses_total",
            "priority",
            "exclusive",
            "stacking_group",
            "birthday_days_before",
            "vouchers",
            "redeemed",
            "version",
            "created_at",
            "updated_at",
        ),
        "percent": sql(_percent),
        "amount_off": money("amount_off"),
        "max_discount": money("max_discount"),
        "min_amount": money("min_amount"),
    },
    filters={"state": eq("state", CampaignState), "kind": eq("kind", VoucherKind)},
    relations={
        "batches": many(
            "VoucherBatch", on=lambda p, c: c.c.campaign_id == p.c.id, description="Codes made at once, newest first."
        ),
        "redemptions": many(
            "VoucherRedemption", on=lambda p, c: c.c.campaign_id == p.c.id, description="Uses, newest first."
        ),
    },
)

VOUCHER_BATCH = Projection(
    "VoucherBatch",
    table=voucher_batches,
    model=VoucherBatch,
    scope=SCOPE,
    description="Codes made at once, by a job.",
    fields={
        **columns(
            "id",
            "state",
            "count",
            "made",
            "error",
            "started_at",
            "finished_at",
            "version",
            "created_at",
            "updated_at",
        ),
        "campaign_id": ref("campaign_id", "VoucherCampaign"),
    },
    filters={"campaign_id": eq_ref("campaign_id", "VoucherCampaign"), "state": eq("state", BatchState)},
)

VOUCHER = Projection(
    "Voucher",
    table=vouchers,
    model=Voucher,
    scope=SCOPE,
    description="A voucher: one code.",
    fields={
        **columns(
            "id",
            "state",
            "redeemed",
            "expires_at",
            "issued_at",
            "occasion",
            "reason",
            "version",
            "created_at",
            "updated_at",
        ),
        "code": column("code", mask=_last_four, reveal=REVEAL),
        "campaign_id": ref("campaign_id", "VoucherCampaign"),
        "batch_id": ref("batch_id", "VoucherBatch"),
        "customer_id": ref("customer_id", "Customer"),
    },
    filters={
        "campaign_id": eq_ref("campaign_id", "VoucherCampaign"),
        "batch_id": eq_ref("batch_id", "VoucherBatch"),
        "customer_id": eq_ref("customer_id", "Customer"),
        "state": eq("state", VoucherState),
    },
    relations={
        "campaign": one(
            "VoucherCampaign", on=lambda p, c: c.c.id == p.c.campaign_id, description="What it is worth, and for whom."
        ),
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Whose it is."),
        "redemptions": many(
            "VoucherRedemption", on=lambda p, c: c.c.voucher_id == p.c.id, description="Its uses, newest first."
        ),
    },
)

VOUCHER_REDEMPTION = Projection(
    "VoucherRedemption",
    table=voucher_redemptions,
    model=VoucherRedemption,
    scope=SCOPE,
    description="One use of a voucher: set aside, redeemed, or over.",
    fields={
        **columns(
            "id",
            "session_id",
            "order_ref",
            "state",
            "position",
            "shipping_discount",
            "line_discounts",
            "locked_until",
            "redeemed_at",
            "ended_at",
            "reason",
            "version",
            "created_at",
            "updated_at",
        ),
        "discount": money("discount_amount"),
        "campaign_id": ref("campaign_id", "VoucherCampaign"),
        "voucher_id": ref("voucher_id", "Voucher"),
        "customer_id": ref("customer_id", "Customer"),
    },
    orders={"newest": [desc("id")], "position": [asc("position"), asc("id")]},
    filters={
        "campaign_id": eq_ref("campaign_id", "VoucherCampaign"),
        "voucher_id": eq_ref("voucher_id", "Voucher"),
        "customer_id": eq_ref("customer_id", "Customer"),
        "order_ref": eq("order_ref"),
        "session_id": eq("session_id"),
        "state": eq("state", UseState),
    },
    relations={
        "voucher": one("Voucher", on=lambda p, c: c.c.id == p.c.voucher_id, description="The voucher used."),
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who used it."),
    },
)

extend(
    CUSTOMER,
    relations={
        "vouchers": many(
            "Voucher",
            on=lambda p, c: c.c.customer_id == p.c.id,
            description="Vouchers that are the customer's own, newest first.",
        ),
    },
)

CUSTOMER_RULES.register(
    SqlCollection(
        RuleCollection(
            "vouchers", "Vouchers given to the customer", "发放给客户的优惠券", time="issued_at", scope=SCOPE
        ),
        vouchers,
        lambda c, v: v.c.customer_id == c.c.id,
        SqlField(RuleField("issued_at", RuleType.INSTANT, "When it was given", "发放时间"), lambda v: v.c.issued_at),
        SqlField(RuleField("expires_at", RuleType.INSTANT, "When it ends", "失效时间"), lambda v: v.c.expires_at),
        SqlField(RuleField("campaign_id", RuleType.UUID, "Campaign", "活动"), lambda v: v.c.campaign_id),
        SqlField(RuleField("redeemed", RuleType.INTEGER, "Uses that stand", "已使用次数"), lambda v: v.c.redeemed),
    ),
    SqlCollection(
        RuleCollection(
            "voucher_redemptions", "Vouchers the customer used", "客户使用过的优惠券", time="redeemed_at", scope=SCOPE
        ),
        voucher_redemptions,
        lambda c, u: (u.c.customer_id == c.c.id) & (u.c.state == "redeemed"),
        SqlField(RuleField("redeemed_at", RuleType.INSTANT, "When", "使用时间"), lambda u: u.c.redeemed_at),
        SqlField(RuleField("campaign_id", RuleType.UUID, "Campaign", "活动"), lambda u: u.c.campaign_id),
        SqlField(
            RuleField("discount", RuleType.MONEY, "What it took off", "优惠金额"),
            lambda u: u.c.discount_amount,
            currency=lambda u: u.c.currency,
        ),
    ),
)
