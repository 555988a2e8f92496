"""How the code that is written looks: imports in order, brackets that break as ruff breaks them.

`bracketed` and `imports` give what `ruff format` and its sorting of imports leave as it is, within
100 characters a line.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct

WIDTH = 100
_OURS = ("domains", "lib", "tools")


class Code(Struct, frozen=True):
    """A piece of code, and what it needs: pairs of module and name. A module `.` is the feature's
    own; a name `` imports the module, `datetime as dt`."""

    text: str
    uses: frozenset[tuple[str, str]] = frozenset()

    def __str__(self) -> str:
        return self.text


def quoted(text: str) -> str:
    """Return a text as Python writes it, in double quotes where they need no escape."""
    plain = repr(text)
    return f'"{plain[1:-1]}"' if plain[0] == "'" and '"' not in text else plain


def bracketed(head: str, items: Sequence[str], tail: str, indent: int = 0) -> str:
    """Lay out `head`, which ends in an opening bracket, items, and `tail`, which closes it."""
    pad, inner = " " * indent, " " * (indent + 4)
    flat = f"{pad}{head}{', '.join(items)}{tail}"
    if len(flat) <= WIDTH or not items:
        return flat
    line = f"{inner}{', '.join(items)}"
    if len(line) <= WIDTH:
        return f"{pad}{head}\n{line}\n{pad}{tail}"
    lines = "".join(f"{inner}{item},\n" for item in items)
    return f"{pad}{head}\n{lines}{pad}{tail}"


def imports(uses: Iterable[tuple[str, str]], own: str = "") -> str:
    """Lay out imports: the standard library, packages, the application's own; a blank line between.

    Args:
        uses: As `Code.uses`.
        own: What the module `.` is called; without it such names are at hand.
    """
    wholes: set[str] = set()
    names: dict[str, set[str]] = defaultdict(set)
    for module, name in uses:
        if not name:
            wholes.add(module)
        elif module != "." or own:
            names[own if module == "." else module].add(name)
    sections: list[list[str]] = [[], [], []]
    for whole in sorted(wholes):
        sections[_section(whole)].append(f"import {whole}")
    for module in sorted(names):
        sections[_section(module)].append(_from(module, sorted(names[module], key=_order)))
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def _section(module: str) -> int:
    top = module.split(" ")[0].partition(".")[0]
    return 0 if top in sys.stdlib_module_names else 2 if top in _OURS else 1


def _from(module: str, names: Sequence[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"


def _order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions: as ruff sorts the names of one import."""
    constant = name.isupper() and len(name) > 1
    return (0 if constant else 1 if name[:1].isupper() else 2), name
