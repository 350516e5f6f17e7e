"""Make orders.csv, in the canonical columns of an orders import, from the CDNOW sample file.

    python examples/cdnow/make.py path/to/CDNOW_sample.txt

A customer may have bought several times on one day, so an order's id is the customer's id and the purchase's place
among the customer's purchases in the file.
"""

import csv
import hashlib
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

SHA256 = "6fae10155c0b0ba363c2c386e30f77990d22328220efd862a5edd1443420d94a"
HEADER = ("platform", "order_id", "customer_id", "placed_at", "status", "total", "currency")


def main(source: Path) -> None:
    """Convert, and say what the result adds up to."""
    raw = source.read_bytes()
    if hashlib.sha256(raw).hexdigest() != SHA256:
        sys.exit(f"{source} is not the file that ORIGIN.md describes")
    purchases: Counter[str] = Counter()
    spent = Decimal(0)
    target = Path(__file__).with_name("orders.csv")
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for line in raw.decode("ascii").splitlines():
            master, _sample, date, _discs, dollars = line.split()
            purchases[master] += 1
            spent += Decimal(dollars)
            day = f"{date[:4]}-{date[4:6]}-{date[6:]}"
            writer.writerow(("cdnow", f"{master}-{purchases[master]}", master, day, "completed", dollars, "USD"))
    print(f"{target}: {len(purchases):,} customers, {purchases.total():,} orders, {spent:,} USD")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
