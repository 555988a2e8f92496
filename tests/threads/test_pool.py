"""The pool of threads for `def` handlers: shares, queues, deadlines, and what a handler raises."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar

import pytest

from ringfence.errors import Overloaded
from ringfence.threads.pool import Pool, Share
from ringfence.threads.waiting import wait

pytestmark = pytest.mark.anyio

Make = Callable[[int], Pool]


class Latch:
    """What a test holds `def` work up with: how many have come in, and the way out."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Semaphore(0)
        self.inside = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.entered.release()
        self.opened.wait(20)
        with self._lock:
            self.inside -= 1
        return "let go"

    async def come_in(self, count: int = 1) -> None:
        """Wait until so many have come in."""
        for _ in range(count):
            assert await asyncio.to_thread(self.entered.acquire, timeout=10)


@pytest.fixture
def latch() -> Iterator[Latch]:
    made = Latch()
    yield made
    made.opened.set()


@pytest.fixture
async def pool(latch: Latch) -> AsyncIterator[Make]:
    """Make pools of so many threads, none of which outlives the test."""
    before = set(threading.enumerate())
    made: list[Pool] = []

    def make(size: int) -> Pool:
        made.append(Pool(size))
        return made[-1]

    yield make
    latch.opened.set()
    for each in made:
        await each.stop()
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("ringfence-"):
            await asyncio.to_thread(thread.join, 10)
            assert not thread.is_alive()


async def test_work_runs_beside_the_loop_in_its_callers_context(pool: Make) -> None:
    """A `def` sees the context variables of whoever called it, on another thread."""
    who = ContextVar("who", default="nobody")
    who.set("anna")

    def look() -> tuple[str, bool]:
        seen = who.get()
        who.set("changed, in a copy")
        return seen, threading.current_thread() is threading.main_thread()

    assert await pool(4).run(Share("a", 1), look, ()) == ("anna", False)
    assert who.get() == "anna"


async def test_a_plugin_uses_no_more_threads_than_its_share(pool: Make, latch: Latch) -> None:
    """What is over it waits, whoever asked for the share, and everything is answered at last."""
    threads = pool(4)
    greedy, again, other = (threads.share(name, 2) for name in ("greedy", "greedy", "other"))
    held = [asyncio.ensure_future(run(latch, ())) for run in (greedy, again) * 25]
    await latch.come_in(2)
    answers = await asyncio.gather(*(other(str, (n,)) for n in range(50)))
    assert answers == [str(n) for n in range(50)]
    assert (latch.inside, latch.most) == (2, 2)
    latch.opened.set()
    assert await asyncio.gather(*held) == ["let go"] * 50
    assert latch.most == 2


async def test_a_full_queue_refuses_and_starts_nothing(pool: Make, latch: Latch) -> None:
    """The caller is told at once, with the plugin's name and when to come back."""
    threads, share = pool(1), Share("orders.place", 1, queue_limit=3)
    first = asyncio.create_task(threads.run(share, latch, ()))
    await latch.come_in()
    waiting = [asyncio.create_task(threads.run(share, str, (n,))) for n in range(3)]
    await asyncio.sleep(0)
    ran: list[int] = []
    with pytest.raises(Overloaded, match=r"orders\.place: its 1 threads are busy") as refused:
        await threads.run(share, ran.append, (1,))
    assert refused.value.retry_after_s == 1.0
    latch.opened.set()
    assert await asyncio.gather(first, *waiting) == ["let go", "0", "1", "2"]
    assert ran == []


async def test_work_that_is_given_up_before_it_starts_never_runs(pool: Make, latch: Latch) -> None:
    """Cancelling the caller takes its work out of the queue."""
    threads, share = pool(1), Share("a", 1)
    first = asyncio.create_task(threads.run(share, latch, ()))
    await latch.come_in()
    ran: list[int] = []
    second = asyncio.create_task(threads.run(share, ran.append, (1,)))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    latch.opened.set()
    assert await first == "let go"
    assert await threads.run(share, str, (2,)) == "2"
    assert (ran, threads.written_off) == ([], 0)


