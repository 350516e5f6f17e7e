"""The demo's tenant: made once, found again by the next run."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crm_api import admin
from crm_api.settings import Settings

CURRENCY = "USD"


@dataclass
class DemoTenant:
    """Who the demo acts for, and what it has done so far."""

    path: Path
    tenant_id: str
    api_key: str
    fresh: bool = False
    done: dict[str, Any] = field(default_factory=dict)

    def remember(self, step: str, value: Any) -> None:
        """Note a step, so that the next run does not do it again."""
        self.done[step] = value
        self.save()

    def save(self) -> None:
        """Write the state; it holds a key, so only its owner may read it."""
        self.path.touch(mode=0o600)
        state = {name: value for name, value in asdict(self).items() if name not in {"path", "fresh"}}
        self.path.write_text(json.dumps(state, indent=1), encoding="utf-8")


async def open_tenant(settings: Settings, folder: Path) -> DemoTenant:
    """Return the tenant of an earlier run if this database has it, else a new one."""
    path = folder / "state.json"
    if path.is_file():
        tenant = DemoTenant(path, **json.loads(path.read_text(encoding="utf-8")))
        known = {str(each.id) for each in await admin.list_tenants(settings)}
        if tenant.tenant_id in known:
            return tenant
    created = await admin.create_tenant(settings, "CDNOW demo", "retail", currency=CURRENCY)
    tenant = DemoTenant(path, str(created.tenant_id), created.api_key, fresh=True)
    tenant.save()
    return tenant
