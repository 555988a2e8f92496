"""A domain's migrations as files: which there are, in what order, and what is wrong with them.

`discover` lists `domains/<domain>/migrations/<YYYYMMDDhhmmss>_<name>.sql` in order of application;
`check` reports faults before anything starts; drivers apply. `<stamp>_<name>.<dialect>.sql` is the
same migration for one dialect. An instance of the tool with another name than `db` has its files
in `migrations/<instance>/`. Invariant: nothing is read but regular files inside the domain's
folder. Called by the kernel's verification and by drivers.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from ringfence.errors import Finding
from ringfence.kernel.ports import Facts, did_you_mean
from ringfence.tools.db.order import ORDER, After, ordered, targets
from ringfence.tools.db.sql import shorten, significant
from ringfence.tools.db.tables import named

BAD_FILE = "RF201"
SHARED_TABLE = "RF202"
FORBIDDEN = "RF203"
FAILED = "RF204"
CHANGED = "RF205"
NO_VARIANT = "RF207"
PENDING = "RF208"
UNCLAIMED = "RF209"
FOREIGN = "RF210"
RULES = frozenset(
    {
        BAD_FILE,
        SHARED_TABLE,
        FORBIDDEN,
        FAILED,
        CHANGED,
        ORDER,
        NO_VARIANT,
        PENDING,
        UNCLAIMED,
        FOREIGN,
    }
)
DIALECTS = ("sqlite", "postgres")

_NAME = re.compile(
    r"(?P<name>[0-9]{14}_[a-z0-9]+(?:_[a-z0-9]+)*)(?:\.(?P<dialect>[a-z0-9_]+))?\.sql"
)
_INSTANCE = re.compile(r"[a-z][a-z0-9_]*")
_NAMING = "Name it <YYYYMMDDhhmmss>_<name>.sql, the name in a-z, 0-9 and _."
_REFUSED = {
    **dict.fromkeys(
        ("BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"),
        "Remove it: each migration is one transaction already.",
    ),
    **dict.fromkeys(
        ("ATTACH", "DETACH", "PRAGMA", "VACUUM"),
        "Remove it: a migration changes the domain's tables and their rows, nothing else.",
    ),
}


class Command(Struct, frozen=True):
    """One statement of a migration, and the line that it begins on."""

    text: str
    line: int


class Migration(Struct, frozen=True):
    """One file. `shown` is its path as people see it, from the application's folder; `name` has
    its stamp in front and no dialect behind."""

    stamp: str
    domain: str
    name: str
    shown: str
    sha256: str
    commands: tuple[Command, ...]
    after: tuple[After, ...] = ()

    @property
    def id(self) -> str:
        """What `-- after:` calls it, and what people read."""
        return f"{self.domain}/{self.name}"


def discover(
    domains: Mapping[str, Path], root: Path, instance: str = "db", dialect: str = DIALECTS[0]
) -> tuple[list[Migration], list[Finding]]:
    """Read every migration of one database.

    Args:
        domains: The folder of each domain.
        root: The application's folder; findings name files from there.
        instance: The database's name.
        dialect: Whose variants to take; where a migration has none of it, its plain file.

    Returns:
        The migrations in order of application: by stamp, then by domain, then by name, but for
        what says `-- after:`; and all that is wrong with them. Where there is a finding, none of
        them should be applied.
    """
    migrations: list[Migration] = []
    findings: list[Finding] = []
    known: set[tuple[str, str]] = set()
    for domain, folder in domains.items():
        place = folder / "migrations"
        files = _files(place if instance == "db" else place / instance, root, findings)
        for name, variants in files.items():
            known.add((domain, name))
            path = variants.get(dialect) or variants.get("")
            if path is None:
                findings.append(_no_variant(variants, dialect, root))
                continue
            migration = _read(path, domain, name, root, findings)
            if migration is not None:
                migrations.append(migration)
    migrations, wrong = ordered(migrations, known)
    findings += wrong
    for migration in migrations:
        findings += _forbidden(migration)
    findings += _shared(migrations)
    findings += _foreign(migrations)
    return migrations, sorted(findings)


def check(facts: Facts) -> list[Finding]:
    """Return all that is wrong with an application's migrations, of every database.

    Which drivers are configured is not known here: that a variant is missing, the driver says.
    """
    instances = {"db"}
    for folder in facts.domains.values():
        place = folder / "migrations"
        if place.is_dir() and not place.is_symlink():
            named = (entry.name for entry in place.iterdir() if entry.is_dir())
            instances.update(name for name in named if _INSTANCE.fullmatch(name))
    found: set[Finding] = set()
    for instance in sorted(instances):
        found.update(discover(facts.domains, facts.root, instance)[1])
    return sorted(finding for finding in found if finding.rule != NO_VARIANT)


def unclaimed(
    domains: Mapping[str, Path], root: Path, instances: Collection[str]
) -> Iterator[Finding]:
    """Yield each folder of migrations whose database is not configured: nobody would apply them.

    Args:
        domains: The folder of each domain.
        root: The application's folder; findings name files from there.
        instances: The databases that there are.
    """
    for folder in domains.values():
        place = folder / "migrations"
        linked = folder.is_symlink() or place.is_symlink()  # refused, and not looked into
        for path in sorted(place.iterdir()) if place.is_dir() and not linked else ():
            wanted = _INSTANCE.fullmatch(path.name) and path.name not in instances
            if wanted and path.is_dir() and any(path.glob("*.sql")):
                alike = did_you_mean(path.name, list(instances))
                what = f"no database is called {path.name}, so nobody applies what is in it{alike}."
                fix = f"Name the folder for a database, or add [tools.{path.name}] with tool = db."
                yield Finding(_shown(path, root), 0, UNCLAIMED, what, fix)


def split(text: str) -> Iterator[Command]:
    """Split a migration into statements; `;` in strings, comments and trigger bodies is no end."""
    start: int | None = None
    words: list[str] = []
    end = 0
    for token in significant(text):
        if start is None:
            if token.text == ";":
                continue
            start = token.start
        words.append(token.keyword or token.text)
        if token.text == ";" and (not _is_trigger(words) or words[-3:-1] == [";", "END"]):
            yield Command(text[start:end], text.count("\n", 0, start) + 1)
            start, words = None, []
        end = token.start + len(token.text)
    if start is not None:
        yield Command(text[start:end], text.count("\n", 0, start) + 1)


def created(command: Command) -> str:
    """Return the table (or view) that a statement brings into being, in lower case, or ''."""
    words = list(significant(command.text))
    keys = [word.keyword for word in words]
    if keys[:1] == ["ALTER"] and "RENAME" in keys:
        after = keys.index("RENAME") + 1
        return words[after + 1].called if keys[after : after + 1] == ["TO"] else ""
    if keys[:1] != ["CREATE"]:
        return ""
    at = 1
    while keys[at : at + 1] and keys[at] in {"TEMP", "TEMPORARY", "VIRTUAL"}:
        at += 1
    if keys[at : at + 1] not in (["TABLE"], ["VIEW"]):
        return ""
    at += 1
    if keys[at : at + 3] == ["IF", "NOT", "EXISTS"]:
        at += 3
    if len(words) > at + 2 and words[at + 1].text == ".":
        at += 2
    return words[at].called if len(words) > at else ""


def _is_trigger(words: list[str]) -> bool:
    kind = words[1:3] if words[1:2] in (["TEMP"], ["TEMPORARY"]) else words[1:2]
    return words[0] == "CREATE" and kind[-1:] == ["TRIGGER"]


def _files(place: Path, root: Path, findings: list[Finding]) -> dict[str, dict[str, Path]]:
    """Return the files of each migration by dialect; the plain one is under ''."""
    found: dict[str, dict[str, Path]] = {}
    if place.is_symlink() or (place.parent.is_symlink() and place.exists()):
        findings.append(_bad(place, root, "the folder is a symbolic link", "Make it a folder."))
        return found
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        looks_like_one = path.name[:1].isdigit() or path.name.lower().endswith(".sql")
        if path.name.startswith(".") or not looks_like_one:
            continue  # notes, and folders of other databases
        named = _NAME.fullmatch(path.name)
        if path.is_symlink() or not path.is_file():
            findings.append(_bad(path, root, "it is no regular file", "Put the file itself here."))
        elif named is None:
            findings.append(_bad(path, root, "it is not named as a migration", _NAMING))
        elif not _is_time(path.name[:14]):
            findings.append(_bad(path, root, f"{path.name[:14]} is no date and time", _NAMING))
        elif named["dialect"] not in (None, *DIALECTS):
            findings.append(_bad(path, root, _no_dialect(named["dialect"]), _NAMING))
        else:
            found.setdefault(named["name"], {})[named["dialect"] or ""] = path
    return found


def _no_dialect(name: str) -> str:
    known = ", ".join(DIALECTS)
    return f"no dialect is called {name}; expected {known}{did_you_mean(name, DIALECTS)}"


def _no_variant(variants: Mapping[str, Path], dialect: str, root: Path) -> Finding:
    path = min(variants.values())
    there = ", ".join(sorted(variants))
    what = f"the migration has no file for {dialect}, which is configured; it has one for {there}."
    plain = path.name.split(".")[0]
    fix = f"Write {plain}.{dialect}.sql beside it, or {plain}.sql for all that have none."
    return Finding(_shown(path, root), 0, NO_VARIANT, what, fix)


def _is_time(stamp: str) -> bool:
    try:
        datetime.strptime(stamp + "+0000", "%Y%m%d%H%M%S%z")
    except ValueError:
        return False
    return True


def _read(
    path: Path, domain: str, name: str, root: Path, findings: list[Finding]
) -> Migration | None:
    try:
        text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        findings.append(_bad(path, root, f"it cannot be read: {error}", "Save it as UTF-8."))
        return None
    if "\0" in text:
        findings.append(_bad(path, root, "it contains a NUL character", "Remove it."))
        return None
    digest = hashlib.sha256(text.encode()).hexdigest()
    shown = _shown(path, root)
    commands = tuple(split(text))
    return Migration(name[:14], domain, name, shown, digest, commands, tuple(targets(text)))


def _shown(path: Path, root: Path) -> str:
    """Return a path from the application's folder, with what a terminal would obey escaped."""
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown.as_posix())


