"""Hash buckets: an even split of customers that lasts, for hold-outs, experiments and staged roll-outs.

The bucket of a customer is::

    first 4 bytes of SHA-256 (salt ":" id), as an unsigned big-endian number, modulo the number of buckets

where the salt and the id — the customer's UUID in lower case with hyphens — are UTF-8. Nothing is stored, so anyone
who knows the salt can compute it; in JavaScript::

    Number("0x" + sha256hex(`${salt}:${id}`).slice(0, 8)) % of

Another salt splits anew, independently. The remainder favours low buckets by less than ``of / 2**32``: at most
0.0003 % with 10,000 buckets. `crm_api.db.rules` computes the same in SQL.
"""

from hashlib import sha256
from uuid import UUID

MAX_BUCKETS = 10_000
MAX_SALT = 100

SEPARATOR = ":"
BYTES = 4
"""Of the digest: what JavaScript's numbers hold exactly."""


def bucket_of(salt: str, subject: UUID, of: int) -> int:
    """Return the bucket, from 0 to ``of - 1``, that a salt puts somebody into."""
    digest = sha256(f"{salt}{SEPARATOR}{subject}".encode()).digest()
    return int.from_bytes(digest[:BYTES]) % of
