"""API keys and scopes: pure rules."""

import hashlib
import secrets

from crm_api.core.actor import ADMIN
from crm_api.core.errors import FieldError, Invalid

PREFIX = "crm_"

RESOURCES = (
    "accounts",
    "calendars",
    "channels",
    "audit",
    "attributes",
    "customers",
    "merges",
    "duplicates",
    "consent",
    "privacy",
    "orders",
    "events",
    "interactions",
    "forms",
    "followups",
    "staff",
    "complaints",
    "compensations",
    "loyalty",
    "vouchers",
    "segments",
    "churn",
    "referrals",
    "quality",
    "imports",
    "exports",
    "integrations",
)
REVEAL = "customers:reveal"
"""Shows contact details in full where they are masked otherwise: in exports."""
REVEAL_CODES = "vouchers:reveal"
"""Shows whole voucher codes, which are as good as money."""

APPROVE = "staff:approve"
"""Approves what hands many customers over at once, so that who proposes it need not be who decides."""

COMPENSATE = "compensations:approve"
"""Approves and takes back what customers get for complaints, within the approver's limit."""

SCOPES = frozenset(
    {f"{each}:{action}" for each in RESOURCES for action in ("read", "write")}
    | {REVEAL, REVEAL_CODES, APPROVE, COMPENSATE, ADMIN}
)
"""Every scope there is; ``admin`` grants all."""


def new_key() -> str:
    """Return a fresh key: ``crm_`` and 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> bytes:
    """Return what is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


def hint(key: str) -> str:
    """Return what a list may show of a key."""
    return f"{key[:8]}…{key[-4:]}"


def check_scopes(scopes: frozenset[str]) -> None:
    """Raise Invalid when a scope does not exist or none is given."""
    unknown = sorted(scopes - SCOPES)
    errors = [
        FieldError("/scopes", "unknown_scope", f"'{scope}' is not a scope", f"权限 “{scope}” 不存在")
        for scope in unknown
    ]
    if not scopes:
        errors = [FieldError("/scopes", "required", "Give at least one scope", "请至少提供一个权限")]
    if errors:
        raise Invalid(errors=errors)
