"""Rows for requests that carry more than path and JSON, and for connections that stay.

Each is compared with the plain GET of the same application, so that a regression shows, and with
FastAPI where it does the same.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.applications import copied
from bench.report import Row, compare
from bench.servers import UNIT, Scenario, asgi, ringfence, rounds

ROUNDS = 5
FORM = "Content-Type: application/x-www-form-urlencoded"
PLAIN = Scenario("GET, plain", ("GET", "/widgets/7"))
EVENT = Scenario("one event of a stream", ("events", "/events"), "bench.live")
SCENARIOS = (
    Scenario("GET with a header", ("GET", "/headers/7", "", "X-Shelf: blue")),
    Scenario("GET with a Reply", ("GET", "/replies/7")),
    Scenario("POST of a form", ("POST", "/forms", "sku=blue-7&quantity=3", FORM)),
    EVENT,
    Scenario("WebSocket message, there and back", ("echo", "/echo"), "bench.live"),
)


def rows(count: int = ROUNDS) -> Iterator[Row]:
    """Measure both servers in turn."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        ours = stack.enter_context(ringfence(copied("wide", folder)))
        fastapi = stack.enter_context(asgi("wide-fastapi"))
        everything = [(ours, scenario) for scenario in (PLAIN, *SCENARIOS)]
        everything += [(fastapi, scenario) for scenario in SCENARIOS if scenario is not EVENT]
        found = rounds(everything, count)
        plain = found[ours.name, PLAIN.name]
        for scenario in SCENARIOS:
            name, taken = scenario.name, found[ours.name, scenario.name]
            yield compare(name, taken, plain, UNIT, "the plain GET")
            if other := found.get((fastapi.name, scenario.name)):
                title = f"{name}: per CPU second"
                yield compare(title, taken, other, UNIT, "fastapi", inverse=True)
