"""HTTP rows: CPU time of the server's process for each request, all servers in alternating rounds.

The load comes from another process over 32 connections. The servers run on the same versions of
uvicorn, httptools and uvloop; one worker, no access log.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.measure import PEER_PYTHON, ROOT, cpu_s, free_port, run_python, serving
from bench.report import Row, compare

ROUNDS = 7
SECONDS = 0.5
UNIT = "µs CPU/request"


class Scenario(NamedTuple):
    """One request that all servers answer alike."""

    name: str
    method: str
    path: str
    body: str = ""


GET = Scenario("GET, JSON", "GET", "/widgets/7")
POST = Scenario("POST, validated", "POST", "/orders", '{"sku":"blue-7","quantity":3}')
CALL = Scenario("GET with one call", "GET", "/stock/blue-7")
SCENARIOS = (GET, POST, CALL)


class Server(NamedTuple):
    """One running server."""

    name: str
    pid: int
    port: int


@contextmanager
def ringfence() -> Iterator[Server]:
    """Serve `bench/apps/web` by the command that users have."""
    port = free_port()
    with TemporaryDirectory(prefix="bench-") as folder:
        application = shutil.copytree(ROOT / "bench" / "apps" / "web", Path(folder, "web"))
        command = [str(Path(sys.executable).with_name("ringfence")), "run", str(application)]
        url = f"http://127.0.0.1:{port}/health/ready"
        with serving([*command, "--port", str(port)], url) as pid:
            yield Server("ringfence", pid, port)


@contextmanager
def asgi(name: str) -> Iterator[Server]:
    """Serve one of the ASGI peers."""
    port = free_port()
    command: list[str | Path] = [PEER_PYTHON, "-m", "bench.peers.serve", name, str(port)]
    with serving(command, f"http://127.0.0.1:{port}{GET.path}") as pid:
        yield Server(name, pid, port)


@contextmanager
def microcoreos() -> Iterator[Server]:
    """Serve a new MicroCoreOS project, as its own command makes it, with our features added."""
    port = free_port()
    with TemporaryDirectory(prefix="bench-") as folder:
        project = Path(folder, "project")
        subprocess.run(
            [PEER_PYTHON, "-m", "microcoreos.cli", "new", project, "--no-ai-kit", "--no-install"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        ours = ROOT / "bench" / "peers" / "microcoreos_project"
        shutil.copytree(ours, project, dirs_exist_ok=True)
        command: list[str | Path] = [PEER_PYTHON, ROOT / "bench" / "peers" / "microcoreos_run.py"]
        url = f"http://127.0.0.1:{port}{GET.path}"
        with serving(command, url, project, {"HTTP_PORT": str(port)}) as pid:
            yield Server("microcoreos", pid, port)


def cost(server: Server, scenario: Scenario, seconds: float = SECONDS) -> float:
    """Return the server's CPU microseconds for each of a burst of requests."""
    _, method, path, body = scenario
    before = cpu_s(server.pid)
    load = ["-m", "bench.load", str(server.port), str(seconds), method, path]
    answered = int(run_python([*load, body] if body else load))
    return (cpu_s(server.pid) - before) * 1e6 / answered


def rounds(servers: list[Server], scenario: Scenario, count: int) -> dict[str, list[float]]:
    """Measure all servers in turn, `count` times, after one round that is thrown away."""
    found: dict[str, list[float]] = {server.name: [] for server in servers}
    for server in servers:
        cost(server, scenario, 0.2)
    for turn in range(count):
        # The order turns around each time, so that a drift of the machine meets all alike.
        for server in servers if turn % 2 else reversed(servers):
            found[server.name].append(cost(server, scenario))
    return found


def rows(count: int = ROUNDS, *, with_ringfence: bool = True) -> list[Row]:
    """Measure each scenario on each server."""
    with ExitStack() as stack:
        servers = [stack.enter_context(asgi(name)) for name in ("bare", "starlette", "fastapi")]
        servers.append(stack.enter_context(microcoreos()))
        if with_ringfence:
            servers.append(stack.enter_context(ringfence()))
        return [
            row
            for scenario in SCENARIOS
            for row in _compared(scenario, rounds(servers, scenario, count))
        ]


def _compared(scenario: Scenario, found: dict[str, list[float]]) -> Iterator[Row]:
    bare = found["bare"]
    yield compare(f"{scenario.name}: bare ASGI", bare, bare, UNIT, "bare ASGI")
    for name in ("starlette", "fastapi", "microcoreos"):
        yield compare(f"{scenario.name}: {name}", found[name], bare, UNIT, "bare ASGI")
    if ours := found.get("ringfence"):
        # A call is more than a bare application does; only the plain requests have a limit.
        most, goal, least = (None, None, None) if scenario is CALL else (1.30, 1.25, 3.0)
        name = f"{scenario.name}: ringfence"
        yield compare(name, ours, bare, UNIT, "bare ASGI", limit=most, goal=goal)
        name = f"{scenario.name}: requests per CPU second"
        yield compare(name, ours, found["fastapi"], UNIT, "FastAPI", limit=least, inverse=True)
        other = found["microcoreos"]
        yield compare(name, ours, other, UNIT, "MicroCoreOS", inverse=True)
