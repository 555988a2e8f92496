"""No file descriptor is left: accepting pauses, says so once, and goes on by itself."""

import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kernel.apps import write

from .bystander import BYSTANDER
from .process import DEADLINE_S, process

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")

LIMIT = 100
LIMITED = {
    "ringfence.toml": """
    [tools.http]
    max_connections = 1000
    """,
    "domains/limits/lower.py": f"""
    import resource

    from ringfence import *


    class Lower(Plugin):
        async def start(self) -> None:
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, hard))
    """,
}


def test_descriptors_that_are_gone_pause_accepting_until_some_are_back(tmp_path: Path) -> None:
    """Those who are connected are served meanwhile, the others wait; one record."""
    with process(write(tmp_path, {**BYSTANDER, **LIMITED})) as running, ExitStack() as open_ones:
        running.serving()
        host, _, port = running.address.removeprefix("http://").strip("/").rpartition(":")
        connected = _connect(open_ones, host, int(port))
        assert _asked(connected) == b"HTTP/1.1 200 OK"
        waiting = [_connect(open_ones, host, int(port)) for _ in range(LIMIT + 20)]
        running.says("accepting_paused")
        for _ in range(20):
            assert _asked(connected) == b"HTTP/1.1 200 OK"
        for each in waiting[:60]:
            each.close()
        running.says("accepting_resumed")
        assert _asked(waiting[-1]) == b"HTTP/1.1 200 OK"
    assert sum("accepting_paused" in line for line in running.err) == 1


def _connect(open_ones: ExitStack, host: str, port: int) -> socket.socket:
    made = socket.create_connection((host, port), timeout=DEADLINE_S)
    open_ones.callback(made.close)
    return made


def _asked(connection: socket.socket) -> bytes:
    """Ask the bystander; return the first line of the answer."""
    connection.sendall(b"GET /weather/Ulm HTTP/1.1\r\nHost: localhost\r\n\r\n")
    received = b""
    while b"sunny in Ulm" not in received:
        received += connection.recv(4096)
    return received.partition(b"\r\n")[0]
