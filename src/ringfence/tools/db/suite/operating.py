"""What an operator, and the next start, may expect of a database that keeps events."""

from collections import Counter

import pytest

from ringfence.errors import Conflict, NotFound
from ringfence.kernel.ports import Dead, Done
from ringfence.tools.db.suite.events import (
    NOON,
    READER,
    Kernel,
    Start,
    dead,
    done,
    envelope,
    n_of,
    numbers,
)


class Operating:
    """A part of the suite."""

    async def test_a_subscription_outlives_its_process(self, process: Start) -> None:
        """Its number, its backlog, and that it is paused; one that is declared no more is shown
        with what it leaves, until it is forgotten."""
        async with process() as one:
            number = await one.begin(kernel := Kernel(places=1), READER)
            await one.store.publish([envelope(1)])
            await one.store.publish([envelope(2)])
            await one.store.settle([dead(kernel.taken[0])])
            await one.store.pause(number, "maintenance")
            with pytest.raises(Conflict):
                await one.store.forget(number)
        async with process() as one:
            await one.begin(Kernel(), "sales.new.placed")
            new, old = sorted(await one.store.standings(), key=lambda s: s.name, reverse=True)
            assert (old.number, old.name, old.paused) == (number, READER, "maintenance")
            assert (old.waiting, old.dead, old.declared) == (1, 1, False)
            assert old.oldest_at == NOON
            assert (new.waiting, new.dead, new.declared, new.oldest_at) == (0, 0, True, None)
            assert await one.store.forget(number) == 2
            assert [s.name for s in await one.store.standings()] == [new.name]
            last = await one.begin(Kernel(), "sales.last.placed")
            assert last > new.number > number

    async def test_a_new_subscription_begins_now_or_at_the_beginning(self, process: Start) -> None:
        """From the beginning, order by key holds as well; only the first time."""
        async with process() as one:
            await one.begin(Kernel())
            await one.store.publish([envelope(1, "k"), envelope(2), envelope(3, "k")])
            await one.store.publish([envelope(4, topic="billing.paid")])
            now = await one.begin(Kernel(), READER)
            assert not await one.store.take(now, 9, NOON)
            number = await one.begin(Kernel(), "sales.all.placed", from_start=True)
            assert await one.begin(Kernel(), "sales.all.placed", from_start=True) == number
            first, other = await one.store.take(number, 9, NOON)
            assert numbers([first, other]) == [1, 2]
            assert numbers(await one.store.settle([done(first)])) == [3]

    async def test_dead_letters_are_found_by_what_is_known_of_them(self, process: Start) -> None:
        """The newest first, with all that explains them."""
        async with process() as one:
            kernel = Kernel(places=9)
            number = await one.begin(kernel, READER)
            await one.store.publish([envelope(1), envelope(2, topic="orders.paid"), envelope(3)])
            await one.store.settle([dead(taken) for taken in kernel.taken[:2]])
            second, first = await one.store.dead()
            assert (first.id, first.subscription) == (f"{first.envelope.id}.{number}", READER)
            assert (n_of(first.envelope), first.attempts) == (1, 1)
            assert first.state == Dead(NOON, "Boom: no")
            assert (first.trace_id, first.span_id) == ("a" * 32, "b" * 16)
            assert await one.store.dead(limit=1) == [second]
            assert await one.store.dead(subscription=READER) == [second, first]
            assert not await one.store.dead(subscription="sales.*")
            assert await one.store.dead(topic="orders.paid") == [second]
            for wanted in (first.id, first.envelope.id):
                assert await one.store.dead(wanted=wanted) == [first]
            for rubbish in ("%", "_", f"{first.envelope.id}.", f"{first.id}1", "x", "."):
                assert not await one.store.dead(wanted=rubbish)

    async def test_a_dead_letter_is_repaired_and_replayed(self, process: Start) -> None:
        """For that subscription alone; those of one key one after the other, as they came."""
        async with process() as one:
            kernel = Kernel(places=9)
            number = await one.begin(kernel, READER, "sales.sum.placed")
            await one.store.publish([envelope(1, "k")])
            first, other = kernel.taken
            await one.store.settle([dead(first), dead(other)])
            await one.store.publish([envelope(2, "k")])
            second = kernel.taken[2]
            await one.store.settle([dead(second)])
            ids = [f"{taken.envelope.id}.{number}" for taken in (second, first)]
            await one.store.edit(ids[1], b'{"n": 7}')
            assert await one.store.replay([*ids, ids[0]]) == 2
            (repaired,) = await one.store.take(number, 9, NOON)
            assert (numbers([repaired]), repaired.attempts) == ([7], 0)
            assert numbers(await one.store.settle([done(repaired)])) == [2]
            (untouched,) = await one.store.dead(subscription="sales.sum.placed")
            assert n_of(untouched.envelope) == 1
            assert await one.store.drop([untouched.id]) == 1
            assert not await one.store.dead()

    async def test_what_is_no_dead_letter_is_left_alone(self, process: Start) -> None:
        """And so are the dead letters that are named with it."""
        async with process() as one:
            kernel = Kernel(places=9)
            number = await one.begin(kernel, READER)
            await one.store.publish([envelope(1), envelope(2)])
            await one.store.settle([dead(kernel.taken[0])])
            (letter,) = await one.store.dead()
            running = f"{kernel.taken[1].envelope.id}.{number}"
            unknown = ["", "1", f"{letter.id}9", f"{letter.envelope.id}.{'9' * 30}", "%.1", "x.²"]
            for change in (one.store.replay, one.store.drop):
                with pytest.raises(Conflict):
                    await change([letter.id, running])
                for wanted in unknown:
                    with pytest.raises(NotFound):
                        await change([letter.id, wanted])
            with pytest.raises(Conflict):
                await one.store.edit(running, b"{}")
            assert await one.store.dead() == [letter]

    async def test_what_became_of_an_event_is_found_by_any_of_its_ids(self, process: Start) -> None:
        """Or by their beginning; what is no id finds nothing."""
        async with process() as one:
            kernel = Kernel(places=9)
            number = await one.begin(kernel, READER)
            await one.store.publish([envelope(0xABC), envelope(0xDEF, topic="billing.paid")])
            taken = kernel.taken[0]
            await one.store.settle([done(taken)])
            (delivered,) = await one.store.find(taken.envelope.id)
            assert (delivered.id, delivered.state) == (
                f"{delivered.envelope.id}.{number}",
                Done(NOON),
            )
            for wanted in (delivered.id, f"{0xABC:032x}", f"{0xABC:016x}", "a" * 5, "b" * 16):
                assert await one.store.find(wanted) == [delivered]
            (alone,) = await one.store.find(f"{0xDEF:032x}")
            assert (n_of(alone.envelope), alone.subscription) == (0xDEF, "")
            found = await one.store.find("0")
            assert Counter(each.id for each in found) == Counter([delivered.id, alone.id])
            for rubbish in ("", "%", "_", "A", "x.1", ".", f"{alone.id}.1", "'"):
                assert not await one.store.find(rubbish)

    async def test_events_are_listed_from_anywhere(self, process: Start) -> None:
        """From the beginning, or the last ones; of one topic alone."""
        async with process() as one:
            await one.begin(Kernel())
            await one.store.publish([envelope(n, topic=f"orders.t{n % 2}") for n in range(6)])
            events = await one.store.events(0, 99)

            async def listed(after: int, limit: int, topic: str = "") -> list[int]:
                return [n_of(e.envelope) for e in await one.store.events(after, limit, topic)]

            assert await listed(events[1].seq, 2) == [2, 3]
            assert await listed(-2, 99) == [4, 5]
            assert await listed(-99, 99) == [0, 1, 2, 3, 4, 5]
            assert await listed(0, 2, "orders.t1") == [1, 3]
