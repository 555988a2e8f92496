"""What is printed, and how: the one place that writes to the terminal.

Invariant: text passes `printable` line by line, so whatever comes from outside stays text; colours
are added here afterwards, and only for a terminal.
"""

import json
import re
import sys
from typing import Literal

import click
import msgspec

from ringfence.config import wants_colour
from ringfence.settings import hide
from ringfence.tools.log.lines import printable, printable_json

Tone = Literal["good", "bad", "warn", "dim", "bold", ""]

_PLAIN: Tone = ""
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Style(msgspec.Struct, frozen=True):
    colour: str | None = None
    bold: bool | None = None
    dim: bool | None = None


_STYLES: dict[Tone, _Style] = {
    "good": _Style("green"),
    "bad": _Style("red", bold=True),
    "warn": _Style("yellow"),
    "dim": _Style(dim=True),
    "bold": _Style(bold=True),
    "": _Style(),
}


def say(*parts: str | tuple[str, Tone]) -> None:
    """Print one line; a part may be given as text and tone."""
    colour = wants_colour(sys.stdout)
    click.echo("".join(_shown(part, colour) for part in parts), color=colour)


def say_json(value: object, *, indent: int = 0) -> None:
    """Print a value as JSON: on one line, or indented for people."""
    try:
        encoded = msgspec.json.encode(value, enc_hook=hide)
    except UnicodeEncodeError:  # the name of a file that is no text, say
        text = json.dumps(msgspec.to_builtins(value, enc_hook=hide), ensure_ascii=False)
        encoded = _SURROGATE.sub(lambda half: f"\\\\u{ord(half[0]):04x}", text).encode()
    click.echo(printable_json(msgspec.json.format(encoded, indent=indent)))


def say_text(text: str) -> None:
    """Print a text of our own as it is: a script, for a shell to read."""
    click.echo(text.rstrip("\n"))


def complain(message: str, *, plain: bool = False) -> None:
    """Print a paragraph on standard error."""
    colour = wants_colour(sys.stderr)
    head = "" if plain else _shown(("error: ", "bad"), colour)
    body = "\n".join(printable(line) for line in message.split("\n"))
    click.echo(head + body, err=True, color=colour)


def _shown(part: str | tuple[str, Tone], colour: bool) -> str:
    text, tone = (part, _PLAIN) if isinstance(part, str) else part
    text = printable(text)
    style = _STYLES[tone]
    return click.style(text, fg=style.colour, bold=style.bold, dim=style.dim) if colour else text
