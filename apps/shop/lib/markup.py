"""HTML out of templates and values, in which no value can become markup. Pure."""

from collections.abc import Iterable
from html import escape
from string import Formatter
from typing import LiteralString


class Html(str):
    """Text that is markup already; only `html` and `joined` make it."""

    __slots__ = ()


class _Escaping(Formatter):
    def format_field(self, value: object, format_spec: str) -> str:
        return value if isinstance(value, Html) else escape(format(value, format_spec))


def html(template: LiteralString, /, **values: object) -> Html:
    """Fill a template: `html("<b>{name}</b>", name=name)`.

    Args:
        template: Written in the source, never put together from what came from outside.
        values: Escaped, in text as well as between quotes; what is `Html` goes in as it is.
    """
    return Html(_Escaping().vformat(template, (), values))


def joined(parts: Iterable[Html]) -> Html:
    """Put pieces of markup one after another."""
    return Html("".join(parts))
