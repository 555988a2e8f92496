"""From a raw table of the configuration to a typed Struct, with every fault told at once.

`Source` knows where each key was written and which values must not be shown. `Reading` collects
findings while `struct` checks a table key by key; `finish` raises them as one StartRefused.
Invariant: a value that came from the environment, or whose key looks secret, is in no message.
Used by `config.py` alone.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, TypeGuard, TypeVar, Union, get_args, get_origin

import msgspec

from ringfence.errors import Finding, StartRefused
from ringfence.redaction import Redactor
from ringfence.settings import Seconds, Secret, looks_secret

S = TypeVar("S", bound=msgspec.Struct)
Key = tuple[str | int, ...]  # an integer is an index into a list

# A message hides more than a log does: nothing is lost by it.
_SECRET_KEY = re.compile(r"passw|token|secret|key|credential", re.IGNORECASE)
_LISTS = (list, tuple, set, frozenset, Sequence)
_TABLES = (dict, Mapping, MutableMapping)
_PLAIN = (list, tuple, set, frozenset)
_TYPELESS = (TypeError, NotImplementedError, RecursionError)
_PIECE = 4  # so many characters of a secret, and a message is not shown
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Place(msgspec.Struct, frozen=True):
    """Where a key was written; `private` when its value came from the environment."""

    file: str
    line: int = 0
    private: bool = False


class Source(msgspec.Struct, frozen=True):
    """Where the keys of a configuration come from, and what of their values is secret."""

    root: Path
    file: str
    places: Mapping[tuple[str, ...], Place] = {}
    redactor: Redactor = msgspec.field(default_factory=Redactor)

    def place(self, key: Key) -> Place:
        """Return the place of `key`, or of the nearest table around it that was written."""
        names = _names(key)
        for length in range(len(names), 0, -1):
            if found := self.places.get(names[:length]):
                return found
        return Place(self.file)

    def is_private(self, key: Key) -> bool:
        """Whether the value of `key` must not be shown."""
        names = _names(key)[1:]
        if any(map(_SECRET_KEY.search, names)) or any(map(looks_secret, names[1:])):
            return True
        return self.from_environment(key)

    def from_environment(self, key: Key) -> bool:
        """Whether a value at or below `key` was substituted from the environment."""
        names = _names(key)
        return any(
            place.private and written[: len(names)] == names
            for written, place in self.places.items()
        )


class Reading:
    """One attempt to understand a configuration; gathers what is wrong with it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.findings: list[Finding] = []

    def refuse(self, rule: str, key: Key, message: str, fix: str = "") -> None:
        """Record one fault at the place of `key`."""
        place = self.source.place(key)
        text = f"{dotted(key)}: {message}" if key else message
        self.findings.append(Finding(place.file, place.line, f"config-{rule}", text, fix))

    def unknown(self, key: Key, known: Iterable[str]) -> None:
        """Record a key that nothing reads, with the one that was probably meant."""
        names = sorted(known)
        expected = f"expected one of {', '.join(names)}" if names else "expected none here"
        close = difflib.get_close_matches(str(key[-1]), names, n=1)
        fix = f"did you mean `{close[0]}`?" if close else ""
        self.refuse("unknown-key", key, f"unknown key; {expected}", fix)

    def table(self, value: object, key: Key) -> dict[str, object]:
        """Return `value` if it is a table, otherwise record that and return an empty one."""
        if isinstance(value, Mapping):
            return {str(name): inner for name, inner in value.items()}
        if value is not None:
            self.refuse("wrong-type", key, f"wrong type; expected a table, got {_kind(value)}")
        return {}

    def struct(
        self, table: Mapping[str, object], into: type[S], key: Key, also: Collection[str] = ()
    ) -> S | None:
        """Check `table` against `into`; return None once anything is wrong with it.

        Args:
            also: Names that something else reads of the same table.
        """
        before = len(self.findings)
        fields = {field.encode_name: field for field in msgspec.structs.fields(into)}
        for name in sorted(table.keys() - fields.keys() - set(also)):
            self.unknown((*key, name), {*fields, *also})
        values: dict[str, object] = {}
        for name, field in fields.items():
            if name in table:
                values[field.name] = self.value(table[name], field.type, (*key, name))
            elif field.required:
                self._missing((*key, name), field.type)
        if len(self.findings) > before:
            return None
        try:
            values |= {f.name: self._default(f) for n, f in fields.items() if n not in table}
            return into(**values)
        except Exception as error:  # the author's code: a default, or a `__post_init__`
            self.refuse("wrong-value", key, f"{into.__name__} {self._reason(error, table, key)}")
            return None

    def value(self, value: object, annotation: object, key: Key) -> object:
        """Check one value, into tables and lists of tables as deep as the types are known."""
        annotation = _present(annotation) if value is not None else annotation
        before = len(self.findings)
        bare = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
        if _is_struct(bare) and isinstance(value, Mapping):
            value = self.struct(self.table(value, key), bare, key)
        elif _is_list(bare) and isinstance(value, list):
            value = [self.value(v, get_args(bare)[0], (*key, i)) for i, v in enumerate(value)]
        elif get_origin(bare) in _TABLES and isinstance(value, Mapping):
            inner = get_args(bare)[1]
            value = {n: self.value(v, inner, (*key, n)) for n, v in self.table(value, key).items()}
        if len(self.findings) > before:
            return None
        return self._leaf(value, annotation, key)

    def finish(self, subject: str) -> None:
        """Raise what was found, if anything was.

        Raises:
            StartRefused: Carries every finding, sorted by place.
        """
        if not self.findings:
            return
        count = len(self.findings)
        message = f"{subject}: {count} fault{'s' if count > 1 else ''} in its configuration."
        raise StartRefused(message, findings=sorted(self.findings))

    def _leaf(self, value: object, annotation: object, key: Key) -> object:
        try:
            # Text is all that the environment has: "8000" is a number there, and only there.
            strict = not self.source.from_environment(key)
            made = msgspec.convert(
                value, annotation, strict=strict, dec_hook=self._custom, str_keys=True
            )
            return self._rooted(made)
        except msgspec.ValidationError as error:
            self._wrong(value, annotation, key, str(error))
        except Exception as error:  # the author's code, or a type that msgspec does not know
            what = "cannot be configured" if isinstance(error, _TYPELESS) else "fails on it"
            told = self._told(error, {"": value}, key)
            self.refuse("wrong-type", key, f"its type {what}: {told}")
        return None

    def _default(self, field: msgspec.structs.FieldInfo) -> object:
        default = field.default
        if default is msgspec.NODEFAULT:
            default = field.default_factory()
        self.source.redactor.learn(default, field.encode_name)
        return self._rooted(default)

    def _rooted(self, value: object) -> object:
        """Return `value` with every relative path in it made one in the application's folder."""
        match value:
            case Path():
                return self.source.root / value
            case msgspec.Struct():
                fields = {name: getattr(value, name) for name in value.__struct_fields__}
                moved = {n: new for n, old in fields.items() if (new := self._rooted(old)) != old}
                return msgspec.structs.replace(value, **moved) if moved else value
            case list() | tuple() | set() | frozenset() if type(value) in _PLAIN:
                return type(value)(map(self._rooted, value))
            case dict():
                return {name: self._rooted(item) for name, item in value.items()}
        return value

    def _custom(self, annotation: type, value: object) -> object:
        if isinstance(value, annotation):
            self.source.redactor.learn(value)
            return value
        if annotation is Seconds:
            return Seconds.parse(value)
        if annotation is Secret or annotation is Path:
            if not isinstance(value, str):
                raise ValueError(f"Expected `str`, got `{_kind(value)}`")
            if annotation is Path:
                return Path(value)
            self.source.redactor.learn(Secret(value))
            return Secret(value)
        raise NotImplementedError(annotation.__name__)

    def _reason(self, error: Exception, table: Mapping[str, object], key: Key) -> str:
        if isinstance(error, TypeError | ValueError):
            return f"refuses it: {self._told(error, table, key)}"
        said = self._told(error, table, key)
        return f"fails on it, expected no error but ValueError: {type(error).__name__}: {said}"

    def _told(self, error: Exception, table: Mapping[str, object], key: Key) -> str:
        """Return what an error says, unless it holds a part of a value that must not be shown."""
        try:
            told = str(error)
        except Exception:  # the author's code: what cannot be told is not shown
            return "it does not say why"
        private = {
            n: v for n, v in table.items() if self.source.is_private((*key, n) if n else key)
        }
        shown = self.source.redactor(told) == told and not any(
            _is_part(text, told) for value in private.values() for text in _texts(value)
        )
        return told if shown else "the reason may hold a secret and is not shown"

    def _missing(self, key: Key, annotation: object) -> None:
        expected = expectation(annotation)
        value = f'"${{{_variable(key)}}}"' if _holds_secret(annotation) else "…"
        fix = f"add `{key[-1]} = {value}` under [{dotted(key[:-1])}]"
        self.refuse("missing-key", key, f"missing; expected {expected}, got nothing", fix)

    def _wrong(self, value: object, annotation: object, key: Key, reason: str) -> None:
        stated, _, nested = reason.replace("`", "").partition(" - at $")
        if not stated.startswith("Expected ") or get_origin(annotation) is Literal:
            stated = f"Expected {expectation(annotation)}"
        shown = not self.source.is_private(key) and not _holds_secret(annotation)
        if not nested:
            scalar = isinstance(value, str | int | float)
            got = f"{value!r:.80}" if shown and scalar else _kind(value)
            stated = f"{stated.partition(', got ')[0]}, got {got}"
        fix = _closest(value, annotation) if shown else ""
        where = f" at {nested.lstrip('.')}" if nested else ""
        self.refuse("wrong-value", key, f"wrong value{where}; e{stated[1:]}", fix)


