"""The worker pool for `def` handlers: the kernel's `Threads`. `waiting.py` is how a handler uses
from there what is async.

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
from contextlib import AbstractAsyncContextManager, suppress
from contextvars import Context as Variables
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from queue import SimpleQueue

from msgspec import Struct

from ringfence.errors import Overloaded
from ringfence.kernel.threads import Run

BUSY_TICK_S = 0.001  # while jobs are queued: how soon a second worker joins a first that is stuck
CALM_TICK_S = 0.02  # while jobs only run: how often the loop gives up the interpreter's lock
YIELD_S = 0.00005  # for how long it does
TURN_JOBS = 64  # how many jobs a worker runs before another plugin's share has its turn
CLOSE_S = 1.0  # how long an abandoned job's open managers get to roll back
# In a task these end the event loop, or the task in another's name; on a worker they are a bug.
STEERING = (SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, asyncio.CancelledError)

Manager = AbstractAsyncContextManager[object]
Request = Callable[[list[Manager]], Awaitable[object]]


@dataclass(slots=True, eq=False)
class Share:
    """How many threads of the pool one plugin may use at once, and the jobs that wait for one.

    A turn is the right of one worker to run this share's jobs, one after the other.
    """

    plugin: str
    limit: int
    queue_limit: int = 1000
    jobs: "deque[Job]" = field(default_factory=lambda: deque["Job"]())
    turns: int = 0
    finished: int = 0  # since the last tick


class Outcome(Struct, frozen=True):
    """How something ended: with a value or an error."""

    value: object = None
    error: BaseException | None = None


class Job(Struct, eq=False, gc=False):
    """One run of a `def` handler. It lets go of its error when it is finished, so that no circle
    is left for a collector that does not see it."""

    pool: "Pool"
    share: Share
    function: Callable[..., object]
    args: tuple[object, ...]
    future: "asyncio.Future[object]"
    variables: Variables
    value: object = None
    error: BaseException | None = None
    started: bool = False
    ended: bool = False
    cancelled: bool = False
    written_off: bool = False
    host: "Job | None" = None  # the waiting job on whose thread this one runs
    # What follows is for `wait`, which most jobs never use.
    waiting: bool = False
    inbox: "SimpleQueue[Outcome | Job] | None" = None
    requests: "asyncio.Queue[Request | None] | None" = None
    servant: "asyncio.Task[None] | None" = None
    notes: tuple[str, ...] = ()  # what its cancellation has to say, such as `committed`


# On the loop: the job whose `wait` has caused what runs now.
waiting_job: ContextVar[Job | None] = ContextVar("ringfence.waiting_job", default=None)


class Here(threading.local):
    """On a worker's thread: the job that it runs."""

    job: Job | None = None


here = Here()


