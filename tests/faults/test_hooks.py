"""Constructors and hooks that fail or never return: a deadline, then boot or stop goes on."""

import time
from pathlib import Path
from typing import Any

import pytest

from ringfence.errors import BootError, PluginQuarantined
from ringfence.testing import TestApplication
from tests.kernel.apps import feature, place, running

from .bystander import BYSTANDER, ask, asked_throughout, logged
from .stage import Stage

pytestmark = pytest.mark.anyio

FILE = "domains/stock/provider.py"
NOT_IN_TIME = "has not ended within 0.2 s"


def files(*bodies: str) -> dict[str, str]:
    """An application with a plugin for each body; the first is `stock.provider`."""
    made: dict[str, str] = dict(BYSTANDER)
    for number, body in enumerate(bodies):
        name = f"more_{number}" if number else "provider"
        text = "import stage\n\n\nclass Provider(Plugin):\n"
        text += "".join(f"    {line}\n" for line in body.split("\n"))
        text += f'\n    @service("stock.{name}")\n    async def level(self) -> int:\n'
        text += "        return 3\n"
        made[f"domains/stock/{name}.py"] = feature(text)
    return made


CONSTRUCTED = {
    "raises": ("def __init__(self) -> None:\n    raise KeyError('shelf')", "has failed: KeyError"),
    "exits": ("def __init__(self) -> None:\n    raise SystemExit(3)", "has failed: SystemExit: 3"),
    "hangs": ("def __init__(self) -> None:\n    stage.hang()", NOT_IN_TIME),
    "gives something else": (
        "def __new__(cls) -> 'Provider':\n    return object.__new__(Plugin)",
        "gave something else: Plugin",
    ),
}
STARTED = {
    "raises": ("async def start(self) -> None:\n    raise KeyError('shelf')", "KeyError: 'shelf'"),
    "exits": ("async def start(self) -> None:\n    raise SystemExit(3)", "SystemExit: 3"),
    "raises in a thread": ("def start(self) -> None:\n    raise OSError('disk')", "OSError: disk"),
    "exits in a thread": ("def start(self) -> None:\n    raise SystemExit(3)", "SystemExit"),
    "interrupts": ("def start(self) -> None:\n    raise KeyboardInterrupt", "KeyboardInterrupt"),
    "hangs": ("async def start(self) -> None:\n    await stage.hang_async()", NOT_IN_TIME),
    "hangs for good": (
        "async def start(self) -> None:\n    await stage.hang_for_good()",
        NOT_IN_TIME,
    ),
    "hangs in a thread": ("def start(self) -> None:\n    stage.hang()", NOT_IN_TIME),
    "waits in a thread for ever": (
        "def start(self) -> None:\n    wait(stage.hang_async())",
        NOT_IN_TIME,
    ),
}
STOPPED = {case: (body.replace("start(", "stop("), said) for case, (body, said) in STARTED.items()}
LIMITS: dict[str, Any] = {"start_timeout": 0.2, "stop_timeout": 0.2, "drain_timeout": 0.2}


async def serves_without(app: TestApplication, said: str) -> None:
    """The plugin is in quarantine, and everything says so and why."""
    async with asked_throughout(app):
        with pytest.raises(PluginQuarantined, match=r"stock\.provider"):
            await app.call("stock.provider")
    (finding,) = app.findings
    assert finding.file == FILE
    assert "stock.provider" in finding.message
    assert said in finding.message
    (plugin,) = app.status.domains[0].plugins
    assert (plugin.id, plugin.state) == ("stock.provider", "quarantined")
    assert app.health.state == "degraded"
    assert logged(app, "error", "stock.provider", said)


@pytest.mark.parametrize("case", CONSTRUCTED)
async def test_a_plugin_that_cannot_be_constructed_is_quarantined(
    tmp_path: Path, stage: Stage, case: str
) -> None:
    """The others are built and serve."""
    body, said = CONSTRUCTED[case]
    began = time.monotonic()
    async with running(tmp_path, files(body), **LIMITS) as app:
        assert time.monotonic() - began < 5
        await serves_without(app, said)


