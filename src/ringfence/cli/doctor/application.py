"""One application, from outside: configuration, features, its control socket, folders, clock.

`checks` lists them. Invariant: nothing is started, and nothing of the application's folder is
changed. Called by the verb `doctor`.
"""

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from ringfence.app import check, load
from ringfence.cli import client
from ringfence.cli.doctor.examination import Check, Line, bad, ok, warn
from ringfence.control_socket import candidates, is_supported
from ringfence.errors import StartRefused
from ringfence.observer import own_version

_AREA = "application"
_ANSWER_S = 3.0
_READ_S = 60.0  # for a thousand features on a slow disk
_SKEW_S = 2.0  # what file systems round to, and somewhat more


def checks(root: Path) -> list[Check]:
    """List the checks of the application in `root`."""
    return [
        Check(_AREA, "configuration", lambda: _configuration(root)),
        Check(_AREA, "features", lambda: _features(root), _READ_S),
        Check(_AREA, "control socket", lambda: _socket(root)),
        Check(_AREA, "folders", lambda: _folders(folders(root))),
        Check(_AREA, "clock", lambda: _clock(root, folders(root))),
    ]


def folders(root: Path) -> list[Path]:
    """Return the folders that the application writes to; they need not be there yet."""
    found = [root / ".ringfence"]
    try:
        config = load(root, {})
    except StartRefused:
        return found
    for name in {"db", "files", *config.tools}:
        table = config.tool(name)
        path, folder = table.options.get("path"), table.options.get("root")
        if table.tool == "db":
            usual = root / "data"
            found.append((root / path).parent if isinstance(path, str) and path else usual)
        elif table.tool == "files":
            found.append(root / (folder if isinstance(folder, str) and folder else f"data/{name}"))
    return sorted(set(found))


def _configuration(root: Path) -> Iterator[Line]:
    config = load(root, {})
    files = sorted(path.name for path in root.glob("ringfence*.toml"))
    yield ok("configuration", f"{config.name}, of {', '.join(files) or 'the defaults alone'}")


def _features(root: Path) -> Iterator[Line]:
    found = check(root, keep=False)
    for finding in found:
        place = f"{finding.file}:{finding.line}" if finding.line else finding.file
        yield bad("features", f"{place}: {finding.rule} {finding.message}", finding.fix)
    if not found:
        yield ok("features", "no findings")


def _socket(root: Path) -> Iterator[Line]:
    if not is_supported():
        return
    try:
        status = client.status(root, timeout_s=_ANSWER_S)
    except client.NotRunning as error:
        yield _silent(root, error)
        return
    told = f"process {status.pid} runs it, {status.state}"
    if status.version != own_version():
        fix = "restart it, so that it runs what is installed"
        yield warn("control socket", f"{told}, on ringfence {status.version}", fix)
    elif status.state != "ready":
        yield warn("control socket", f"{told}: {'; '.join(status.reasons)}", "ringfence status")
    else:
        yield ok("control socket", told)


def _silent(root: Path, error: client.NotRunning) -> Line:
    there = [
        path for path in candidates(root, {os.geteuid(), root.stat().st_uid}) if _is_there(path)
    ]
    if "belongs to another user" in error.message:
        return warn("control socket", error.message, error.hint)
    if "no answer within" in error.message:
        fix = "look at its log; a blocked event loop answers nobody. Restart it"
        return bad("control socket", error.message, fix)
    if there:
        fix = "nothing to do: the next start replaces it"
        return ok("control socket", f"{there[0]} was left behind by a process that is gone; {fix}")
    return ok("control socket", "the application is not running")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _folders(wanted: list[Path]) -> Iterator[Line]:
    for folder in wanted:
        there = folder
        while not there.exists() and there != there.parent:
            there = there.parent
        about = there.stat()
        told = str(folder) if there == folder else f"{folder}, not made yet"
        owner = f"chown it to the user that runs the application, or set another path: {there}"
        if not stat.S_ISDIR(about.st_mode):
            yield bad("folders", f"{told}: {there} is no folder", "remove it, or set another path")
        elif not os.access(there, os.W_OK | os.X_OK):
            yield bad("folders", f"{told}: this user may not write there", owner)
        elif (
            os.name == "posix" and about.st_mode & stat.S_IWOTH and not about.st_mode & stat.S_ISVTX
        ):
            yield bad("folders", f"{told}: every user may write there", f"chmod o-w {there}")
        else:
            yield ok("folders", f"{told}: may be written")


def _clock(root: Path, wanted: list[Path]) -> Iterator[Line]:
    worst = max((abs(skew) for folder in wanted for skew in _skew(folder)), default=0.0)
    ahead = max((path.stat().st_mtime - time.time() for path in _sources(root)), default=0.0)
    if worst > _SKEW_S:
        fix = "set the clocks of this machine and of the file server by NTP"
        yield warn("clock", f"{worst:.0f} s apart from the file system's", fix)
    elif ahead > _SKEW_S:
        fix = "set the clock, or touch the files: what was read of a file is known by its time"
        yield warn("clock", f"files of the application are {ahead:.0f} s in the future", fix)
    else:
        yield ok("clock", "agrees with the file system's")


def _sources(root: Path) -> Iterator[Path]:
    yield from (path for path in root.glob("domains/*/*.py") if path.is_file())


def _skew(folder: Path) -> Iterator[float]:
    """Yield by how much a file of the folder is older than now: one without a name, which leaves
    nothing behind. Where there is none such, nothing is said."""
    nameless = getattr(os, "O_TMPFILE", None)
    if nameless is None or not folder.is_dir():
        return
    try:
        descriptor = os.open(folder, nameless | os.O_RDWR, 0o600)
    except OSError:
        return
    try:
        os.write(descriptor, b"x")
        yield time.time() - os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
