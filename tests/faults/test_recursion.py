"""Services that call each other in a circle end at the depth limit, with the chain printed."""

from pathlib import Path

import pytest

from ringfence.errors import BootError, BudgetExceeded
from tests.kernel.apps import feature, on_both_paths, running

from .bystander import BYSTANDER, ask, asked_throughout, failed

pytestmark = pytest.mark.anyio


def caller(service: str, other: str, kind: str = "async def") -> str:
    return feature(
        f"""
        class Caller(Plugin):
            @service("{service}", calls=("{other}",))
            {kind} call(self, ctx: Context, hops: int = 0) -> int:
                return {"await " if kind == "async def" else "wait"}(
                    ctx.call("{other}", {{"hops": hops + 1}}, into=int)
                )
        """
    )


def files(kind: str) -> dict[str, str]:
    return {
        "domains/ping/hit.py": caller("ping.hit", "pong.hit", kind),
        "domains/pong/hit.py": caller("pong.hit", "ping.hit", kind),
        **BYSTANDER,
    }


@on_both_paths
@pytest.mark.parametrize("kind", ["async def", "def"])
async def test_a_calls_b_calls_a(tmp_path: Path, call_path: str, kind: str) -> None:
    """By name, the circle is cut at the budget's depth, and the error shows how it went."""
    async with running(tmp_path, files(kind), call_path, threads=2) as app:
        async with asked_throughout(app):
            with pytest.raises(BudgetExceeded, match="its budget allows 32: ping") as ended:
                await app.call("ping.hit")
        assert "ping.hit → pong.hit → ping.hit → pong.hit" in str(ended.value)
        assert "Look for services that call each other in a circle." in str(ended.value)
        for plugin in ("ping.hit", "pong.hit"):
            spans = failed(app, plugin, "BudgetExceeded")
            assert spans
            assert all(s.failure and "ping.hit → pong.hit" in s.failure.message for s in spans)
        assert len(failed(app, "ping.hit", "BudgetExceeded")) <= 17


@on_both_paths
async def test_a_deeper_budget_is_still_a_budget(tmp_path: Path, call_path: str) -> None:
    """The configured depth counts; the chain that is shown stays readable."""
    overrides = {"budgets": {"default": {"depth": 150}}}
    async with running(tmp_path, files("async def"), call_path, overrides=overrides) as app:
        async with asked_throughout(app):
            with pytest.raises(BudgetExceeded, match="its budget allows 150: ping") as ended:
                await app.call("ping.hit")
        assert len(str(ended.value)) < 500
        await ask(app)


@on_both_paths
async def test_a_depth_beyond_pythons_own_is_contained(tmp_path: Path, call_path: str) -> None:
    """A budget that allows more than the interpreter's stack ends that call, and no more."""
    overrides = {"budgets": {"default": {"depth": 100_000, "calls": 1_000_000}}}
    async with running(tmp_path, files("async def"), call_path, overrides=overrides) as app:
        async with asked_throughout(app):
            with pytest.raises(Exception, match=r"ping\.hit: it failed unexpectedly"):
                await app.call("ping.hit")
        assert failed(app, "ping.hit", "RecursionError")
        await ask(app)


async def test_the_same_circle_of_required_services_is_refused(tmp_path: Path) -> None:
    """Under @requires nothing has to run for it to be found."""
    sides = {
        f"domains/{mine}/hit.py": feature(
            f"""
            @requires("{other}.hit")
            class Other(Protocol):
                async def __call__(self) -> int: ...


            class Hit(Plugin):
                other: Other

                @service("{mine}.hit")
                async def hit(self) -> int:
                    return await self.other()
            """
        )
        for mine, other in (("ping", "pong"), ("pong", "ping"))
    }
    with pytest.raises(BootError, match=r"circle: ping\.hit → pong\.hit"):
        async with running(tmp_path, {**sides, **BYSTANDER}):
            pass
