"""The executable contract of a database that stores timers, run against each driver that does.

    @pytest.mark.anyio
    class TestMyDriver(TimerStoreConformance):
        @pytest.fixture
        async def stores(self) -> AsyncIterator[Stores]: ...

The fixture gives two stores over one fresh database, as two processes would have them.
"""

import asyncio
from datetime import UTC, datetime

from msgspec import Struct, structs

from ringfence.kernel.ports import TimerState, TimerStore

MOMENT = datetime(2026, 10, 25, 0, 30, 0, 123_456, tzinfo=UTC)


class Stores(Struct, frozen=True):
    """Two ways to one database."""

    one: TimerStore
    other: TimerStore


def state(name: str = "orders.expire.run", version: int = 0) -> TimerState:
    """Return a state that has never been stored, or was as `version`."""
    return TimerState(name, "every 300", version, MOMENT)


class TimerStoreConformance:
    """Derive it with a `stores` fixture."""

    async def test_a_timer_that_was_never_stored_is_not_there(self, stores: Stores) -> None:
        """Whoever is first begins it."""
        assert await stores.one.load("orders.expire.run") is None

    async def test_what_is_stored_is_read_by_all(self, stores: Stores) -> None:
        """To the microsecond, and with the next version."""
        stored = TimerState("orders.größe#nightly", "cron 0 3 * * * UTC", 0, MOMENT, running=True)
        assert await stores.one.put(stored)
        assert await stores.other.load(stored.name) == structs.replace(stored, version=1)
        assert await stores.one.load("orders.expire.run") is None

    async def test_the_first_version_is_stored_once(self, stores: Stores) -> None:
        """Two processes that begin at the same time do not both."""
        assert await stores.one.put(state())
        assert not await stores.other.put(state())

    async def test_who_has_seen_an_older_version_changes_nothing(self, stores: Stores) -> None:
        """And who has seen the last one, does."""
        assert await stores.one.put(state())
        late = structs.replace(state(version=1), last_at=datetime(2027, 1, 1, tzinfo=UTC))
        assert await stores.other.put(late)
        assert not await stores.one.put(structs.replace(state(version=1), running=True))
        assert not await stores.one.put(structs.replace(state(version=3), running=True))
        assert await stores.one.load(late.name) == structs.replace(late, version=2)

    async def test_of_many_at_once_exactly_one_is_told_that_it_was_it(self, stores: Stores) -> None:
        """Each occurrence has one taker, whatever the order."""
        for version in range(10):
            both = [stores.one, stores.other] * 4
            told = await asyncio.gather(*(store.put(state(version=version)) for store in both))
            assert sorted(told) == [False] * 7 + [True]

    async def test_timers_do_not_touch_each_other(self, stores: Stores) -> None:
        """The version is each one's own."""
        assert await stores.one.put(state("a.b.c"))
        assert await stores.other.put(state("a.b.d"))
        assert await stores.one.put(state("a.b.c", version=1))
        kept = await stores.one.load("a.b.d")
        assert kept is not None
        assert kept.version == 1

    async def test_what_is_said_to_be_stored_is_committed(self, stores: Stores) -> None:
        """The other process reads it in the same moment."""
        for version in range(5):
            assert await stores.one.put(state(version=version))
            seen = await stores.other.load(state().name)
            assert seen is not None
            assert seen.version == version + 1
