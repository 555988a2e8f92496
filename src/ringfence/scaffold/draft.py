"""Files that are to be written: all of them, or none.

Invariant: nothing that is there is changed, and when `write` raises, what it had made is gone
again. A draft that knows the application's findings reads it once more when the files are there,
and takes them back if they bring a new one.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from ringfence.app import check
from ringfence.errors import Finding, RingfenceError


class Unfit(RingfenceError, code="scaffold_unfit"):
    """What was asked for cannot be: a name, a path, a service that is not there."""


class NotWritten(RingfenceError, code="scaffold_not_written"):
    """What was asked for could be, but is in the way of something; nothing was written."""


class Draft(Struct, frozen=True):
    """What is to be written.

    Args:
        root: The application's folder.
        files: Path below it → content.
        next: The commands to type next, for whoever stands where the command was typed.
        note: What to know about it besides.
        known: What is wrong with the application already; None where it is not read again.
    """

    root: Path
    files: Mapping[str, str]
    next: tuple[str, ...]
    note: str = ""
    known: frozenset[Finding] | None = None

    def write(self) -> list[Path]:
        """Write every file; return their paths.

        Raises:
            NotWritten: A file is there already, the disk refuses, or `check` finds something.
        """
        self._refuse_taken()
        made: list[Path] = []
        try:
            for name, text in self.files.items():
                _create(self.root / name, text, made)
            self._refuse_findings()
        except BaseException as error:
            _take_back(made)
            if isinstance(error, OSError):
                hint = "Mend that and type the command again; nothing was left behind."
                said = f"{error.strerror or error}."
                subject = str(error.filename or self.root)
                raise NotWritten(said, subject=subject, hint=hint) from error
            raise
        return [self.root / name for name in self.files]

    def _refuse_taken(self) -> None:
        base = os.path.realpath(self.root)
        for name in self.files:
            path = self.root / name
            if os.path.lexists(path):
                said = "it is there already; expected a new file, got one to overwrite."
                hint = "Nothing was written. Choose another name, or move that file away."
                raise NotWritten(said, subject=str(path), hint=hint)
            if not Path(os.path.realpath(path)).is_relative_to(base):
                said = "a link leads out of the application; expected a folder in it."
                raise NotWritten(said, subject=str(path.parent), hint="Nothing was written.")

    def _refuse_findings(self) -> None:
        if self.known is None:
            return
        for finding in check(self.root):
            if finding not in self.known:
                subject = f"{finding.file}:{finding.line}"
                said = f"{finding.rule} {finding.message}."
                fix = f"{sentence(finding.fix)} " if finding.fix else ""
                raise NotWritten(said, subject=subject, hint=f"{fix}Nothing was written.")


def sentence(text: str) -> str:
    """Return the fix of a finding as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."


def _create(path: Path, text: str, made: list[Path]) -> None:
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir()
        made.append(folder)
    with path.open("x", encoding="utf-8", newline="\n") as file:
        made.append(path)
        file.write(text)


def _take_back(made: list[Path]) -> None:
    """Remove what was made, newest first; a folder in which somebody else has written stays."""
    for path in reversed(made):
        with suppress(OSError):  # the error that brought us here is told; this one would hide it
            path.rmdir() if path.is_dir() else path.unlink()
