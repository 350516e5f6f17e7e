"""Access to rewards and their redemptions.

Locks are taken in this order: a redemption, its reward, the customer's wallet (by the ledger). Whoever takes pieces of
a reward holds its row, so counts of stock and of what a customer has had are exact.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, select, update

from crm_api.core.rules import RuleCollection, RuleField, RuleType
from crm_api.customers.repository import CUSTOMER
from crm_api.db.projections import Projection, columns, eq, eq_ref, extend, many, one, ref, sql
from crm_api.db.repository import Repository
from crm_api.db.rules import SqlCollection, SqlField
from crm_api.loyalty.tables import loyalty_accounts, loyalty_programmes, loyalty_wallets
from crm_api.rewards.models import Reward, RewardKind, RewardRedemption, RewardRedemptionState, RewardState
from crm_api.rewards.tables import reward_redemptions, rewards
from crm_api.segments.repository.catalogue import CUSTOMER_RULES
from crm_api.vouchers.repository import checked_rule, is_eligible
from crm_api.vouchers.tables import voucher_campaigns

__all__ = [
    "REWARD",
    "REWARD_REDEMPTION",
    "Due",
    "RewardRedemptionRepository",
    "RewardRepository",
    "checked_rule",
    "is_eligible",
]

SCOPE: Final = "loyalty:read"


def _available(t: FromClause) -> ColumnElement[Any]:
    return t.c.stock - t.c.taken


REWARD = Projection(
    "Reward",
    table=rewards,
    model=Reward,
    scope=SCOPE,
    description="What points can be spent on.",
    fields={
        **columns(
            "id",
            "name",
            "description",
            "state",
            "kind",
            "points",
            "programme_id",
            "sku",
            "stock",
            "taken",
            "per_customer",
            "starts_at",
            "ends_at",
            "rule",
            "immediate",
            "hold_days",
            "version",
            "created_at",
            "updated_at",
        ),
        "campaign_id": ref("campaign_id", "VoucherCampaign"),
        "available": sql(_available),
    },
    filters={"state": eq("state", RewardState), "kind": eq("kind", RewardKind)},
    relations={
        "redemptions": many(
            "RewardRedemption", on=lambda p, c: c.c.reward_id == p.c.id, description="Who wanted it, newest first."
        ),
    },
)

REWARD_REDEMPTION = Projection(
    "RewardRedemption",
    table=reward_redemptions,
    model=RewardRedemption,
    scope=SCOPE,
    description="A reward that a customer wants, or has.",
    fields={
        **columns(
            "id",
            "state",
            "quantity",
            "points",
            "hold_id",
            "voucher_ids",
            "note",
            "reason",
            "held_until",
            "confirmed_at",
            "fulfilled_at",
            "cancelled_at",
            "version",
            "created_at",
            "updated_at",
        ),
        "reward_id": ref("reward_id", "Reward"),
        "customer_id": ref("customer_id", "Customer"),
    },
    filters={
        "reward_id": eq_ref("reward_id", "Reward"),
        "customer_id": eq_ref("customer_id", "Customer"),
        "state": eq("state", RewardRedemptionState),
    },
    relations={
        "reward": one("Reward", on=lambda p, c: c.c.id == p.c.reward_id, description="Which reward."),
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="Who."),
    },
)

extend(
    CUSTOMER,
    relations={
        "reward_redemptions": many(
            "RewardRedemption",
            on=lambda p, c: c.c.customer_id == p.c.id,
            description="Rewards that the customer wants or has, newest first.",
        ),
    },
)

_STATES = {"requested": "待确认", "confirmed": "已确认", "fulfilled": "已发放", "cancelled": "已取消"}
CUSTOMER_RULES.register(
    SqlCollection(
        RuleCollection("reward_redemptions", "Rewards the customer wants or has", "兑换记录", time="at", scope=SCOPE),
        reward_redemptions,
        lambda c, r: r.c.customer_id == c.c.id,
        SqlField(RuleField("at", RuleType.INSTANT, "When it was requested", "申请时间"), lambda r: r.c.created_at),
        SqlField(RuleField("reward_id", RuleType.UUID, "Reward", "奖品"), lambda r: r.c.reward_id),
        SqlField(RuleField("points", RuleType.INTEGER, "What it cost", "所用积分"), lambda r: r.c.points),
        SqlField(
            RuleField(
                "state",
                RuleType.CHOICE,
                "Where it stands",
                "状态",
                choices=tuple(_STATES),
                labels_zh=_STATES,
            ),
            lambda r: r.c.state,
        ),
    ),
)

_HAD: Final = """
SELECT coalesce(sum(quantity), 0)::int FROM reward_redemptions
WHERE tenant_id = $1 AND reward_id = $2 AND customer_id = $3 AND state <> 'cancelled'
"""

_OVERDUE: Final = """
SELECT id, held_until FROM reward_redemptions
WHERE tenant_id = $1 AND state = 'requested' AND held_until <= $2
  AND ($3::timestamptz IS NULL OR (held_until, id) > ($3, $4::uuid))
ORDER BY held_until, id LIMIT $5
"""


Due = tuple[datetime, UUID]
"""Until when a request is held, and its id."""


class RewardRepository(Repository):
    """Rewards."""

    table = rewards

    async def take(self, reward_id: UUID, change: int) -> None:
        """Add to the pieces taken; the caller holds the row."""
        taken = rewards.c.taken + change
        await self.unit.execute(update(rewards).where(self.by_id(reward_id)).values(taken=taken))

    async def had(self, reward_id: UUID, customer_id: UUID) -> int:
        """Return how many pieces a customer has had, cancelled ones aside."""
        counted: int = await self.unit.connection.fetchval(_HAD, self.unit.tenant_id, reward_id, customer_id)
        return counted

    async def giving_campaign(self, campaign_id: UUID) -> Mapping[str, Any] | None:
        """Return a campaign that vouchers may be given of: its shared code and state; None when there is none."""
        c = voucher_campaigns
        statement = select(c.c.shared_code, c.c.state).where(self.by_id(campaign_id, c))
        row = await self.unit.fetch_one(statement)
        return None if row is None else dict(row)

    async def has_programme(self, programme_id: UUID) -> bool:
        """Tell whether there is such a programme."""
        statement = select(loyalty_programmes.c.id).where(self.by_id(programme_id, loyalty_programmes))
        return await self.unit.fetch_value(statement) is not None

    async def spendable(self, customer_id: UUID, programme_id: UUID | None) -> int:
        """Return the points a customer can spend in a programme, the default one unless another is named."""
        if programme_id is None:
            a = loyalty_accounts
            statement = select(a.c.available).where(self.by_id(customer_id, a))
        else:
            w = loyalty_wallets
            statement = select(w.c.available).where(
                self.mine(w),
                w.c.customer_id == customer_id,
                w.c.programme_id == programme_id,
                w.c.kind == "spendable",
            )
        return await self.unit.fetch_value(statement) or 0


class RewardRedemptionRepository(Repository):
    """Redemptions of rewards."""

    table = reward_redemptions

    async def overdue(self, now: datetime, after: Due | None, limit: int) -> list[Due]:
        """Return requested ones that nobody confirmed in time and when that ended, oldest first, those ``after``."""
        held_until, redemption_id = after or (None, None)
        rows = await self.unit.connection.fetch(_OVERDUE, self.unit.tenant_id, now, held_until, redemption_id, limit)
        return [(row["held_until"], row["id"]) for row in rows]
