"""A contract for import-linter that lists what may be imported, instead of what may not.

`only`: modules in `source_modules` import the standard library, what is in `allowed_modules`, and
nothing else. `*` in `allowed_modules` allows every package but the one under test. A module that
does not exist yet breaks nothing; a new one is covered from its first line.
"""

import sys

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


# Of the standard library of later Pythons than the one that checks.
_LATER = {"annotationlib"}


class OnlyContract(Contract):
    """Direct imports of the source modules stay within a positive list."""

    # A contract's fields are parsed into values before `check` is called.
    source_modules: set[str] = fields.SetField(subfield=fields.StringField())  # type: ignore[assignment]
    allowed_modules: set[str] = fields.SetField(subfield=fields.StringField())  # type: ignore[assignment]

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find each direct import that the list does not name."""
        broken = [
            f"{importer}:{detail['line_number']}: {detail['line_contents']}"
            for importer in sorted(graph.modules)
            if any(_within(importer, source) for source in self.source_modules)
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not self._allows(importer, imported)
            for detail in graph.get_import_details(importer=importer, imported=imported)
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print a line for each import that breaks the rule."""
        for line in check.metadata["broken"]:
            output.print_error(line)
        output.print_error(f"allowed: {', '.join(sorted(self.allowed_modules))}")

    def _allows(self, importer: str, imported: str) -> bool:
        top = imported.partition(".")[0]
        if top in sys.stdlib_module_names | _LATER:
            return True
        if "*" in self.allowed_modules and top != importer.partition(".")[0]:
            return True
        return any(_within(imported, allowed) for allowed in self.allowed_modules)
