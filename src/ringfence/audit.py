"""Who changed what from the command line: an append-only file that only its owner may read.

`AuditLog.record` writes a line before a command is carried out and one when it has ended, so that a
command which ended the process is on record too, as one without an end. Invariant: what cannot be
written down is not done. Beside the application in `.ringfence/`, or, where nothing can be written
there, where its control socket would be. Used by `control.py` and by the verbs that maintain data.
"""

import logging
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from time import perf_counter

import msgspec
from msgspec import Struct

from ringfence.control_socket import is_supported, places, prepare, user_name
from ringfence.errors import RingfenceError

FILE_BYTES = 1 << 20  # some 3,000 commands
KEPT = 4  # older files beside the one that is written
_TEXT_CHARS = 256
_ARGUMENTS = 32  # more than any command has; a payload may have as many keys as it likes
_DONE = "done"
_OPEN = "unfinished"

# No link, no pipe that is waited for. Windows has none of these.
_OWN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)

_log = logging.getLogger("ringfence.audit")


class NotRecorded(RingfenceError, code="audit_unavailable"):
    """A command cannot be written down, so it was not carried out."""

    status = 503


class Begun(Struct, frozen=True, tag="begun", tag_field="line"):
    """A command that is about to be carried out."""

    id: str
    at: datetime
    uid: int
    who: str
    what: str
    arguments: tuple[str, ...] = ()
    trace_id: str = ""


class Ended(Struct, frozen=True, tag="ended", tag_field="line"):
    """How it ended."""

    id: str
    outcome: str
    took_s: float


class Record(Struct, frozen=True):
    """One command.

    Args:
        at: When it began, in UTC.
        uid: The number of the user who gave it, as the system knows it; -1 where it has none.
        who: That user's name.
        what: `call orders.place`, `db restore`.
        arguments: The names of what was passed; of files and options, what they were.
        trace_id: Of what it caused in the application.
        outcome: `done`, an error's code, or `unfinished`.
        took_s: Seconds until it had ended.
    """

    at: datetime
    uid: int
    who: str
    what: str
    arguments: tuple[str, ...]
    trace_id: str
    outcome: str
    took_s: float


class AuditLog:
    """The record of one application.

    Args:
        root: Its folder.
        redact: Masks its secrets.
    """

    def __init__(self, root: Path, redact: Callable[[str], str] = str) -> None:
        self._root = root
        self._redact = redact

    @contextmanager
    def record(
        self,
        what: str,
        arguments: Sequence[str] = (),
        *,
        uid: int | None = None,
        trace_id: str = "",
    ) -> Iterator[None]:
        """Write down a command, carry it out in the block, and write down how it ended.

        Args:
            what: Of it.
            arguments: As they may be kept: names, no secret values.
            uid: Who gave it; by default the user of this process.
            trace_id: Of what it will cause.

        Raises:
            NotRecorded: It cannot be written down. The block is not entered.
        """
        uid = _own_uid() if uid is None else uid
        shown = tuple(self._short(one) for one in arguments[:_ARGUMENTS])
        now = datetime.now(UTC)
        begun = Begun(token_hex(8), now, uid, user_name(uid), self._short(what), shown, trace_id)
        self._append(begun)
        self._tell(begun, _OPEN)
        since, outcome = perf_counter(), "internal"
        try:
            yield
            outcome = _DONE
        except BaseException as error:
            outcome = _outcome(error)
            raise
        finally:
            try:
                self._append(Ended(begun.id, outcome, perf_counter() - since))
            except NotRecorded as error:  # it is done; what is left is to say so
                _log.error("%s (%s, of %s)", error, outcome, begun.what)
            self._tell(begun, outcome)

    def read(self) -> list[Record]:
        """Return what is kept, oldest first.

        Raises:
            NotRecorded: There is something that may not be read.
        """
        begun: dict[str, Begun] = {}
        ended: dict[str, Ended] = {}
        for line in self._lines():
            match line:
                case Begun():
                    begun[line.id] = line
                case Ended():
                    ended[line.id] = line
        made = [_joined(one, ended.get(one.id)) for one in begun.values()]
        return sorted(made, key=lambda record: record.at)

    def _lines(self) -> Iterator[Begun | Ended]:
        decoder = msgspec.json.Decoder(Begun | Ended)
        owner = self._root.stat().st_uid
        for path in self._files(*{_own_uid(), owner}):
            for file in (*(_older(path, n) for n in range(KEPT, 0, -1)), path):
                try:
                    content = _content(file)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except OSError as error:
                    said = f"it cannot be read: {error.strerror}."
                    hint = "Use the account that runs the application."
                    raise NotRecorded(said, subject=str(file), hint=hint) from None
                for line in content.split(b"\n"):
                    with suppress(msgspec.DecodeError, UnicodeDecodeError):  # cut by a full disk
                        yield decoder.decode(line)

    def _files(self, *uids: int) -> list[Path]:
        """Where the file may be: the first that can be written is."""
        beside, *elsewhere = places(self._root, uids if is_supported() else ())
        names = (place.with_name(f"{place.name}.audit.jsonl") for place in elsewhere)
        return [beside / "audit.jsonl", *names]

    def _append(self, line: Begun | Ended) -> None:
        encoded = msgspec.json.encode(line) + b"\n"
        reasons: list[str] = []
        for file in self._files(_own_uid()):
            try:
                prepare(file.parent, for_owner=True)
                _rotate(file)
                _write(file, encoded)
                return
            except OSError as error:
                reasons.append(f"{file}: {error.strerror or error}")
        raise NotRecorded(
            f"what may change something is written down first, and cannot be: "
            f"{'; '.join(reasons)}.",
            subject=str(self._root),
            hint="Let one of these be written, and try again.",
        )

    def _tell(self, begun: Begun, outcome: str) -> None:
        fields = {"uid": begun.uid, "arguments": list(begun.arguments), "outcome": outcome}
        about = {**fields, "trace": begun.trace_id} if begun.trace_id else fields
        _log.info("operator:%s: %s", begun.who, begun.what, extra=about)

    def _short(self, text: str) -> str:
        text = self._redact(text)[:_TEXT_CHARS]
        return text.encode("utf-8", "backslashreplace").decode()  # a file's name may be no text


