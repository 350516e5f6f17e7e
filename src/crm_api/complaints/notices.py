"""E-mails to staff about clocks: pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

_CLOCKS: Final[Mapping[str, tuple[str, str]]] = {
    "acknowledge": ("acknowledgement", "受理"),
    "first_response": ("first response", "首次响应"),
    "next_response": ("next response", "后续响应"),
    "resolution": ("resolution", "解决"),
    "decision": ("decision", "处理决定"),
    "refund": ("refund", "退款"),
}


def letter(told: Mapping[str, Any], complaint_id: str, *, zone: str, locale: str) -> tuple[str, str]:
    """Return subject and body of what an announcement tells staff: no word of the customer's leaves the shop by it.

    Args:
        told: payload of ``complaint.escalated``.
        complaint_id: of which case.
        zone: whose wall clock the times are told by.
        locale: ``zh`` is Chinese, anything else English.

    """
    en, zh = _CLOCKS[told["clock"]]
    missed = told["step"].startswith("breach")
    due = datetime.fromisoformat(told["due_at"] or told["at"]).astimezone(ZoneInfo(zone))
    if locale == "zh":
        subject = f"投诉时限{'已超时' if missed else '即将到期'}：{zh}（{told['severity']}）"
        return subject, f"{subject}\n截止时间：{due:%Y-%m-%d %H:%M}\n投诉编号：{complaint_id}\n"
    subject = f"Complaint {'overdue' if missed else 'due soon'}: {en} ({told['severity']})"
    return subject, f"{subject}\nDue: {due:%Y-%m-%d %H:%M}\nComplaint: {complaint_id}\n"
