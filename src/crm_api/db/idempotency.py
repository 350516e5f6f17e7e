"""Keyed requests: the same key and request give the same answer and one effect.

The key's row is inserted first thing in the business transaction and its answer stored last, so the effect and the
memory of it commit or vanish together. A rival with the same key waits on the row and then sees the answer.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from pydantic import Field

from crm_api.core.errors import FieldError, IdempotencyKeyReused
from crm_api.db.uow import UnitOfWork

KEEP_HOURS = 24

Key = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
"""What a caller may send as ``Idempotency-Key``."""

REPLAYED = {"idempotency-replayed": "true"}
"""The header of an answer that was given before."""

_CLAIM = """
INSERT INTO idempotency_keys (tenant_id, id, fingerprint) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, id) DO UPDATE
  SET fingerprint = excluded.fingerprint, status = NULL, headers = NULL, body = NULL, created_at = now()
  WHERE idempotency_keys.created_at < now() - make_interval(hours => $4)
RETURNING id
"""
_FIND = "SELECT fingerprint, status, headers, body FROM idempotency_keys WHERE tenant_id = $1 AND id = $2"
_RELEASE = "DELETE FROM idempotency_keys WHERE tenant_id = $1 AND id = $2"
_STORE = "UPDATE idempotency_keys SET status = $3, headers = $4, body = $5 WHERE tenant_id = $1 AND id = $2"


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer given before."""

    status: int
    headers: dict[str, str]
    body: bytes


def _row_id(unit: UnitOfWork, key: str) -> UUID:
    # Two callers may use the same text.
    return UUID(bytes=hashlib.sha256(unit.actor.id.bytes + key.encode()).digest()[:16])


def fingerprint(method: str, path: str, body: bytes) -> bytes:
    """Return what makes two requests the same."""
    return hashlib.sha256(b"\n".join((method.encode(), path.encode(), body))).digest()


async def claim(unit: UnitOfWork, key: str, request: bytes) -> StoredAnswer | None:
    """Take the key for this transaction, or return the answer it already has.

    Args:
        unit: whose caller sent the key.
        key: as it was sent.
        request: its fingerprint.

    Raises:
        IdempotencyKeyReused: the key belongs to a different request.

    """
    row_id = _row_id(unit, key)
    if await unit.connection.fetchval(_CLAIM, unit.tenant_id, row_id, request, KEEP_HOURS):
        return None
    row = await unit.connection.fetchrow(_FIND, unit.tenant_id, row_id)
    if row is None or row["fingerprint"] != request or row["status"] is None:
        raise IdempotencyKeyReused(
            errors=[
                FieldError("/header/idempotency-key", "idempotency_key_reused", "It was used before", "此键已被使用")
            ]
        )
    return StoredAnswer(row["status"], row["headers"], row["body"])


async def release(unit: UnitOfWork, key: str) -> None:
    """Give the key back: the request failed, though what it did so far stays."""
    await unit.connection.execute(_RELEASE, unit.tenant_id, _row_id(unit, key))


async def store(unit: UnitOfWork, key: str, answer: StoredAnswer) -> None:
    """Remember the answer with this transaction."""
    await unit.connection.execute(
        _STORE, unit.tenant_id, _row_id(unit, key), answer.status, answer.headers, answer.body
    )