def _joined(begun: Begun, ended: Ended | None) -> Record:
    return Record(
        begun.at,
        begun.uid,
        begun.who,
        begun.what,
        begun.arguments,
        begun.trace_id,
        ended.outcome if ended else _OPEN,
        ended.took_s if ended else 0.0,
    )


def _outcome(error: BaseException) -> str:
    if isinstance(error, RingfenceError):
        return error.code
    return "internal" if isinstance(error, Exception) else "interrupted"


def _own_uid() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else -1


def _older(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def _rotate(file: Path) -> None:
    """Begin a new file where the one there is full; whoever else is about to is left to it."""
    if not file.exists() or file.stat().st_size < FILE_BYTES:
        return
    with _alone(file.with_suffix(".lock")) as alone:
        if not alone or file.stat().st_size < FILE_BYTES:
            return
        for number in range(KEPT, 0, -1):
            newer = _older(file, number - 1) if number > 1 else file
            with suppress(FileNotFoundError):
                newer.replace(_older(file, number))


@contextmanager
def _alone(lock: Path) -> Iterator[bool]:
    """Whether no other process rotates; nobody waits for it."""
    try:
        import fcntl
    except ImportError:  # Windows, where a command at a time is all there is
        yield True
        return
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _give(descriptor, lock.parent)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _write(file: Path, line: bytes) -> None:
    """Append a line, in one write: that of another process does not get into it."""
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | _OWN, 0o600)
    try:
        about = os.fstat(descriptor)
        # A link to another file would have it written into by whoever maintains the data.
        if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1:
            raise PermissionError(1, "it is no file of its own")
        if about.st_size == 0:
            _give(descriptor, file.parent)
        elif not _is_whole(descriptor):
            line = b"\n" + line  # a full disk has cut the line before
        if os.write(descriptor, line) != len(line):
            raise OSError(28, "no space is left")
    finally:
        os.close(descriptor)


def _content(file: Path) -> bytes:
    """Return what is in the file; nothing where it is something else, which is not ours."""
    if not stat.S_ISREG(file.lstat().st_mode):
        return b""
    with os.fdopen(os.open(file, os.O_RDONLY | _OWN), "rb") as opened:
        return opened.read()


def _is_whole(descriptor: int) -> bool:
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) == b"\n"


def _give(descriptor: int, folder: Path) -> None:
    """Let what root makes belong to whoever the folder belongs to, who is to write there too."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
