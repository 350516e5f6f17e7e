"""What the CDNOW file must give, calculated from the file alone."""

import csv
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FILE = Path("examples/cdnow/orders.csv")


def find_file() -> Path:
    """Return the orders file of the checkout.

    Raises:
        FileNotFoundError: the demo was started outside of a checkout.

    """
    for root in (Path.cwd(), *Path(__file__).resolve().parents):
        if (root / FILE).is_file():
            return root / FILE
    raise FileNotFoundError(f"{FILE} is not here: run the demo in a checkout of crm-api")


@dataclass(frozen=True)
class Truth:
    """The file's own figures; money in cents."""

    path: Path

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """The rows as they are."""
        with self.path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    @cached_property
    def cents(self) -> list[int]:
        """Each row's total."""
        return [round(float(row["total"]) * 100) for row in self.rows]

    @property
    def orders(self) -> int:
        """Number of orders."""
        return len(self.rows)

    @property
    def customers(self) -> int:
        """Number of customers."""
        return len({row["customer_id"] for row in self.rows})

    @property
    def spend(self) -> int:
        """All they spent."""
        return sum(self.cents)

    @property
    def same_day(self) -> int:
        """Orders beyond the first of a customer on one day."""
        return self.orders - len({(row["customer_id"], row["placed_at"]) for row in self.rows})

    @property
    def points(self) -> int:
        """One point for each whole dollar of each order."""
        return sum(each // 100 for each in self.cents)

    def customers_with(self, orders: int) -> int:
        """Customers with at least so many orders."""
        return sum(count >= orders for count in Counter(row["customer_id"] for row in self.rows).values())
