"""Waivers: comments that excuse one finding, with a reason.

`# ringfence: allow RF512 — reason` excuses a rule in its own line, or, alone in a line, in the next
line of code. Invariant: a waiver that says no reason, or excuses nothing, is a finding itself.
Called by `examination.py`.
"""

import io
import re
import tokenize
from collections.abc import Collection, Iterator, Sequence

from msgspec import Struct

from ringfence.check.rule import Edit, Hit
from ringfence.errors import Finding

MARK = "ringfence: allow"
_WAIVER = re.compile(
    r"#\s*ringfence: allow\b\s*(?P<rules>[A-Za-z0-9-]*(?:\s*,\s*[A-Za-z0-9-]+)*)\s*"
    r"(?:(?:—|–|--|-|:)\s*(?P<reason>.*))?"
)
_LEAST_CHARS = 5  # of a reason: `ok` is none
_SILENT = frozenset(
    {tokenize.NL, tokenize.COMMENT, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
)


class Waiver(Struct, frozen=True):
    """One comment: its line, the line that it is about, what it excuses, and why."""

    line: int
    about: int
    rules: tuple[str, ...]
    reason: str
    alone: bool
    column: int


def read(text: str) -> list[Waiver]:
    """Return the waivers of a file."""
    if MARK not in text:
        return []
    found: list[Waiver] = []
    waiting: list[Waiver] = []  # those that stand alone, until the next line of code
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT:
            match = _WAIVER.match(token.string)
            if match:
                rules = tuple(w.strip() for w in match["rules"].split(",") if w.strip())
                reason = (match["reason"] or "").strip()
                waiver = Waiver(line, line, rules, reason, line != last, token.start[1])
                (waiting if waiver.alone else found).append(waiver)
        elif token.type not in _SILENT:
            found += [Waiver(w.line, line, w.rules, w.reason, True, w.column) for w in waiting]
            waiting, last = [], token.end[0]
    return [*found, *waiting]


def wrong(waiver: Waiver, known: Collection[str]) -> Hit | None:
    """Return what is wrong with a waiver by itself."""
    fix = f"write `# {MARK} <rule> — <reason>`"
    if not waiver.rules:
        return Hit(waiver.line, "this waiver names no rule", fix)
    for rule in waiver.rules:
        if rule not in known:
            fix = "remove it, and mend what it is about: `ringfence explain` lists the rules"
            return Hit(waiver.line, f"{rule} cannot be waived", fix)
    if len(waiver.reason) < _LEAST_CHARS:
        return Hit(waiver.line, f"this waiver of {', '.join(waiver.rules)} gives no reason", fix)
    return None


def apply(
    findings: Sequence[Finding], waivers: Sequence[Waiver]
) -> tuple[list[Finding], list[Waiver]]:
    """Return the findings of a file that no waiver excuses, and the waivers that excuse nothing."""
    used: set[Waiver] = set()
    left: list[Finding] = []
    for finding in findings:
        excuses = [w for w in waivers if finding.line == w.about and finding.rule in w.rules]
        used.update(excuses)
        if not excuses:
            left.append(finding)
    return left, [waiver for waiver in waivers if waiver not in used]


def unused(waivers: Sequence[Waiver], lines: Sequence[str]) -> Iterator[Hit]:
    """Yield what is wrong with waivers that excuse nothing, and how to remove them."""
    for waiver in waivers:
        said = f"nothing is wrong here by {', '.join(waiver.rules)}; this waiver excuses nothing"
        edit = None
        if waiver.line <= len(lines):
            rest = "" if waiver.alone else lines[waiver.line - 1][: waiver.column].rstrip() + "\n"
            edit = Edit(waiver.line, waiver.line, rest)
        yield Hit(waiver.line, said, "remove the waiver", edit)
