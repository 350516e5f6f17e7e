"""What the database's own failures mean to a caller."""

import asyncio
from collections.abc import Callable

import asyncpg

from crm_api.core.errors import CrmError, Invalid, Unavailable

RETRYABLE = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""Lost a race: the whole transaction may simply run again."""

_AWAY = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,  # a failover left us on a standby
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # between a dying server's last words and the end of the connection
    *RETRYABLE,
)
_SLOW = (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError)


_MEANINGS: tuple[tuple[tuple[type[BaseException], ...], Callable[[], CrmError]], ...] = (
    (
        _SLOW,
        lambda: Unavailable(
            "The database is busy: try again shortly", zh="数据库繁忙：请稍后重试", code="database_busy"
        ),
    ),
    (
        _AWAY,
        lambda: Unavailable(
            "The database is away: try again shortly", zh="数据库暂时不可用：请稍后重试", code="database_unavailable"
        ),
    ),
    (
        (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError),
        lambda: Invalid(
            "Text holds a character that cannot be stored", zh="文本包含无法存储的字符", code="bad_character"
        ),
    ),
    (
        (asyncpg.NumericValueOutOfRangeError,),
        lambda: Invalid("A number is out of range", zh="数值超出范围", code="out_of_range"),
    ),
)


def translate(error: BaseException) -> CrmError | None:
    """Return the product's error for a database failure, or None when it is not one."""
    if isinstance(error, CrmError):
        return error
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        field = _column_of(error)
        return Invalid.field(
            f"/{field}", "unknown_reference", "It refers to something that does not exist", "引用的对象不存在"
        )
    if type(error) is asyncpg.DataError:
        # Exactly this class is what the driver raises for a value it cannot encode; the server's are kinds of it.
        return Invalid("A value does not fit where it belongs", zh="某个值不符合其字段类型", code="out_of_range")
    for kinds, make in _MEANINGS:
        if isinstance(error, kinds):
            return make()
    return None


def _column_of(error: asyncpg.ForeignKeyViolationError) -> str:
    # Named by the convention fk_<table>_tenant_id_<column>; the detail text would leak values.
    name = error.constraint_name or ""
    return name.partition("_tenant_id_")[2] or "id"
