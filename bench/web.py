"""HTTP rows: CPU time of the server's process for each request, all servers in turn."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.applications import copied, mounting_only
from bench.measure import ROOT
from bench.report import Row, compare
from bench.servers import UNIT, Found, Scenario, asgi, microcoreos, ringfence, rounds

ROUNDS = 9
PEERS = ("starlette", "litestar", "blacksheep", "fastapi", "microcoreos")

GET = Scenario("GET, JSON", ("GET", "/widgets/7"))
POST = Scenario("POST, validated", ("POST", "/orders", '{"sku":"blue-7","quantity":3}'))
CALL = Scenario("GET with one call", ("GET", "/stock/blue-7"))
SCENARIOS = (GET, POST, CALL)


def rows(count: int = ROUNDS) -> Iterator[Row]:
    """Measure each scenario on each server."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="bench-"))
        servers = [
            stack.enter_context(asgi(name)) for name in ("bare", *PEERS) if name != "microcoreos"
        ]
        servers.append(stack.enter_context(microcoreos()))
        servers.append(stack.enter_context(ringfence(copied("web", Path(folder)))))
        mounting = mounting_only("bench.peers.bare:app", Path(folder))
        mounted = ringfence(mounting, "mounted", {"PYTHONPATH": str(ROOT)})
        servers.append(stack.enter_context(mounted))
        for scenario in SCENARIOS:
            found = rounds([(server, scenario) for server in servers], count)
            yield from _compared(scenario, found)


def _compared(scenario: Scenario, found: Found) -> Iterator[Row]:
    taken = {server: values for (server, _), values in found.items()}
    bare, ours = taken["bare"], taken["ringfence"]
    yield compare(f"{scenario.name}: bare ASGI", bare, bare, UNIT, "bare ASGI")
    for name in PEERS:
        yield compare(f"{scenario.name}: {name}", taken[name], bare, UNIT, "bare ASGI")
    # What our connections alone cost, against uvicorn's own; to find a route and a mount included.
    name = f"{scenario.name}: bare ASGI, mounted in ringfence"
    yield compare(name, taken["mounted"], bare, UNIT, "bare ASGI")
    # A call is more than a bare application does; only the plain requests have a limit.
    most, goal, least = (None, None, None) if scenario is CALL else (1.30, 1.25, 3.0)
    name = f"{scenario.name}: ringfence"
    yield compare(name, ours, bare, UNIT, "bare ASGI", limit=most, goal=goal)
    name = f"{scenario.name}: requests per CPU second"
    for other in PEERS:
        limit = least if other == "fastapi" else None
        yield compare(name, ours, taken[other], UNIT, other, limit=limit, inverse=True)
