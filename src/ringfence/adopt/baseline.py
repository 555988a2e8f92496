"""The baseline of a package that is on its way: the crossings that it had when it was written.

Sorted, one to a line, without line numbers, so that it changes only where an import does. What is
in it is known; what is not is new. Called by `cli/adopt.py`.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from ringfence.adopt.package import Crossing, Survey
from ringfence.errors import Invalid


class Baseline(Struct, frozen=True, forbid_unknown_fields=True):
    """What was known."""

    package: str
    crossings: tuple[str, ...]

    def new(self, found: Survey) -> list[Crossing]:
        """Return the crossings that were not there."""
        return [crossing for crossing in found.crossings if crossing.key not in self.crossings]

    def gone(self, found: Survey) -> Sequence[str]:
        """Return what was known and is there no more."""
        return sorted({*self.crossings} - {crossing.key for crossing in found.crossings})


def read(path: Path) -> Baseline:
    """Read a baseline; raises Invalid where it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Baseline)
    except (OSError, ValueError) as error:
        said = f"it cannot be read: {error}; expected a baseline of `ringfence adopt`."
        raise Invalid(said, subject=str(path), hint="Write it anew with --write.") from None


def write(path: Path, found: Survey) -> None:
    """Write what a survey found as the baseline."""
    known = Baseline(found.package, tuple(sorted({one.key for one in found.crossings})))
    path.write_bytes(msgspec.json.format(msgspec.json.encode(known)) + b"\n")
