"""From the Authorization header to an Actor."""

import time
from dataclasses import dataclass
from typing import Final

from starlette.requests import HTTPConnection

from crm_api.accounts import rules
from crm_api.accounts.models import KeyInfo
from crm_api.accounts.service import recognise
from crm_api.core.actor import Actor
from crm_api.core.errors import Locale, Unauthenticated
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
    actor = await caller_of(request, request.app.state.keys).now()
    request.scope["crm.actor"] = actor
    return actor


def caller_of(request: HTTPConnection, keys: KeyCache) -> "Caller":
    """Return whoever sent a request, to be asked for again and again."""
    headers = request.headers
    return Caller(
        keys,
        request.app.state.db,
        headers.get("authorization", ""),
        request.scope.get("crm.request_id", ""),
        locale_of(headers.get("accept-language", "")),
    )


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a key; what the key is worth may change while they are connected."""

    keys: KeyCache
    database: Database
    authorization: str
    request_id: str
    locale: Locale

    async def now(self) -> Actor:
        """Return who it is, as the key is now (some seconds' cache apart).

        Raises:
            Unauthenticated: no key, or one that is unknown, expired or revoked.

        """
        scheme, _, key = self.authorization.partition(" ")
        if scheme.lower() != "bearer" or not key.startswith(rules.PREFIX) or len(key) > _MAX_HEADER:
            raise Unauthenticated
        info = await self.keys.find(self.database, key)
        if info is None or (info.expires_at is not None and info.expires_at <= self.database.clock.now()):
            raise Unauthenticated
        return Actor(info.tenant_id, "key", info.id, info.scopes, self.request_id, self.locale)
