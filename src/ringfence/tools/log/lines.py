"""From a record to what is written: a line of JSON, or a line for a person.

`printable` and `printable_json` make text from outside safe for a terminal; the command line uses
them as well.
Invariant: nothing that came in starts a line, or tells a terminal anything.
"""

import re

from msgspec import json

from ringfence.tools.log.contract import Level, Record

_BIDI = [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C]
_UNSAFE = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *_BIDI]
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPES = {
    code: _SHORT.get(chr(code), f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
    for code in _UNSAFE
}
# In JSON all of these stand inside a string, where this is the same character, spelled out; a line
# break stands outside of one only.
_JSON_ESCAPES = {code: f"\\u{code:04x}" for code in _UNSAFE if code != ord("\n")}
_SURROGATE = re.compile("[\ud800-\udfff]")
_BARE = re.compile(r"[\w.:/@+-]+")

_DIM = "\x1b[2m"
_RESET = "\x1b[0m"
_COLOURS: dict[Level, str] = {
    "debug": "\x1b[2m",
    "info": "\x1b[32m",
    "warning": "\x1b[33m",
    "error": "\x1b[1;31m",
}


def printable(text: str) -> str:
    """Return `text` with what a terminal would obey spelled out: `\\x1b]0;` and the like."""
    if text.isprintable():
        return text
    text = text.translate(_ESCAPES)
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def printable_json(encoded: bytes) -> str:
    """Return JSON that says the same and that a terminal takes for text."""
    return encoded.decode().translate(_JSON_ESCAPES)


def json_line(record: Record) -> str:
    """Return the record as one line of JSON, empty values left out."""
    return printable_json(json.encode(record)) + "\n"


def text_line(record: Record, *, colour: bool) -> str:
    """Return the record for a person: one line, and those of its traceback, indented."""
    time = record.time.isoformat(timespec="milliseconds")
    level = f"{record.level.upper():<7}"
    # What a traceback ends with is not said twice.
    told = record.fields.get("error")
    told = told if isinstance(told, str) and record.traceback.endswith(told) else None
    fields = "".join(
        f" {printable(name)}={_value(value)}"
        for name, value in record.fields.items()
        if told is None or name != "error"
    )
    place = " ".join(
        f"{name}={printable(value)}"
        for name, value in (
            ("plugin", record.plugin),
            ("operation", record.operation),
            ("trace", record.trace_id),
        )
        if value
    )
    if colour:
        time = f"{_DIM}{time[11:23]}{_RESET}"
        level = f"{_COLOURS[record.level]}{level}{_RESET}"
        place = f"{_DIM}{place}{_RESET}" if place else ""
    line = f"{time} {level} {printable(record.message)}{fields}"
    traceback = "".join(f"    {printable(row)}\n" for row in record.traceback.splitlines())
    return f"{line}  {place}".rstrip() + "\n" + traceback


def _value(value: object) -> str:
    if isinstance(value, str):
        shown = printable(value)
        return shown if _BARE.fullmatch(shown) else '"' + shown.replace('"', '\\"') + '"'
    return printable_json(json.encode(value))
