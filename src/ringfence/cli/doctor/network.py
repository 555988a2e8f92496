"""The port that an application listens on: free, its own, or somebody else's.

`checks` lists them. Called by the verb `doctor`.
"""

import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ringfence.app import BUILT_IN, load
from ringfence.cli import client
from ringfence.cli.doctor.examination import Check, Line, bad, ok
from ringfence.toolbox import Tools

_AREA = "network"
_ANSWER_S = 3.0
_LISTENING = "0A"  # TCP_LISTEN of the kernel's include/net/tcp_states.h
_SOCKET = re.compile(r"socket:\[(\d+)\]")


def checks(root: Path) -> list[Check]:
    """List the checks of the network for the application in `root`."""
    return [Check(_AREA, "port", lambda: _port(root))]


def _port(root: Path) -> Iterator[Line]:
    _, options = Tools(load(root, {}), BUILT_IN).chosen("http")
    host, port = getattr(options, "host", None), getattr(options, "port", None)
    if not isinstance(host, str) or not isinstance(port, int):
        return  # a driver that listens nowhere
    where = f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        yield bad("port", f"{where}: no such address: {error}", _elsewhere("host"))
        return
    for family, _, _, _, address in found[:1]:
        yield _taken(root, where, port, _tried(family, address))


def _tried(family: int, address: tuple[object, ...]) -> OSError | None:
    """Take the port and give it back at once: nobody could connect in between."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":  # elsewhere it would take a port that is in use
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            return error
    return None


def _taken(root: Path, where: str, port: int, error: OSError | None) -> Line:
    if error is None:
        return ok("port", f"{where} is free")
    if error.errno == errno.EACCES:
        return bad(
            "port", f"{where} may not be used by this user", _elsewhere("port, from 1024 up")
        )
    if error.errno != errno.EADDRINUSE:
        return bad("port", f"{where}: {error.strerror or error}", _elsewhere("host"))
    holder = _holder(port)
    if holder is not None and holder == _running(root):
        return ok("port", f"{where} is this application's, process {holder}")
    who = _named(holder) if holder is not None else "another process"
    return bad("port", f"{where} is in use by {who}", f"end it, or {_elsewhere('port')}")


def _elsewhere(what: str) -> str:
    return f"set another {what} under [tools.http], or by `ringfence run --port`"


def _running(root: Path) -> int | None:
    try:
        return client.status(root, timeout_s=_ANSWER_S).pid
    except (client.NotRunning, client.NoSocket, client.Answered):
        return None


def _holder(port: int) -> int | None:
    """Return the process that listens on a port, where Linux tells this user."""
    inodes = {inode for name in ("tcp", "tcp6") for inode in _listening(name, port)}
    for folder in Path("/proc").glob("[0-9]*/fd") if inodes else ():
        if inodes & set(_sockets(folder)):
            return int(folder.parent.name)
    return None


def _sockets(folder: Path) -> Iterator[str]:
    """Yield the inodes of a process's sockets, if this user may know."""
    with suppress(OSError):  # another user's, or it has ended
        for entry in folder.iterdir():
            with suppress(OSError):  # closed meanwhile
                found = _SOCKET.fullmatch(str(entry.readlink()))
                if found:
                    yield found[1]


def _listening(name: str, port: int) -> Iterator[str]:
    try:
        lines = Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    except OSError:
        return
    for parts in map(str.split, lines):
        if parts[3] == _LISTENING and int(parts[1].rpartition(":")[2], 16) == port:
            yield parts[9]


def _named(pid: int) -> str:
    try:
        return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})"
    except OSError:
        return f"process {pid}"
