"""What a customer may be sent, and what they said about it."""

from typing import Final

from crm_api.consent.repository import SENDABLE, allows
from crm_api.consent.tables import consents
from crm_api.core.rules import RuleCollection, RuleField, RuleType
from crm_api.db.rules import SqlCollection, SqlField
from crm_api.segments.repository import labels
from crm_api.segments.repository.catalogue.parts import CONSENT, Entries, choice


def _consent(purpose: str, channel: str) -> SqlField:
    """Name whether something may be sent now; never missing."""
    name = f"consents.{purpose}.{channel}"
    field = RuleField(
        name,
        RuleType.BOOLEAN,
        f"Whether {purpose} by {channel} is allowed",
        f"是否允许{labels.PURPOSES[purpose]}（{labels.SENDING[channel]}）",
        scope=CONSENT,
    )
    return SqlField(field, lambda c: allows(c, purpose, channel))


CONSENTS: Final[Entries] = (
    *(_consent(purpose, channel) for purpose, channel in SENDABLE),
    SqlCollection(
        RuleCollection("consents", "What was agreed to and refused", "同意与撤回记录", time="at", scope=CONSENT),
        consents,
        lambda c, e: e.c.customer_id == c.c.id,
        SqlField(RuleField("at", RuleType.INSTANT, "When it was said", "时间"), lambda e: e.c.at),
        SqlField(RuleField("purpose", RuleType.TEXT, "Purpose", "用途"), lambda e: e.c.purpose),
        SqlField(RuleField("channel", RuleType.TEXT, "Channel, or any", "渠道"), lambda e: e.c.channel),
        SqlField(
            choice("action", "Given or taken back", "动作", tuple(labels.CONSENT_ACTIONS), labels.CONSENT_ACTIONS),
            lambda e: e.c.action,
        ),
        SqlField(RuleField("source", RuleType.TEXT, "Where it was said", "来源"), lambda e: e.c.source),
    ),
)
