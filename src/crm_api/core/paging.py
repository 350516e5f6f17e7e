"""What a caller asks of a list."""

from dataclasses import dataclass

MAX_LIMIT = 200
DEFAULT_LIMIT = 50


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page of a keyset-paged list.

    Attributes:
        limit: rows wanted, 1–200.
        after: cursor of the last row already seen, going forward.
        before: cursor of the first row already seen, going backward.
        count: also count all rows that match (exact, costs a scan).

    """

    limit: int = DEFAULT_LIMIT
    after: str | None = None
    before: str | None = None
    count: bool = False
