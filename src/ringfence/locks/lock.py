"""One lock: a contract as it was agreed on, and the file that keeps it.

`lock_of` makes one of a declared service. Its bytes are sorted and stable: the same contract is the
same file, whatever its classes are called. A further kind of contract is a further `kind`, and a
suffix of its own. Called by `review.py`.
"""

import os
import re
from pathlib import Path

import msgspec
from msgspec import Struct

from ringfence.contracts.compatibility import payload_parameters, sole_struct
from ringfence.kernel.ports import REQUIRED, Signature
from ringfence.locks.difference import alterations, breaks
from ringfence.locks.shape import Shape, shape_of

FORMAT = 1
NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


class Lock(Struct, frozen=True, forbid_unknown_fields=True):
    """What one contract promised.

    Args:
        format: Of this file.
        kind: `service`.
        name: Its name.
        takes: An object of its parameters; those of a lone Struct are that Struct's fields.
        answers: What comes back.
        whole: The name under which a lone Struct may be sent as it is; empty where there is none.
    """

    format: int
    kind: str
    name: str
    takes: Shape
    answers: Shape
    whole: str = ""

    @property
    def file(self) -> str:
        """Its file, as a path below the application's folder."""
        domain, _, word = self.name.partition(".")
        return f"domains/{domain}/contracts/{word}.{self.kind}.json"

    def encoded(self) -> bytes:
        """Return the bytes of its file."""
        return msgspec.json.format(msgspec.json.encode(self, order="deterministic")) + b"\n"

    def breaks(self, new: "Lock") -> list[str]:
        """List why a consumer of this contract may not be content with the `new` one."""
        found = breaks(self.takes, new.takes, "", answered=False)
        if self.answers.type != "none":  # where nothing was promised, anything may come back
            found += breaks(self.answers, new.answers, "result", answered=True)
        if self.whole and self.whole != new.whole:
            found.append(f"{self.whole}: it cannot be sent whole any more")
        return found

    def alterations(self, new: "Lock") -> list[str]:
        """List all that is different in the `new` contract."""
        found = alterations(self.takes, new.takes, "")
        return found + alterations(self.answers, new.answers, "result")


def lock_of(name: str, offer: Signature) -> Lock:
    """Return the lock of a service that is declared with the signature `offer`."""
    parameters = sorted(payload_parameters(offer), key=lambda one: one.name)
    fields = {p.name: shape_of(p.annotation, p.name, sent=False) for p in parameters}
    optional = tuple(p.name for p in parameters if p.default is not REQUIRED)
    whole = offer.parameters[0].name if sole_struct(offer) is not None else ""
    answers = shape_of(offer.result, "result", sent=True)
    return Lock(FORMAT, "service", name, Shape("object", {}, fields, optional), answers, whole)


def read(path: Path) -> Lock:
    """Read a lock.

    Raises:
        ValueError: It is none: damaged, of another format, or under another's name.
        OSError: It cannot be read.
    """
    lock = msgspec.json.decode(path.read_bytes(), type=Lock)
    if lock.format != FORMAT:
        raise ValueError(f"it has format {lock.format}; expected {FORMAT}")
    if not NAME.fullmatch(lock.name) or not path.as_posix().endswith(f"/{lock.file}"):
        raise ValueError(
            f"it locks {lock.name!r}; expected the contract that its file is named for"
        )
    return lock


def write(root: Path, lock: Lock) -> None:
    """Write a lock below an application's folder; it is there whole, or as it was."""
    path = root / lock.file
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(lock.encoded())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
