"""Rows for a bystander: how long a GET takes while 500 other connections drip.

Runs with and without them take turns; the ratio is that of their 99th percentiles.
"""

import math
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.applications import copied
from bench.load import request
from bench.measure import ROOT, NotMeasured
from bench.report import Row, compare
from bench.servers import ringfence

ALTERNATIONS = 5
DRIPPING = 500
ASKED = 2_000
PAUSE_S = 0.001
# A byte of each takes the server some microseconds; a GET may wait for a few of them.
LIMIT = 2.0


def rows(count: int = ALTERNATIONS) -> Iterator[Row]:
    """Ask in turn with nobody else there, and among those who drip."""
    alone: list[list[float]] = []
    among: list[list[float]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        server = stack.enter_context(ringfence(copied("web", folder)))
        asked(server.port, ASKED // 10)
        for _ in range(count):
            alone.append(asked(server.port, ASKED))
            with dripping(server.port):
                among.append(asked(server.port, ASKED))
    for name, pick, limit in (("median", median, None), ("p99", p99, LIMIT)):
        title = f"GET while {DRIPPING} connections drip, {name}"
        here, there = [pick(taken) for taken in among], [pick(taken) for taken in alone]
        yield compare(title, here, there, "µs", "without them", limit=limit)


def median(values: list[float]) -> float:
    return statistics.median(values)


def p99(values: list[float]) -> float:
    return sorted(values)[math.ceil(len(values) * 0.99) - 1]


def asked(port: int, count: int) -> list[float]:
    """Send one GET after another on one connection; return the microseconds that each took."""
    sent = request(port, "GET", "/widgets/7")
    taken: list[float] = []
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            started = time.perf_counter()
            line.sendall(sent)
            answer = b""
            while not answer.endswith(b"}"):
                answer += line.recv(1 << 16)
            taken.append((time.perf_counter() - started) * 1e6)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise NotMeasured(f"a bystander was answered {answer!r}")
            time.sleep(PAUSE_S)
    return taken


@contextmanager
def dripping(port: int) -> Iterator[None]:
    """Let slow clients be there until the block ends."""
    command = [sys.executable, "-m", "bench.drip", str(port), str(DRIPPING)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as drip:
        try:
            assert drip.stdout is not None
            if drip.stdout.readline() != b"ready\n":
                raise NotMeasured("the slow clients were not let in")
            yield
            if drip.poll() is not None:
                raise NotMeasured("the slow clients were cut off too early")
        finally:
            drip.terminate()