def dotted(key: Key) -> str:
    """Return `key` as TOML writes it."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _BARE.fullmatch(part) else msgspec.json.encode(part).decode()
            text += f".{name}" if text else name
    return text


def expectation(annotation: object) -> str:
    """Return what a person should write for a value of this type."""
    if get_origin(annotation) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(annotation))
    present = _present(annotation)
    if present is not annotation:
        return expectation(present)
    if get_origin(annotation) is Annotated:
        return expectation(get_args(annotation)[0])
    if _is_enum(annotation):
        return " or ".join(msgspec.json.encode(v).decode() for v in _values(annotation))
    if isinstance(annotation, type):
        names = {Secret: "str, kept secret", Seconds: 'seconds such as 30 or "30s"', Path: "a path"}
        return names.get(annotation, annotation.__name__)
    return str(annotation).replace("typing.", "")


def _present(annotation: object) -> object:
    """Return T for `T | None`, and anything else as it is."""
    if get_origin(annotation) in (Union, UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        if len(options) == 1:
            return options[0]
    return annotation


def _is_struct(annotation: object) -> TypeGuard[type[msgspec.Struct]]:
    """Whether it is a Struct whose fields are all that its table has: of one with a tag, msgspec
    alone knows what the table may be."""
    if not isinstance(annotation, type) or not issubclass(annotation, msgspec.Struct):
        return False
    return annotation.__struct_config__.tag is None


def _is_list(annotation: object) -> bool:
    """Whether it is a collection whose items are all of one type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    return origin in _LISTS and (origin is not tuple or arguments[1:] == (...,))


