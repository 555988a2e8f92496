"""What the test of a driver is given is what the kernel would give."""

from pathlib import Path

import pytest

from ringfence.errors import NotFound
from ringfence.kernel.ports import Declaration
from ringfence.testing import endpoint, environment
from ringfence.tools.clock.drivers import fake

pytestmark = pytest.mark.anyio


class Mark(Declaration, frozen=True):
    tool = "dial"
    kind = "mark"

    name: str

    @property
    def key(self) -> str:
        return self.name


async def _double(number: int, by: int = 2) -> int:
    return number * by


async def _absent() -> None:
    raise NotFound("no such thing")


def test_an_environment_is_that_of_an_application(tmp_path: Path) -> None:
    """Its folders are the domains; its clock is the machine's, where none is given."""
    for name in ("orders", "stock", "_private"):
        (tmp_path / "domains" / name).mkdir(parents=True)
    env = environment("archive", tmp_path)
    assert env.instance == "archive"
    assert env.root == tmp_path
    assert env.domains == {n: tmp_path / "domains" / n for n in ("orders", "stock")}
    assert env.health().state == "ready"
    before = env.clock.monotonic()
    assert env.clock.monotonic() >= before


def test_an_environment_has_the_clock_that_it_is_given(tmp_path: Path) -> None:
    """A fake one, say."""
    clock = fake.Driver(fake.Config(), environment("clock", tmp_path))
    assert environment("db", tmp_path, clock=clock).clock is clock


async def test_an_endpoint_says_what_it_declares_and_runs(tmp_path: Path) -> None:
    """Its parameters are those of the function, in their order."""
    bound = endpoint(Mark("weight"), _double)
    assert bound.declared.declaration == Mark("weight")
    assert [p.name for p in bound.declared.signature.parameters] == ["number", "by"]
    assert bound.declared.signature.result is int
    assert await bound.open((4, 3)) == 12


async def test_what_an_endpoint_raises_has_a_trace() -> None:
    """As from the kernel."""
    with pytest.raises(NotFound) as raised:
        await endpoint(Mark("nothing"), _absent).open(())
    assert len(raised.value.trace_id) == 32
