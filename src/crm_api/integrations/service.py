"""What can be done with inbound webhooks."""

import hashlib
from collections.abc import Mapping
from uuid import UUID

from crm_api.core.actor import Actor
from crm_api.core.errors import Conflict, NotFound
from crm_api.core.ids import new_id
from crm_api.db.pool import Database
from crm_api.db.uow import UnitOfWork
from crm_api.integrations.models import Accepted, Platform, SourceCreate, SourceUpdate
from crm_api.integrations.repository import DeliveryRepository, SourceRepository, find_source
from crm_api.integrations.signatures import check_secret, verify

READ = "integrations:read"
WRITE = "integrations:write"

MAX_TOPIC = 200
NAMES: Mapping[Platform, str] = {"shopify": "Shopify", "standard": "Standard Webhooks"}
"""What a source is called by default."""

_KEPT_HEADERS = frozenset({"content-type", "user-agent"})
_KEPT_PREFIXES = ("x-shopify-", "webhook-")
_SIGNATURES = frozenset({"x-shopify-hmac-sha256", "webhook-signature"})


class SourceService:
    """Where webhooks may come from."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = SourceRepository(unit)

    async def create(self, data: SourceCreate) -> UUID:
        """Add a source; returns its id, which is the address the platform must send to."""
        self.unit.actor.require(WRITE)
        check_secret(data.platform, data.secret)
        source_id = new_id()
        await self.repository.insert({**data.model_dump(), "id": source_id, "name": data.name or NAMES[data.platform]})
        self.unit.audit("source.created", "Source", source_id, after=data.model_dump(exclude={"secret"}))
        self.unit.emit("source.created", source_id, {})
        return source_id

    async def update(self, source_id: UUID, data: SourceUpdate, *, expected_version: int | None = None) -> None:
        """Change the fields given; a new secret counts within seconds."""
        self.unit.actor.require(WRITE)
        row = await self.repository.get(source_id, lock=True, expected_version=expected_version)
        changes = data.model_dump(exclude_unset=True)
        if "secret" in changes:
            check_secret(row["platform"], changes["secret"])
        await self.repository.change(source_id, changes)
        # The secret itself never leaves its column.
        was = {name: "…" if name == "secret" else row[name] for name in changes}
        shown = {**changes, "secret": "changed"} if "secret" in changes else changes
        self.unit.audit("source.updated", "Source", source_id, before=was, after=shown)
        self.unit.emit("source.updated", source_id, {})


class DeliveryService:
    """What the sources delivered."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = DeliveryRepository(unit)

    async def receive(
        self, source_id: UUID, platform: Platform, headers: Mapping[str, str], body: bytes
    ) -> tuple[UUID, bool]:
        """Store a verified delivery; returns its id and whether it is a repeat.

        A repeat is told by the platform's own message id, or by the same bytes where there is none.
        """
        delivery_id, new = await self.repository.store(
            {
                "source_id": source_id,
                "dedupe_key": _dedupe_key(platform, headers, body),
                "topic": _topic(platform, headers),
                "headers": _kept(headers),
                "body": body,
            }
        )
        if new:
            self.unit.audit("delivery.received", "Delivery", delivery_id, after={"source_id": str(source_id)})
            self.unit.emit("inbound.received", delivery_id, {"delivery_id": str(delivery_id)})
        return delivery_id, not new

    async def replay(self, delivery_id: UUID) -> None:
        """Process a delivery again: after its cause of failure was mended, or to converge anew."""
        self.unit.actor.require(WRITE)
        row = await self.repository.get(delivery_id, lock=True)
        if row["state"] == "received":
            raise Conflict("It is still waiting to be processed", zh="该消息仍在等待处理", code="delivery_pending")
        await self.repository.reset(delivery_id)
        self.unit.emit("inbound.received", delivery_id, {"delivery_id": str(delivery_id)})
        self.unit.audit(
            "delivery.replayed", "Delivery", delivery_id, before={"state": row["state"]}, after={"state": "received"}
        )

    async def retry(self, delivery_id: UUID) -> None:
        """Process a failed delivery again by itself; one that was mended meanwhile is left alone."""
        row = await self.repository.find(delivery_id, lock=True)
        if row is not None and row["state"] == "failed":
            await self.repository.reset(delivery_id)
            self.unit.emit("inbound.received", delivery_id, {"delivery_id": str(delivery_id)})


async def accept(
    database: Database, source_id: UUID, headers: Mapping[str, str], body: bytes, *, request_id: str
) -> Accepted:
    """Take in a webhook: prove it by its source's secret, then store it for the source's tenant.

    Raises:
        NotFound: there is no such source, or it is switched off.
        BadSignature: the raw bytes were not signed with the source's secret.

    """
    async with database.system() as connection:
        source = await find_source(connection, source_id)
    if source is None:
        raise NotFound
    verify(source["platform"], source["secret"], headers, body)

    async def work(unit: UnitOfWork) -> tuple[UUID, bool]:
        return await DeliveryService(unit).receive(source["id"], source["platform"], headers, body)

    delivery_id, duplicate = await database.run(Actor.system(source["tenant_id"], request_id), work)
    return Accepted(delivery_id=delivery_id, duplicate=duplicate)


def _dedupe_key(platform: Platform, headers: Mapping[str, str], body: bytes) -> str:
    name = "x-shopify-webhook-id" if platform == "shopify" else "webhook-id"
    given = headers.get(name, "")
    return given[:200] if given else "sha256:" + hashlib.sha256(body).hexdigest()


def _topic(platform: Platform, headers: Mapping[str, str]) -> str:
    if platform == "shopify":
        return headers.get("x-shopify-topic", "unknown")[:MAX_TOPIC]
    return "standard"


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers worth keeping: never a signature, never authorization."""
    return {
        name: value[:500]
        for name, value in headers.items()
        if (name in _KEPT_HEADERS or name.startswith(_KEPT_PREFIXES)) and name not in _SIGNATURES
    }
