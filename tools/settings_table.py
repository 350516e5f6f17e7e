"""Write the table of settings into docs/operations.md: ``python -m tools.settings_table``."""

import re
from pathlib import Path

from crm_api.settings import Settings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operations.md"
BEGIN, END = "<!-- settings: written by tools/settings_table.py -->", "<!-- settings end -->"


def table() -> str:
    """Return all settings as a Markdown table."""
    lines = [BEGIN, "| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = (
            ""
            if field.default is None
            else f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
        )
        lines.append(f"| `CRM_{name.upper()}` | {default} | {(field.description or '').replace('|', chr(92) + '|')} |")
    return "\n".join([*lines, END])


def main() -> None:
    """Replace the table that is there."""
    text = PAGE.read_text(encoding="utf-8")
    replaced = re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: table(), text, flags=re.DOTALL)
    PAGE.write_text(replaced, encoding="utf-8")


if __name__ == "__main__":
    main()
