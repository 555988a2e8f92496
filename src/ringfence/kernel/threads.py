"""The worker pool for `def` handlers. `waiting.py` is how a handler uses from there what is async.

Jobs are handed over in batches: a submit wakes at most one sleeping worker, which drains the
queue; a tick that runs only while work is outstanding wakes more when the queue does not move, and
gives up the interpreter's lock so that workers progress beside a busy loop.

Each plugin has a share of the threads. A thread whose job has outlived its deadline is written
off: replaced in the pool, but counted against its plugin's share until it really ends.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar, copy_context
from queue import SimpleQueue

from msgspec import Struct, field

from ringfence.errors import DeadlineExceeded, Overloaded

BUSY_TICK_S = 0.001  # while jobs are queued: how soon a second worker joins a first that is stuck
CALM_TICK_S = 0.02  # while jobs only run: how often the loop gives up the interpreter's lock
YIELD_S = 0.00005  # for how long it does
JOIN_S = 1.0  # how long a stopping pool waits for a worker; they are daemons, so none holds an exit

Manager = AbstractAsyncContextManager[object]
Request = Callable[[list[Manager]], Awaitable[object]]


class Share(Struct, eq=False):
    """How many threads of the pool one plugin may use at once, and what waits for one."""

    plugin: str
    limit: int
    queue_limit: int = 1000
    running: int = 0
    waiting: "deque[Job]" = field(default_factory=deque)

    def refuse(self) -> Overloaded:
        return Overloaded(
            f"its {self.limit} threads are busy and {self.queue_limit} calls wait for one.",
            subject=self.plugin,
            hint="Try again later, or raise plugin_threads under [kernel].",
            retry_after_s=1.0,
        )


class Outcome(Struct, frozen=True):
    """How something ended: with a value or an error."""

    value: object = None
    error: BaseException | None = None

    def unwrap(self) -> object:
        if self.error is not None:
            raise self.error
        return self.value


class Job:
    """One run of a `def` handler."""

    def __init__(
        self,
        pool: "Pool",
        share: Share,
        function: Callable[..., object],
        args: tuple[object, ...],
    ) -> None:
        self.pool = pool
        self.share = share
        self.function = function
        self.args = args
        self.future = pool.loop.create_future()
        self.variables = copy_context()
        self.outcome: Outcome | None = None
        self.started = False
        self.cancelled = False
        self.written_off = False
        self.host: Job | None = None  # the waiting job on whose thread this one runs
        self.guests = 0
        self.waiting = False
        self.inbox: SimpleQueue[Outcome | Job] = SimpleQueue()
        self.requests: asyncio.Queue[Request | None] = asyncio.Queue()
        self.servant: asyncio.Task[None] | None = None


class Ask(Struct, eq=False):
    """A job's request to the event loop, made by `wait`."""

    job: Job
    request: Request


running_job: ContextVar[Job | None] = ContextVar("ringfence.job", default=None)


