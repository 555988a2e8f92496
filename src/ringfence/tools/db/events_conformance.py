"""The executable contract of a database that keeps events, run against each driver that does.

    @pytest.mark.anyio
    class TestMyDriver(DeliveryStoreConformance):
        @pytest.fixture
        def process(self, tmp_path: Path) -> Start: ...

The fixture starts processes of one application on one fresh database that has the table `item` of
`suite.subject.SCHEMA` in the domain `orders`; the driver's `ToolEnv.seal` is `seal`. To leave the
context of a process without more ado is its crash: what runs in it stays so.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from ringfence.kernel.ports import DeliveryStore, Done, Pending, Running, Settled, Taken
from ringfence.tools.db.contract import (
    Database,
    SerializationFailure,
    TransactionEnded,
    UniqueViolation,
    UnitOfWork,
)
from ringfence.tools.db.suite.events import (
    NOON,
    READER,
    Kernel,
    Noted,
    Process,
    dead,
    done,
    envelope,
    n_of,
    numbers,
    retrying,
)
from ringfence.tools.db.suite.events import Start as Start
from ringfence.tools.db.suite.events import seal as seal
from ringfence.tools.db.suite.operating import Operating
from ringfence.tools.db.suite.subject import COUNT, INSERT


class DeliveryStoreConformance(Operating):
    """Derive it with a `process` fixture."""

    async def test_an_event_is_stored_by_the_commit_of_its_transaction(
        self, process: Start
    ) -> None:
        """With all that its envelope says, and not before."""
        async with process() as one:
            kernel = Kernel()
            await one.begin(kernel, READER)
            async with one.db.transaction() as tx:
                await tx.execute(INSERT, 1, "a", 0)
                event = tx.publish(Noted(1, "k"))
                assert not await one.store.events(0, 10)
            (stored,) = await one.store.find(event)
            sealed = stored.envelope
            assert (sealed.id, sealed.topic, sealed.key, n_of(sealed)) == (
                event,
                "orders.noted",
                "k",
                1,
            )
            assert (sealed.published_at, sealed.plugin) == (NOON, "orders.place_order")
            assert (sealed.trace_id, sealed.span_id) == (f"{1:032x}", f"{1:016x}")
            assert (sealed.principal, sealed.tenant) == ("user:1", "a")
            assert (sealed.hops, sealed.allowance) == (("orders.before",), 7)
            assert (stored.subscription, stored.state) == (READER, Pending())

    async def test_what_is_rolled_back_was_never_published(self, process: Start) -> None:
        """Neither by a transaction, nor by a unit of work; no place stays promised."""

        def fail(unit: UnitOfWork) -> None:
            unit.publish(Noted(2))
            unit.execute(INSERT, 1, "b", 0)

        async def publish(db: Database) -> None:
            async with db.transaction() as tx:
                tx.publish(Noted(1))
                await tx.execute(INSERT, 1, "b", 0)

        async with process() as one:
            kernel = Kernel(places=5)
            await one.begin(kernel, READER)
            await one.db.execute(INSERT, 1, "a", 0)
            with pytest.raises(UniqueViolation):
                await publish(one.db)
            with pytest.raises(UniqueViolation):
                await one.db.run(fail)
            assert not await one.store.events(0, 10)
            assert (kernel.kept, kernel.held, kernel.free) == ([], 0, 5)

    async def test_a_savepoint_takes_its_events_along(self, process: Start) -> None:
        """Those before and after it stay; one that is kept hands its own on."""
        async with process() as one:
            await one.begin(Kernel(), READER)
            async with one.db.transaction() as tx:
                tx.publish(Noted(1))
                with suppress(ZeroDivisionError):
                    async with one.db.transaction() as inner:
                        inner.publish(Noted(2))
                        tx.publish(Noted(3))  # it is undone as a statement would be
                        raise ZeroDivisionError
                async with one.db.transaction() as inner:
                    inner.publish(Noted(4))
                tx.publish(Noted(5))
            assert [n_of(event.envelope) for event in await one.store.events(0, 10)] == [
                1,
                4,
                5,
            ]

    async def test_a_unit_of_work_publishes_too(self, process: Start) -> None:
        """And refuses what comes after its end."""
        kept: list[UnitOfWork] = []

        def work(unit: UnitOfWork) -> str:
            kept.append(unit)
            unit.execute(INSERT, 1, "a", 0)
            return unit.publish(Noted(1))

        async with process() as one:
            await one.begin(Kernel(), READER)
            event = await one.db.run(work)
            assert [each.id for each in await one.store.events(0, 10)] == [event]
            with pytest.raises(TransactionEnded):
                kept[0].publish(Noted(2))
            async with one.db.transaction() as tx:
                pass
            with pytest.raises(TransactionEnded):
                tx.publish(Noted(3))
            assert len(await one.store.events(0, 10)) == 1

    async def test_events_come_in_the_order_of_commits(self, process: Start) -> None:
        """Whoever publishes how: the kernel is told in that order as well, of each event once."""

        def work(n: int) -> Callable[[UnitOfWork], None]:
            def publish(unit: UnitOfWork) -> None:
                unit.publish(Noted(n))

            return publish

        async def publish(db: Database, store: DeliveryStore, n: int) -> None:
            match n % 3:
                case 0:
                    await store.publish([envelope(n), envelope(1000 + n)])
                case 1:
                    await db.run(work(n))
                case _:
                    async with db.transaction() as tx:
                        await tx.execute(INSERT, n, str(n), 0)
                        tx.publish(Noted(n))

        async with process() as one:
            kernel = Kernel(places=40)
            await one.begin(kernel, READER)
            await asyncio.gather(*(publish(one.db, one.store, n) for n in range(60)))
            events = await one.store.events(0, 1000)
            assert [event.seq for event in events] == sorted({event.seq for event in events})
            assert len(events) == 80
            assert await one.db.fetch_value(COUNT) == 20
            ordered = [taken.seq for taken in kernel.taken]
            assert ordered == [event.seq for event in events[:40]]
            assert (len(kernel.kept), kernel.held) == (80, 0)
            assert [e.id for e in kernel.passed] == [event.id for event in events]

    async def test_the_kernel_hears_of_a_commit_whose_task_was_cancelled(
        self, process: Start
    ) -> None:
        """Its events are in the database, and are delivered."""
        async with process() as one:
            kernel = Kernel(places=1)
            await one.begin(kernel, READER)
            publishing = asyncio.create_task(one.store.publish([envelope(1)]))
            await kernel.asked.wait()
            publishing.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await publishing
            assert cancelled.value.__notes__[0].startswith("committed")
            assert numbers(kernel.taken) == [1]
            assert len(await one.store.events(0, 10)) == 1

    async def test_a_delivery_is_taken_once_and_in_order(self, process: Start) -> None:
        """Each subscription has its own; those that were given a place are not taken again."""
        async with process() as one:
            kernel = Kernel(places=2)
            number = await one.begin(kernel, READER, "sales.sum.placed")
            await one.store.publish([envelope(n) for n in range(4)])
            assert numbers(kernel.taken) == [0, 0]
            assert numbers(await one.store.take(number, 2, NOON)) == [1, 2]
            assert numbers(await one.store.take(number, 2, NOON)) == [3]
            assert not await one.store.take(number, 2, NOON)
            other = kernel.numbers["sales.sum.placed"]
            assert numbers(await one.store.take(other, 9, NOON)) == [1, 2, 3]

    async def test_of_a_key_only_the_first_runs(self, process: Start) -> None:
        """Its end brings up the next; a retry does not, a dead letter does."""
        async with process() as one:
            kernel = Kernel(places=9)
            number = await one.begin(kernel, READER)
            await one.store.publish([envelope(n, "k") for n in range(3)])
            await one.store.publish([envelope(3, "k"), envelope(4, "other")])
            assert numbers(kernel.taken) == [0, 4]
            assert [kept.behind for kept in kernel.kept] == [False, True, True, True, False]
            (second,) = await one.store.settle([done(kernel.taken[0])])
            assert numbers([second]) == [1]
            assert not await one.store.settle([retrying(second, NOON)])
            assert not await one.store.take(number, 9, NOON - timedelta(microseconds=1))
            (again,) = await one.store.take(number, 9, NOON)
            assert (numbers([again]), again.attempts) == ([1], 1)
            assert numbers(await one.store.settle([dead(again)])) == [2]

    async def test_what_is_given_back_is_not_charged(self, process: Start) -> None:
        """It is taken as if nothing had happened, with the attempts that it had."""
        async with process() as one:
            number = await one.begin(Kernel(), READER)
            await one.store.publish([envelope(1, "k"), envelope(2, "k")])
            (taken,) = await one.store.take(number, 9, NOON)
            await one.store.settle([retrying(taken)])
            (taken,) = await one.store.take(number, 9, NOON)
            assert not await one.store.settle([Settled(taken, Pending(), taken.attempts)])
            assert await one.states() == [(1, Pending(), 1), (2, Pending(behind=True), 0)]
            assert await one.store.take(number, 9, NOON) == [taken]

    async def test_a_mark_is_committed_with_the_handlers_writes(self, process: Start) -> None:
        """Or undone with them; the next of its key likewise."""
        async with process() as one:
            kernel = Kernel(places=1)
            await one.begin(kernel, READER)
            await one.store.publish([envelope(1, "k"), envelope(2, "k")])
            (taken,) = kernel.taken
            with suppress(ZeroDivisionError):
                async with one.db.transaction() as tx:
                    await tx.execute(INSERT, 1, "a", 0)
                    follower = await one.store.mark(taken, "c" * 32, "d" * 16)
                    assert follower is not None
                    raise ZeroDivisionError
            assert await one.states() == [(1, Running(), 0), (2, Pending(behind=True), 0)]
            async with one.db.transaction() as tx:
                await tx.execute(INSERT, 1, "a", 0)
                follower = await one.store.mark(taken, "c" * 32, "d" * 16)
            assert follower is not None
            assert [state for _, state, _ in await one.states()][1] == Running()
            (marked, _) = await one.all()
            assert isinstance(marked.state, Done)
            assert (marked.trace_id, marked.span_id) == ("c" * 32, "d" * 16)
            assert await one.db.fetch_value(COUNT) == 1

    async def test_what_is_marked_stays_so_however_it_is_settled(self, process: Start) -> None:
        """Whoever settles it is told of the next of its key, once; of no later one."""
        async with process() as one:
            kernel = Kernel(places=4)
            await one.begin(kernel, READER)
            await one.store.publish([envelope(1, "k"), envelope(2, "k"), envelope(3, "x")])
            first, alone = kernel.taken
            for taken in (first, alone):
                async with one.db.transaction():
                    await one.store.mark(taken, "c" * 32, "d" * 16)
            await one.store.publish([envelope(4, "x")])  # it is given a place, as the key is free
            assert numbers(kernel.taken) == [1, 3, 4]
            assert numbers(await one.store.settle([dead(first), retrying(alone)])) == [2]
            assert not await one.store.settle([dead(first), retrying(alone)])
            states = [state for _, state, _ in await one.states()]
            assert [type(state) for state in states] == [Done, Running, Done, Running]

    async def test_only_what_is_in_hand_is_marked(self, process: Start) -> None:
        """Who has lost it, to an operator or a restart, must not commit."""

        async def mark(one: Process, taken: Taken) -> None:
            async with one.db.transaction() as tx:
                await tx.execute(INSERT, 1, "a", 0)
                await one.store.mark(taken, "c" * 32, "d" * 16)

        async with process() as one:
            kernel = Kernel(places=1)
            await one.begin(kernel, READER)
            await one.store.publish([envelope(1)])
            (taken,) = kernel.taken
            await one.store.settle([done(taken)])
            with pytest.raises(SerializationFailure):
                await mark(one, taken)
            assert await one.db.fetch_value(COUNT) == 0

    async def test_what_a_crash_found_running_is_suspect(self, process: Start) -> None:
        """Until it is settled; an attempt that begins is counted before it runs."""
        async with process() as one:
            await one.begin(Kernel(places=3), READER)
            await one.store.publish([envelope(n, "k") for n in range(2)] + [envelope(5)])
        for attempts in range(2):
            async with process() as one:
                await one.begin(Kernel(), READER)
                suspects = await one.store.suspects(9)
                assert [(n_of(s.envelope), s.attempts, s.suspect) for s in suspects] == [
                    (0, attempts, True),
                    (5, 0, True),
                ]
                await one.store.begin(suspects[0])
        async with process() as one:
            await one.begin(Kernel(), READER)
            (suspect,) = await one.store.suspects(1)
            assert suspect.attempts == 2
            assert numbers(await one.store.settle([done(suspect)])) == [1]

    async def test_one_process_has_the_lead(self, process: Start) -> None:
        """Until it gives it up, or ends."""
        async with process() as one, process() as other:
            assert await one.store.lead()
            assert await one.store.lead()
            assert not await other.store.lead()
            await one.store.close()
            assert await other.store.lead()
        async with process() as one:
            assert await one.store.lead()

    async def test_the_leader_hears_of_what_others_store(self, process: Start) -> None:
        """Within moments, without asking for it; and takes it."""
        async with process() as one, process() as other:
            kernel = Kernel()
            number = await one.begin(kernel, READER)
            await other.begin(Kernel(places=9), READER)
            await one.store.publish([envelope(1)])
            async with other.db.transaction() as tx:
                tx.publish(Noted(2))
            await asyncio.wait_for(kernel.news.wait(), 20)
            assert 1 in numbers(await one.store.take(number, 9, NOON))

    async def test_a_delayed_event_waits_for_its_time(self, process: Start) -> None:
        """Then it is published as if it was now, in the order of commits."""
        async with process() as one:
            kernel = Kernel(places=9)
            await one.begin(kernel, READER)
            async with one.db.transaction() as tx:
                later = tx.publish(Noted(1), delay_s=60)
                soon = tx.publish(Noted(2), delay_s=30)
                tx.publish(Noted(3))
            assert sorted(kernel.delays) == [NOON + timedelta(seconds=s) for s in (30, 60)]
            assert numbers(kernel.taken) == [3]
            assert [found.seq for found in await one.store.find(later)] == [0]
            due = await one.store.due(NOON + timedelta(seconds=29))
            assert due.next_at == NOON + timedelta(seconds=30)
            due = await one.store.due(NOON + timedelta(seconds=30))
            assert due.next_at == NOON + timedelta(seconds=60)
            assert (await one.store.due(NOON + timedelta(seconds=61))).next_at is None
            assert numbers(kernel.taken) == [3, 2, 1]
            assert kernel.taken[1].envelope.id == soon
            moments = [NOON + timedelta(seconds=s) for s in (0, 30, 61)]
            assert [e.envelope.published_at for e in await one.store.events(0, 9)] == moments

    async def test_what_is_to_be_tried_again_is_due_at_its_time(self, process: Start) -> None:
        """The subscription is named, and when to ask again."""
        async with process() as one:
            kernel = Kernel(places=2)
            number = await one.begin(kernel, READER)
            await one.store.publish([envelope(1), envelope(2)])
            at = [NOON + timedelta(seconds=s) for s in (10, 20)]
            await one.store.settle(
                [retrying(t, moment) for t, moment in zip(kernel.taken, at, strict=True)]
            )
            early = await one.store.due(NOON)
            assert (early.subscriptions, early.next_at) == ([], at[0])
            due = await one.store.due(at[0])
            assert (due.subscriptions, due.next_at) == ([number], at[1])
            assert numbers(await one.store.take(number, 9, at[0])) == [1]

    async def test_what_is_not_durable_is_passed_on_and_kept_nowhere(self, process: Start) -> None:
        """After the commit, if there is one."""
        async with process() as one:
            kernel = Kernel(places=9)
            await one.begin(kernel, READER)
            with suppress(ZeroDivisionError):
                async with one.db.transaction() as tx:
                    tx.publish(Noted(1, durable=False))
                    raise ZeroDivisionError
            async with one.db.transaction() as tx:
                tx.publish(Noted(2, durable=False))
                assert not kernel.passed
            assert [n_of(passed) for passed in kernel.passed] == [2]
            assert not kernel.kept
            assert not await one.store.events(0, 9)

    async def test_what_is_finished_and_old_is_forgotten(self, process: Start) -> None:
        """What waits, runs or is dead stays, and so does the last event: numbers only grow."""
        async with process() as one:
            kernel = Kernel(places=9)
            await one.begin(kernel, READER)
            await one.store.publish([envelope(n) for n in range(6)])
            for settled in (done, done, dead, retrying):
                await one.store.settle([settled(kernel.taken.pop(0))])
                del kernel.kept[0]
            assert await one.store.retain(NOON, 9) == 0
            assert await one.store.retain(NOON + timedelta(microseconds=1), 1) == 1
            assert await one.store.retain(NOON + timedelta(days=1), 9) == 1
            assert [n_of(event.envelope) for event in await one.store.events(0, 9)] == [
                2,
                3,
                4,
                5,
            ]
            await one.store.settle([done(taken) for taken in kernel.taken])
            assert await one.store.retain(NOON + timedelta(days=1), 9) == 1
            assert len(await one.states()) == 3
