"""Boot an application in a test: temporary database and files, fake clock, no port.

    async with ringfence.testing.boot("apps/shop") as app:
        order = await app.call("orders.place", sku="tea", quantity=1)
        answer = await app.http.get("/orders/1")

Everything else is real: the same boot, the same kernel, the same drivers of database and files.
"""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from ringfence.app import Application, load
from ringfence.app import boot as boot_application
from ringfence.config import ToolTable
from ringfence.errors import Finding
from ringfence.kernel.context import Principal
from ringfence.kernel.delivery import DeadLetter, Envelope
from ringfence.kernel.manifest import Manifest
from ringfence.kernel.ports import Grant, Health
from ringfence.kernel.topics import On
from ringfence.report import Span, Status, SubscriptionStatus
from ringfence.testing.driver import endpoint, environment
from ringfence.testing.http import HttpClient
from ringfence.testing.unit import context
from ringfence.tools.clock.drivers.fake import Driver as FakeClock
from ringfence.tools.http.drivers.memory import Driver as MemoryHttp
from ringfence.tools.log.drivers.memory import Driver as MemoryLog

PATIENCE_S = 5.0  # real seconds

__all__ = ["TestApplication", "boot", "context", "endpoint", "environment"]


class TestApplication:
    """A running application in the hands of a test."""

    __test__ = False  # not a class of tests, whatever its name looks like to pytest

    def __init__(self, application: Application) -> None:
        self._application = application
        self._published: list[Envelope] = []
        if application.has_events:
            application.deliveries.dispatcher.witness = self._published.append
        http = application.driver("http")
        self.http = HttpClient(http)  # type: ignore[arg-type]

    async def call(self, service: str, /, **payload: object) -> object:
        """Call a service by its parameters' names; returns what its provider returned.

        Raises:
            RingfenceError: What the call ended with. A bug of the plugin is the error's cause.
        """
        return await self._application.call(service, payload)

    async def call_as(self, principal: Principal, service: str, /, **payload: object) -> object:
        """Call a service as somebody; as `call` in all else."""
        return await self._application.call(service, payload, principal)

    async def publish(self, event: object, /, **payload: object) -> str:
        """Publish an event from outside any feature; return its id once it is stored.

        Args:
            event: An instance of a class under `@event`; or a topic, with the payload by name.

        Raises:
            NotFound: The application publishes nothing to that topic.
            Invalid: The payload does not fit.
        """
        deliveries = self._application.deliveries
        if isinstance(event, str):
            return await deliveries.publish(event, payload)
        return await deliveries.publish_event(event)

    async def settled(self) -> None:
        """Wait until every event has been delivered that can be while the clock stands still.

        What is to be tried again, or was published with a delay, waits for the clock:
        `await app.clock.elapse(300)`, then `settled` again.

        Raises:
            TimeoutError: A handler has not ended for five seconds.
        """
        if self._application.has_events:
            dispatcher = self._application.deliveries.dispatcher
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await dispatcher.settled()
            except TimeoutError:
                at_work = sorted(n for n, lane in dispatcher.lanes.items() if lane.running)
                said = (
                    f"not settled after {PATIENCE_S:g} s; at work: {', '.join(at_work) or 'none'}"
                )
                raise TimeoutError(f"{said}. Does a handler wait for the clock?") from None

    def published(self, pattern: str) -> list[dict[str, object]]:
        """Return the payloads published since the start to the topics that fit, in order: by
        features or by the test, in transactions that were committed."""
        on = On(pattern=pattern)
        return [json.loads(event.payload) for event in self._published if on.fits(event.topic)]

    async def dead_letters(self) -> Sequence[DeadLetter]:
        """Return the deliveries that are tried no more, the newest first."""
        if not self._application.has_events:
            return []
        return await self._application.deliveries.dead()

    @property
    def clock(self) -> FakeClock:
        """The fake clock: `advance(seconds)`, `await elapse(seconds)`."""
        clock = self._application.driver("clock")
        assert isinstance(clock, FakeClock)
        return clock

    @property
    def manifest(self) -> Manifest:
        """Everything that the application declares."""
        return self._application.manifest

    @property
    def findings(self) -> Sequence[Finding]:
        """What is wrong with the application and was contained, such as quarantined plugins."""
        return self._application.findings

    @property
    def spans(self) -> Sequence[Span]:
        """Every context that has ended, oldest first."""
        return self._application.spans

    @property
    def status(self) -> Status:
        """What `ringfence status` shows of it."""
        return self._application.status()

    @property
    def health(self) -> Health:
        """What `/health/ready` answers with."""
        return self._application.health

    async def subscriptions(self) -> Mapping[str, SubscriptionStatus]:
        """Return the subscriptions by name: what waits for each, and whether it is paused."""
        found = await self._application.deliveries.subscriptions()
        return {one.name: one for one in found}

    def tool(self, instance: str) -> object:
        """Return a handle on a tool, as a plugin called `test` would get it."""
        grant = Grant(plugin="test", domain="", instance=instance)
        return self._application.driver(instance).handle(grant)

    def driver(self, instance: str) -> object:
        """Return the driver behind a tool, such as the `memory` driver of the log."""
        return self._application.driver(instance)