class Pool:
    """The threads of one application, and the queue before them.

    Every method but those of the workers runs on the event loop's thread.
    """

    loop: asyncio.AbstractEventLoop  # of whoever ran a job last: an application has one

    def __init__(self, size: int, serve: Callable[[Job], Coroutine[object, None, None]]) -> None:
        self.size = size
        self.written_off = 0
        self._serve = serve
        self._lock = threading.Lock()  # guards the two counts below and a job's progress
        self._live = 0
        self._idle = 0
        self._claimed = 0
        self._outstanding = 0
        self._ready: deque[Job] = deque()
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        self._mail: deque[Job | Ask] = deque()
        self._signalled = False
        self._ticking = False
        self._ramp = 1
        self._threads: list[threading.Thread] = []

    async def run(
        self, share: Share, function: Callable[..., object], args: tuple[object, ...]
    ) -> object:
        """Run `function` on a worker, in a copy of the current context variables.

        Raises:
            Overloaded: The plugin's threads are busy and its queue is full; nothing was started.
        """
        self.loop = asyncio.get_running_loop()
        job = Job(self, share, function, args)
        self._submit(job)
        try:
            return await job.future
        except asyncio.CancelledError:
            await self._abandon(job)
            raise

    def _submit(self, job: Job) -> None:
        share = job.share
        host = running_job.get()
        if host is not None and host.waiting and self._must_host(host, share):
            job.host = host
            host.guests += 1
            host.inbox.put(job)
        elif share.running < share.limit:
            self._enqueue(job)
        elif len(share.waiting) < share.queue_limit:
            share.waiting.append(job)
        else:
            raise share.refuse()
        self._outstanding += 1
        if not self._ticking:
            self._ticking = True
            self.loop.call_later(BUSY_TICK_S, self._tick)

    def _must_host(self, host: Job, share: Share) -> bool:
        """The first call that a waiting job causes runs on its thread; so does any other that
        might find no thread free, for its host would wait for it for ever."""
        return not host.guests or share.running >= share.limit or self._claimed >= self.size

    def _enqueue(self, job: Job) -> None:
        job.share.running += 1
        self._claimed += 1
        empty = not self._ready
        self._ready.append(job)
        if empty:
            self._wake(1)

    def _wake(self, count: int) -> None:
        with self._lock:
            count = min(count, len(self._ready))
            woken = min(count, self._idle)
            self._idle -= woken
            made = min(count - woken, self.size - self._live)
            self._live += made
        for _ in range(woken):
            self._tokens.put(True)
        for _ in range(made):
            thread = threading.Thread(target=self._work, name="ringfence-worker", daemon=True)
            self._threads = [t for t in self._threads if t.is_alive()]
            self._threads.append(thread)
            thread.start()

    def _tick(self) -> None:
        if not self._outstanding:
            self._ticking = False
            return
        stuck = bool(self._ready)
        if stuck:
            self._wake(self._ramp)
            self._ramp *= 2
        else:
            self._ramp = 1
        time.sleep(YIELD_S)
        self.loop.call_later(BUSY_TICK_S if stuck else CALM_TICK_S, self._tick)

    # ---- on a worker's thread

    def _work(self) -> None:
        while True:
            try:
                job = self._ready.popleft()
            except IndexError:
                if not self._rest():
                    return
                continue
            self.execute(job)
            if job.written_off:
                return

    def _rest(self) -> bool:
        """Sleep until woken; False when the pool has stopped."""
        with self._lock:
            if self._ready:
                return True
            self._idle += 1
        return self._tokens.get()

    def execute(self, job: Job) -> None:
        """Run one job on this thread and hand its outcome to the loop."""
        outcome = Outcome()
        with self._lock:
            job.started = not job.cancelled
        if job.started:
            try:
                outcome = Outcome(job.variables.run(_invoke, job))
            except BaseException as error:  # the caller gets it, on the loop
                outcome = Outcome(error=error)
        with self._lock:
            job.outcome = outcome
        self.post(job)

    def post(self, item: Job | Ask) -> None:
        """Put a finished job, or a request of a running one, into the loop's mail."""
        self._mail.append(item)
        if not self._signalled:
            self._signalled = True
            self.loop.call_soon_threadsafe(self._read_mail)

    # ---- on the loop's thread again

    def _read_mail(self) -> None:
        self._signalled = False
        while self._mail:
            item = self._mail.popleft()
            if isinstance(item, Ask):
                self._forward(item)
            elif item.outcome is None:
                self._rehouse(item)
            else:
                self._finish(item, item.outcome)

    def _forward(self, ask: Ask) -> None:
        job = ask.job
        if job.servant is None:
            variables = job.variables.copy()
            variables.run(running_job.set, job)
            job.servant = asyncio.Task(self._serve(job), loop=self.loop, context=variables)
        job.requests.put_nowait(ask.request)

    def _rehouse(self, job: Job) -> None:
        """Queue a guest whose host has stopped waiting."""
        assert job.host is not None
        job.host.guests -= 1
        job.host = None
        if job.share.running < job.share.limit:
            self._enqueue(job)
        else:
            job.share.waiting.append(job)

    def _finish(self, job: Job, outcome: Outcome) -> None:
        self._outstanding -= 1
        if job.host is not None:
            job.host.guests -= 1
        else:
            self._release(job)
        if job.servant is not None:
            job.requests.put_nowait(None)
        if job.future.done():
            return
        if isinstance(outcome.error, StopIteration):
            job.future.set_exception(RuntimeError("the handler raised StopIteration"))
        elif outcome.error is not None:
            job.future.set_exception(outcome.error)
        else:
            job.future.set_result(outcome.value)

    def _release(self, job: Job) -> None:
        share = job.share
        share.running -= 1
        if job.written_off:
            self.written_off -= 1
        else:
            self._claimed -= 1
        while share.waiting and share.running < share.limit:
            self._enqueue(share.waiting.popleft())

    async def _abandon(self, job: Job) -> None:
        """Give a job up: it does not start, or its next `wait` raises and its thread is replaced."""
        with self._lock:
            job.cancelled = True
            if job.started and job.outcome is None and job.host is None:
                job.written_off = True
                self._live -= 1
        if job in job.share.waiting:
            job.share.waiting.remove(job)
            self._outstanding -= 1
        if job.written_off:
            self.written_off += 1
            self._claimed -= 1
        if job.servant is not None:
            job.servant.cancel()
            await asyncio.wait([job.servant], timeout=JOIN_S)

    async def stop(self) -> int:
        """Let the workers end; returns how many are still busy and left behind."""
        for _ in self._threads:
            self._tokens.put(False)
        until = time.monotonic() + JOIN_S
        while any(t.is_alive() for t in self._threads) and time.monotonic() < until:
            await asyncio.sleep(0.005)
        return sum(t.is_alive() for t in self._threads)


def _invoke(job: Job) -> object:
    running_job.set(job)
    return job.function(*job.args)


def out_of_time(job: Job) -> DeadlineExceeded:
    """What a `def` handler gets from `wait` once its call has ended without it."""
    return DeadlineExceeded(
        "the call that this thread works for has ended; nothing more is done for it.",
        subject=job.share.plugin,
    )
