"""`wait`: how a `def` handler uses what is async, from its worker thread.

All that one job waits for runs in one task on the event loop, its servant, so that a transaction
opened by one `wait` is used and closed by the next ones in the same task. While a job waits, its
thread runs the `def` work that its own await caused.
"""

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from contextvars import ContextVar
from queue import SimpleQueue
from typing import TypeVar, cast, overload

from ringfence.errors import DeadlineExceeded, RingfenceError
from ringfence.threads.pool import Job, Manager, Outcome, Request, here, waiting_job

T = TypeVar("T")
_log = logging.getLogger("ringfence.kernel")
_driver: ContextVar[asyncio.Runner | None] = ContextVar("ringfence.driver", default=None)


@overload
def wait(wanted: Awaitable[T]) -> T: ...


@overload
def wait(wanted: AbstractAsyncContextManager[T]) -> AbstractContextManager[T]: ...


@overload
def wait(wanted: AsyncIterable[T]) -> Iterator[T]: ...


def wait(
    wanted: Awaitable[T] | AbstractAsyncContextManager[T] | AsyncIterable[T],
) -> T | AbstractContextManager[T] | Iterator[T]:
    """Wait, in a `def` handler, for something async; blocks this worker thread alone.

    Args:
        wanted: An awaitable; or an async context manager, which gives one for `with`; or an async
            iterable, which gives one for `for`.

    Raises:
        RingfenceError: Called on the event loop's thread, which it would block: `await` instead.
        DeadlineExceeded: The call that this thread works for has ended.
    """
    if isinstance(wanted, Awaitable):
        try:
            return cast(T, _ask(lambda _: wanted))
        finally:
            if isinstance(wanted, Coroutine):  # one that was refused was never started
                wanted.close()
    if isinstance(wanted, AbstractAsyncContextManager):
        return _entered(wanted)
    return _iterate(wanted)


@contextmanager
def _entered(manager: AbstractAsyncContextManager[T]) -> Generator[T]:
    kept = cast(Manager, manager)

    async def enter(opened: list[Manager]) -> object:
        value = await kept.__aenter__()
        opened.append(kept)
        return value

    async def leave(opened: list[Manager], error: BaseException | None) -> object:
        opened[:] = [other for other in opened if other is not kept]
        kind = type(error) if error else None
        return await kept.__aexit__(kind, error, error.__traceback__ if error else None)

    with _driven():
        value = cast(T, _ask(enter))
        try:
            yield value
        except BaseException as error:  # the manager decides, as in `async with`
            raised = error
            if not _ask(lambda opened: leave(opened, raised)):
                raise
        else:
            _ask(lambda opened: leave(opened, None))


def _iterate(source: AsyncIterable[T]) -> Iterator[T]:
    iterator = source.__aiter__()
    with _driven():
        while True:
            try:
                item = cast(T, _ask(lambda _: iterator.__anext__()))
            except StopAsyncIteration:
                return
            yield item


def _ask(request: Request) -> object:
    """Have the job's servant do `request`, and be useful meanwhile."""
    if _on_a_loop():
        raise RingfenceError(
            "called on the event loop's thread, which it would block; expected a `def` handler's.",
            subject="wait",
            hint="In an `async def`, use `await`, `async with` or `async for`.",
        )
    job = here.job
    if job is None:
        return _alone(request)
    if job.cancelled:
        raise _out_of_time(job)
    if job.inbox is None:
        job.inbox = SimpleQueue()
    job.pool.post(_forward, job, request)
    while True:
        item = job.inbox.get()
        if isinstance(item, Outcome):
            if item.error is not None:
                raise item.error
            return item.value
        if job.waiting:
            job.pool.execute(item)
            here.job = job
        else:
            job.pool.post(job.pool.rehouse, item)


@contextmanager
def _driven() -> Generator[None]:
    """Outside the kernel, as in a unit test with fakes, drive all waits of a block on one loop."""
    if here.job is not None or _driver.get() is not None or _on_a_loop():
        yield
        return
    with asyncio.Runner() as runner:
        token = _driver.set(runner)
        try:
            yield
        finally:
            _driver.reset(token)


def _alone(request: Request) -> object:
    async def run() -> object:
        return await request([])

    runner = _driver.get()
    return asyncio.run(run()) if runner is None else runner.run(run())


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


# ---- on the loop's thread


def _forward(job: Job, request: Request) -> None:
    """Give a request to the job's servant, its first one to a new servant."""
    if job.cancelled:
        _dismiss(job)
        return
    if job.requests is None:
        job.requests = asyncio.Queue()
        variables = job.variables.copy()
        variables.run(waiting_job.set, job)
        job.servant = asyncio.Task(_serve(job), loop=job.pool.loop, context=variables)
        # Not in the servant itself: one that is cancelled before its first step never runs.
        job.servant.add_done_callback(lambda _: _served(job))
    job.requests.put_nowait(request)


def _served(job: Job) -> None:
    job.servant = None  # a task knows its job by its variables: a circle nobody would see
    _dismiss(job)


def _dismiss(job: Job) -> None:
    """Let a job's thread wait no longer: nobody serves it any more."""
    if job.inbox is not None:
        job.inbox.put(Outcome(error=_out_of_time(job)))


def _out_of_time(job: Job) -> DeadlineExceeded:
    """What a `def` handler gets from `wait` once its call has ended without it."""
    return DeadlineExceeded(
        "the call that this thread works for has ended; nothing more is done for it.",
        subject=job.share.plugin,
    )


async def _serve(job: Job) -> None:
    """Do what a job waits for, one request after the other; close what it leaves open."""
    opened: list[Manager] = []
    assert job.requests is not None
    assert job.inbox is not None
    try:
        while (request := await job.requests.get()) is not None:
            job.inbox.put(await _outcome(job, request, opened))
    finally:
        while opened:
            await _close(opened.pop())


async def _outcome(job: Job, request: Request, opened: list[Manager]) -> Outcome:
    task = asyncio.current_task()
    job.waiting = True
    try:
        return Outcome(await request(opened))
    except asyncio.CancelledError as error:
        if task is not None and task.cancelling():
            job.notes = tuple(getattr(error, "__notes__", ()))
            raise
        return Outcome(error=error)
    except BaseException as error:  # raised on the worker's thread, where it was asked for
        return Outcome(error=error)
    finally:
        job.waiting = False


async def _close(manager: Manager) -> None:
    ended = asyncio.CancelledError()
    try:
        await manager.__aexit__(asyncio.CancelledError, ended, None)
    except asyncio.CancelledError:
        pass  # the manager passes on the cancellation that it was given
    except Exception:  # the next manager must be closed as well
        _log.exception("closing what a def handler left open has failed")
