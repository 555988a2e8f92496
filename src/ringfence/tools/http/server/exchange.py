"""One request and its answer, between the connection and the ASGI application.

`Exchange` is what the application receives from and sends to. Invariant: nothing is written that
could be read as another answer: headers are checked, lengths are kept, and an answer that cannot
be completed ends with its connection. Made by `protocol.Connection`.
"""

import logging
import re
from asyncio import CancelledError, Event, Task, Transport
from collections.abc import Awaitable, Callable
from typing import Protocol

from uvicorn.protocols.http.flow_control import FlowControl

from ringfence.tools.http.problem import answer_to
from ringfence.tools.http.server.connections import Connections
from ringfence.tools.http.wire import Message, Receive, Scope, Send

logger = logging.getLogger(__name__)
# Body bytes that wait for the application until the client has to wait for it too.
HIGH_WATER_BYTES = 64 << 10

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
_BODILESS = frozenset((204, 304))
# Headers that nearly every answer has, with values that few differ in: their lines are kept.
_REPEATED = frozenset((b"content-type", b"cache-control"))
_REMEMBERED = 256

Serve = Callable[[Scope, Receive, Send], Awaitable[None]]


class Line(Protocol):
    """The connection, as an exchange sees it."""

    flow: FlowControl
    transport: Transport

    def answered(self) -> None:
        """Go on: the answer is complete."""
        ...

    def read_on(self) -> None:
        """Read more from the client."""
        ...

    def cut(self) -> None:
        """Close: the answer will never be complete."""
        ...


