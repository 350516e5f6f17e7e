"""What statements about cases share."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, literal


def among(ids: Sequence[UUID]) -> Any:
    """Return what an id is compared with to be one of these."""
    return any_(literal(list(ids), ARRAY(Uuid)))