async def give_up(task: "asyncio.Task[object]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_thread_that_is_written_off_is_replaced(pool: Make, latch: Latch) -> None:
    """The pool has its size again at once, and the count goes back when the thread really ends."""
    threads, stuck, other = pool(1), Share("stuck", 1), Share("other", 1)
    hung = asyncio.create_task(threads.run(stuck, latch, ()))
    await latch.come_in()
    await give_up(hung)
    assert threads.written_off == 1
    assert await threads.run(other, str, (1,)) == "1"
    latch.opened.set()
    assert await threads.run(stuck, str, (2,)) == "2"
    assert threads.written_off == 0


async def test_what_waited_for_a_stuck_thread_runs_on_its_replacement(
    pool: Make, latch: Latch
) -> None:
    """Work of another plugin that was queued before the thread was given up is not forgotten."""
    threads, stuck, other = pool(1), Share("stuck", 1), Share("other", 1)
    hung = asyncio.create_task(threads.run(stuck, latch, ()))
    await latch.come_in()
    waiting = asyncio.create_task(threads.run(other, str, (1,)))
    await asyncio.sleep(0)
    await give_up(hung)
    async with asyncio.timeout(5):
        assert await waiting == "1"


async def test_a_share_is_given_back_only_when_its_thread_really_ends(
    pool: Make, latch: Latch
) -> None:
    """A plugin whose threads all hang gets no more of them: its next call waits."""
    threads, share = pool(4), Share("stuck", 2)
    for _ in range(2):
        hung = asyncio.create_task(threads.run(share, latch, ()))
        await latch.come_in()
        await give_up(hung)
    third = asyncio.create_task(threads.run(share, str, (3,)))
    for _ in range(20):
        await threads.run(Share("other", 1), str, (1,))
    assert not third.done()
    assert (threads.written_off, share.turns) == (2, 2)
    latch.opened.set()
    assert await third == "3"


class Odd(BaseException):
    """What no handler of exceptions expects."""


@pytest.mark.parametrize(
    "raised",
    [ValueError("plain"), Odd("odd")],
    ids=lambda error: type(error).__name__,
)
async def test_what_work_raises_reaches_its_caller(pool: Make, raised: BaseException) -> None:
    """As it was raised; the thread goes on to its next job."""
    threads, share = pool(1), Share("a", 1)

    def fail() -> None:
        raise raised

    with pytest.raises(type(raised)) as caught:
        await threads.run(share, fail, ())
    assert caught.value is raised
    assert await threads.run(share, str, (1,)) == "1"


@pytest.mark.parametrize(
    "raised",
    [SystemExit, StopIteration, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError],
)
async def test_what_would_steer_the_loop_is_an_ordinary_error(
    pool: Make, raised: type[BaseException]
) -> None:
    """On a worker these are a bug of the handler: nobody has pressed a key or cancelled a task."""
    threads, share = pool(1), Share("a", 1)

    def fail() -> None:
        raise raised("from the handler")

    with pytest.raises(RuntimeError, match=f"the handler raised {raised.__name__}"):
        await threads.run(share, fail, ())
    assert await threads.run(share, str, (1,)) == "1"


async def test_threads_end_with_the_pool(pool: Make) -> None:
    """Those that are idle end at once; what is busy holds up nobody."""
    threads, seen = pool(3), set[threading.Thread]()
    barrier = threading.Barrier(3)

    def meet() -> None:
        seen.add(threading.current_thread())
        barrier.wait(10)

    await asyncio.gather(*(threads.run(Share(n, 1), meet, ()) for n in "abc"))
    await threads.stop()
    for thread in seen:
        await asyncio.to_thread(thread.join, 10)
    assert not any(thread.is_alive() for thread in seen)


@pytest.mark.parametrize("seed", range(4))
async def test_a_storm_of_cancellations_loses_and_doubles_nothing(pool: Make, seed: int) -> None:
    """Whatever is cancelled when: every caller is answered once, with its own answer."""
    choose = random.Random(seed)
    threads = pool(choose.randint(1, 4))
    shares = [Share(name, choose.randint(1, 3)) for name in "abc"]
    runs: dict[int, int] = {}
    lock = threading.Lock()

    async def pause(turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return turns

    def work(number: int, waits: int) -> int:
        with lock:
            runs[number] = runs.get(number, 0) + 1
        for turn in range(waits):
            assert wait(pause(turn)) == turn
        if number % 7 == 0:
            raise KeyError(number)
        return number

    def job(number: int) -> Callable[[], "asyncio.Task[object]"]:
        args = (number, choose.randint(0, 3))
        return lambda: asyncio.create_task(threads.run(choose.choice(shares), work, args))

    started = {number: job(number)() for number in range(300)}
    cancelled: set[int] = set()
    while any(not task.done() for task in started.values()):
        number = choose.randrange(300)
        if choose.random() < 0.3 and started[number].cancel():
            cancelled.add(number)
        await asyncio.sleep(0)
    for number, task in started.items():
        if task.cancelled():
            assert number in cancelled
        elif number % 7 == 0:
            assert isinstance(task.exception(), KeyError)
            assert task.exception().args == (number,)  # type: ignore[union-attr]
        else:
            assert task.result() == number
    assert set(runs.values()) == {1}
    # Those written off end by themselves here: afterwards nothing is missing.
    async with asyncio.timeout(5):
        for share in shares:
            await asyncio.gather(*(threads.run(share, str, (n,)) for n in range(20)))
        while threads.written_off or any(share.turns for share in shares):
            await threads.run(Share("other", 1), str, (1,))
