"""Small pieces for measuring: a process's CPU and memory, free ports, programs of one's own."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).parents[1]
PEER_PYTHON = ROOT / ".bench-peer" / "bin" / "python"
PATIENCE_S = 60.0


class NotMeasured(Exception):
    """Something could not be measured here, and why."""


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used, all threads, those that ended included."""
    # What clock_getcpuclockid(3) answers on Linux; Python does not wrap it.
    return time.clock_gettime((~pid << 3) | 2)


def resident_kb(pid: int) -> int:
    """Return the memory that a process holds now, in units of 1,024 bytes."""
    return _status(Path(f"/proc/{pid}"), "VmRSS")


def forget_peak(pid: int) -> None:
    """Let `peak_kb` count from here."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_kb(pid: int) -> int:
    """Return the most memory that a process has held, in units of 1,024 bytes."""
    return _status(Path(f"/proc/{pid}"), "VmHWM")


def wake_ups(pid: int) -> dict[str, int]:
    """Return how often each thread of a process has waited for something and gone on."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {task.name: _status(task, "voluntary_ctxt_switches") for task in tasks}


def _status(process: Path, key: str) -> int:
    status = (process / "status").read_text()
    found = re.search(rf"^{key}:\s+(\d+)", status, re.MULTILINE)
    assert found, status
    return int(found[1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run_python(arguments: Sequence[str], **variables: str) -> str:
    """Run this Python from the project's folder; return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE_S,
    )
    if done.returncode:
        raise NotMeasured(f"{' '.join(arguments)}: {(done.stderr or done.stdout)[-800:]}")
    return done.stdout


@contextmanager
def serving(
    command: Sequence[str | Path],
    url: str,
    folder: Path = ROOT,
    variables: Mapping[str, str] = {},
) -> Iterator[int]:
    """Run a server until the block ends; yield its process id once `url` answers 200."""
    log = Path(os.environ.get("TMPDIR", "/tmp"), f"ringfence-bench-{os.getpid()}.log")  # noqa: S108
    with log.open("wb") as errors:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env={**os.environ, **variables},
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        _await_answer(process, url, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.unlink(missing_ok=True)


def _await_answer(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        if process.poll() is not None:
            break
        try:
            with urlopen(url, timeout=5):  # noqa: S310 - a URL of our own, on loopback
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    raise NotMeasured(f"{url} does not answer: {log.read_text()[-800:]}")
