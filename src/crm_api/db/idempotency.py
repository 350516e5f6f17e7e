"""Keyed requests: the same key and request give the same answer and one effect.

The key's row is inserted first thing in the business transaction and its answer stored last, so the effect and the
memory of it commit or vanish together. A rival with the same key waits on the row and then sees the answer.
"""

import hashlib
from dataclasses import dataclass
from uuid import UUID

from crm_api.core.errors import FieldError, IdempotencyKeyReused
from crm_api.db.uow import UnitOfWork

KEEP_HOURS = 24

_CLAIM = """
INSERT INTO idempotency_keys (tenant_id, id, fingerprint) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, id) DO UPDATE
  SET fingerprint = excluded.fingerprint, status = NULL, headers = NULL, body = NULL, created_at = now()
  WHERE idempotency_keys.created_at < now() - make_interval(hours => $4)
RETURNING id
"""
_FIND = "SELECT fingerprint, status, headers, body FROM idempotency_keys WHERE tenant_id = $1 AND id = $2"
_STORE = "UPDATE idempotency_keys SET status = $3, headers = $4, body = $5 WHERE tenant_id = $1 AND id = $2"


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer given before."""

    status: int
    headers: dict[str, str]
    body: bytes


def key_id(actor_id: UUID, key: str) -> UUID:
    """Return the row id for a caller's key: two callers may use the same text."""
    return UUID(bytes=hashlib.sha256(actor_id.bytes + key.encode()).digest()[:16])


def fingerprint(method: str, path: str, body: bytes) -> bytes:
    """Return what makes two requests the same."""
    return hashlib.sha256(b"\n".join((method.encode(), path.encode(), body))).digest()


async def claim(unit: UnitOfWork, key: UUID, request: bytes) -> StoredAnswer | None:
    """Take the key for this transaction, or return the answer it already has.

    Raises:
        IdempotencyKeyReused: the key belongs to a different request.

    """
    if await unit.connection.fetchval(_CLAIM, unit.tenant_id, key, request, KEEP_HOURS):
        return None
    row = await unit.connection.fetchrow(_FIND, unit.tenant_id, key)
    if row is None or row["fingerprint"] != request or row["status"] is None:
        raise IdempotencyKeyReused(
            errors=[
                FieldError("/header/idempotency-key", "idempotency_key_reused", "It was used before", "此键已被使用")
            ]
        )
    return StoredAnswer(row["status"], row["headers"], row["body"])


async def store(unit: UnitOfWork, key: UUID, answer: StoredAnswer) -> None:
    """Remember the answer with this transaction."""
    await unit.connection.execute(_STORE, unit.tenant_id, key, answer.status, answer.headers, answer.body)
