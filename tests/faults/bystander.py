"""The feature beside the fault: whatever happens to another plugin, each of its calls succeeds."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from ringfence.report import Span
from ringfence.testing import TestApplication
from ringfence.tools.log.drivers.memory import Driver as MemoryLog
from tests.kernel.apps import feature

BYSTANDER: Mapping[str, str] = {
    "domains/weather/now.py": feature(
        """
        from ringfence.tools.http import get


        class Now(Plugin):
            @get("/weather/{town}")
            @service("weather.now")
            async def now(self, town: str) -> str:
                await asyncio.sleep(0)
                return f"sunny in {town}"

            @service("weather.look_up")
            def look_up(self, town: str) -> str:
                return f"sunny in {town}"
        """
    )
}


async def ask(app: TestApplication) -> None:
    """Call each of the bystander's services, and its route; anything but its answer fails."""
    for name in ("weather.now", "weather.look_up"):
        assert await app.call(name, town="Ulm") == "sunny in Ulm"
    answer = await app.http.get("/weather/Ulm")
    assert (answer.status, answer.json()) == (200, "sunny in Ulm")


@asynccontextmanager
async def asked_throughout(app: TestApplication) -> AsyncIterator[None]:
    """Ask the bystander before, without a pause during, and after the block; within time."""
    await ask(app)
    done = asyncio.Event()

    async def go_on() -> int:
        rounds = 0
        while not done.is_set():
            await ask(app)
            rounds += 1
        return rounds

    asking = asyncio.create_task(go_on())
    try:
        yield
    finally:
        done.set()
        async with asyncio.timeout(10):
            await asking
    await ask(app)


def logged(app: TestApplication, level: str, *words: str) -> list[str]:
    """Return the log's messages of that level in which all of the words stand."""
    log = app.driver("log")
    assert isinstance(log, MemoryLog)
    said = [record.message for record in log.records if record.level == level]
    return [message for message in said if all(word in message for word in words)]


def failed(app: TestApplication, plugin: str, kind: str) -> list[Span]:
    """Return the spans of a plugin that failed with that kind of error."""
    spans = [span for span in app.spans if span.plugin == plugin and span.failure]
    return [span for span in spans if span.failure and span.failure.kind == kind]
