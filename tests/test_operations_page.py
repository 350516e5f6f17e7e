"""docs/operations.md tells the truth: the settings are those of the code, its commands and metrics exist."""

import re
from pathlib import Path

from prometheus_client import REGISTRY
from typer.main import get_command

import crm_api.app
import crm_api.worker.run  # noqa: F401 - their metrics
from crm_api.cli import app
from tools.settings_table import table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operations.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_settings():
    assert table() in TEXT, "run: python -m tools.settings_table"


def test_commands():
    root = get_command(app)
    told = set(re.findall(r"crm-api ([a-z]+)(?: ([a-z]+))?", TEXT))
    assert told
    for name, below in told:
        command = root.commands.get(name)
        assert command is not None, name
        if below and hasattr(command, "commands"):
            assert below in command.commands, f"{name} {below}"


def test_metrics():
    told = set(re.findall(r"\bcrm_[a-z_]+\b", TEXT)) - {"crm_app", "crm_system", "crm_api", "crm_owner"}
    served = {metric.name for metric in REGISTRY.collect()}
    known = served | {f"{name}_total" for name in served}
    assert told <= known, told - known
    assert {name for name in served if name.startswith("crm_")} <= {name.removesuffix("_total") for name in told}
