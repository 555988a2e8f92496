"""What an application is known to do wrong, so that `check` holds the line from there.

A baseline is a JSON file of findings without their lines, each with how many there are: moving code
changes nothing, one more is a finding. Only what `check` alone finds can be in it. Called by
`ringfence check --baseline`.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from ringfence.check.rules import BY_ID
from ringfence.errors import Finding, StartRefused


class Entry(Struct, frozen=True, order=True):
    """One thing that is known to be wrong in a file, and how often."""

    file: str
    rule: str
    message: str
    count: int = 1


class Compared(Struct, frozen=True):
    """What is left of findings, how many were known, and how many that were known are mended."""

    left: Sequence[Finding]
    known: int
    mended: int


def made(findings: Sequence[Finding]) -> bytes:
    """Return the baseline that knows all of these findings, of those that may be known."""
    counts = Counter((f.file, f.rule, f.message) for f in findings if f.rule in BY_ID)
    entries = sorted(Entry(*what, count) for what, count in counts.items())
    encoded = msgspec.json.encode({"findings": entries})
    return msgspec.json.format(encoded, indent=2) + b"\n"


def compared(findings: Sequence[Finding], file: Path) -> Compared:
    """Return the findings that a baseline does not know.

    Raises:
        StartRefused: The file cannot be read, or is no baseline.
    """
    try:
        known = msgspec.json.decode(file.read_bytes(), type=dict[str, list[Entry]])
        entries = known["findings"]
    except FileNotFoundError:
        said, hint = "no such baseline.", "Write it with --update-baseline."
        raise StartRefused(f"{file}: {said} {hint}") from None
    except (OSError, msgspec.DecodeError, KeyError, UnicodeDecodeError) as error:
        said = f"it is no baseline: {error}. Write it anew with --update-baseline."
        raise StartRefused(f"{file}: {said}") from None
    rest = Counter({(e.file, e.rule, e.message): e.count for e in entries if e.rule in BY_ID})
    total = rest.total()
    left: list[Finding] = []
    for finding in findings:
        what = (finding.file, finding.rule, finding.message)
        if rest[what] > 0:
            rest[what] -= 1
        else:
            left.append(finding)
    return Compared(left, len(findings) - len(left), total - (len(findings) - len(left)))
