"""An application in a process of its own whose time its parent moves, line by line.

    python -m tests.faults.timekeeper APP DATABASE START

reads from standard input how many seconds are to pass, answers with what was logged meanwhile as
one line of JSON, and ends with its input. The bystander is asked after each move.
"""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from ringfence.testing import boot
from ringfence.tools.log.drivers.memory import Driver as MemoryLog

from .bystander import ask


async def keep(app: str, database: str, start: str) -> None:
    clock = {"start": datetime.fromisoformat(start)}
    tools = {"tools": {"clock": clock, "db": {"path": database}}}
    async with boot(app, overrides=tools) as running:
        log = running.driver("log")
        assert isinstance(log, MemoryLog)
        _say([])
        while line := await asyncio.to_thread(sys.stdin.readline):
            await running.clock.elapse(float(line))
            await ask(running)
            _say([record.message for record in log.records])
            log.records.clear()


def _say(messages: list[str]) -> None:
    sys.stdout.write(json.dumps(messages) + "\n")
    sys.stdout.flush()


class Timekeeper:
    """Such a process, from its parent's side."""

    def __init__(self, app: Path, database: Path, start: datetime) -> None:
        self.logged: list[str] = []
        self.child = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.faults.timekeeper"),
                *(str(app), str(database), start.isoformat()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def move(self, seconds: float) -> None:
        """Let time begin to pass there."""
        assert self.child.stdin is not None
        self.child.stdin.write(f"{seconds}\n")
        self.child.stdin.flush()

    def arrive(self) -> bool:
        """Wait until it has passed, or until the process has ended; return whether it lives."""
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        self.logged += json.loads(line) if line else ()
        return bool(line)

    def elapse(self, seconds: float) -> bool:
        self.move(seconds)
        return self.arrive()


@contextmanager
def timekeeper(app: Path, database: Path, start: datetime) -> Iterator[Timekeeper]:
    """Start one, and see to its end whatever happens."""
    started = Timekeeper(app, database, start)
    try:
        assert started.arrive()
        yield started
        assert started.child.stdin is not None
        with suppress(BrokenPipeError):
            started.child.stdin.close()
        assert started.child.wait(10) in (0, -signal.SIGKILL)
    finally:
        started.child.kill()
        started.child.wait(10)
        for stream in (started.child.stdin, started.child.stdout):
            assert stream is not None
            if not stream.closed:
                stream.close()


if __name__ == "__main__":
    asyncio.run(keep(*sys.argv[1:4]))
