"""What a customer complained of, and what they thought of the answer."""

from typing import Any, Final, get_args

from sqlalchemy import FromClause, exists, not_, true

from crm_api.closing.tables import complaint_ratings
from crm_api.complaints import models as complaint
from crm_api.complaints.repository import is_open
from crm_api.complaints.tables import complaints
from crm_api.core.rules import AsOf, Op, RuleCollection, RuleField, RuleType
from crm_api.db.rule_values import Predicate
from crm_api.db.rules import SqlCollection, SqlField
from crm_api.segments.repository import labels
from crm_api.segments.repository.catalogue.parts import COMPLAINTS, Entries, beside, choice


def _open_complaint(c: FromClause, op: Op, value: Any, _as_of: AsOf) -> Predicate:
    """Test whether a complaint is open: an existence, so that PostgreSQL can join; for `SqlField.test`.

    Inquiries, requests and praise are cases too, but no complaints.
    """
    if op is Op.EXISTS:
        return true()
    k = complaints.alias()
    found = exists().where(
        k.c.tenant_id == c.c.tenant_id, k.c.customer_id == c.c.id, k.c.kind == "complaint", is_open(k)
    )
    found = found.select_from(k).correlate(c)
    return found if value else not_(found)


CASES: Final[Entries] = (
    SqlField(
        RuleField(
            "open_complaint",
            RuleType.BOOLEAN,
            "Open complaint",
            "有未解决的投诉",
            scope=COMPLAINTS,
        ),
        lambda k: k.c.id,
        side=beside(complaints),
        test=_open_complaint,
    ),
    SqlCollection(
        RuleCollection("complaints", "Complaint cases", "投诉", time="received_at", scope=COMPLAINTS),
        complaints,
        lambda c, k: k.c.customer_id == c.c.id,
        SqlField(RuleField("received_at", RuleType.INSTANT, "When it came in", "收到时间"), lambda k: k.c.received_at),
        SqlField(
            choice("state", "State", "状态", get_args(complaint.State), labels.COMPLAINT_STATES), lambda k: k.c.state
        ),
        SqlField(RuleField("open", RuleType.BOOLEAN, "Whether it waits for its resolution", "是否未解决"), is_open),
        SqlField(choice("kind", "Kind", "类型", get_args(complaint.Kind), labels.COMPLAINT_KINDS), lambda k: k.c.kind),
        SqlField(
            RuleField("severity", RuleType.CHOICE, "Severity", "严重程度", choices=("S1", "S2", "S3", "S4")),
            lambda k: k.c.severity,
        ),
        SqlField(RuleField("safety", RuleType.BOOLEAN, "Safety is concerned", "涉及安全"), lambda k: k.c.safety),
        SqlField(
            choice("channel", "Channel", "渠道", get_args(complaint.Channel), labels.COMPLAINT_CHANNELS),
            lambda k: k.c.channel,
        ),
        SqlField(RuleField("category", RuleType.TEXT, "What it is about", "投诉类别"), lambda k: k.c.category),
        SqlField(RuleField("root_cause", RuleType.TEXT, "Why it happened", "根本原因"), lambda k: k.c.root_cause),
        SqlField(RuleField("reopened", RuleType.INTEGER, "Times reopened", "重开次数"), lambda k: k.c.reopened),
        SqlField(
            RuleField("resolved_at", RuleType.INSTANT, "When it was resolved", "解决时间"), lambda k: k.c.resolved_at
        ),
        SqlField(RuleField("closed_at", RuleType.INSTANT, "When it was closed", "关闭时间"), lambda k: k.c.closed_at),
    ),
    SqlCollection(
        RuleCollection("complaint_ratings", "Ratings after a case", "投诉评价", time="answered_at", scope=COMPLAINTS),
        complaint_ratings,
        # Questions that nobody has answered are no ratings.
        lambda c, r: (r.c.customer_id == c.c.id) & r.c.answered_at.is_not(None),
        SqlField(
            RuleField("answered_at", RuleType.INSTANT, "When it was answered", "评价时间"), lambda r: r.c.answered_at
        ),
        SqlField(RuleField("csat", RuleType.INTEGER, "Satisfaction, 1 to 5", "满意度（1–5）"), lambda r: r.c.csat),
        SqlField(RuleField("ces", RuleType.INTEGER, "Ease, 1 to 7", "轻松度（1–7）"), lambda r: r.c.ces),
        SqlField(RuleField("low", RuleType.BOOLEAN, "Whether it was low", "是否低分"), lambda r: r.c.low),
    ),
)
