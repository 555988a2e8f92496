"""How the code that is written looks: imports in order, brackets that break as ruff breaks them.

`bracketed` and `imports` give what `ruff format` and its sorting of imports leave as it is, within
100 characters a line.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct

WIDTH = 100
_OURS = ("domains", "lib", "ringfence", "tools")  # as `known-first-party` of pyproject.toml


class Code(Struct, frozen=True):
    """A piece of code, and what it needs: pairs of module and name. A module `.` is the feature's
    own; a name `` imports the module, `datetime as dt`."""

    text: str
    uses: frozenset[tuple[str, str]] = frozenset()
    frame: "Frame | None" = None  # how it breaks, if it can

    def __str__(self) -> str:
        return self.text


class Frame(Struct, frozen=True):
    """What `bracketed` takes: a call, a list, whose items may break in turn."""

    head: str
    items: tuple[Code, ...]
    tail: str


def framed(head: str, items: Sequence[Code], tail: str) -> Code:
    """Return a call, a list or a tuple, laid out where it is put in."""
    uses = frozenset(use for item in items for use in item.uses)
    frame = Frame(head, tuple(items), tail)
    return Code(f"{head}{', '.join(map(str, items))}{tail}", uses, frame)


def after(head: str, value: Code) -> Code:
    """Return a value behind something: `name=value`, `return value`."""
    frame = value.frame and Frame(head + value.frame.head, value.frame.items, value.frame.tail)
    return Code(f"{head}{value}", value.uses, frame)


def quoted(text: str) -> str:
    """Return a text as Python writes it, in double quotes where they need no escape."""
    plain = repr(text)
    return f'"{plain[1:-1]}"' if plain[0] == "'" and '"' not in text else plain


def bracketed(
    head: str, items: Sequence[str | Code], tail: str, indent: int = 0, width: int = WIDTH
) -> str:
    """Lay out `head`, which ends in an opening bracket, items, and `tail`, which closes it."""
    pad, inner = " " * indent, " " * (indent + 4)
    listed = ", ".join(map(str, items))
    if len(f"{pad}{head}{listed}{tail}") <= width or not items:
        return f"{pad}{head}{listed}{tail}"
    if len(f"{inner}{listed}") <= width:
        return f"{pad}{head}\n{inner}{listed}\n{pad}{tail}"
    lines = "".join(f"{laid(item, ',', indent + 4, width)}\n" for item in items)
    return f"{pad}{head}\n{lines}{pad}{tail}"


def laid(item: str | Code, tail: str, indent: int = 0, width: int = WIDTH) -> str:
    """Lay out a piece of code, and what stands behind it."""
    frame = item.frame if isinstance(item, Code) else None
    if frame is None:
        return f"{' ' * indent}{item}{tail}"
    return bracketed(frame.head, frame.items, f"{frame.tail}{tail}", indent, width)


def imports(uses: Iterable[tuple[str, str]], own: str = "") -> str:
    """Lay out imports: the standard library, packages, Ringfence and what is the application's own.

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
        sections[_section(module)].append(_from(module, sorted(names[module], key=order)))
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def _section(module: str) -> int:
    top = module.split(" ")[0].partition(".")[0]
    return 0 if top in sys.stdlib_module_names else 2 if top in _OURS else 1


def _from(module: str, names: Sequence[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"


def order(name: str) -> tuple[int, str, str]:
    """Constants, then classes, then functions: as ruff sorts the names of one import."""
    constant = name.isupper() and len(name) > 1
    return (0 if constant else 1 if name[:1].isupper() else 2), name.lower(), name
