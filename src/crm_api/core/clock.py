"""Time, injected so that tests and replays can set it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Something that knows what time it is."""

    def now(self) -> datetime:
        """Return the current instant, always in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        return datetime.now(UTC)


@dataclass
class FixedClock:
    """A clock that moves only when told to."""

    instant: datetime

    def now(self) -> datetime:
        """Return the set instant."""
        return self.instant

    def advance(self, delta: timedelta) -> None:
        """Move forward."""
        self.instant += delta