def _bad(path: Path, root: Path, what: str, fix: str) -> Finding:
    return Finding(_shown(path, root), 0, BAD_FILE, f"migration refused: {what}.", fix)


def _forbidden(migration: Migration) -> Iterator[Finding]:
    for command in migration.commands:
        keys = [word.keyword for word in significant(command.text)]
        what, fix = "", ""
        if keys[0] in _REFUSED:
            what, fix = keys[0], _REFUSED[keys[0]]
        elif keys[0] == "CREATE" and keys[1:2] in (["TEMP"], ["TEMPORARY"]):
            what, fix = "a temporary object", "Remove it: it would be gone when the start is over."
        elif ("INITIALLY", "DEFERRED") in pairwise(keys):
            what = "a deferred constraint"
            fix = "Drop INITIALLY DEFERRED: it fails at COMMIT, where nobody can tell whose it was."
        elif _undoes_all(keys):
            what = "what rolls back by itself"
            fix = "Use ABORT: a ROLLBACK would undo what others have written with it."
        elif (word := _internal(command)) is not None:
            what, fix = word, "Names from sqlite_ on are SQLite's own; drop the statement."
        elif created(command).startswith("ringfence_"):
            what, fix = f"the table {created(command)}", "Names from ringfence_ on are reserved."
        if what:
            message = f"a migration may not contain {what}: `{shorten(command.text)}`."
            yield Finding(migration.shown, command.line, FORBIDDEN, message, fix)


