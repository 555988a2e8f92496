"""One document from the files of a configuration: read, laid over one another, filled in.

`read` parses a TOML file and notes where each key stands; `lay` merges one document over another;
`fill` puts the environment's values in. Faults go to a `Reading`; nothing is raised. Used by
`config.py` alone, which hands in the lookup of variables: nothing here reads the environment.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import msgspec

from ringfence.errors import Finding
from ringfence.tables import Key, Place, Reading

Raw = dict[str, object]
Lookup = Callable[[str], str | None]
Places = dict[tuple[str, ...], Place]

OVERRIDES = "(command line or test)"

_DEPTH = 32  # far beyond what anyone writes, far below what recursion can take
_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
# A variable ends at its first brace: with another one in the default it would end too early.
_VARIABLE_BODY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-([^{]*))?", re.DOTALL)
_FILE_BODY = re.compile(r"file:(?!-)\s*(\S.*)", re.DOTALL)
_FILE_BYTES = 1 << 20  # what Kubernetes allows a secret
_WORD = re.compile(r"[A-Za-z]\w*")
_TOML_PLACE = re.compile(r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)
_NAME = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_NAMES = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_HEADER_OR_KEY = re.compile(rf"\s*(?:\[\[?\s*({_NAMES})\s*\]|({_NAMES})\s*=)")


def read(path: Path, reading: Reading, places: Places) -> Raw:
    """Parse one file; a missing one is empty."""
    text = ""
    try:
        text = path.read_bytes().decode()
        document = tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except OSError as error:
        _unreadable(reading, path.name, 0, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        _unreadable(reading, path.name, 0, f"expected UTF-8, got byte {error.start} that is not")
    except RecursionError:
        _unreadable(reading, path.name, 0, f"nested too deeply; expected {_DEPTH} levels")
    except tomllib.TOMLDecodeError as error:
        match = _TOML_PLACE.match(str(error))
        what, line, column = match.groups() if match else (str(error), None, None)
        line = line or str(text.count("\n") + 1)
        where = f"line {line}, column {column}" if column else "its end"
        said = f"bad TOML at {where}: {what}"
        _unreadable(reading, path.name, int(line), said, _meant(text, line, column))
    else:
        if _is_deep(document):
            _unreadable(reading, path.name, 0, f"nested too deeply; expected {_DEPTH} levels")
            return {}
        places.update((key, Place(path.name, line)) for key, line in _lines(text))
        return document
    return {}


def _unreadable(reading: Reading, file: str, line: int, message: str, fix: str = "") -> None:
    reading.findings.append(Finding(file, line, "config-unreadable", f"{file}: {message}", fix))


def _meant(text: str, line: str, column: str | None) -> str:
    """Say what to write where a word stands that is no value of TOML, or else in general.

    The word itself is not shown: it may be a secret.
    """
    lines = text.split("\n")
    rest = lines[int(line) - 1][int(column) - 1 :] if column and int(line) <= len(lines) else ""
    word = _WORD.match(rest)
    if word is None:
        return "correct it there; text stands in quotes"
    if word[0].lower() in ("true", "false"):
        return f"write {word[0].lower()} in small letters"
    if word[0].lower() in ("none", "null"):
        return "leave the key out: TOML has no empty value"
    return "write text in quotes"


def _is_deep(document: Raw) -> bool:
    level: list[object] = [document]
    for _ in range(_DEPTH):
        tables = [node.values() for node in level if isinstance(node, dict)]
        lists = [node for node in level if isinstance(node, list)]
        level = list(chain.from_iterable([*tables, *lists]))
    return bool(level)


def _lines(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield each key that starts a line; near enough for a message, it decides nothing."""
    table: tuple[str, ...] = ()
    seen: set[tuple[str, ...]] = set()
    for number, line in enumerate(text.splitlines(), 1):
        if match := _HEADER_OR_KEY.match(line):
            header, key = match.groups()
            names = tuple(name.strip("\"'") for name in re.findall(_NAME, header or key))
            table = names if header else table
            names = names if header else (*table, *names)
            # `[tools.db]` is where `tools` is written as well, if nothing before it was.
            parts = {names[:length] for length in range(1, len(names) + 1)}
            yield from ((part, number) for part in parts - seen)
            seen |= parts


def lay(under: Raw, over: Mapping[str, object]) -> None:
    """Merge `over` into `under`: tables key by key, anything else as a whole."""
    for key, value in over.items():
        mine = under.get(key)
        if isinstance(value, Mapping):
            merged: Raw = dict(mine) if isinstance(mine, Mapping) else {}
            lay(merged, value)
            under[key] = merged
        else:
            under[key] = value


def keys(table: Mapping[str, object], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the key of each value in `table`."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from keys(value, (*above, str(key)))
        else:
            yield (*above, str(key))


def fill(
    value: object, key: tuple[str, ...], reading: Reading, places: Places, lookup: Lookup
) -> object:
    """Replace `${NAME}`, `${NAME:-default}` and `${file:PATH}` in every text; `$${` is `${`.

    What is filled in is noted as private in `places`; overrides are taken as they are.
    """
    if isinstance(value, Mapping):
        return {
            str(name): fill(item, (*key, str(name)), reading, places, lookup)
            for name, item in value.items()
        }
    place = reading.source.place(key)
    if place.file == OVERRIDES:
        return value
    if isinstance(value, list):
        return [fill(item, key, reading, places, lookup) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replaced(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        places[key] = msgspec.structs.replace(place, private=True)
        found = _variable(match, key, reading, lookup)
        # Of "Bearer ${TOKEN}" the token alone is a secret as well.
        reading.source.redactor.learn(found, key[-1])
        return found

    return _VARIABLE.sub(replaced, value)


def _variable(match: re.Match[str], key: Key, reading: Reading, lookup: Lookup) -> str:
    if (file := _FILE_BODY.fullmatch(match[1] or "")) and match[0].endswith("}"):
        return _content(file[1], key, reading)
    body = _VARIABLE_BODY.fullmatch(match[1] or "")
    if body is None or not match[0].endswith("}"):
        message = "bad variable; expected ${NAME}, ${NAME:-default} or ${file:PATH}, got neither"
        reading.refuse("bad-variable", key, message, "write $${ for a literal ${")
        return ""
    name, default = body.groups()
    value = lookup(name)
    if default is not None:
        return value or default
    if value is None:
        message = f"environment variable {name} is missing; expected a value, got nothing"
        reading.refuse("missing-variable", key, message, f"set {name}, or write ${{{name}:-…}}")
    return value or ""


def _content(name: str, key: Key, reading: Reading) -> str:
    """Return what stands in a file, without the line break at its end."""
    try:
        with (reading.source.root / name).open("rb") as file:
            content = file.read(_FILE_BYTES + 1)
        if len(content) <= _FILE_BYTES:
            return content.decode().removesuffix("\n").removesuffix("\r")
        message = f"{name} is too long; expected at most {_FILE_BYTES >> 20} MiB, got more"
    except UnicodeDecodeError as error:
        message = f"{name} is no text; expected UTF-8, got byte {error.start} that is not"
    except (OSError, ValueError) as error:  # a name with a NUL in it is a ValueError
        said = error.strerror if isinstance(error, OSError) else error
        message = f"{name} cannot be read; expected a file, got: {said}"
    reading.refuse("missing-file", key, message, "write the secret there, or name another file")
    return ""
