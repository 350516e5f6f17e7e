"""Tmall's brand membership (天猫会员通): a point change asked for there, booked here, answered.

The merchant's system is the ledger: Tmall asks (message ``tmall_mei_PointChange`` of Taobao's message channel) and
waits for the answer (API call ``tmall.mei.crm.callback.point.change``). A bridge that holds the message channel and the
app's keys forwards each message as it is, inside a Standard Webhooks envelope::

    {"type": "tmall.message", "timestamp": "…", "data": {"topic": "tmall_mei_PointChange", "content": "{…}", …}}

and hears `ANSWERED` with method and parameters to call. The envelope of the channel is as captured in
``tests/integrations/fixtures``; the callback's parameters are those of the public API description. Which fields the
content has, and that a negative ``point`` takes, is our reading: nothing here was tried against Tmall itself.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from crm_api.core.text import as_line, storable
from crm_api.integrations.commands import ChangePoints, Command, Ignore

PLATFORM: Final = "tmall"
TOPIC: Final = "tmall_mei_PointChange"
METHOD: Final = "tmall.mei.crm.callback.point.change"
ANSWERED: Final = "tmall.point_change_answered"
"""Type of the message that carries the answer; the subject is the delivery."""

MAX_POINTS: Final = 10**9

Failure = Literal["E01", "E04", "E05"]
"""Tmall's codes: no such member; try again; any other reason."""


class _Content(BaseModel):
    """What a message says, as far as we read it; Tmall sends more."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    record_id: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(storable)]
    mix_mobile: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable)]
    point: int = Field(ge=-MAX_POINTS, le=MAX_POINTS)
    remark: str | None = None


def read(message: Mapping[str, Any]) -> Command:
    """Return what a message of the channel asks for.

    Args:
        message: with ``topic`` and ``content`` (JSON as text), or ``Topic`` and ``Content``: both are seen.

    Raises:
        pydantic.ValidationError: the content is not what the topic promises.
        ValueError: the content is no JSON.

    """
    given = {name.lower(): value for name, value in message.items()}
    if given.get("topic") != TOPIC:
        return Ignore(f"topic {given.get('topic')!r} is not used")
    content = given.get("content")
    asked = _Content.model_validate(orjson.loads(content) if isinstance(content, str | bytes) else content)
    if asked.point == 0:
        return Ignore("a change of 0 points")
    return ChangePoints(PLATFORM, asked.mix_mobile, asked.record_id, asked.point, _line(asked.remark or ""))


def _line(remark: str) -> str | None:
    """Return a remark as a line that can be stored, or None: whatever it says, it stops no change of points."""
    return as_line(remark.replace("\x00", ""))[:200].strip() or None


def answer(asked: ChangePoints, balance: int, failure: Failure | None = None) -> dict[str, Any]:
    """Return the call that tells Tmall what became of a change: ``{"method", "params"}``.

    Args:
        asked: what was asked for.
        balance: the member's points afterwards.
        failure: why nothing was booked.

    """
    params: dict[str, Any] = {
        "record_id": asked.record_id,
        "mix_mobile": asked.external_id,
        "result": 0 if failure is None else 1,
        "point": balance,
    }
    return {"method": METHOD, "params": params if failure is None else {**params, "error_code": failure}}
