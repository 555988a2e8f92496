"""What an operator may do with a database: see what is pending, migrate, back up, restore.

A driver that can has a method `maintenance`, and needs no start for it: all of this works beside a
running application, in another process, or without one. Called by `app.py` for the command line.
"""

from pathlib import Path
from typing import Protocol, runtime_checkable

from msgspec import Struct

from ringfence.errors import Finding


class Step(Struct, frozen=True):
    """One migration, as an operator sees it.

    `late` says that its stamp is before that of one of its domain which had been applied: two
    branches were merged in another order than they were begun.
    """

    id: str
    file: str
    late: bool = False


class Plan(Struct, frozen=True):
    """What `migrate` would do.

    `gone` names what was applied to this database and has no file here any more: another version
    of the application has it, or somebody removed it.
    """

    database: str
    applied: int
    pending: tuple[Step, ...]
    gone: tuple[str, ...]


class Backup(Struct, frozen=True):
    """A copy that was checked, and is on the disk."""

    file: str
    size_bytes: int
    of: str


class Restored(Struct, frozen=True):
    """What a restore did. `kept` is where the state before it is, '' where there was none."""

    database: str
    file: str
    kept: str
    applied: tuple[Step, ...]


class Progress(Protocol):
    """Told how the work gets on, on the event loop's thread; one part of the work at a time."""

    def begun(self, part: str) -> None:
        """Take note that a part has begun: a migration's id, or `copy` and `check`."""
        ...

    def advanced(self, done_bytes: int, total_bytes: int) -> None: ...

    def ended(self, part: str, took_s: float) -> None: ...


class Maintenance(Protocol):
    """One database, for its operator. Cancelled, each of these leaves things as they were, but for
    migrations that had been applied."""

    def findings(self) -> list[Finding]:
        """Return all that is wrong with the migrations' files, for this driver."""
        ...

    async def plan(self) -> Plan:
        """Compare the migrations with the database, and change nothing: where there is none yet,
        it is not made either.

        Raises:
            StartRefused: A migration is wrong or was changed, or the database cannot be used.
            Busy: Another process holds the database's lock.
        """
        ...

    async def migrate(self, progress: Progress) -> Plan:
        """Apply what is pending, each migration wholly or not at all.

        Returns:
            The plan that was carried out.

        Raises:
            StartRefused: As for `plan`, or a statement failed: nothing of that migration was
                applied, those before it stay.
            Busy: Another process holds the lock; what was applied until then stays.
        """
        ...

    async def backup(self, to: Path | None, progress: Progress) -> Backup:
        """Write the last commit's state into a file of its own.

        Args:
            to: The file, which must not exist, or a folder; by default a place beside the data.

        Raises:
            StartRefused: The target exists or cannot be written, or the database is damaged.
            StorageFailure: The disk is full or failing. Nothing is left behind.

        Guarantees:
            The copy is of one moment, whoever writes meanwhile, and was checked as a whole. It has
            its name only once it is on the disk; nobody but its owner may read it.
        """
        ...

    async def restore(self, source: Path, progress: Progress) -> Restored:
        """Put a backup's content in the place of the database's, and apply what is pending to it.

        Raises:
            StartRefused: The file is no sound backup of this application's, or is newer than its
                code; nothing was changed.
            Busy: Another process holds the lock; nothing was changed.

        Guarantees:
            Whoever reads or writes meanwhile finds the state before or the one after, and nothing
            between. What was there before is kept as a backup.
        """
        ...


class Examination(Struct, frozen=True):
    """What can be said of a database without changing anything.

    Args:
        file: Where it is.
        size_bytes: Of it; None where there is none yet.
        log_bytes: What its log has that is not in the file yet.
        damage: What is wrong with it; empty where nothing was found.
        checked: How far it was looked through: empty where it was as a whole.
        applied: How many migrations it has had.
        pending: Those that it has not.
        writer: Who holds the lock for writing, this moment; empty where nobody does.
    """

    file: str
    size_bytes: int | None
    log_bytes: int = 0
    damage: str = ""
    checked: str = ""
    applied: int = 0
    pending: tuple[str, ...] = ()
    writer: str = ""


@runtime_checkable
class Examined(Protocol):
    """A database that can also be looked at, for `ringfence doctor`."""

    def examine(self, limit_s: float) -> Examination:
        """Look at the database and at nothing else, for about `limit_s` seconds; change nothing,
        make no file, wait for nobody.

        Raises:
            StartRefused: It cannot be looked at, or the migrations' files are wrong.
        """
        ...


@runtime_checkable
class Maintained(Protocol):
    """A driver whose database can be maintained."""

    def maintenance(self) -> Maintenance: ...
