"""From any value to what is kept of it: plain, bounded, and with its secrets masked.

`Values` is made for one application. Invariant: nothing here raises but through `str` of a message,
no value is looked at beyond its bound, and what a value does when it is looked at costs that value
alone. Used by `service.py` and `standard.py`.
"""

import traceback
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import cast

from msgspec import Struct, to_builtins

from ringfence.contracts.payload import adapter_of, carry_out
from ringfence.settings import HIDDEN, looks_secret

MESSAGE_CHARACTERS = 8192
FIELD_CHARACTERS = 4096
TRACEBACK_CHARACTERS = 32_768
_FIELDS = 100
_NAMES = 1000
_DEPTH = 8
_SECRET_CHARACTERS = 4096  # no secret is longer, or it is cut in two before it is looked for


class Values:
    """Makes plain values.

    Args:
        redact: Masks the secrets in a text.
        hidden: Names of fields that are masked beside those that look secret.
    """

    def __init__(self, redact: Callable[[str], str], hidden: Collection[str] = ()) -> None:
        self._redact = redact
        self._hidden = frozenset(map(_same, hidden))
        self._names: dict[str, _Name] = {}

    def fields(self, given: Mapping[str, object]) -> dict[str, object]:
        """Return the fields of a record, at most a hundred of them."""
        kept: dict[str, object] = {}
        for name, value in given.items():
            if len(kept) == _FIELDS:
                kept["…"] = f"({len(given)} fields)"
                break
            known = self.name(name)
            kept[known.shown] = self.field(known, value)
        return kept

    def field(self, name: "_Name", value: object) -> object:
        """Return what is kept of one field."""
        if value is None or type(value) is bool:
            return value
        if name.is_hidden:
            return HIDDEN
        if type(value) is str:
            return self.text(value, FIELD_CHARACTERS)
        if type(value) is int and value.bit_length() < 64:
            return value
        return _Room(self).plain(value)

    def is_hidden(self, name: str) -> bool:
        """Whether what is called so is masked whatever it is."""
        return looks_secret(name) or (bool(self._hidden) and _same(name) in self._hidden)

    def text(self, text: str, limit: int) -> str:
        """Return a text with its secrets masked, cut at its limit, and fit to be encoded."""
        if len(text) <= limit:
            masked = self._redact(text)
            return masked if masked.isascii() else _encodable(masked)
        known = text[: limit + 2 * _SECRET_CHARACTERS]
        masked = self._redact(known)
        if len(known) < len(text):  # a secret that was cut in two is in what is left out
            masked = masked[:-_SECRET_CHARACTERS]
        return _encodable(f"{masked[:limit]}… ({len(text)} characters)")

    def error(self, error: BaseException) -> str:
        """Return the kind of an error and what it says."""
        kind = type(error).__name__
        try:
            said = str(error)
        except Exception:  # the author's code: its kind is what is known
            return f"<{kind}>"
        return self.text(f"{kind}: {said}" if said else kind, FIELD_CHARACTERS)

    def holds_secret(self, error: BaseException) -> bool:
        """Whether something in an error, or in what led to it, has to be masked."""
        text = "".join(traceback.format_exception(error))
        return self._redact(text) != text

    def trace(self, error: BaseException) -> str:
        """Return where an error was raised and what led to it; nothing of one that never was. Of
        a long one the end is kept, which says most."""
        if error.__traceback__ is None and error.__cause__ is None:
            return ""
        text = self._redact("".join(traceback.format_exception(error)).rstrip())
        cut = f"… ({len(text)} characters)\n" if len(text) > TRACEBACK_CHARACTERS else ""
        return _encodable(cut + text[-TRACEBACK_CHARACTERS:])

    def name(self, name: str) -> "_Name":
        """Return what is known of a field's name."""
        known = self._names.get(name)
        if known is not None:
            return known
        known = _Name(self.text(name, MESSAGE_CHARACTERS), self.is_hidden(name))
        if len(self._names) < _NAMES and len(name) < _NAMES:  # those of a program are few
            self._names[name] = known
        return known


class _Name(Struct, frozen=True):
    """What is known of a field's name."""

    shown: str
    is_hidden: bool


class _Room:
    """What one field may take up: so many characters, whatever it is made of."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._left = FIELD_CHARACTERS
        self._above: list[int] = []

    def plain(self, value: object) -> object:
        try:
            return self._plain(value)
        except Exception:  # whatever a value does when it is looked at, the rest is recorded
            return f"<{type(value).__name__}>"

    def _plain(self, value: object) -> object:
        self._left -= 8
        if type(value) is str:
            return self._text(value)
        match value:
            case None | bool():
                return value
            case Enum():
                return self.plain(value.value)
            case str():
                return self._text(str.__str__(value))
            case int():
                return int(value) if value.bit_length() < 64 else self._text(str(int(value)))
            case float():
                return float(value)
            case bytes() | bytearray() | memoryview():
                return f"<{len(value)} bytes>"
            case BaseException():
                return self._text(self._values.error(value))
        items = _items(value)
        if items is None:
            plain: object = to_builtins(value, enc_hook=str)
            return self._text(plain) if isinstance(plain, str) else plain
        if id(value) in self._above or len(self._above) == _DEPTH:
            return f"<{type(value).__name__}>"
        self._above.append(id(value))
        try:
            return self._kept(value, items)
        finally:
            self._above.pop()

    def _kept(self, value: object, items: Iterable[object]) -> object:
        if not isinstance(value, list | tuple | Set | deque):
            return self._table(items)
        kept: list[object] = []
        for item in items:
            if self._left <= 0:
                return [*kept, f"… ({len(value)} items)"]
            kept.append(self.plain(item))
        return kept

    def _table(self, items: Iterable[object]) -> dict[str, object]:
        kept: dict[str, object] = {}
        for item in items:
            if self._left <= 0:
                return {**kept, "…": "and more"}
            assert isinstance(item, tuple)
            name, value = self._values.name(str(item[0])), item[1]
            self._left -= len(name.shown)
            shown = value is None or type(value) is bool or not name.is_hidden
            kept[name.shown] = self.plain(value) if shown else HIDDEN
        return kept

    def _text(self, text: str) -> str:
        kept = self._values.text(text, max(self._left, 16))
        self._left -= len(kept)
        return kept


def _items(value: object) -> Iterable[object] | None:
    """Return what a collection or a record consists of; None for anything else."""
    if type(value) is dict:  # the usual ones first: the others are asked by abstract classes
        return value.items()
    if type(value) in (list, tuple):
        return cast("Iterable[object]", value)
    match value:
        case Mapping():
            return value.items()
        case list() | tuple() | Set() | deque():
            return value
        case Struct():
            names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
            return _attributes(value, names)
        case type():
            return None
    if is_dataclass(value):
        return _attributes(value, ((field.name, field.name) for field in fields(value)))
    if adapter_of(type(value)) is not None:
        carried = carry_out(value)
        return carried.items() if isinstance(carried, Mapping) else None
    return None


def _attributes(value: object, names: Iterable[tuple[str, str]]) -> Iterator[object]:
    return ((shown, getattr(value, name)) for shown, name in names)


def _encodable(text: str) -> str:
    """Return a text in which halves of surrogate pairs are spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _same(name: str) -> str:
    """Return one spelling for `card_number`, `card-number` and `Card-Number`."""
    return name.lower().replace("-", "_")
