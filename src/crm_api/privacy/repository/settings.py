"""How long erasures wait and archives are kept."""

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from crm_api.db.repository import Repository
from crm_api.privacy import rules
from crm_api.privacy.tables import privacy_settings


class PrivacySettingsRepository(Repository):
    """The tenant's settings; without a row the defaults hold."""

    table = privacy_settings

    async def read(self) -> dict[str, int]:
        """Return the settings by name."""
        row = await self.unit.fetch_one(select(privacy_settings).where(self.mine()))
        if row is None:
            return {"erasure_waiting_days": rules.WAITING_DAYS, "export_keep_days": rules.KEEP_DAYS}
        return {name: row[name] for name in ("erasure_waiting_days", "export_keep_days")}

    async def write(self, values: dict[str, int]) -> None:
        """Store all of them."""
        statement = insert(privacy_settings).values(tenant_id=self.unit.tenant_id, **values)
        await self.unit.execute(
            statement.on_conflict_do_update(index_elements=["tenant_id"], set_={**values, "updated_at": func.now()})
        )
