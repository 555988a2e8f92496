"""`ringfence run` and its companions, as processes: how they start, serve, and end."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import pytest

FEATURE = '''
from ringfence import Conflict, Plugin, service
from ringfence.tools.http import get
from ringfence.tools.log import Log


class OutOfStock(Conflict, code="orders.out_of_stock"):
    """Fewer than ordered."""


class PlaceOrder(Plugin):
    log: Log

    @get("/orders/{sku}")
    @service("orders.place")
    async def place(self, sku: str) -> dict[str, str]:
        self.log.warning("placing", sku=sku)
        if sku == "none":
            raise OutOfStock("none left")
        return {"sku": sku}
'''

Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "shop" / "domains" / "orders"
    folder.mkdir(parents=True)
    (folder / "place_order.py").write_text(FEATURE)
    return tmp_path / "shop"


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "ringfence", *map(str, arguments)]


def done(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=25, check=False
    )


@pytest.fixture
def run(app: Path) -> Iterator[Run]:
    """Start `ringfence run` on a free port, and see to its end."""
    started: list[subprocess.Popen[str]] = []

    def start(
        *options: str,
        env: Mapping[str, str] = os.environ,
        stderr: int | IO[bytes] = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command("run", app, "--port", "0", *options),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, **env},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def address(process: subprocess.Popen[str]) -> str:
    """Wait until it serves; return where, with a slash at the end."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip().startswith("http"):
            there = urlsplit(line.strip())
            return f"{there.scheme}://{there.netloc}/"
    raise AssertionError("it ended without serving")


def test_it_serves_answers_its_operator_and_ends_cleanly(app: Path, run: Run) -> None:
    """One process from start to SIGTERM: HTTP, call, status, trace, exit code 0."""
    process = run()
    with urllib.request.urlopen(address(process) + "orders/a", timeout=10) as answer:
        assert json.load(answer) == {"sku": "a"}
    status = done("status", app, "--json")
    assert json.loads(status.stdout)["pid"] == process.pid
    call = done("call", "orders.place", "sku=b", "--app", app)
    assert (call.returncode, json.loads(call.stdout)) == (0, {"sku": "b"})
    failed = done("call", "orders.place", "sku=none", "--app", app)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "none left (409 orders.out_of_stock)" in failed.stderr
    typo = done("call", "orders.place", "skv=b", "--app", app)
    assert "$.skv: unknown parameter; did you mean 'sku'?" in typo.stderr
    trace = done(*failed.stderr.rpartition(": ringfence ")[2].split())
    assert "orders.place" in trace.stdout
    assert "OutOfStock" in trace.stdout
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in err
    assert [json.loads(row)["message"] for row in err.splitlines()].count("placing") == 3


def test_an_application_without_a_feature_says_where_to_write_one(app: Path, run: Run) -> None:
    """Nobody has to wonder why it answers nothing."""
    shutil.rmtree(app / "domains" / "orders")
    process = run()
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "there is no feature in it yet; write the first one: domains/" in line


def test_ctrl_c_ends_it_cleanly_and_programs_are_told(run: Run) -> None:
    """As SIGTERM does; a line of JSON says that it serves and where, and one that it stops."""
    process = run("--json")
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    assert (ready["event"], ready["app"], ready["state"]) == ("ready", "shop", "ready")
    assert ready["pid"] == process.pid
    with urllib.request.urlopen(f"{ready['addresses'][0]}/orders/a", timeout=10) as answer:
        assert json.load(answer) == {"sku": "a"}
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in err) == (0, False)
    assert json.loads(out) == {"event": "stopping"}


def test_a_second_instance_is_exit_code_2(app: Path, run: Run) -> None:
    """It names the first, which goes on."""
    process = run()
    address(process)
    second = done("run", app, "--port", "0")
    assert second.returncode == 2
    assert f"running already, as process {process.pid}" in second.stderr
    assert done("status", app).returncode == 0


def test_a_port_in_use_is_exit_code_2(app: Path) -> None:
    """One line says which."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = done("run", app, "--port", str(port))
    assert refused.returncode == 2
    assert str(port) in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("verb", ["run", "check"])
def test_a_wrong_configuration_is_exit_code_2(app: Path, verb: str) -> None:
    """Each fault with its line, key, and what was probably meant."""
    (app / "ringfence.toml").write_text('[app]\nnmae = "shop"\n[kernel]\nspans = "many"\n')
    refused = done(verb, app)
    assert refused.returncode == 2
    said = refused.stdout + refused.stderr
    assert "ringfence.toml:2" in said
    assert "did you mean `name`?" in said
    assert "kernel.spans: wrong value; expected int" in said
    assert "Traceback" not in said


def test_a_hung_thread_does_not_hold_the_process(app: Path, run: Run) -> None:
    """A hook that never returns, in a thread that nobody can stop, is left behind."""
    (app / "domains" / "orders" / "hang.py").write_text(
        "import threading\n"
        "from ringfence import Plugin, service\n\n\n"
        "class Hang(Plugin):\n"
        "    def start(self) -> None:\n"
        "        threading.Thread(target=threading.Event().wait).start()\n\n"
        '    @service("orders.hang")\n'
        "    async def hang(self) -> int:\n"
        "        return 1\n"
    )
    process = run()
    address(process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_no_color_reaches_the_log(run: Run) -> None:
    """On a terminal, `NO_COLOR` keeps log lines plain as well."""
    reader, terminal = os.openpty()
    with os.fdopen(reader, "rb") as shown, os.fdopen(terminal, "wb") as opened:
        process = run(stderr=opened, env={"NO_COLOR": "1"})
        with urllib.request.urlopen(address(process) + "orders/a", timeout=10):
            line = shown.readline()
            while b"still starting" in line:  # on a machine that is busy with other things
                line = shown.readline()
    assert b"placing" in line
    assert b"\x1b" not in line