class Pool:
    """The threads of one application, and the queue before them.

    Every method but those of the workers runs on the event loop's thread.
    """

    loop: asyncio.AbstractEventLoop  # of whoever ran a job last: an application has one

    def __init__(self, size: int) -> None:
        self.size = size
        self.written_off = 0
        self._lock = threading.Lock()  # guards the next two, and `written_off` of jobs
        self._live = 0
        self._idle = 0
        self._active: set[Share] = set()  # those with a turn
        self._ready: deque[Share] = deque()
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        self._mail: deque[tuple[Callable[..., None], tuple[object, ...]]] = deque()
        self._signalled = False
        self._ticking = False
        self._shares: dict[str, Share] = {}

    def share(self, plugin: str, limit: int) -> Run:
        """Return how one plugin runs functions. Its share is made when it first does: most plugins
        never do."""

        def run(
            function: Callable[..., object], args: tuple[object, ...]
        ) -> Coroutine[object, None, object]:
            share = self._shares.get(plugin)
            if share is None:
                share = self._shares[plugin] = Share(plugin, limit)
            return self.run(share, function, args)

        return run

    def apart(self, begin: Callable[[Variables], None]) -> None:
        """Call `begin` on the loop's thread, with variables by which no job waits for it."""
        variables = copy_context()
        variables.run(waiting_job.set, None)
        if here.job is not None:
            here.job.pool.loop.call_soon_threadsafe(begin, variables)
        else:
            begin(variables)

    async def run(
        self, share: Share, function: Callable[..., object], args: tuple[object, ...]
    ) -> object:
        """Run `function` on a worker, in a copy of the current context variables.

        Raises:
            Overloaded: The plugin's threads are busy and its queue is full; nothing was started.
        """
        self.loop = loop = asyncio.get_running_loop()
        job = Job(self, share, function, args, loop.create_future(), copy_context())
        host = waiting_job.get()
        if host is not None and host.waiting and host.inbox is not None:
            job.host = host
            host.inbox.put(job)
        else:
            self._enqueue(job, share)
        try:
            return await job.future
        except asyncio.CancelledError as cancelled:
            await self._abandon(job)
            for note in job.notes:
                cancelled.add_note(note)
            raise

    def _enqueue(self, job: Job, share: Share) -> None:
        jobs = share.jobs
        queued = len(jobs)
        if queued >= share.queue_limit:
            raise Overloaded(
                f"its {share.limit} threads are busy and {queued} calls wait for one.",
                subject=share.plugin,
                hint="Try again later, or raise plugin_threads under [kernel].",
                retry_after_s=1.0,
            )
        jobs.append(job)
        if not queued:
            self._give_turns(share, 1)

    def _give_turns(self, share: Share, count: int) -> None:
        count = min(count, len(share.jobs), share.limit - share.turns)
        share.turns += count
        self._active.add(share)
        self._ready.extend([share] * count)
        self._rouse(count)
        if not self._ticking:
            self._ticking = True
            self.loop.call_later(BUSY_TICK_S, self._tick)

    def _rouse(self, count: int) -> None:
        """Let so many workers look for turns: idle ones, then new ones up to the pool's size."""
        with self._lock:
            woken = min(count, self._idle)
            self._idle -= woken
            made = min(count - woken, self.size - self._live)
            self._live += made
        for _ in range(woken):
            self._tokens.put(True)
        for _ in range(made):
            threading.Thread(target=self._work, name="ringfence-handler", daemon=True).start()

    def _tick(self) -> None:
        if sum(share.turns for share in self._active) <= self.written_off:
            self._ticking = False
            return
        queued = False
        for share in self._active:
            if len(share.jobs) > share.finished:  # more than its turns get through in a tick
                self._give_turns(share, 1 if share.finished else share.turns)
                queued = True
            share.finished = 0
        time.sleep(YIELD_S)
        self.loop.call_later(BUSY_TICK_S if queued else CALM_TICK_S, self._tick)

    # ---- on a worker's thread

    def _work(self) -> None:
        while (share := self._next_turn()) is not None and self._take_turn(share):
            pass

    def _next_turn(self) -> Share | None:
        """Return the share whose turn it is, asleep until one is; None once the pool stops."""
        while True:
            with self._lock:
                if self._ready:
                    return self._ready.popleft()
                self._idle += 1
            here.job = None
            if not self._tokens.get():
                return None

    def _take_turn(self, share: Share) -> bool:
        """Run a share's jobs until none is left; False when this thread was written off."""
        take, execute = share.jobs.popleft, self.execute
        for _ in range(TURN_JOBS):
            try:
                job = take()
            except IndexError:
                self.post(self._end_turn, share)
                return True
            execute(job)
            if job.written_off:
                self.post(self._end_turn, share)
                return False
        self._ready.append(share)  # let the others have theirs
        return True

    def execute(self, job: Job) -> None:
        """Run one job on this thread and hand its outcome to the loop."""
        here.job = job
        job.started = True  # before the question, so that `_abandon` misses no running job
        if not job.cancelled:
            try:
                job.value = job.variables.run(job.function, *job.args)
            except BaseException as error:  # the caller gets it, on the loop
                job.error = error
        job.ended = True
        if job.cancelled:
            with self._lock:  # `_abandon` may be about to write this thread off: let it decide
                pass
        self.post(self._finish, job)

    def post(self, act: Callable[..., None], *args: object) -> None:
        """Have the loop call `act`, after all that was posted before; wake it once for a batch."""
        self._mail.append((act, args))
        if not self._signalled:
            self._signalled = True
            with suppress(RuntimeError):  # the loop has closed: a thread left behind has ended
                self.loop.call_soon_threadsafe(self._read_mail)

    # ---- on the loop's thread again

    def _read_mail(self) -> None:
        self._signalled = False
        while self._mail:
            act, args = self._mail.popleft()
            act(*args)

    def _end_turn(self, share: Share) -> None:
        share.turns -= 1
        if share.jobs:
            self._give_turns(share, 1)
        elif not share.turns:
            self._active.discard(share)

    def rehouse(self, guest: Job) -> None:
        """Queue a guest whose host has stopped waiting."""
        guest.host = None
        try:
            self._enqueue(guest, guest.share)
        except Overloaded as error:
            guest.error = error
            self._finish(guest)

    def _finish(self, job: Job) -> None:
        job.share.finished += 1
        if job.written_off:
            self.written_off -= 1
        if job.requests is not None:
            job.requests.put_nowait(None)
        future, error, job.error = job.future, job.error, None
        if future.done():
            return
        if error is None:
            future.set_result(job.value)
        else:
            future.set_exception(_raisable(error))

    async def _abandon(self, job: Job) -> None:
        """Give a job up: it does not start, or its next `wait` raises and a thread replaces its."""
        job.cancelled = True
        with self._lock:
            if job.started and not job.ended and job.host is None:
                job.written_off = True
                self._live -= 1
        if not job.started and job.host is None:
            # A worker may be taking it at this moment; then it finds it cancelled.
            with suppress(ValueError, IndexError):
                job.share.jobs.remove(job)
        if job.written_off:
            self.written_off += 1
            self._rouse(len(self._ready))
        if job.servant is not None:
            job.servant.cancel()
            await asyncio.wait([job.servant], timeout=CLOSE_S)

    async def stop(self) -> None:
        """Let the workers end. One that is busy is a daemon, and holds up nothing."""
        for _ in range(self._live):
            self._tokens.put(False)


def _raisable(error: BaseException) -> BaseException:
    """Wrap what would steer the loop, or a coroutine, instead of being an error to it."""
    if not isinstance(error, STEERING):
        return error
    wrapped = RuntimeError(f"the handler raised {type(error).__name__}")
    wrapped.__cause__ = error
    return wrapped
