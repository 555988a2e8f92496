"""Content types that names do not say: a small file each, in a folder of the reserved one.

One belongs to a version, not to a name: it is there before its version comes into place, and goes
after it. So no crash and no other writer ever gives a version the type of another; what a crash
leaves behind is looked up by nobody. Called by `_tree.py`, on threads.
"""

import hashlib
import os
from contextlib import suppress

from ringfence.tools.files.drivers._folder import Folder, NotOurs
from ringfence.tools.files.names import Place

TYPES = "types"  # the folder's name
_MOST_BYTES = 255


class Types:
    """The given types of one root.

    Args:
        folder: Where they are; None where there are none and none can be given.
    """

    def __init__(self, folder: Folder | None) -> None:
        self._folder = folder

    @property
    def can_be(self) -> bool:
        """Whether any version may have one."""
        return self._folder is not None

    def of(self, place: Place, etag: str) -> str | None:
        """Return the type that a version was given; None where its name says it."""
        if self._folder is None:
            return None
        try:
            with self._folder.read(_key(place, etag)) as file:
                return (file.read(_MOST_BYTES) or b"").decode("ascii")
        except (FileNotFoundError, NotOurs, UnicodeDecodeError):
            return None

    def give(self, place: Place, etag: str, content_type: str) -> None:
        """Say, durably, which type a version is going to have."""
        assert self._folder is not None, "what can be written has a folder for types"
        with self._folder.create(_key(place, etag)) as file:
            file.write(content_type.encode("ascii"))
            os.fsync(file.fileno())
        self._folder.sync()

    def drop(self, place: Place, etag: str) -> None:
        """Forget the type of a version that is gone, or did not come."""
        if self._folder is not None:
            with suppress(OSError):  # one that stays is looked up by nobody
                self._folder.remove(_key(place, etag))


def _key(place: Place, etag: str) -> str:
    # Of one length, whatever the name is.
    return f"{hashlib.sha256('/'.join(place).encode()).hexdigest()[:40]}-{etag}"
