"""What is wrong with an application's gauges, before anything starts.

ACME101   name that does not fit     ACME103   two gauges of one name
ACME102   method that does not fit
"""

from collections.abc import Iterator

from acme_tools.metrics.contract import Gauge
from acme_tools.metrics.figures import NAME
from ringfence.errors import Finding
from ringfence.kernel.ports import Declared, Facts


def check(facts: Facts) -> list[Finding]:
    """Return all that is wrong; the first two kinds concern one plugin, the third is ambiguous."""
    owners: dict[str, Declared] = {}
    found: list[Finding] = []
    for declared in facts.declared:
        if isinstance(declared.declaration, Gauge):
            found += _misfits(declared, declared.declaration.name)
            first = owners.setdefault(declared.declaration.name, declared)
            if first is not declared:
                message = f"gauge {first.declaration.key} is that of {first.plugin} already"
                found.append(_at(declared, "ACME103", message, "give it another name"))
    return found


def _misfits(declared: Declared, name: str) -> Iterator[Finding]:
    if not NAME.fullmatch(name) or not name.startswith(f"{declared.domain}_"):
        message = f"{name!r} is no name for a gauge; expected {declared.domain}_some_words"
        yield _at(declared, "ACME101", message, "rename it")
    signature = declared.signature
    if signature.parameters:
        message = f"gauge {name}: its method takes {signature.parameters[0].name!r}"
        yield _at(declared, "ACME102", message, "let it take nothing: it is read, not asked")
    if signature.result not in (int, float):
        message = f"gauge {name}: its method returns {signature.result}; expected int or float"
        yield _at(declared, "ACME102", message, "return a number")


def _at(declared: Declared, rule: str, message: str, fix: str) -> Finding:
    return Finding(declared.file, declared.line, rule, message, fix)