def _is_enum(annotation: object) -> TypeGuard[type[Enum]]:
    return isinstance(annotation, type) and issubclass(annotation, Enum)


def _values(enum: type[Enum]) -> list[object]:
    return [member.value for member in enum]


def _holds_secret(annotation: object) -> bool:
    return annotation is Secret or any(map(_holds_secret, get_args(annotation)))


def _texts(value: object) -> Iterator[str]:
    """Yield every text and number in a value, as it may be quoted."""
    match value:
        case Mapping():
            for name, item in value.items():
                yield str(name)
                yield from _texts(item)
        case list() | tuple():
            for item in value:
                yield from _texts(item)
        case Secret():
            yield value.reveal()
        case str() | int() | float():
            yield str(value)


def _is_part(text: str, told: str) -> bool:
    """Whether a piece of `text` is in what is told; a short text counts as a whole."""
    size = min(len(text), _PIECE)
    return any(text[i : i + size] in told for i in range(len(text) - size + 1)) if size else False


def _closest(value: object, annotation: object) -> str:
    written = _values(annotation) if _is_enum(annotation) else get_args(annotation)
    choices = [choice for choice in written if isinstance(choice, str)]
    close = difflib.get_close_matches(str(value), choices, n=1)
    return f'did you mean "{close[0]}"?' if close else ""


def _names(key: Key) -> tuple[str, ...]:
    return tuple(part for part in key if isinstance(part, str))


def _kind(value: object) -> str:
    return "a table" if isinstance(value, Mapping) else type(value).__name__


def _variable(key: Key) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", "_".join(_names(key)[1:]).upper())
