"""From the Authorization header to an Actor."""

import time
from typing import Final

from starlette.requests import HTTPConnection

from crm_api.accounts import rules
from crm_api.accounts.models import KeyInfo
from crm_api.accounts.service import recognise
from crm_api.core.actor import Actor
from crm_api.core.errors import Unauthenticated
from crm_api.db.pool import Database
from crm_api.web.problems import locale_of

MAX_CACHED: Final = 10_000
_MAX_HEADER: Final = 200


class KeyCache:
    """Recognised keys, for a few seconds: a revoked key dies within ``seconds`` on every process.

    Unknown keys are not remembered, so a flood of guesses cannot fill it.
    """

    def __init__(self, seconds: float) -> None:
        """Remember each key this long."""
        self._seconds = seconds
        self._known: dict[bytes, tuple[float, KeyInfo]] = {}

    async def find(self, database: Database, key: str) -> KeyInfo | None:
        """Return what is known of the key, asking the database when it is not fresh."""
        digest = rules.hash_key(key)
        now = time.monotonic()
        fresh = self._known.get(digest)
        if fresh is not None and fresh[0] > now:
            return fresh[1]
        async with database.system() as connection:
            info = await recognise(connection, digest, database.clock.now())
        if info is None:
            self._known.pop(digest, None)
            return None
        if len(self._known) >= MAX_CACHED:
            self._known.clear()
        self._known[digest] = (now + self._seconds, info)
        return info


async def authenticate(request: HTTPConnection) -> Actor:
    """Return who is calling.

    Raises:
        Unauthenticated: no key, or one that is unknown, expired or revoked; which of these is not told.

    """
    known: Actor | None = request.scope.get("crm.actor")
    if known is not None:
        return known
    headers = request.headers
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.startswith(rules.PREFIX) or len(key) > _MAX_HEADER:
        raise Unauthenticated
    state = request.app.state
    info = await state.keys.find(state.db, key)
    if info is None or (info.expires_at is not None and info.expires_at <= state.db.clock.now()):
        raise Unauthenticated
    actor = Actor(
        info.tenant_id,
        "key",
        info.id,
        info.scopes,
        request.scope.get("crm.request_id", ""),
        locale_of(headers.get("accept-language", "")),
    )
    request.scope["crm.actor"] = actor
    return actor
