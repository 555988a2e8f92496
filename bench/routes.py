"""Rows for many routes: the same GET in an application that has 1,000, and in one that has two.

The paths that are asked stand in the middle of the others. Starlette, FastAPI and Litestar show
what it costs elsewhere.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.applications import add_features, copied
from bench.report import Row, compare
from bench.servers import UNIT, Scenario, Server, asgi, ringfence, rounds

# A row with a limit needs more rounds than its noise; the others only show the scale.
ROUNDS, PEER_ROUNDS = 15, 3
FEW, MANY = 2, 1000
PEERS = ("starlette", "litestar", "fastapi")
SCENARIOS = (
    Scenario("GET, static path", ("GET", "/widgets")),
    Scenario("GET, one parameter", ("GET", "/widgets/7")),
)


def rows(count: int = ROUNDS, peer_count: int = PEER_ROUNDS) -> Iterator[Row]:
    """Measure both paths on each server, with few routes and with many."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        ours = list(_ours(stack, folder))
        peers = [
            stack.enter_context(asgi(f"{name}-{routes}"))
            for name in PEERS
            for routes in (FEW, MANY)
        ]
        for scenario in SCENARIOS:
            found = rounds([(server, scenario) for server in ours], count)
            found |= rounds([(server, scenario) for server in peers], peer_count)
            for name in ("ringfence", *PEERS):
                few = found[f"{name}-{FEW}", scenario.name]
                many = found[f"{name}-{MANY}", scenario.name]
                title = f"{scenario.name}, {MANY:,} routes: {name}"
                # What else is installed costs nothing; the limit leaves room for noise alone.
                limit = 1.1 if name == "ringfence" else None
                yield compare(title, many, few, UNIT, "two routes", limit=limit)


def _ours(stack: ExitStack, folder: Path) -> Iterator[Server]:
    """Serve the same application twice; each feature beside it brings two routes."""
    alone, beside = copied("routes", folder / "alone"), copied("routes", folder / "beside")
    add_features(beside, (MANY - FEW) // 2, "route.py.txt")
    for application, routes in ((alone, FEW), (beside, MANY)):
        yield stack.enter_context(ringfence(application, f"ringfence-{routes}"))
