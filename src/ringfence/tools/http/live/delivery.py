"""Sending an answer piece by piece: `Delivery` sends from the source that a handler has returned.

    delivery = Delivery(scope, receive, send, clock=clock, hang_ups=hang_ups)
    await delivery.deliver(live, await work)

Each step of the source is a turn of its own, in the task that runs the handler. Beside it, and
ended with it, one task waits for the client to go away and one sends heartbeats. Invariant: the
source is closed however the answer ends, and the answer is complete only if the source was, or if
it is of events and the application stops.
"""

import asyncio
from asyncio import CancelledError
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
)
from contextlib import asynccontextmanager
from threading import Lock
from typing import Protocol

from msgspec import json

from ringfence.kernel.ports import Clock, Live
from ringfence.tools.http.live.leaving import ClientGone, HangUps, Stopping
from ringfence.tools.http.live.streams import (
    Encode,
    EventStream,
    Stream,
    start_headers,
    write_event,
    write_piece,
)
from ringfence.tools.http.wire import Headers, Receive, Scope, Send

HEARTBEAT = b": \n\n"
_END = object()


class Delivery:
    """One answer that is sent piece by piece.

    Args:
        scope: The request.
        receive: Tells when the client has gone.
        send: Waits while the client is slow.
        clock: By which heartbeats are sent.
        hang_ups: Where an EventStream says how it is ended, once, by an application that stops.
        status: Of the answer.
        encode: Writes the data of events.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        clock: Clock,
        hang_ups: HangUps,
        status: int = 200,
        encode: Encode = json.encode,
    ) -> None:
        self.started = False
        """Whether something has been sent: from then on an error cannot be answered any more."""
        self._head = scope["method"] == "HEAD"
        self._receive = receive
        self._send = send
        self._clock = clock
        self._hang_ups = hang_ups
        self._status = status
        self._encode = encode
        self._sending = asyncio.Lock()  # the answer and its heartbeats, one at a time
        self._sent_at = 0.0
        self._hung_up = False

    async def deliver(self, live: Live, answer: Stream | EventStream[object]) -> None:
        """Send what a handler has returned.

        Raises:
            ClientGone: The client went away.
            Stopping: The application stops; the answer is complete all the same.
            Exception: What the source raised; where `started`, the answer is incomplete, and
                whoever called must leave it so.
        """
        source = _source(answer, live)
        complete = False
        try:
            headers = start_headers(answer)
            live.rest()  # what runs beside is the connection's, and no part of a message
            if self._head:
                await self._start(headers)
            elif isinstance(answer, EventStream):
                await self._send_events(live, answer, source, headers)
            else:
                async with beside(self._watch(live)):
                    await self._send_all(live, source, write_piece, headers)
            complete = True
        except CancelledError:
            complete = self._hung_up
            raise
        finally:
            await source.close()
            if complete:
                await self._write(b"", more=False)

    async def _send_events(
        self, live: Live, answer: EventStream[object], source: "_Source", headers: Headers
    ) -> None:
        def hang_up() -> None:
            self._hung_up = True
            live.end(Stopping("the application stops; connect again."))

        await self._start(headers)
        if answer.retry_s is not None:
            await self._write(b"retry: %d\n\n" % round(answer.retry_s * 1000))
        companions = [self._watch(live)]
        if answer.heartbeat_s > 0:
            companions.append(self._beat(live, answer.heartbeat_s))
        self._hang_ups.add(hang_up)
        try:
            async with beside(*companions):
                await self._send_all(live, source, self._event, headers)
        finally:
            self._hang_ups.discard(hang_up)

    async def _send_all(
        self, live: Live, source: "_Source", write: Callable[[object], bytes], headers: Headers
    ) -> None:
        while True:
            live.turn(deadline=False)
            piece = await source.step()
            content = b"" if piece is _END else write(piece)
            if not self.started:
                await self._start(headers)
            if piece is _END:
                return
            if content:
                await self._write(content)
            await asyncio.sleep(0)  # a source that never waits lets others run all the same

    def _event(self, item: object) -> bytes:
        return write_event(item, self._encode)

    async def _watch(self, live: Live) -> None:
        """Wait for the client to go away, and end the work then."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        live.end(gone())

    async def _beat(self, live: Live, heartbeat_s: float) -> None:
        """Send something whenever nothing else has been sent for a while."""
        now = self._clock.monotonic
        while True:
            await self._clock.sleep(self._sent_at + heartbeat_s - now())
            async with self._sending:
                if now() >= self._sent_at + heartbeat_s:
                    try:
                        await self._pass(HEARTBEAT)
                    except ClientGone as error:
                        live.end(error)
                        return

    async def _start(self, headers: Headers) -> None:
        self.started = True
        self._sent_at = self._clock.monotonic()
        await self._send(
            {"type": "http.response.start", "status": self._status, "headers": headers}
        )

    async def _write(self, content: bytes, *, more: bool = True) -> None:
        async with self._sending:
            await self._pass(content, more=more)

    async def _pass(self, content: bytes, *, more: bool = True) -> None:
        try:
            await self._send({"type": "http.response.body", "body": content, "more_body": more})
        except OSError:  # how some servers say that nobody is there
            raise gone() from None
        self._sent_at = self._clock.monotonic()


def gone() -> ClientGone:
    return ClientGone("the client went away before the end of its answer.")


@asynccontextmanager
async def beside(*works: Coroutine[object, None, None]) -> AsyncIterator[None]:
    """Run `works` beside a block, and end them with it. What one of them raised is raised then."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


class _Source(Protocol):
    """What is stepped through, once."""

    def step(self) -> Awaitable[object]:
        """Return what comes next, or `_END`."""
        ...

    async def close(self) -> None: ...


def _source(answer: Stream | EventStream[object], live: Live) -> _Source:
    source: object = answer.source
    if isinstance(source, AsyncIterable):
        return _Awaited(aiter(source))
    assert isinstance(source, Iterable), "of its declared type"
    return _Threaded(iter(source), live)


class _Awaited:
    """A source that is stepped on the event loop."""

    def __init__(self, iterator: AsyncIterator[object]) -> None:
        self._iterator = iterator

    def step(self) -> Awaitable[object]:
        return anext(self._iterator, _END)

    async def close(self) -> None:
        close = getattr(self._iterator, "aclose", None)
        if close is not None:
            await close()


class _Threaded:
    """A source that is stepped on the plugin's threads; each step may be on another. It is closed
    on one as well: by the step that was in it when its answer ended, if there was one."""

    def __init__(self, iterator: Iterator[object], live: Live) -> None:
        self._iterator = iterator
        self._live = live
        self._lock = Lock()  # guards the next two
        self._inside = False
        self._ended = False

    def step(self) -> Awaitable[object]:
        return self._live.thread(self._step)

    async def close(self) -> None:
        with self._lock:
            self._ended = True
            if self._inside:
                return
        if hasattr(self._iterator, "close"):  # else no thread is needed, nor waited for
            await self._live.thread(self._close)

    def _step(self) -> object:
        with self._lock:
            if self._ended:
                return _END
            self._inside = True
        try:
            return next(self._iterator, _END)  # StopIteration must not leave the thread
        finally:
            if self._leave():
                self._close()

    def _leave(self) -> bool:
        """Say whether the answer has ended meanwhile."""
        with self._lock:
            self._inside = False
            return self._ended

    def _close(self) -> None:
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()