class Exchange:
    """One request and its answer.

    Args:
        line: The connection.
        shared: What all connections have in common.
        scope: The request.
        keep_alive: Whether another request may follow on the connection.
        expects: Whether the client waits to be told before it sends a body.
    """

    __slots__ = (
        "_body",
        "_chunked",
        "_expects",
        "_head",
        "_left",
        "_line",
        "_mute",
        "_noticed",
        "_shared",
        "_told",
        "complete",
        "disconnected",
        "keep_alive",
        "more",
        "scope",
        "started",
        "task",
    )

    def __init__(
        self, line: Line, shared: Connections, scope: Scope, keep_alive: bool, expects: bool
    ) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.more = True  # of the body is to come
        self.started = False
        self.complete = False
        self.disconnected = False
        self.task: Task[None] | None = None
        self._line = line
        self._shared = shared
        self._expects = expects
        self._body: bytes | bytearray = b""
        self._told = False  # the application knows that the body has ended
        self._noticed: Event | None = None
        self._chunked = False
        self._mute = scope["method"] == "HEAD"
        self._head = b""  # of the answer, until its body is there
        self._left = -1  # bytes of the answer still to come; below zero: not announced

    async def run(self, serve: Serve) -> None:
        """Let the application answer. Whatever it does, the exchange ends."""
        try:
            await serve(self.scope, self.receive, self.send)
            if not self.started and not self.disconnected:
                raise RuntimeError("the application has not answered")
        except CancelledError:
            # The outermost frame of the request's own task: whoever cancelled has been answered.
            pass
        except Exception as error:  # contained: applications of others are mounted, and may raise
            await self._fail(error)
        finally:
            if self.task is not None:
                self._shared.tasks.discard(self.task)
            if not self.started:
                self._shared.waiting -= 1
            if not self.complete:
                self._line.cut()

    def feed(self, body: bytes) -> None:
        """Take a piece of the request's body."""
        if self._body:
            if not isinstance(self._body, bytearray):
                self._body = bytearray(self._body)
            self._body += body
        else:
            self._body = body
        if len(self._body) > HIGH_WATER_BYTES:
            self._line.flow.pause_reading()
        self.notice()

    def end_of_body(self) -> None:
        """Take note that the request is complete."""
        self.more = False
        self.notice()

    def disconnect(self) -> None:
        """Take note that nobody is left to answer."""
        self.disconnected = True
        self.notice()

    def notice(self) -> None:
        """Wake the application, where it waits for its request."""
        if self._noticed is not None:
            self._noticed.set()

    async def receive(self) -> Message:
        """Return the next piece of the body, or say that the exchange is over."""
        if self._expects:
            self._expects = False
            if not self.started and not self._line.transport.is_closing():
                self._line.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self.disconnected or self.complete):
            if self._body or not (self.more or self._told):
                body, self._body = bytes(self._body), b""
                self._told = not self.more
                return {"type": "http.request", "body": body, "more_body": self.more}
            self._line.read_on()
            if self._noticed is None:
                self._noticed = Event()
            self._noticed.clear()
            await self._noticed.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Write a part of the answer.

        Raises:
            RuntimeError: It is no part of an answer, or not the next one. What has been written
                before is then all that the client gets.
        """
        if self._line.flow.write_paused and not self.disconnected:
            await self._line.flow.drain()
        if self.disconnected:
            return
        expected = "http.response.body" if self.started else "http.response.start"
        if message["type"] != expected or self.complete:
            got = "more after its end" if self.complete else repr(message["type"])
            raise RuntimeError(f"http: expected {expected!r} in an answer, got {got}")
        if self.started:
            self._write_body(message.get("body", b""), message.get("more_body", False))
        else:
            self._write_start(message)

    def _write_start(self, message: Message) -> None:
        status = message.get("status", 200)
        shared = self._shared
        known = shared.lines
        self._mute = self._mute or status in _BODILESS
        lines = [shared.start_of(status)]
        for header in message.get("headers", ()):
            line = known.get((header[0], header[1])) or self._line_of(header[0], header[1])
            lines.append(line)
        if self._expects and self.more:  # a body that was never asked for may never come
            self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        if self._left < 0 and not self._mute and self.scope.get("http_version") == "1.1":
            self._chunked = True  # for HTTP/1.0, the end of the connection is the answer's end
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        self.started = True
        self._expects = False
        shared.waiting -= 1
        if self._left > 0 and not self._mute:
            self._head = b"".join(lines)  # a body follows: both are one write
        else:
            self._line.transport.write(b"".join(lines))

    def _line_of(self, name: bytes, value: bytes) -> bytes:
        """Return a header as a line, and heed what it says of the answer's end."""
        if name == b"content-length":
            return self._announce(value)
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise RuntimeError("http: an answer has a header that no header may be")
        name = name.lower()
        if name == b"content-length":
            return self._announce(value)
        if name == b"transfer-encoding":
            return b""  # how an answer travels is decided here
        if name == b"connection":
            self.keep_alive = self.keep_alive and b"close" not in value.lower()
            if value.lower() != b"upgrade":  # whether it is closed is said once, and from here
                return b""
        line = b"%s: %s\r\n" % (name, value)
        if name in _REPEATED and len(self._shared.lines) < _REMEMBERED:
            self._shared.lines[name, value] = line
        return line

    def _announce(self, length: bytes) -> bytes:
        if self._left >= 0 or self._chunked or not length.isdigit():
            raise RuntimeError("http: an answer announces no length, or more than one")
        self._left = int(length)
        return b"content-length: %s\r\n" % length

    def _write_body(self, body: bytes, more: bool) -> None:
        if self._mute:
            pass
        elif self._chunked:
            piece = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            self._line.transport.write(piece if more else piece + b"0\r\n\r\n")
        else:
            if self._left >= 0:
                self._left -= len(body)
                if self._left < 0 or (self._left and not more):
                    raise RuntimeError("http: an answer is longer or shorter than it announced")
            self._line.transport.write(self._head + body if self._head else body)
            self._head = b""
        if not more:
            self.complete = True
            self.notice()
            self._line.answered()

    async def _fail(self, error: Exception) -> None:
        """Answer what the application left unanswered."""
        if self.disconnected:
            return
        answer = answer_to(error, "http")
        if not self.started:
            self._chunked, self._left, self.keep_alive = False, -1, False
            self._mute = self.scope["method"] == "HEAD"
            await answer.send_to(self.send)
