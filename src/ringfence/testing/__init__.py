"""Boot an application in a test: temporary database, fake clock, no port.

    async with ringfence.testing.boot("apps/shop") as app:
        order = await app.call("orders.place", sku="tea", quantity=1)
        answer = await app.http.get("/orders/1")

Everything else is real: the same boot, the same kernel, the same drivers of the database.
"""

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from ringfence.app import Application, load
from ringfence.app import boot as boot_application
from ringfence.errors import Finding
from ringfence.kernel.context import Principal
from ringfence.kernel.manifest import Manifest
from ringfence.kernel.ports import Grant, Health
from ringfence.kernel.report import Span, Status
from ringfence.testing.http import HttpClient
from ringfence.tools.clock.drivers.fake import Driver as FakeClock

__all__ = ["TestApplication", "boot"]


class TestApplication:
    """A running application in the hands of a test."""

    __test__ = False  # not a class of tests, whatever its name looks like to pytest

    def __init__(self, application: Application) -> None:
        self._application = application
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

    @property
    def clock(self) -> FakeClock:
        """The fake clock: `advance(seconds)`, `await elapse(seconds)`."""
        clock = self._application.driver("clock")
        assert isinstance(clock, FakeClock)
        return clock

    @property
    def manifest(self) -> Manifest:
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
        return self._application.status()

    @property
    def health(self) -> Health:
        return self._application.health

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
        chosen = load(Path(path), _for_tests(kept, overrides or {}))
        application = await boot_application(chosen, strict=strict, state=kept)
        try:
            yield TestApplication(application)
        finally:
            await application.stop()


def _for_tests(folder: Path, overrides: Mapping[str, object]) -> dict[str, object]:
    tools: dict[str, object] = {
        "db": {"path": str(folder / "test.db")},
        "clock": {"driver": "fake"},
        "http": {"driver": "memory"},
        "log": {"driver": "memory"},
    }
    given = overrides.get("tools", {})
    assert isinstance(given, Mapping)
    for name, table in given.items():
        tools[name] = {**tools.get(name, {}), **table}  # type: ignore[dict-item]
    return {**overrides, "tools": tools}
