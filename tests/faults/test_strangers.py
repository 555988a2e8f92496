"""The control socket answers the user who runs the application, and nobody else."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.audit import AuditLog
from tests.kernel.apps import feature, write

from .bystander import BYSTANDER
from .process import Process, process

NOBODY = 65534
SECRET = feature(
    """
    class Till(Plugin):
        @service("till.open")
        async def open(self, ctx: Context) -> str:
            return f"opened for {ctx.principal.id if ctx.principal else None}"
    """
)
# Becomes another user, tries the socket, and tells what came back.
STRANGER = """
import os, socket, sys
os.setgroups([])
os.setgid({uid})
os.setuid({uid})
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(5)
try:
    connection.connect(sys.argv[1])
    connection.sendall(b'{{"do": "call", "name": "till.open"}}\\n')
    print(connection.makefile().read())
except PermissionError:
    print("not let in")
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Process]:
    app = write(tmp_path / "shop", {"domains/till/till.py": SECRET, **BYSTANDER})
    with process(app) as started:
        yield started.serving()


def app_of(running: Process) -> Path:
    return Path(running.child.args[4])  # type: ignore[index, arg-type]


def socket_of(running: Process) -> Path:
    return app_of(running) / ".ringfence" / "control.sock"


def operate(running: Process, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the operator."""
    command = [sys.executable, "-m", "ringfence", *arguments, "--app", str(app_of(running))]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def serves(running: Process) -> None:
    """The operator and the bystander are answered."""
    done = operate(running, "call", "till.open")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout).startswith("opened for operator:")
    assert running.get("weather/Ulm") == "sunny in Ulm"


def test_what_an_operator_does_is_on_record(running: Process) -> None:
    """Who called what is in the log, and the socket is nobody else's to open."""
    mode = socket_of(running).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    serves(running)
    assert "call till.open" in running.says("operator:")
    (record,) = AuditLog(app_of(running)).read()
    assert (record.uid, record.what, record.outcome) == (os.geteuid(), "call till.open", "done")
    kept = app_of(running) / ".ringfence" / "audit.jsonl"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def ask_as_stranger(path: Path) -> str:
    code = STRANGER.format(uid=NOBODY)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@as_root
def test_another_user_is_refused_twice(running: Process, tmp_path: Path) -> None:
    """By the mode of the socket; and, were that opened, by asking the system who is there."""
    path = socket_of(running)
    opened = [path.parent, *path.parents[1:6]]
    modes = [folder.stat().st_mode for folder in opened]
    try:
        for folder in opened:
            folder.chmod(folder.stat().st_mode | 0o055)
        assert ask_as_stranger(path) == "not let in"
        path.chmod(0o666)
        answer = json.loads(ask_as_stranger(path))
    finally:
        for folder, mode in zip(opened, modes, strict=True):
            folder.chmod(mode)
    assert running.says(f"user {NOBODY} was turned away")
    assert AuditLog(app_of(running)).read() == []
    assert (answer["problem"]["status"], answer["problem"]["code"]) == (403, "forbidden")
    assert "result" not in answer or answer["result"] is None
    serves(running)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"{}\n",
        b"[" * 100_000 + b"\n",
        b'{"do": "stop"}\n',
        b'{"do": "call", "name": "till.open", "principal": "user:root"}\n',
        b'{"do": "call", "name": "till.open", "payload": []}\n',
        b'{"do": "trace", "id": ""}\n',
        b'{"do": "traces", "limit": -1}\n',
        b'{"do": "follow", "forever": true}\n',
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xfe\x00\n",
        b'{"do": "call", "name": "\\ud800"}\n',
    ],
)
def test_garbage_is_refused_in_one_line(running: Process, garbage: bytes) -> None:
    """And the application goes on."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(socket_of(running)))
        connection.sendall(garbage)
        answer = json.loads(connection.makefile("rb").read())
    assert answer["problem"]["status"] in (400, 404)
    assert running.get("weather/Ulm") == "sunny in Ulm"


def test_a_stale_socket_is_replaced(running: Process) -> None:
    """A process that was killed leaves its socket behind; the next one takes its place."""
    app = app_of(running)
    running.signal(signal.SIGKILL)
    assert running.end() == -signal.SIGKILL
    assert socket_of(running).exists()
    refused = operate(running, "call", "till.open")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    with process(app) as second:
        serves(second.serving())
        second.signal()
        assert second.end() == 0
        assert not socket_of(second).exists()
