"""`def` handlers that sleep in numbers take their plugin's share of the threads, and no more."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ringfence.errors import DeadlineExceeded, Overloaded
from tests.kernel.apps import feature, running

from .bystander import BYSTANDER, asked_throughout, failed
from .stage import Stage

pytestmark = pytest.mark.anyio

SLEEPER = feature(
    """
    import stage


    class Sleeper(Plugin):
        @service("naps.take")
        def take(self) -> str:
            stage.hang()
            return "rested"
    """
)


async def test_two_hundred_sleepers_leave_threads_for_the_others(
    tmp_path: Path, stage: Stage
) -> None:
    """Another plugin's `def` handlers answer meanwhile; all sleepers are answered in the end."""
    files = {"domains/naps/sleeper.py": SLEEPER, **BYSTANDER}
    async with running(tmp_path, files, threads=4, plugin_threads=2) as app:
        sleepers = [asyncio.create_task(app.call("naps.take")) for _ in range(200)]
        async with asked_throughout(app):
            await stage.come_in(2)
        assert not stage.entered.acquire(blocking=False)  # a third has not come in
        stage.release()
        assert await asyncio.gather(*sleepers) == ["rested"] * 200


async def test_sleepers_that_outlive_their_deadline_are_counted_until_they_wake(
    tmp_path: Path, stage: Stage
) -> None:
    """Each caller is told in time and a span says whose work it was; the threads are replaced."""
    files = {"domains/naps/sleeper.py": SLEEPER, **BYSTANDER}
    async with running(tmp_path, files, threads=2, plugin_threads=2) as app:
        sleepers = [asyncio.create_task(app.call("naps.take")) for _ in range(200)]
        await stage.come_in(2)
        app.clock.advance(31.0)
        told = await asyncio.gather(*sleepers, return_exceptions=True)
        assert {type(error) for error in told} == {DeadlineExceeded}
        async with asked_throughout(app):
            pass
        assert len(failed(app, "naps.sleeper", "DeadlineExceeded")) == 200


async def test_more_sleepers_than_may_wait_are_refused_by_name(
    tmp_path: Path, stage: Stage
) -> None:
    """What is over the plugin's limit is told so at once; the bystander has limits of its own."""
    files = {"domains/naps/sleeper.py": SLEEPER, **BYSTANDER}
    limits: dict[str, Any] = {"threads": 4, "plugin_threads": 2, "plugin_concurrency": 50}
    async with running(tmp_path, files, **limits) as app:
        sleepers = [asyncio.create_task(app.call("naps.take")) for _ in range(200)]
        async with asked_throughout(app):
            await stage.come_in(2)
        stage.release()
        answers = await asyncio.gather(*sleepers, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, Overloaded)]
        assert (answers.count("rested"), len(refused)) == (50, 150)
        assert {error.subject for error in refused} == {"naps.sleeper"}
        assert len(failed(app, "naps.sleeper", "Overloaded")) == 150
