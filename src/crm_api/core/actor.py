"""Who acts, for which tenant, with which rights."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from crm_api.core.errors import Forbidden, Locale

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Actor:
    """The authenticated caller of one operation.

    Attributes:
        tenant_id: the merchant whose data the caller may touch; nothing else is reachable.
        kind: ``key`` for an API key, ``system`` for the worker and the command line.
        id: the key's id, or the tenant's own id for the system.
        scopes: ``resource:action`` names; ``admin`` grants all.
        request_id: joins logs, audit rows and problem documents.
        locale: language of messages.

    """

    tenant_id: UUID
    kind: Literal["key", "system"]
    id: UUID
    scopes: frozenset[str]
    request_id: str = ""
    locale: Locale = "en"

    def may(self, scope: str) -> bool:
        """Tell whether the scope is granted."""
        return scope in self.scopes or ADMIN in self.scopes

    def require(self, scope: str) -> None:
        """Raise Forbidden unless the scope is granted."""
        if not self.may(scope):
            raise Forbidden(
                f"This key lacks the scope '{scope}'", zh=f"此密钥缺少权限 “{scope}”", extra={"required_scope": scope}
            )

    @classmethod
    def system(cls, tenant_id: UUID, request_id: str = "") -> "Actor":
        """Return the actor of background work for one tenant."""
        return cls(tenant_id, "system", tenant_id, frozenset({ADMIN}), request_id)
