"""`ringfence db`: a backup of a database, and its return, while the application runs or not."""

import asyncio
import difflib
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import click

from ringfence.audit import AuditLog
from ringfence.cli.options import app_argument, app_option, json_option
from ringfence.cli.progress import Shown, size_text
from ringfence.cli.terminal import complain, say, say_json
from ringfence.errors import StartRefused
from ringfence.tools.db.maintenance import Backup, Maintenance, Restored

F = TypeVar("F", bound=Callable[..., object])
R = TypeVar("R")
Databases = Mapping[str, Maintenance]


@click.group("db")
def verb() -> None:
    """Back up a database, or restore it, while the application runs or not."""


def _tool_option(function: F) -> F:
    return click.option("--tool", metavar="INSTANCE", help="Which database, if there are several.")(
        function
    )


@verb.command("backup")
@app_argument
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="The file to write, or a folder; by default backups/ beside the database.",
)
@_tool_option
@json_option
def backup(app: Path, to: Path | None, tool: str | None, as_json: bool) -> int:
    """Write each database of the application in the folder APP into a file of its own.

    The file holds one moment, whoever writes meanwhile. It is checked, is on the disk when this
    ends, and may be read by its owner alone. A file that exists is never overwritten.
    """
    databases = _databases(app)
    if to is not None and not to.is_dir() and tool is None and len(databases) > 1:
        names = ", ".join(databases)
        raise click.UsageError(f"--to names one file, and there are {names}. Say --tool as well.")
    chosen = _chosen(databases, tool)
    audit, target = _audit(app), () if to is None else (f"to={to.absolute()}",)

    async def work(shown: Shown) -> list[Backup]:
        done = []
        for instance, database in chosen.items():
            if not as_json:
                say((instance, "bold"), " is being backed up")
            with audit.record("db backup", (instance, *target)):
                done.append(await database.backup(to, shown))
        return done

    done = _do(work, as_json)
    if done is None:
        return 1
    if as_json:
        say_json({"backups": done}, indent=2)
    for each in () if as_json else done:
        say((each.file, "bold"), f" holds {each.of}, {size_text(each.size_bytes)}")
    return 0


@verb.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@app_option
@_tool_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def restore(file: Path, app: Path, tool: str | None, yes: bool, as_json: bool) -> int:
    """Put the content of the backup FILE in the place of a database's.

    FILE must be sound, of this application, and not newer than its code; migrations that it has
    not had are applied to it. The application may go on running: it finds the state before or the
    one after. The state before is kept as a backup.
    """
    databases = _databases(app)
    if tool is None and len(databases) > 1:
        raise click.UsageError(f"there are {', '.join(databases)}. Say --tool, which of them.")
    ((instance, database),) = _chosen(databases, tool).items()
    if not yes and not _agreed(instance, file):
        return 1
    audit, source = _audit(app), f"from={file.absolute()}"

    async def work(shown: Shown) -> Restored:
        with audit.record("db restore", (instance, source)):
            return await database.restore(file, shown)

    done = _do(work, as_json)
    if done is None:
        return 1
    if as_json:
        say_json(done, indent=2)
        return 0
    for step in done.applied:
        say(("  migrated ", "good"), step.id)
    say((done.database, "bold"), f" holds what {done.file} held")
    if done.kept:
        say(f"what it held before is in {done.kept}")
    return 0


def _agreed(instance: str, file: Path) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("a restore replaces all data; expected --yes where nobody is asked.")
    if click.confirm(f"Replace all data of {instance} by that of {file}?", err=True):
        return True
    complain("nothing was done.", plain=True)
    return False


def _audit(app: Path) -> AuditLog:
    from ringfence.app import load

    return AuditLog(app, load(app, {}).redactor)


def _databases(app: Path) -> Databases:
    from ringfence.app import maintenance

    return maintenance(app, click.get_current_context().with_resource(ExitStack()))


def _chosen(databases: Databases, tool: str | None) -> Databases:
    if tool is None:
        return databases
    if tool not in databases:
        close = difflib.get_close_matches(tool, databases, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        known = ", ".join(databases) or "none"
        raise click.UsageError(f"no database is called {tool!r}; expected one of {known}.{hint}")
    return {tool: databases[tool]}


def _do(work: Callable[[Shown], Coroutine[object, None, R]], as_json: bool) -> R | None:
    """Run it; None where it was refused, which is a failed operation and no refused start."""

    async def shown() -> R:
        progress = Shown(quiet=as_json)
        try:
            return await work(progress)
        finally:
            progress.stop()

    try:
        return asyncio.run(shown())
    except StartRefused as refusal:
        complain(str(refusal))
        return None
