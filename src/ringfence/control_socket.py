"""Where the control socket is, whose it is, and who is at its other end.

A `Claim` is a lock that the operating system drops with the process, so a dead one holds nobody
up; whoever has it may replace the socket. The socket is made with mode 0600 from its first moment.
Used by `control.py`, by its other end, `cli/client.py`, and by `audit.py` for its place.
"""

import hashlib
import os
import socket
import stat
import struct
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from ringfence.errors import StartRefused

# `sun_path` holds 104 bytes on BSD and macOS, 108 on Linux, one of them a NUL.
_PATH_BYTES = 103
_XUCRED_BYTES = 76  # version, uid, number of groups, sixteen groups
# A fixed place: TMPDIR differs between a service and the shell of its operator.
_ELSEWHERE = Path("/tmp")  # noqa: S108


class _HasOptions(Protocol):
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


def is_supported() -> bool:
    """Whether this platform has what the socket's safety rests on: Unix sockets, users, and locks
    that end with their process. Windows has not; what listens on a port there asks nobody who they
    are, so nothing takes the socket's place."""
    return hasattr(socket, "AF_UNIX") and hasattr(os, "geteuid") and find_spec("fcntl") is not None


def candidates(root: Path, uids: Iterable[int]) -> Iterator[Path]:
    """Yield where the socket of an application may be, the first choice first.

    Beside the application, if that path is short enough for a socket; otherwise, or if that folder
    is read-only, in a folder that is each user's own.
    """
    beside, *elsewhere = places(root, uids)
    if len(os.fsencode(beside / "control.sock")) <= _PATH_BYTES:
        yield beside / "control.sock"
    for place in elsewhere:
        yield place.with_name(f"{place.name}.sock")


def places(root: Path, uids: Iterable[int]) -> list[Path]:
    """Return where files of an application's operator may be: the folder beside it, and, for each
    user, what their names begin with in a folder of its own."""
    root = root.resolve()
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:24]
    elsewhere = [_ELSEWHERE / f"ringfence-{uid}" / name for uid in sorted(uids)]
    return [root / ".ringfence", *elsewhere]


def peer_uid(connection: _HasOptions) -> int | None:
    """Return the user at the other end, as the kernel knows it; None where it cannot tell.

    Source: Linux `SO_PEERCRED` (pid, uid, gid); BSD and macOS `LOCAL_PEERCRED` (version, uid, …).
    """
    linux = getattr(socket, "SO_PEERCRED", None)
    bsd = getattr(socket, "LOCAL_PEERCRED", None)
    try:
        if linux is not None:
            size = struct.calcsize("3i")
            credentials = connection.getsockopt(socket.SOL_SOCKET, linux, size)
            return int(struct.unpack("3i", credentials)[1])
        if bsd is not None:
            return int(struct.unpack_from("=II", connection.getsockopt(0, bsd, _XUCRED_BYTES))[1])
    except (OSError, struct.error):
        return None
    return None


def user_name(uid: int) -> str:
    """Return the name of a user, or the number where it has none."""
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except ImportError:  # Windows, which has no numbers: the one who is logged in
        return os.getlogin()
    except KeyError:
        return str(uid)


class Claim:
    """The right to listen for one application, held until `release` or the end of the process."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock
        self._bound = False

    @classmethod
    def take(cls, root: Path) -> "Claim":
        """Claim the application in `root`.

        Raises:
            StartRefused: Another process has it, or neither place can be written.
        """
        reasons: list[str] = []
        for path in candidates(root, {os.geteuid()}):
            try:
                prepare(path.parent)
                return cls(path, _lock(path.with_suffix(".lock"), root))
            except OSError as error:
                reasons.append(f"{path.parent}: {error.strerror or error}")
        raise StartRefused(
            f"{root}: no place for the control socket; expected a folder of its own that can be "
            f"written, got {'; '.join(reasons)}."
        )

    def listen(self) -> socket.socket:
        """Return the bound socket; one that a dead process left behind is replaced."""
        listener = socket.socket(socket.AF_UNIX)
        # The mask is the process's: for this one call, other threads make private files too.
        mask = os.umask(0o177)
        try:
            self.path.unlink(missing_ok=True)
            listener.bind(str(self.path))
            self._bound = True
        except OSError as error:
            listener.close()
            message = f"{self.path}: cannot listen: {error.strerror or error}"
            raise StartRefused(message) from error
        finally:
            os.umask(mask)
        return listener

    def release(self) -> None:
        """Take the socket away and give the lock back; the lock's file stays."""
        if self._bound:
            self.path.unlink(missing_ok=True)
            self._bound = False
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def prepare(folder: Path, *, for_owner: bool = False) -> None:
    """Make the folder, or see that it is nobody else's: in it a stranger could replace a file.

    Args:
        folder: The one to make; its parent is there.
        for_owner: Root may use the folder of another user, and makes it for the parent's owner.

    Raises:
        OSError: It cannot be made, or cannot be trusted.
    """
    if not hasattr(os, "geteuid"):  # Windows, whose folders inherit who may use them
        folder.mkdir(exist_ok=True)
        return
    for_owner = for_owner and os.geteuid() == 0 and folder.parent != _ELSEWHERE
    try:
        folder.mkdir(mode=0o700)
        if for_owner:
            parent = folder.parent.stat()
            os.chown(folder, parent.st_uid, parent.st_gid, follow_symlinks=False)
    except FileExistsError:
        pass
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or not (for_owner or found.st_uid == os.geteuid()):
        raise PermissionError(1, "it is no folder, or belongs to another user")
    loose = stat.S_IRWXG | stat.S_IRWXO if folder.parent == _ELSEWHERE else stat.S_IWOTH
    if found.st_mode & loose:
        raise PermissionError(1, "other users may write there")


def _lock(path: Path, root: Path) -> int:
    import fcntl  # not on Windows, which has no control socket

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise StartRefused(
            f"{root}: this application is running already, as process {pid}. "
            f"Stop that one first: kill {pid}"
        ) from None
    except OSError:
        os.close(descriptor)
        raise
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
