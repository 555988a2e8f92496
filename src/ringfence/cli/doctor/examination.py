"""What an examination is made of: checks, each with a deadline, and the lines that they say.

`examine` carries checks out one after another. Invariant: it ends. A check that does not is left
behind on its thread, which does not hold the process. Used by the verb `doctor` and its checks.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from msgspec import Struct

from ringfence.errors import BootError, RingfenceError

DEADLINE_S = 10.0
State = Literal["ok", "warn", "bad"]


class Line(Struct, frozen=True):
    """One thing that was looked at: `fix` says what to do where it is not `ok`."""

    name: str
    state: State
    told: str
    fix: str = ""


class Area(Struct, frozen=True):
    """What was found out about one part."""

    name: str
    lines: list[Line]


class Check(Struct, frozen=True):
    """One question: `look` answers it, in any number of lines."""

    area: str
    name: str
    look: Callable[[], Iterable[Line]]
    deadline_s: float = DEADLINE_S


def ok(name: str, told: str) -> Line:
    """Say that something is as it should be."""
    return Line(name, "ok", told)


def warn(name: str, told: str, fix: str) -> Line:
    """Say that something may do harm."""
    return Line(name, "warn", told, fix)


def bad(name: str, told: str, fix: str) -> Line:
    """Say that something does harm."""
    return Line(name, "bad", told, fix)


def examine(checks: Iterable[Check]) -> Iterator[Area]:
    """Carry out checks in their order; those of one area stand together."""
    area: Area | None = None
    for check in checks:
        if area is not None and area.name != check.area:
            yield area
            area = None
        area = area or Area(check.area, [])
        area.lines.extend(_answer(check))
    if area is not None:
        yield area


def _answer(check: Check) -> list[Line]:
    found: list[Line] = []
    thread = threading.Thread(target=_look, args=(check, found), daemon=True)
    thread.start()
    thread.join(check.deadline_s)
    lines = list(found)  # of its own: the thread may go on
    if thread.is_alive():
        said = f"no answer within {check.deadline_s:g} s"
        lines.append(
            bad(check.name, said, "see whether a disk, a network or another process hangs")
        )
    return lines


def _look(check: Check, found: list[Line]) -> None:
    try:
        found.extend(check.look())
    except BootError as refusal:
        found.extend(refused(check.name, refusal))
    except RingfenceError as error:
        found.append(bad(check.name, f"{error.subject}: {error.message}", error.hint))
    except Exception as error:  # one thing that cannot be looked at hides none of the others
        found.append(bad(check.name, f"{type(error).__name__}: {error}", ""))


def refused(name: str, refusal: BootError) -> Iterator[Line]:
    """Yield what a refused start says, finding by finding."""
    for finding in refusal.findings:
        place = f"{finding.file}:{finding.line}" if finding.line else finding.file
        yield bad(name, f"{place}: {finding.rule} {finding.message}", finding.fix)
    if not refusal.findings:
        yield bad(name, str(refusal), "")
