"""An open folder, and what is done with the names in it: the driver `local`'s view of a disk.

A `Folder` is reached from its parent, one name at a time, and never through a path, so that nobody
who swaps a folder for a link meanwhile leads anywhere else. Links are not followed, nor mounts of
other file systems entered: what is neither a file nor such a folder is `NotOurs`. A platform
without `openat` (Windows) has paths instead, each part of which is looked at before it is used.
"""

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BY_DESCRIPTOR = {
    os.open,
    os.stat,
    os.mkdir,
    os.unlink,
    os.rmdir,
    os.rename,
    os.utime,
} <= os.supports_dir_fd and os.scandir in os.supports_fd
_COMMON = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = os.O_RDONLY | _COMMON | _NO_LINK | getattr(os, "O_DIRECTORY", 0)
_READ = os.O_RDONLY | _COMMON | _NO_LINK | getattr(os, "O_NONBLOCK", 0)  # a pipe must not hang us
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _COMMON | _NO_LINK
_LOCK = os.O_RDWR | os.O_CREAT | _COMMON | _NO_LINK
# What `open` says of a link that it does not follow, on one system or another, and of no folder.
_LINKS = {errno.ELOOP, errno.EMLINK, errno.ENOTDIR}
_SOCKETS = {errno.ENXIO, errno.EOPNOTSUPP}


class NotOurs(Exception):
    """There is something under that name, and it is no file, or no folder of this file system."""


class Folder:
    """A folder that is open. Each `name` is a single one, without a separator.

    Args:
        path: Where it is; used only where there are no descriptors of folders.
        fd: Its descriptor; None where there are none.
        device: Of the file system; what is on another is not ours.
    """

    def __init__(self, path: Path, fd: int | None, device: int) -> None:
        self._path = path
        self._fd = fd
        self._device = device

    @classmethod
    def root(cls, path: Path) -> "Folder":
        """Open the folder at a path that is trusted; links in it are followed."""
        if not BY_DESCRIPTOR:
            return cls(path.resolve(strict=True), None, path.stat().st_dev)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _COMMON)
        return cls(path, fd, os.fstat(fd).st_dev)

    @property
    def is_gone(self) -> bool:
        """Whether somebody has removed it."""
        if self._fd is None:
            return not self._path.is_dir()
        return os.fstat(self._fd).st_nlink == 0

    def enter(self, name: str) -> "Folder":
        """Open a folder in it; raises FileNotFoundError, or NotOurs."""
        path = self._path / name
        if self._fd is None:
            if not self.is_folder(self._looked_at(name)):
                raise NotOurs(name)
            return Folder(path, None, self._device)
        try:
            fd = os.open(name, _FOLDER, dir_fd=self._fd)
        except OSError as error:
            raise NotOurs(name) if error.errno in _LINKS else error from None
        if os.fstat(fd).st_dev != self._device:
            os.close(fd)
            raise NotOurs(name)
        return Folder(path, fd, self._device)

    def make(self, name: str) -> None:
        """Make a folder in it; raises FileExistsError."""
        os.mkdir(self._at(name), dir_fd=self._fd)

    def facts(self, name: str) -> os.stat_result | None:
        """Return what there is under a name, be it a link; None for nothing."""
        try:
            return os.stat(self._at(name), dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def is_file(self, facts: os.stat_result) -> bool:
        """Whether it is a regular file. What device it is on says nothing: in a container, that of
        a file may be another than that of its folder."""
        return stat.S_ISREG(facts.st_mode) and _is_plain(facts)

    def is_folder(self, facts: os.stat_result) -> bool:
        """Whether it is a folder of this file system."""
        return stat.S_ISDIR(facts.st_mode) and facts.st_dev == self._device and _is_plain(facts)

    def read(self, name: str) -> io.FileIO:
        """Open a file for reading; raises FileNotFoundError, or NotOurs."""
        if self._fd is None and not self.is_file(self._looked_at(name)):
            raise NotOurs(name)
        try:
            fd = os.open(self._at(name), _READ, dir_fd=self._fd)
        except OSError as error:
            raise NotOurs(name) if error.errno in _LINKS | _SOCKETS else error from None
        if not self.is_file(os.fstat(fd)):
            os.close(fd)
            raise NotOurs(name)
        return io.FileIO(fd, "rb")

    def create(self, name: str) -> io.FileIO:
        """Make a file and open it for writing; raises FileExistsError."""
        return io.FileIO(os.open(self._at(name), _CREATE, 0o666, dir_fd=self._fd), "wb")

    def lock_file(self, name: str) -> io.FileIO:
        """Open a file that is there to be locked, and make it if need be."""
        return io.FileIO(os.open(self._at(name), _LOCK, 0o666, dir_fd=self._fd), "rb+")

    def stamp(self, name: str, stamp_ns: int) -> os.stat_result:
        """Set the time of a file; return what is known of it then."""
        os.utime(self._at(name), ns=(stamp_ns, stamp_ns), dir_fd=self._fd)
        return os.stat(self._at(name), dir_fd=self._fd)

    def put(self, name: str, target: "Folder", as_name: str) -> None:
        """Move a file into another folder, over what is there, as one step."""
        os.replace(self._at(name), target._at(as_name), src_dir_fd=self._fd, dst_dir_fd=target._fd)

    def remove(self, name: str) -> None:
        """Remove a file."""
        os.unlink(self._at(name), dir_fd=self._fd)

    def remove_folder(self, name: str) -> None:
        """Remove a folder that is empty."""
        os.rmdir(self._at(name), dir_fd=self._fd)

    def names(self) -> list[tuple[str, bool]]:
        """Return the names in it, and whether each is a folder's; links and oddities left out."""
        with self._scanned() as entries:
            kinds = ((one, one.is_dir(follow_symlinks=False)) for one in entries)
            return [
                (one.name, is_folder)
                for one, is_folder in kinds
                if is_folder or one.is_file(follow_symlinks=False)
            ]

    def sync(self) -> None:
        """Make durable which names are in it, where the platform has a way to."""
        if self._fd is not None:
            os.fsync(self._fd)

    def close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, -1  # its number may soon be another's
            os.close(fd)

    @contextmanager
    def _scanned(self) -> Iterator[Iterator[os.DirEntry[str]]]:
        if self._fd is None:
            with os.scandir(self._path) as entries:
                yield entries
            return
        # A descriptor of its own: threads that share one would share their place in it.
        fd = os.open(".", _FOLDER, dir_fd=self._fd)
        try:
            with os.scandir(fd) as entries:
                yield entries
        finally:
            os.close(fd)

    def _at(self, name: str) -> str:
        return name if self._fd is not None else str(self._path / name)

    def _looked_at(self, name: str) -> os.stat_result:
        facts = self.facts(name)
        if facts is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return facts


def entered(folder: Folder, name: str) -> Folder:
    """Open a folder in another, made if need be; raises NotOurs."""
    try:
        return folder.enter(name)
    except FileNotFoundError:
        with suppress(FileExistsError):  # somebody else was faster
            folder.make(name)
        return folder.enter(name)


def _is_plain(facts: os.stat_result) -> bool:
    # A junction of Windows says that it is a folder.
    return not getattr(facts, "st_reparse_tag", 0)
