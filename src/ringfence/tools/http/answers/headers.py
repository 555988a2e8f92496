"""Headers as an author writes them, checked: `header`, and `content_disposition` for a download.

Invariant: nothing that is put into one can end its line. Used by every answer that has headers.
"""

import re
from urllib.parse import quote

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# Said by whoever sends the answer, who knows how it travels.
_NOT_AUTHORS = frozenset({"connection", "content-length", "date", "transfer-encoding"})
_NOT_IN_A_NAME = re.compile(r'[\x00-\x1f\x7f/\\"%]|[^\x00-\x7f]')


def is_token(name: str) -> bool:
    """Whether a header or a cookie can have that name."""
    return _NAME.fullmatch(name) is not None


def header(name: str, value: str) -> tuple[bytes, bytes]:
    """Return a header as it is sent, its name in lower case.

    Raises:
        ValueError: It cannot be one.
    """
    if not is_token(name):
        raise ValueError(f"{name!r:.80} is no name of a header.")
    if name.lower() in _NOT_AUTHORS:
        raise ValueError(f"header {name!r} is said by the server itself. Leave it out.")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"header {name!r}: expected Latin-1 text on one line, got {value!r:.80}.")
    return name.lower().encode(), value.encode("latin-1")


def content_disposition(filename: str, *, inline: bool = False) -> str:
    """Return the header that names a download.

    Args:
        filename: Any text. What is no part of a name is left out, and folders are none.
        inline: Whether a browser shows it instead of saving it.
    """
    kind = "inline" if inline else "attachment"
    name = re.sub(r"[\x00-\x1f\x7f/\\]", "_", filename)
    plain = _NOT_IN_A_NAME.sub("_", name)
    if plain == name:
        return f'{kind}; filename="{plain}"'
    encoded = quote(name, safe="", errors="replace")
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
