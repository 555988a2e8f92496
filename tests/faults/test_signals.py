"""SIGTERM drains and ends the process in time, whatever its features do; a second one at once."""

import signal
import threading
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ringfence.cli import client
from tests.kernel.apps import feature, write

from .bystander import BYSTANDER
from .process import Process, process

LIMITS = """
[kernel]
start_timeout = 0.3
stop_timeout = 1
drain_timeout = 0.4
"""
# Where the last deadline, after which the process is ended, is what a test waits for.
QUICK = {"ringfence.quick.toml": "[kernel]\nstop_timeout = 0.2\ndrain_timeout = 0.4\n"}
HOLD = feature(
    """
    import os
    import sys

    from ringfence.tools.http import get


    def say(word: str) -> None:
        sys.stderr.write(word + "\\n")
        sys.stderr.flush()


    class Hold(Plugin):
        db: Database

        @get("/hold/thread")
        def hold(self) -> str:
            say("held")
            os.read(0, 1)
            return "let go"

        @get("/hold/ever")
        async def hold_for_ever(self, tx: Transaction) -> str:
            await tx.execute("INSERT INTO rows VALUES ('never')")
            say("held")
            await asyncio.Event().wait()
            return "never"

        @get("/hold/deaf")
        async def hold_deaf(self) -> str:
            say("held")
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    say("swallowed")

        @get("/hold/loop")
        async def hold_the_loop(self) -> str:
            import time

            say("held")
            time.sleep(60)
            return "never"

        @get("/hold/spin")
        async def spin(self) -> str:
            say("held")
            while True:
                pass

        @get("/rows")
        async def rows(self) -> int:
            return await self.db.fetch_value("SELECT count(*) FROM rows", into=int)
    """
)
FILES = {
    "ringfence.toml": LIMITS,
    "domains/hold/hold.py": HOLD,
    "domains/hold/migrations/20260101000000_rows.sql": "CREATE TABLE rows (name TEXT);",
    **BYSTANDER,
}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return write(tmp_path / "held", FILES)


def hooks(*methods: str) -> str:
    """Return a feature with these hooks."""
    lines = ["import time\n\n\nclass Hooks(Plugin):", *(f"    {m}" for m in methods)]
    service = '\n    @service("hooks.now")\n    async def now(self) -> int:\n        return 1\n'
    return feature("\n".join(lines) + service)


def bystander_serves(running: Process) -> None:
    assert running.get("weather/Ulm") == "sunny in Ulm"


def until_refused(running: Process) -> None:
    """Ask until the listening socket is closed, which is a moment after the signal."""
    while True:
        bystander_serves(running)


def test_sigterm_under_load_answers_what_is_in_progress(app: Path) -> None:
    """Everything that was asked before it is answered; nothing new is let in; exit code 0. Who
    follows its traces is told at once, and holds up nothing."""
    with process(app) as running, ThreadPoolExecutor(20) as clients:
        running.serving()
        follower = clients.submit(lambda: list(client.follow(app, False)))
        held = [clients.submit(running.get, "hold/thread") for _ in range(3)]
        for _ in range(2):  # the third waits for a thread
            running.says("held")
        done = threading.Event()

        def ask() -> int:
            answered = 0
            while not done.is_set():
                bystander_serves(running)
                answered += 1
            return answered

        load = [clients.submit(ask) for _ in range(4)]
        done.set()
        assert all(each.result(10) >= 0 for each in load)
        running.signal()
        running.says("stopping")
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            until_refused(running)
        assert isinstance(follower.result(10), list)
        running.let_go(3)
        assert [each.result(10) for each in held] == ["let go"] * 3
        assert running.end() == 0
        assert "Traceback" not in "".join(running.err)


def test_a_second_sigterm_ends_it_at_once(app: Path) -> None:
    """With the signal's own code, whatever is still in progress."""
    write(app, {"ringfence.patient.toml": "[kernel]\ndrain_timeout = 60\n"})
    with process(app, env={"RINGFENCE_ENV": "patient"}) as running, ThreadPoolExecutor() as client:
        running.serving()
        held = client.submit(running.get, "hold/thread")
        running.says("held")
        bystander_serves(running)
        running.signal()
        running.says("stopping")
        running.signal()
        assert running.end() == 128 + signal.SIGTERM
        assert isinstance(held.exception(10), OSError)


