"""How others take part in what happens to cases, without cases knowing of them.

Two ways, both inside the transaction of the write and after the case's row is held:

* An *obstacle* is asked before a step: compensations refuse the closing of a case that still owes something::

    async def settled(unit: UnitOfWork, complaint_id: UUID, case: Case) -> None:
        if await CompensationRepository(unit).owes(complaint_id):
            raise obstacle("/compensations", "not_settled", "Settle or withdraw the compensation first", "请先…")


    register_obstacle("close", settled)

* A *follower* is told after every write of a case or of its messages: clocks are reckoned anew from the log.

Domains above import both from `crm_api.complaints.service`.
"""

from collections.abc import Awaitable, Callable
from uuid import UUID

from crm_api.complaints.models import Action, Case
from crm_api.core.errors import Conflict, FieldError
from crm_api.db.uow import UnitOfWork

Check = Callable[[UnitOfWork, UUID, Case], Awaitable[None]]
"""``async def check(unit, complaint_id, case)``: the case as it is before the step; raises `obstacle` to stop it."""

Follow = Callable[[UnitOfWork, UUID, str], Awaitable[None]]
"""``async def follow(unit, complaint_id, what)``.

``what`` is ``open``, ``update``, ``tell``, ``message``, a step's action, or ``family`` for a case whose messages are
others now because of one that was merged into it.
"""

_OBSTACLES: dict[str, list[Check]] = {}
_FOLLOWERS: list[Follow] = []


def register_obstacle(action: Action, check: Check) -> None:
    """Ask ``check`` before every step of this kind; registering it twice asks it once."""
    known = _OBSTACLES.setdefault(action, [])
    if check not in known:
        known.append(check)


def register_follower(follow: Follow) -> None:
    """Tell ``follow`` after every write; registering it twice tells it once."""
    if follow not in _FOLLOWERS:
        _FOLLOWERS.append(follow)


def obstacle(pointer: str, code: str, message: str, zh: str) -> Conflict:
    """Return the error of a step that lacks what it needs: 409 ``transition_guard``."""
    return Conflict(message, zh=zh, code="transition_guard", errors=[FieldError(pointer, code, message, zh)])


async def ask(unit: UnitOfWork, action: str, complaint_id: UUID, case: Case) -> None:
    """Ask all obstacles of a step, in the order they were registered; the first that objects wins."""
    for check in _OBSTACLES.get(action, ()):
        await check(unit, complaint_id, case)


async def follow(unit: UnitOfWork, complaint_id: UUID, what: str) -> None:
    """Tell all followers."""
    for each in _FOLLOWERS:
        await each(unit, complaint_id, what)
