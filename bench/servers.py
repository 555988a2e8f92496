"""The servers that are compared, each in a process of its own, and what a request costs them.

All run on the same versions of uvicorn, httptools and uvloop; one worker, no access log. The load
comes from another process. What counts is the CPU time of the server's process.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.measure import PEER_PYTHON, ROOT, cpu_s, free_port, run_python, serving

SECONDS = 0.5
WARM_UP_S = 0.2
UNIT = "µs CPU/request"


class Scenario(NamedTuple):
    """One request that all servers answer alike.

    Args:
        name: For the table.
        arguments: Of the client: `METHOD PATH [BODY [HEADER...]]` for `bench.load`.
        client: The module that sends it, and prints how often it was answered.
    """

    name: str
    arguments: tuple[str, ...]
    client: str = "bench.load"


class Server(NamedTuple):
    """One running server."""

    name: str
    pid: int
    port: int


@contextmanager
def ringfence(
    application: Path, name: str = "ringfence", variables: Mapping[str, str] = {}
) -> Iterator[Server]:
    """Serve an application by the command that users have."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("ringfence")), "run", str(application)]
    url = f"http://127.0.0.1:{port}/health/ready"
    with serving([*command, "--port", str(port)], url, variables=variables) as pid:
        yield Server(name, pid, port)


@contextmanager
def asgi(name: str, path: str = "/widgets/7") -> Iterator[Server]:
    """Serve one of the ASGI peers; `path` answers once it is there."""
    port = free_port()
    command: list[str | Path] = [PEER_PYTHON, "-m", "bench.peers.serve", name, str(port)]
    with serving(command, f"http://127.0.0.1:{port}{path}") as pid:
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
        url = f"http://127.0.0.1:{port}/widgets/7"
        with serving(command, url, project, {"HTTP_PORT": str(port)}) as pid:
            yield Server("microcoreos", pid, port)


def cost(server: Server, scenario: Scenario, seconds: float = SECONDS) -> float:
    """Return the server's CPU microseconds for each of a burst of requests."""
    before = cpu_s(server.pid)
    load = ["-m", scenario.client, str(server.port), str(seconds), *scenario.arguments]
    answered = int(run_python(load))
    return (cpu_s(server.pid) - before) * 1e6 / answered


Found = dict[tuple[str, str], list[float]]


def rounds(asked: Sequence[tuple[Server, Scenario]], count: int) -> Found:
    """Measure all in turn, `count` times, after one round that is thrown away.

    Returns:
        The cost of each round, by the names of server and scenario.
    """
    found: Found = {}
    for server, scenario in asked:
        cost(server, scenario, WARM_UP_S)
    for turn in range(count):
        # The order turns around each time, so that a drift of the machine meets all alike.
        for server, scenario in asked if turn % 2 else reversed(asked):
            taken = found.setdefault((server.name, scenario.name), [])
            taken.append(cost(server, scenario))
    return found
