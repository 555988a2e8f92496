"""Platforms that lack what Unix has, as far as another one can stand for them; and the CI matrix.

A process without Unix sockets, users, file locks, `poll` and uvloop stands for one on Windows: a
`sitecustomize` takes these away before anything is imported.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ringfence.cli import client
from ringfence.tools.http.server.listen import bind
from tests.apps.shop.shops import copy_of_the_shop
from tests.faults.process import process
from tests.kernel.apps import feature, write

ROOT = Path(__file__).parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = {"ubuntu-latest": "Linux", "macos-latest": "macOS", "windows-latest": "Windows"}
NEITHER_UNIX_NOR_UVLOOP = """
import sys

for name in ("fcntl", "pwd", "grp", "resource", "termios", "uvloop"):
    sys.modules[name] = None

import _socket

del _socket.AF_UNIX, _socket.socketpair

import asyncio
import os
import select
import signal

del select.poll, os.geteuid, os.getuid
assert not hasattr(asyncio, "start_unix_server")
signal.SIGBREAK = signal.SIGUSR1


def add_reader(*args):
    raise NotImplementedError  # as Windows' loop has it


asyncio.SelectorEventLoop.add_reader = add_reader
"""
pytestmark = pytest.mark.skipif(os.name != "posix", reason="there it is so anyway")


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a process that has none of what only Unix has."""
    write(tmp_path / "site", {"sitecustomize.py": NEITHER_UNIX_NOR_UVLOOP})
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    return {"PYTHONPATH": path.rstrip(os.pathsep)}


def ask(verb: str, *arguments: str, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "ringfence", verb, *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_the_shop_serves_without_what_only_unix_has(
    tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    """`run` says that there is no control socket, and goes on without it."""
    with process(copy_of_the_shop(tmp_path), env=elsewhere) as shop:
        shop.serving()
        assert shop.get("health/ready") == {"status": "ready"}
        assert isinstance(shop.get("products"), dict)
        shop.signal()
        assert shop.end() == 0
    assert any("no control socket on this platform" in line for line in shop.err)


def test_ctrl_break_drains_as_ctrl_c_does(tmp_path: Path, elsewhere: dict[str, str]) -> None:
    """It is what another process can send on Windows."""
    with process(copy_of_the_shop(tmp_path), env=elsewhere) as shop:
        shop.serving().signal(signal.SIGUSR1)
        assert shop.end() == 0


@pytest.mark.parametrize(
    "question",
    [("status", "APP"), ("call", "a.b", "--app", "APP"), ("trace", "12", "--app", "APP")],
)
def test_asking_says_in_one_line_what_is_missing_and_what_to_do(
    tmp_path: Path, elsewhere: dict[str, str], question: tuple[str, ...]
) -> None:
    """No traceback, whichever verb needs the control socket."""
    app = write(tmp_path / "app", {})
    verb, *rest = (str(app) if word == "APP" else word for word in question)
    asked = ask(verb, *rest, env=elsewhere)
    assert (asked.returncode, asked.stdout) == (1, "")
    [line] = asked.stderr.splitlines()
    assert "this platform has no Unix sockets" in line
    assert "/health/ready" in line


def test_nothing_is_sent_where_nobody_can_be_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without file locks there is no claim, so no socket is believed either."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(client.NoSocket):
        client.status(tmp_path)


def test_a_terminal_that_lacks_a_character_gets_its_number(tmp_path: Path) -> None:
    """Windows' pipes take no arrow; a finding with one is told all the same."""
    mutual = {
        f"domains/{own}/it.py": feature(
            f"""
            @requires("{other}.it")
            class Other(Protocol):
                async def __call__(self) -> int: ...

            class It(Plugin):
                other: Other

                @service("{own}.it")
                async def it(self) -> int:
                    return await self.other()
            """
        )
        for own, other in (("chicken", "egg"), ("egg", "chicken"))
    }
    asked = ask("check", str(write(tmp_path, mutual)), env={"PYTHONIOENCODING": "cp1252"})
    assert asked.returncode == 1
    assert r"\u2192" in asked.stdout


@pytest.mark.anyio
async def test_a_port_is_never_shared_with_another_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where SO_REUSEADDR would share it, as on Windows, the exclusive option is set instead."""
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_KEEPALIVE, raising=False)
    [taken] = await bind("127.0.0.1", 0)
    with taken:
        assert taken.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not taken.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


def test_ci_runs_every_platform_that_is_documented() -> None:
    """Each system with each Python; the table of platforms names the same."""
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    table = (ROOT / "docs" / "platforms.md").read_text("utf-8")
    systems = re.search(r"os: \[(.*)\]", workflow)
    versions = re.search(r"python: \[(.*)\]", workflow)
    assert systems
    assert versions
    assert systems[1].split(", ") == list(SYSTEMS)
    assert re.findall(r"[\d.]+", versions[1]) == list(VERSIONS)
    for name in (*SYSTEMS.values(), *VERSIONS):
        assert name in table
    lowest = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert lowest["requires-python"] == f">={VERSIONS[0]}"