@pytest.mark.parametrize("case", STARTED)
async def test_a_plugin_that_cannot_be_started_is_quarantined(
    tmp_path: Path, stage: Stage, case: str
) -> None:
    """The others start and serve; its `stop` is run as well, for what it had begun."""
    body, said = STARTED[case]
    stopping = "\n\nasync def stop(self) -> None:\n    stage.said.append('stopped')"
    began = time.monotonic()
    async with running(tmp_path, files(body + stopping), **LIMITS) as app:
        assert time.monotonic() - began < 5
        await serves_without(app, said)
    assert "stopped" in stage.said
    assert time.monotonic() - began < 10
    stage.release()


@pytest.mark.parametrize("case", ["raises", "hangs", "hangs in a thread"])
async def test_strict_refuses_what_does_not_start(tmp_path: Path, stage: Stage, case: str) -> None:
    """With the finding, after whatever had started has been stopped."""
    body, said = STARTED[case]
    other = "async def stop(self) -> None:\n    stage.said.append('stopped')"
    with pytest.raises(BootError) as refused:
        async with running(tmp_path, files(body, other), strict=True, **LIMITS):
            pass
    assert said in str(refused.value)
    assert [finding.file for finding in refused.value.findings] == [FILE]
    assert stage.said == ["stopped"]


@pytest.mark.parametrize("case", STOPPED)
async def test_a_stop_that_fails_holds_up_nobody(tmp_path: Path, stage: Stage, case: str) -> None:
    """The others are stopped as well, and the log says which one failed."""
    body, said = STOPPED[case]
    other = "async def stop(self) -> None:\n    stage.said.append('stopped')"
    async with running(tmp_path, files(body, other), **LIMITS) as app:
        await ask(app)
        assert await app.call("stock.provider") == 3
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert stage.said.count("stopped") == 1
    assert logged(app, "error", "stock.provider", said)
    stage.release()


async def test_many_that_hang_cost_a_deadline_each_and_no_more(
    tmp_path: Path, stage: Stage
) -> None:
    """Five constructors and five stops that never return, in threads that nobody can stop."""
    constructed = "def __init__(self) -> None:\n    stage.hang()"
    stopped = "def stop(self) -> None:\n    stage.hang()"
    bodies = ["pass", *[constructed] * 5, *[stopped] * 5]
    began = time.monotonic()
    async with running(tmp_path, files(*bodies), **LIMITS) as app:
        assert time.monotonic() - began < 5
        await ask(app)
        assert len(app.findings) == 5
        began = time.monotonic()
    assert time.monotonic() - began < 8


async def test_a_quarantined_start_is_told_at_its_line(tmp_path: Path, stage: Stage) -> None:
    """The line is that of the plugin's own code, however deep the error came from."""
    body = "async def start(self) -> None:\n    int('three')"
    async with running(tmp_path, files(body), **LIMITS) as app:
        (finding,) = app.findings
    assert (finding.file, finding.line) == place(tmp_path, FILE, "int('three')")


async def test_a_field_that_is_called_like_a_hook_is_no_hook(tmp_path: Path) -> None:
    """A service that a plugin calls `start` is a service."""
    consumer = feature(
        """
        @requires("weather.now")
        class Now(Protocol):
            async def __call__(self, *, town: str) -> str: ...


        class Consumer(Plugin):
            start: Now
            stop: Now

            @service("orders.both")
            async def both(self) -> list[str]:
                return [await self.start(town="Ulm"), await self.stop(town="Bonn")]
        """
    )
    async with running(tmp_path, {"domains/orders/both.py": consumer, **BYSTANDER}) as app:
        assert app.findings == []
        assert await app.call("orders.both") == ["sunny in Ulm", "sunny in Bonn"]
    assert not logged(app, "error", "orders.both")
