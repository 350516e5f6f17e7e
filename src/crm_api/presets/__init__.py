"""Industry presets: what a new tenant starts with. One TOML file each, read by every domain's ``presets.load``."""

import tomllib
from importlib.resources import files
from typing import Any


def load(name: str) -> dict[str, Any]:
    """Return a preset's content: one table per domain."""
    return tomllib.loads((files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))