def _undoes_all(keys: list[str]) -> bool:
    """Whether a constraint or trigger says `ON CONFLICT ROLLBACK` or `RAISE (ROLLBACK, …)`."""
    words = [key for key in keys if key]
    return any(
        pair in {("CONFLICT", "ROLLBACK"), ("RAISE", "ROLLBACK"), ("OR", "ROLLBACK")}
        for pair in pairwise(words)
    )


def _internal(command: Command) -> str | None:
    """Return the name of a table of SQLite's own that a statement names."""
    words = [word for word in named(command.text) if word.called.startswith("sqlite_")]
    return words[0].text if words else None


def owners(migrations: Sequence[Migration]) -> dict[str, tuple[str, str]]:
    """Return, for each table and view that migrations create, the domain and the place of the
    first that does."""
    found: dict[str, tuple[str, str]] = {}
    for migration in migrations:
        for command in migration.commands:
            if table := created(command):
                place = f"{migration.shown}:{command.line}"
                found.setdefault(table, (migration.domain, place))
    return found


def _shared(migrations: list[Migration]) -> Iterator[Finding]:
    known = owners(migrations)
    for migration in migrations:
        for command in migration.commands:
            table = created(command)
            owner, first = known.get(table, (migration.domain, ""))
            if owner != migration.domain:
                place = f"{migration.shown}:{command.line}"
                message = (
                    f"the table {table} is created by two domains: {owner} ({first}) and "
                    f"{migration.domain} ({place})."
                )
                fix = f"Rename one, or let {migration.domain} ask {owner} through a service."
                yield Finding(migration.shown, command.line, SHARED_TABLE, message, fix)


def _foreign(migrations: list[Migration]) -> Iterator[Finding]:
    known = owners(migrations)
    for migration in migrations:
        for command in migration.commands:
            for token in named(command.text):
                owner, _ = known.get(token.called, (migration.domain, ""))
                if owner != migration.domain and token.called != created(command):
                    yield foreign(migration, command, token.called, owner, token.start)


def foreign(
    migration: Migration, command: Command, table: str, owner: str, start: int = 0
) -> Finding:
    """Return the finding for a migration that uses a table of another domain.

    Args:
        migration: The file.
        command: The statement.
        table: The table, as it is to be shown.
        owner: Whose it is.
        start: Where in the statement it is named.
    """
    line = command.line + command.text.count("\n", 0, start)
    message = (
        f"`{shorten(command.text)}` uses {table}; expected tables of {migration.domain}, "
        f"got one of {owner}."
    )
    fix = (
        f"Keep a copy of what {migration.domain} needs, or ask {owner} through a service; "
        "a key of another domain is a plain column, without REFERENCES."
    )
    return Finding(migration.shown, line, FOREIGN, message, fix)