@asynccontextmanager
async def boot(
    path: str | Path,
    *,
    strict: bool = False,
    overrides: Mapping[str, object] | None = None,
) -> AsyncIterator[TestApplication]:
    """Start the application at `path`, give it to the test, and stop it.

    Args:
        path: The application's folder.
        strict: Refuse to start with any finding, instead of quarantining what can be.
        overrides: Tables of `ringfence.toml` that count for this test alone.

    Raises:
        BootError: It does not start; `findings` says why.
    """
    with tempfile.TemporaryDirectory(prefix="ringfence-") as folder:
        kept = Path(folder)
        given = _tables(overrides or {})
        config = load(Path(path), {**(overrides or {}), "tools": _for_tests(given)})
        fitted = {n: _fitted(t, given.get(n, ()), kept) for n, t in config.tools.items()}
        chosen = replace(config, tools=fitted)
        application = await boot_application(chosen, strict=strict, state=kept)
        try:
            yield TestApplication(application)
        finally:
            await application.stop()


def _tables(overrides: Mapping[str, object]) -> Mapping[str, Mapping[str, object]]:
    tools = overrides.get("tools", {})
    assert isinstance(tools, Mapping)
    return tools


def _for_tests(given: Mapping[str, Mapping[str, object]]) -> dict[str, Mapping[str, object]]:
    """Lay a test's own tables of tools over the stand-ins."""
    tools: dict[str, Mapping[str, object]] = {
        "db": {},
        "files": {},
        "clock": {"driver": "fake"},
        "http": {"driver": "memory"},
        "log": {"driver": "memory"},
    }
    for name, table in given.items():
        tools[name] = {**tools.get(name, {}), **table}
    return tools


def _fitted(table: ToolTable, own: Collection[str], folder: Path) -> ToolTable:
    """Give a database a file and files a folder in the test's own. Of a tool whose driver has a
    stand-in keep what this one knows (of HTTP the limits, not the port), and the test's `own`
    options."""
    options = dict(table.options)
    if table.tool == "db" and table.driver in (None, "sqlite") and "path" not in own:
        options["path"] = str(folder / f"{table.instance}.db")
    if table.tool == "files" and table.driver in (None, "local") and "root" not in own:
        options["root"] = str(folder / table.instance)
        (folder / table.instance).mkdir()
    for stand_in in (FakeClock, MemoryHttp, MemoryLog):
        if stand_in.__module__ == f"ringfence.tools.{table.tool}.drivers.{table.driver}":
            kept = {*own, *stand_in.Config.__struct_fields__}
            options = {key: value for key, value in options.items() if key in kept}
    return replace(table, options=options)
