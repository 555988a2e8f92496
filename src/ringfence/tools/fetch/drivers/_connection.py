"""One connection to another system, on h11: a request and its answer at a time.

Invariant: a connection goes back to the pool only if both sides are done with the last exchange
and nothing that was not asked for has come since, so no answer is ever taken for another's.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import h11

from ringfence.kernel.ports import Clock
from ringfence.tools.fetch.contract import BadResponse, Head
from ringfence.tools.fetch.messages import Outgoing
from ringfence.tools.fetch.service import Undone
from ringfence.tools.fetch.timeouts import Late, Within

_Event = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]


class Connection(asyncio.Protocol):
    """Bytes in and out, and what h11 makes of them.

    Args:
        clock: By which silence is measured.
        silence_s: After which the other side is given up.
        most_header_bytes: Of an answer.
    """

    def __init__(self, clock: Clock, silence_s: float, most_header_bytes: int) -> None:
        self.used = False  # has carried an exchange before
        self.on_idle_event: Callable[[], None] | None = None  # set while it is in the pool
        self._clock = clock
        self._silence_s = silence_s
        self._most_header_bytes = most_header_bytes
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=most_header_bytes)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._answered = False  # something of the answer in hand has come
        self._lost = ""
        self._full = False  # the transport takes no more for now
        self._held = False  # the transport was told to read no more for now

    # ---- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's derives from nothing

    def data_received(self, data: bytes) -> None:
        if self.on_idle_event is not None:
            self._drop("it sent what nobody had asked for")
            return
        self._answered = True
        self._http.receive_data(data)
        if self._waiter is None and not self._held and self._transport is not None:
            self._held = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        if not self._lost:
            self._http.receive_data(b"")
        self._lose("the other side closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(f"the connection broke: {exc}" if exc else "the connection was closed")

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._wake()

    # ---- the exchange

    @property
    def is_open(self) -> bool:
        """Whether it may carry another exchange."""
        return not self._lost

    async def send(self, request: Outgoing) -> None:
        """Send a request. It is left unfinished where the answer comes first.

        Raises:
            Undone: The connection is gone, or takes nothing.
        """
        self._answered = False
        self._check_open()
        target, headers = _target(request), _framed(request)
        self._write(h11.Request(method=request.method, target=target, headers=headers))
        request.begun = True
        if isinstance(request.body, bytes):
            if request.body:
                self._write(h11.Data(data=request.body))
            await self._drained()
        else:
            async for piece in request.body:
                if self._answered:
                    return
                self._write(h11.Data(data=piece))
                await self._drained()
        if not self._answered or isinstance(request.body, bytes):
            self._write(h11.EndOfMessage())

    async def head(self) -> Head:
        """Wait for the head of the answer."""
        while True:
            event = await self._next("answer")
            if isinstance(event, h11.Response):
                names: dict[str, str] = {}
                for name, value in event.headers:
                    key, text = name.decode("latin-1"), value.decode("latin-1")
                    names[key] = f"{names[key]}, {text}" if key in names else text
                return Head(event.status_code, names)
            if not isinstance(event, h11.InformationalResponse):
                raise BadResponse("its answer has no beginning.")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the answer's body as it comes."""
        while isinstance(event := await self._next("more of the answer"), h11.Data):
            yield bytes(event.data)

    def rest(self) -> bool:
        """Get ready for the next exchange; where that is not safe, close, and return False."""
        http = self._http
        done = http.our_state is h11.DONE and http.their_state is h11.DONE
        if self._lost or not done or http.trailing_data[0]:
            self.close()
            return False
        http.start_next_cycle()
        self.used = True
        self._release()
        return True

    def close(self) -> None:
        """Close it at once; what has not been sent is not sent."""
        self._lose("it was closed here")
        if self._transport is not None:
            self._transport.abort()

    # ---- inside

    async def _next(self, wanted: str) -> _Event:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise self._unreadable(error) from None
            if event is not h11.NEED_DATA:
                return event
            self._check_open()
            self._release()
            await self._wait(wanted)

    def _unreadable(self, error: h11.RemoteProtocolError) -> Exception:
        if self._lost:
            return self._undone()  # what came breaks off
        if error.error_status_hint == 431:
            said = f"its headers are larger than the link allows: {self._most_header_bytes} bytes."
            return BadResponse(said, hint="Raise `max_header_bytes` in its table.")
        return BadResponse("it does not speak HTTP/1.1.")

    def _write(self, event: h11.Event) -> None:
        self._check_open()
        assert self._transport is not None
        data = self._http.send(event)
        if data:
            self._transport.write(data)

    async def _drained(self) -> None:
        while self._full and not self._answered:
            self._check_open()
            await self._wait("room for more of the request")

    async def _wait(self, wanted: str) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            with Within(self._clock, self._silence_s, wanted):
                await self._waiter
        except Late as late:
            raise Undone(late.reason) from None
        finally:
            self._waiter = None

    def _check_open(self) -> None:
        # What came before the end is read first: an answer may be complete all the same.
        if self._lost:
            raise self._undone()

    def _undone(self) -> Undone:
        return Undone(self._lost, stale=self.used and not self._answered)

    def _release(self) -> None:
        if self._held and self._transport is not None and not self._transport.is_closing():
            self._held = False
            self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _drop(self, reason: str) -> None:
        self._lose(reason)
        self.close()

    def _lose(self, reason: str) -> None:
        self._lost = self._lost or reason
        self._wake()
        told, self.on_idle_event = self.on_idle_event, None
        if told is not None:
            told()


def _target(request: Outgoing) -> str:
    target = request.target.path
    return f"{target}?{request.query}" if request.query else target


def _framed(request: Outgoing) -> list[tuple[bytes, bytes]]:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in request.headers]
    if not isinstance(request.body, bytes):
        return [*headers, (b"transfer-encoding", b"chunked")]
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        return [*headers, (b"content-length", b"%d" % len(request.body))]
    return headers
