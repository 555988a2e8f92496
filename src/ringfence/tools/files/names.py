"""Names of files: which there are, and what is wrong with the others.

`parse` makes a `Place` of a name, the one way to get one; drivers take nothing else. Invariant: no
segment of a place means anything to a file system but an entry of a folder, on any platform.
"""

import unicodedata

from ringfence.tools.files.contract import BadName

Place = tuple[str, ...]

MOST_BYTES = 1024
MOST_SEGMENTS = 32
SEGMENT_BYTES = 255  # of ext4, XFS, APFS; NTFS allows as many characters
# Separators, drives, streams, patterns and pipes, on one platform or another.
_NOT_IN_A_SEGMENT = frozenset('/\\:*?"<>|')
# Source: "Naming Files, Paths, and Namespaces", Microsoft; superscript digits count as digits.
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"}
_DEVICES |= {f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"}
_HINT = "Expected segments with slashes between them, such as invoices/2026/7.pdf."


def parse(name: str) -> Place:
    """Return the segments of a name, normalised.

    Raises:
        BadName: It is none.
    """
    if not isinstance(name, str):
        raise TypeError(f"files: a name is text, got {type(name).__name__}")
    if len(name) > MOST_BYTES:  # before anything is done with it
        raise _bad(name, f"it is longer than {MOST_BYTES} bytes.")
    normal = unicodedata.normalize("NFC", name)
    place = tuple(normal.split("/"))
    if len(place) > MOST_SEGMENTS:
        raise _bad(name, f"it has more than {MOST_SEGMENTS} segments.")
    for segment in place:
        wrong = fault(segment)
        if wrong:
            raise _bad(name, wrong)
    if len(normal.encode()) > MOST_BYTES:
        raise _bad(name, f"it is longer than {MOST_BYTES} bytes.")
    return place


def parse_prefix(prefix: str) -> tuple[Place, str]:
    """Return the folder that a prefix names, and how the entries in it begin.

    Raises:
        BadName: No name can begin so.
    """
    folder, slash, beginning = prefix.rpartition("/")
    place = parse(folder) if slash else ()
    if len(beginning) > MOST_BYTES or beginning[:1] in (".", " ") or _character_fault(beginning):
        raise _bad(prefix, "no name begins so.")
    return place, unicodedata.normalize("NFC", beginning)


def fault(segment: str) -> str:
    """Say what is wrong with a segment, in a sentence; empty where nothing is."""
    if not segment:
        return "it has an empty segment: a slash at its beginning or end, or two in a row."
    if segment in (".", ".."):
        return f"a segment is {segment!r}, which leads elsewhere."
    if segment[0] in ". " or segment[-1] in ". ":
        return "a segment begins or ends with a dot or a space."
    if wrong := _character_fault(segment):
        return wrong
    if segment.partition(".")[0].rstrip(" ").lower() in _DEVICES:
        return "a segment is the name of a device on Windows."
    if len(segment.encode()) > SEGMENT_BYTES:
        return f"a segment is longer than {SEGMENT_BYTES} bytes."
    return ""


def _character_fault(text: str) -> str:
    if not text.isprintable():  # nor is half a pair of UTF-16, nor what turns text around
        return "a character in it cannot be seen."
    if not _NOT_IN_A_SEGMENT.isdisjoint(text):
        return 'it has one of \\ : * ? " < > |.'
    return ""


def _bad(name: str, wrong: str) -> BadName:
    return BadName(wrong, subject=f"files: {name!a:.200}", hint=_HINT)
