"""An application in a process of its own: started, watched by its lines, signalled, and ended."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

DEADLINE_S = 10.0  # for whatever is waited for; only a fault comes near it


class Process:
    """`ringfence run APP --port 0`, with its lines as they come."""

    def __init__(self, app: Path, *options: str, env: Mapping[str, str] | None = None) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "ringfence", "run", str(app), "--port", "0", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        assert self.child.stdout is not None
        assert self.child.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=each, daemon=True)
            for each in ((self.child.stdout, self.out), (self.child.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()
        self.address = ""

    def _read(self, stream: IO[str], kept: list[str]) -> None:
        for line in stream:
            kept.append(line)
            self._lines.put(line)
        self._lines.put("")

    def says(self, text: str) -> str:
        """Wait for a line with `text`, on either stream, and return it."""
        ends_at = time.monotonic() + DEADLINE_S
        ended = 0
        while ended < 2:
            line = self._lines.get(timeout=max(0.01, ends_at - time.monotonic()))
            if text in line:
                return line
            ended += not line
        raise AssertionError(f"it ended without saying {text!r}: {self.out} {self.err}")

    def serving(self) -> "Process":
        """Wait until it serves."""
        found = re.search(r"http://[^/]+/", self.says("http://"))
        assert found
        self.address = found[0]
        return self

    def get(self, path: str) -> object:
        """Send a GET and return what comes back, decoded."""
        with urllib.request.urlopen(self.address + path, timeout=DEADLINE_S) as answer:
            return json.load(answer)

    def let_go(self, count: int = 1) -> None:
        """Give the features that read standard input so many bytes."""
        assert self.child.stdin is not None
        self.child.stdin.write("." * count)
        self.child.stdin.flush()

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.child.send_signal(number)

    def end(self) -> int:
        """Wait for its end; return the exit code."""
        code = self.child.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        return code


@contextmanager
def process(app: Path, *options: str, env: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Start an application, and see to its end whatever happens."""
    started = Process(app, *options, env=env)
    try:
        yield started
    finally:
        started.child.kill()
        started.end()
        for stream in (started.child.stdin, started.child.stdout, started.child.stderr):
            assert stream is not None
            stream.close()
