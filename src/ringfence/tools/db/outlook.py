"""A database beside its migrations' files, whatever the driver: what `plan` and `restore` go by.

A driver reads its record of what was applied; `compared` says what that means, and `expect_known`
whether a backup is this application's. Called by drivers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from ringfence.errors import Finding, StartRefused
from ringfence.tools.db.maintenance import Plan, Step
from ringfence.tools.db.migrations import CHANGED, Migration

Key = tuple[str, str]  # a domain and the name of a migration
_MOST_NAMED = 5


class Outlook(Struct, frozen=True):
    """What was applied, with its checksum; what is pending, in order; what of that comes late; and
    what was applied and has no file here."""

    applied: Mapping[Key, str]
    pending: Sequence[Migration]
    late: frozenset[Key]
    gone: Sequence[Key]

    def plan(self, database: str) -> Plan:
        """Return it as an operator sees it; `database` is what the database is called."""
        steps = tuple(
            Step(each.id, each.shown, (each.domain, each.name) in self.late)
            for each in self.pending
        )
        gone = tuple(f"{domain}/{name}" for domain, name in self.gone)
        return Plan(database, len(self.applied), steps, gone)


def compared(
    applied: Mapping[Key, str], migrations: Sequence[Migration], instance: str = "db"
) -> Outlook:
    """Compare what a database has had with the files that there are.

    Args:
        applied: The checksum of each migration that was applied.
        migrations: In order of application.
        instance: What the database is called in an error.

    Raises:
        StartRefused: An applied file was changed.
    """
    changed = [m for m in migrations if applied.get((m.domain, m.name), m.sha256) != m.sha256]
    if changed:
        raise StartRefused(
            f"{instance}: applied migrations were changed; nothing was done.",
            findings=[_changed(each) for each in changed],
        )
    newest: dict[str, str] = {}
    for domain, name in applied:
        newest[domain] = max(newest.get(domain, ""), name[:14])
    keys = {(each.domain, each.name) for each in migrations}
    pending = [each for each in migrations if (each.domain, each.name) not in applied]
    late = {(p.domain, p.name) for p in pending if p.stamp < newest.get(p.domain, "")}
    return Outlook(applied, pending, frozenset(late), sorted(applied.keys() - keys))


def expect_known(backup: Outlook, source: Path, here: Mapping[Key, str]) -> None:
    """Refuse a backup that is another application's, or a later version's.

    Args:
        backup: The backup's.
        source: Its file.
        here: What the database that it is to replace has had; it vouches for what has no file.

    Raises:
        StartRefused: Neither the files nor the database know one of its migrations.
    """
    strange = [key for key in backup.gone if here.get(key) != backup.applied[key]]
    if strange:
        names = ", ".join(f"{domain}/{name}" for domain, name in strange[:_MOST_NAMED])
        left = len(strange) - _MOST_NAMED
        more = f" and {left} more" if left > 0 else ""
        raise StartRefused(
            f"db: {source} has migrations that are not known here: {names}{more}. Nothing was "
            "changed. It is another application's, or of a later version: restore it with the "
            "code that has these files."
        )


def _changed(migration: Migration) -> Finding:
    return Finding(
        migration.shown,
        0,
        CHANGED,
        "it was changed after it had been applied to this database.",
        "Restore the file as it was, and put the change into a new migration.",
    )
