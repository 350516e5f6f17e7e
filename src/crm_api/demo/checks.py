"""One line per check: what the data must give, and what the API said."""

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass
class Checks:
    """What was checked so far."""

    rows: list[tuple[str, Any, Any]] = field(default_factory=list)

    def expect(self, what: str, wanted: Any, found: Any) -> None:
        """Note one check."""
        self.rows.append((what, wanted, found))

    @property
    def held(self) -> bool:
        """Whether all of them did."""
        return bool(self.rows) and all(wanted == found for _, wanted, found in self.rows)

    def show(self, console: Console) -> None:
        """Print the table."""
        table = Table("check", "must be", "is", "", title="What the demo did")
        for what, wanted, found in self.rows:
            table.add_row(what, str(wanted), str(found), "[green]ok[/green]" if wanted == found else "[red]WRONG[/red]")
        console.print(table)