@pytest.mark.parametrize("path", ["hold/ever", "hold/deaf", "hold/thread"])
def test_work_that_does_not_end_is_given_up(app: Path, path: str) -> None:
    """At the drain's deadline it is cancelled and rolled back; one that is deaf is left behind."""
    with process(app) as running, ThreadPoolExecutor() as client:
        running.serving()
        held = client.submit(running.get, path)
        running.says("held")
        bystander_serves(running)
        began = time.monotonic()
        running.signal()
        assert running.end() == 0
        assert time.monotonic() - began < 8
        assert held.exception(10) is not None
    with process(app) as running:
        running.serving()
        assert running.get("rows") == 0


@pytest.mark.parametrize("path", ["hold/loop", "hold/spin"])
def test_a_blocked_loop_does_not_hold_the_process(app: Path, path: str) -> None:
    """The loop cannot drain what blocks it: the process ends at its last deadline, and says so."""
    write(app, QUICK)
    with process(app, env={"RINGFENCE_ENV": "quick"}) as running, ThreadPoolExecutor() as client:
        running.serving()
        bystander_serves(running)
        held = client.submit(running.get, path)
        running.says("held")
        began = time.monotonic()
        running.signal()
        assert running.end() == 1
        assert time.monotonic() - began < 8
        assert "stopping has taken over" in running.err[-1]
        assert held.exception(10) is not None


HANGING_STOPS = {
    "async": "async def stop(self) -> None:\n        await asyncio.Event().wait()\n",
    "deaf": (
        "async def stop(self) -> None:\n        while True:\n            try:\n"
        "                await asyncio.Event().wait()\n"
        "            except asyncio.CancelledError:\n                pass\n"
    ),
    "thread": "def stop(self) -> None:\n        time.sleep(60)\n",
    "waiting thread": "def stop(self) -> None:\n        wait(asyncio.Event().wait())\n",
    "spinning thread": "def stop(self) -> None:\n        while True:\n            pass\n",
}


@pytest.mark.parametrize(
    "case, number",
    [*((case, signal.SIGTERM) for case in HANGING_STOPS), ("async", signal.SIGINT)],
)
def test_a_stop_that_hangs_does_not_hold_the_process(
    app: Path, case: str, number: signal.Signals
) -> None:
    """Its deadline passes, the others are stopped, the log names it, and the exit code is 0."""
    write(app, {"domains/hooks/hooks.py": hooks(HANGING_STOPS[case])})
    with process(app) as running:
        running.serving()
        bystander_serves(running)
        began = time.monotonic()
        running.signal(number)
        assert running.end() == 0
        assert time.monotonic() - began < 8
        said = "".join(running.err)
        assert "hooks.hooks: its stop has not ended within 1 s" in said
        assert "Traceback" not in said


def test_a_signal_during_a_hanging_start_ends_it(app: Path) -> None:
    """Before it serves there is nothing to drain; the next start finds nothing in its way."""
    start = (
        "async def start(self) -> None:\n        print('starting', flush=True)\n"
        "        await asyncio.Event().wait()\n"
    )
    slow = {"ringfence.slow.toml": "[kernel]\nstart_timeout = 60\n"}
    write(app, {"domains/hooks/hooks.py": hooks(start), **slow})
    with process(app, env={"RINGFENCE_ENV": "slow"}) as running:
        running.says("starting")
        running.signal()
        assert running.end() in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    with process(app) as running:
        running.serving()
        bystander_serves(running)
        assert "quarantined hooks.hooks" in "".join(running.out)


def test_a_port_in_use_is_one_line_and_nothing_is_left_running(app: Path) -> None:
    """Exit code 2, which port and what to do; the bystander in the other process is untouched."""
    with process(app) as first:
        first.serving()
        port = first.address.rpartition(":")[2].strip("/")
        second = write(app.parent / "second", FILES)
        with process(second, "--port", port) as refused:
            assert refused.end() == 2
            (line,) = [said for said in refused.err if '"level":"info"' not in said]
            assert f"127.0.0.1:{port} is in use" in line
            assert "--port" in line
        bystander_serves(first)
        first.signal()
        assert first.end() == 0
