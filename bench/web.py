"""HTTP rows: CPU time of the server's process for each request, all servers in turn."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.applications import copied, mounting_only
from bench.measure import ROOT
from bench.report import Row, compare
from bench.servers import UNIT, Found, Scenario, asgi, microcoreos, ringfence, rounds

# A row with a limit needs more rounds than its noise; the others only show the scale.
ROUNDS, PEER_ROUNDS = 25, 5
PEERS = ("starlette", "litestar", "blacksheep")
MOUNTED = "bare ASGI, mounted in ringfence"  # our connections alone, and the way to a mount

GET = Scenario("GET, JSON", ("GET", "/widgets/7"))
POST = Scenario("POST, validated", ("POST", "/orders", '{"sku":"blue-7","quantity":3}'))
CALL = Scenario("GET with one call", ("GET", "/stock/blue-7"))
SCENARIOS = (GET, POST, CALL)


def rows(count: int = ROUNDS, peer_count: int = PEER_ROUNDS) -> Iterator[Row]:
    """Measure each scenario on each server."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        mounting = mounting_only("bench.peers.bare:app", folder)
        mounted = ringfence(mounting, MOUNTED, {"PYTHONPATH": str(ROOT)})
        bare, fastapi = stack.enter_context(asgi("bare")), stack.enter_context(asgi("fastapi"))
        ours = stack.enter_context(ringfence(copied("web", folder)))
        others = [stack.enter_context(asgi(name)) for name in PEERS]
        others += [stack.enter_context(microcoreos()), stack.enter_context(mounted)]
        for scenario in SCENARIOS:
            found = rounds([(server, scenario) for server in (bare, ours, fastapi)], count)
            yield from _limited(scenario, found)
            found = rounds([(server, scenario) for server in (bare, ours, *others)], peer_count)
            yield from _others(scenario, found)


def _limited(scenario: Scenario, found: Found) -> Iterator[Row]:
    bare, ours, fastapi = (found[name, scenario.name] for name in ("bare", "ringfence", "fastapi"))
    # A call is more than a bare application does; only the plain requests have a limit.
    most, goal, least = (None, None, None) if scenario is CALL else (1.30, 1.25, 3.0)
    name = scenario.name
    yield compare(f"{name}: bare ASGI", bare, bare, UNIT, "bare ASGI")
    yield compare(f"{name}: ringfence", ours, bare, UNIT, "bare ASGI", limit=most, goal=goal)
    yield compare(f"{name}: fastapi", fastapi, bare, UNIT, "bare ASGI")
    title = f"{name}: requests per CPU second"
    yield compare(title, ours, fastapi, UNIT, "fastapi", limit=least, inverse=True)


def _others(scenario: Scenario, found: Found) -> Iterator[Row]:
    bare, ours = found["bare", scenario.name], found["ringfence", scenario.name]
    for name in (MOUNTED, *PEERS, "microcoreos"):
        taken = found[name, scenario.name]
        yield compare(f"{scenario.name}: {name}", taken, bare, UNIT, "bare ASGI")
        if name != MOUNTED:
            title = f"{scenario.name}: requests per CPU second"
            yield compare(title, ours, taken, UNIT, name, inverse=True)
