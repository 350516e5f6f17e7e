"""What identifies an upload."""

import hashlib
import unicodedata

import orjson

from crm_api.exchange.service import How, ReceivedFile

MAX_NAME = 200


def file_name(given: str | None) -> str:
    """Return a name that is safe to store and show: no folders, no control characters, not too long."""
    base = (given or "").replace("\\", "/").rpartition("/")[2]
    shown = "".join(sign for sign in base if unicodedata.category(sign)[0] != "C").strip()
    return shown[:MAX_NAME] or "import.csv"


def upload_fingerprint(received: ReceivedFile, how: How | None) -> bytes:
    """Return what makes two uploads the same request: the file's hash and what was said about it."""
    said: list[object] = [received.filename, received.format.sha256.hex(), received.format.sheet]
    if how is not None:
        said += [how.kind, sorted(how.mapping.items()), sorted(how.defaults.items())]
        said += [list(how.match_by), how.mode, how.dry_run]
    return hashlib.sha256(orjson.dumps(said)).digest()
