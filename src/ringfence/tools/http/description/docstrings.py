"""What a method's docstring says to whoever calls it over HTTP.

`read` takes it apart: the first line is the summary; the sections `Args`, `Returns` and `Raises`
go to what they describe; `Deprecated: why` and `Example: {...}` (or `Examples:`, several in turn)
stand on lines of their own; all else is the description. Any text is read; none raises.
"""

import re
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from json import JSONDecodeError, JSONDecoder

from msgspec import Struct

_HEADING = re.compile(r"(Args|Returns|Raises|Examples?|Deprecated):(?:\s+(.*))?$")
_ITEM = re.compile(r"\*{0,2}(\w+)(?: \([^)]*\))?:\s+(.*)$")
_JSON = re.compile(r"[\[{\"\d-]|true\b|false\b|null\b")


class Example(Struct, frozen=True):
    """A value that a caller might send; `wrong` says why it is not JSON."""

    value: object = None
    wrong: str = ""


class Doc(Struct, frozen=True):
    """A docstring in its parts; what it does not say is empty."""

    summary: str = ""
    description: str = ""
    args: Mapping[str, str] = {}
    returns: str = ""
    raises: Mapping[str, str] = {}
    examples: tuple[Example, ...] = ()
    deprecated: str | None = None


def read(text: str) -> Doc:
    """Take a docstring apart."""
    text = cleandoc(text).strip()
    summary, _, rest = text.partition("\n")
    heading = _HEADING.match(summary)
    prose: list[str] = []
    parts: dict[str, str] = {}
    examples: list[Example] = []
    for name, content in _sections(text if heading else rest):
        if name.startswith("Example") and _JSON.match(content):
            examples += _examples(content)
        elif name and not name.startswith("Example"):
            parts[name] = f"{parts[name]}\n{content}" if name in parts else content
        else:
            prose.append(f"{name}: {content}" if name else content)
    return Doc(
        summary="" if heading else summary,
        description="\n".join(prose).strip(),
        args=_items(parts.get("Args", "")),
        returns=" ".join(parts.get("Returns", "").split()),
        raises=_items(parts.get("Raises", "")),
        examples=tuple(examples),
        deprecated=" ".join(parts["Deprecated"].split()) if "Deprecated" in parts else None,
    )


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """The sections of a text in turn, by name; those without a name are prose."""
    name, lines = "", list[str]()
    for line in text.split("\n"):
        heading = _HEADING.match(line)
        if heading is not None or (name and line and not line[0].isspace()):
            yield name, "\n".join(lines).strip() if name else "\n".join(lines)
            name, lines = "", []
        if heading is not None:
            name, lines = heading[1], [heading[2] or ""]
        else:
            lines.append(line.strip() if name else line)
    yield name, "\n".join(lines).strip() if name else "\n".join(lines)


def _items(text: str) -> dict[str, str]:
    """`name: what it is`, the following lines up to the next name with it."""
    found: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        item = _ITEM.match(line)
        if item is not None:
            name, line = item[1], item[2]
        if name and line:
            found[name] = f"{found[name]} {line}" if name in found else line
    return found


def _examples(text: str) -> Iterator[Example]:
    """The JSON values that a text is made of, up to the first that is none."""
    at = 0
    while at < len(text):
        try:
            value, at = JSONDecoder().raw_decode(text, at)
        except (JSONDecodeError, RecursionError) as error:
            yield Example(wrong=str(error))
            return
        yield Example(value)
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
