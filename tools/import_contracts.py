"""Our own import-linter contract: what one domain may see of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from importlinter import Contract, ContractCheck, fields, output

if TYPE_CHECKING:
    from grimp import ImportGraph

PUBLIC = frozenset({"service", "models", "errors"})
"""Files of a domain that any file of a higher domain may import."""

PAIRS = frozenset(
    {
        # A higher domain adds fields to a lower domain's GraphQL types.
        ("graphql", "graphql"),
        # A higher repository joins lower tables and extends lower projections with its relations;
        # both are statements about the database, and the foreign keys already say the same.
        ("repository", "repository"),
        ("repository", "tables"),
        ("tables", "tables"),
    }
)
"""(importing file, imported file) allowed across domains besides ``PUBLIC``."""


class DomainSurface(Contract):
    """A domain sees of another only its service, models and errors, and the pairs above.

    Options:
        shared: names directly under the root package that are not domains.
    """

    type_name = "domain_surface"
    shared = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Look at every import between two different domains."""
        del verbose
        (root,) = self.session_options["root_packages"]
        broken = [
            f"{importer} -> {imported}"
            for importer in sorted(graph.modules)
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not self._allowed(root, importer, imported)
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the imports that reach too deep."""
        for line in check.metadata["broken"]:
            output.print_error(line)

    def _allowed(self, root: str, importer: str, imported: str) -> bool:
        source, target = self._place(root, importer), self._place(root, imported)
        if source is None or target is None or source[0] == target[0]:
            return True
        return target[1] in PUBLIC or (source[1], target[1]) in PAIRS

    def _place(self, root: str, module: str) -> tuple[str, str] | None:
        """``crm_api.orders.service`` → ``("orders", "service")``; None for what is not a domain's file."""
        parts = module.split(".")
        if parts[0] != root or len(parts) == 1 or parts[1] in self.shared:
            return None
        return parts[1], parts[2] if len(parts) > 2 else "__init__"  # noqa: PLR2004 - root, domain, file
