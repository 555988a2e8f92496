"""HTTP/1.1 on a connection: uvicorn's httptools protocol, with limits, deadlines and safe refusals.

`Connection` reads requests and starts an `Exchange` for each; `Shared` is what all connections of
a driver have in common. Invariant: what one connection keeps in memory is bounded, and every state
it can be in has an end, kept by `check` once a second.
"""

import asyncio
import math
from asyncio import Task, Transport
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import cast
from urllib.parse import unquote

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ringfence.tools.http.problem import Refused
from ringfence.tools.http.server.connections import SWEEP_S, Connections
from ringfence.tools.http.server.exchange import Exchange, Serve
from ringfence.tools.http.server.head import (
    NOTED,
    announces_body,
    believe,
    check_framing,
    malformed,
    note,
    origin_form,
    slow,
    too_large,
)
from ringfence.tools.http.server.hosts import Allowed, misdirected
from ringfence.tools.http.server.proxies import Proxies
from ringfence.tools.http.wire import Headers, Scope

# Source: Apache's mod_reqtimeout, `body=20,MinRate=500`: each so many bytes give a second more.
MIN_RATE_BYTES_PER_S = 500
# After its last answer a client has so long, and so much, to send what it is in the middle of;
# closed at once, its system would discard the answer. Source: nginx's lingering_close.
LINGER_S = 2.0
LINGER_BYTES = 16 << 20
# What chunks may cost beyond what they carry: five bytes around each is the least there is.
CHUNK_BYTES_PER_BYTE = 16
# Requests that may wait behind one that is being answered.
PIPELINED = 64

# Method, version and line ends.
_REQUEST_LINE_BYTES = 64
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class _NothingMore(Exception):
    """What comes after the last request of a connection is not read."""


class Shared:
    """What all connections of a driver have in common.

    Args:
        serve: The application; answers requests.
        connections: Those that are open.
        hosts: Those that are served.
        proxies: Those that are believed.
        uvicorn_config: What uvicorn's own protocols are made with.
        upgrade: Makes what takes a WebSocket over; None: nothing speaks it.
    """

    def __init__(
        self,
        serve: Serve,
        connections: Connections,
        hosts: Allowed,
        proxies: Proxies,
        uvicorn_config: uvicorn.Config,
        upgrade: "Callable[[Connection, Scope], asyncio.Protocol] | None" = None,
    ) -> None:
        self.serve = serve
        self.connections = connections
        self.hosts = hosts
        self.proxies = proxies
        self.uvicorn_config = uvicorn_config
        self.upgrade = upgrade
        self.state = ServerState()
        adopted = cast("set[HttpToolsProtocol]", connections)
        self.state.connections = adopted  # type: ignore[assignment]
        self.state.tasks = connections.tasks


class Reading(Enum):
    """Where in a request the connection is."""

    BETWEEN = auto()
    HEAD = auto()
    BODY = auto()
    REST = auto()  # whatever comes is thrown away


class Connection(HttpToolsProtocol):
    """One connection.

    uvicorn's class makes the parser and the flow control. Reading, exchanges and the end are here.
    """

    parser: httptools.HttpRequestParser

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared.uvicorn_config, shared.state, {})
        self.shared = shared
        self.open = shared.connections
        self.peer = ""
        self.trusted = False
        self.url = b""
        self.exchange: Exchange | None = None  # what is being answered
        self._latest: Exchange | None = None  # whose body is being read
        self._queue: deque[Exchange] = deque()
        self._owed: Refused | None = None  # what is answered after everything in the queue
        self._handshake: Scope | None = None
        self._last = False  # nothing more is read
        self._reading = Reading.BETWEEN
        self._since = self._checked = self.open.now
        self._noted: dict[bytes, bytes] = {}
        self._messages = 0
        self._segment = 0  # bytes of what is being read now
        self._fed = 0  # bytes read of this head; or of this body, with its chunks
        self._spread = False  # this head came in several pieces
        self._received = 0  # bytes of this body
        self._excused_s = 0.0  # of this body, in which we have not read
        self._unsent = 0
        self._unsent_since = 0.0

    # ---- from the transport

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.peer = self.client[0] if self.client else ""
        self.trusted = self.shared.proxies.trusts(self.peer)
        refused = self.open.enter(self.peer, self.trusted)
        if refused is not None:
            self._tell(refused)
            self._since = -math.inf  # no patience where there are too many

    def connection_lost(self, exc: Exception | None) -> None:
        self.open.discard(self)
        self.open.leave(self.peer)
        self._last = True
        self._queue.clear()
        if self.exchange is not None:
            self.exchange.disconnect()
        self.flow.resume_writing()
        self.parser = None  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._last:
            self._throw_away(len(data))
            return
        begun, before = self._messages, self._reading
        self._segment = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if not self._last:
                cause = error.__context__
                self._refuse(cause if isinstance(cause, Refused) else malformed())
        else:
            if self._reading is not Reading.BETWEEN:
                self._weigh(self._messages - begun, before)

    def check(self, now: float) -> None:
        """Keep this connection's deadlines; called once a second."""
        bounds = self.open.bounds
        passed_s, self._checked = now - self._checked, now
        since_s = now - self._since - SWEEP_S  # what it counts from is up to a sweep too early
        if self._stalled(now):
            self._cut_off("write_timeout")
        elif self._reading is Reading.REST:
            if since_s > LINGER_S:
                self.transport.abort()
        elif self._reading is Reading.HEAD:
            self._since += passed_s if self.flow.read_paused else 0
            if since_s > bounds.header_timeout_s:
                self._refuse(slow("the head of the request"))
        elif self._reading is Reading.BODY:
            self._excused_s += passed_s if self.flow.read_paused else 0
            earned_s = self._excused_s + self._received / MIN_RATE_BYTES_PER_S
            if since_s > bounds.body_timeout_s + earned_s:
                self._refuse(slow("the body of the request"))
        elif self.exchange is None:
            if since_s > bounds.header_timeout_s:
                self.transport.close()
        elif self.exchange.complete and since_s > bounds.keep_alive_s:
            self.transport.close()

    def shutdown(self) -> None:
        """Close; what is being answered is answered first."""
        self._last = True
        self._owed = None
        self._queue.clear()
        if self.exchange is None or self.exchange.complete:
            self.transport.close()
        else:
            self.exchange.keep_alive = False
            self._last = self._latest is not self.exchange or not self.exchange.more

    # ---- from the parser

    def on_message_begin(self) -> None:
        if self._last:
            raise _NothingMore
        self._messages += 1
        self._reading = Reading.HEAD
        if self.exchange is not None:
            self._since = self.open.now
        self._fed = 0
        self._spread = False
        self.url = b""
        self.headers = []
        self._noted = {}

    def on_url(self, url: bytes) -> None:
        self.url = self.url + url if self.url else url
        most = self.open.bounds.max_target_bytes
        if len(self.url) > most + 1:  # the `?` is neither of the path nor of the query
            raise Refused(414, "target_too_long", f"path and query exceed {most} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in NOTED:
            note(self._noted, name, value)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        headers, noted = self.headers, self._noted
        self._limit(headers)
        version = self.parser.get_http_version()
        if version == "1.1" and b"host" not in noted:
            raise malformed("expected a header Host")
        scope = self._scope(version, headers)
        host = noted.get(b"host")
        if host is not None and not self.shared.hosts.permits(host):
            raise misdirected(host)
        if len(noted) > 1 or version != "1.1" or self.trusted:
            check_framing(version, noted)
            believe(scope, noted, self.shared.proxies if self.trusted else None)
            if b"upgrade" in noted and self._is_handshake(scope, noted):
                self._handshake = scope
                return
        self._begin(scope, version == "1.1" and self.parser.should_keep_alive())

    def on_body(self, body: bytes) -> None:
        self._received += len(body)
        latest = self._latest
        if latest is None or latest.complete:
            if self._received > LINGER_BYTES:
                raise Refused(413, "body_too_long")
        elif not latest.disconnected:
            latest.feed(body)

    def on_message_complete(self) -> None:
        self._reading = Reading.BETWEEN
        self._since = self.open.now
        latest = self._latest
        if latest is not None and self._handshake is None:
            latest.end_of_body()
            if not latest.keep_alive:
                self._last = True

    # ---- from the exchange

    def answered(self) -> None:
        """Go on: the answer is complete."""
        exchange = self.exchange
        if exchange is None or self.transport.is_closing() or self._reading is Reading.REST:
            return
        if self._reading is Reading.BETWEEN:
            self._since = self.open.now
        if not exchange.keep_alive:
            self._leave()
        elif self._queue:
            self._start(self._queue.popleft())
        elif self._owed is not None:
            self._tell(self._owed)
        self.read_on()

    def cut(self) -> None:
        """Close: the answer will never be complete."""
        if self._reading is not Reading.REST and not self.transport.is_closing():
            self.transport.abort()

    def read_on(self) -> None:
        """Read from the client, unless requests of its own wait already."""
        if self.flow.read_paused and not self._queue:
            self.flow.resume_reading()

    # ---- a request

    def _limit(self, headers: Headers) -> None:
        """Refuse a head that is too large; from here on, headers are those after a body."""
        bounds = self.open.bounds
        if len(headers) > bounds.max_headers:
            raise Refused(431, "too_many_headers", f"there are more than {bounds.max_headers}")
        if self._spread or self._segment > bounds.max_header_bytes:
            size = sum(len(name) + len(value) + 4 for name, value in headers)
            if size > bounds.max_header_bytes:
                raise too_large(bounds.max_header_bytes)
        self.headers = []

    def _scope(self, version: str, headers: Headers) -> Scope:
        url = self.url
        if not url.startswith(b"/"):
            url = origin_form(url, self.parser.get_method(), headers, self._noted)
        elif b"#" in url:
            raise malformed("expected a target without a fragment")
        raw_path, _, query = url.partition(b"?")
        path = raw_path.decode("ascii")
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": self.parser.get_method().decode(),
            "scheme": self.scheme,
            "server": self.server,
            "client": self.client,
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
        }
        return cast("Scope", scope)

    def _begin(self, scope: Scope, keep_alive: bool) -> None:
        """Answer a request, now or in its turn."""
        shared = self.open
        if shared.waiting >= shared.bounds.max_concurrency:
            said = f"{shared.bounds.max_concurrency} requests are in progress"
            raise Refused(503, "overloaded", said, headers=((b"retry-after", b"1"),))
        exchange = Exchange(self, shared, scope, keep_alive, b"expect" in self._noted)
        self._latest = exchange
        self._reading = Reading.BODY
        self._since = shared.now
        self._received = 0
        self._excused_s = 0.0
        self._fed = -self._segment  # what of this piece is body is not known, so it is given
        if self.exchange is None or self.exchange.complete:
            self._start(exchange)
            return
        self.flow.pause_reading()
        self._queue.append(exchange)
        if len(self._queue) >= PIPELINED:
            exchange.keep_alive = False

    def _start(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.open.waiting += 1
        # No context has started it, so it goes around the loop's factory, which asks whose it is.
        exchange.task = Task(exchange.run(self.shared.serve), loop=self.loop)
        self.open.tasks.add(exchange.task)

    # ---- limits and the end

    def _weigh(self, begun: int, before: Reading) -> None:
        """Limit what a head or a body in progress takes, beyond what is counted elsewhere.

        Args:
            begun: Messages that began in the piece just read.
            before: Where reading was before it.
        """
        most = self.open.bounds.max_header_bytes
        if self._reading is Reading.HEAD:
            self._spread = True
            if begun == 0 or (begun == 1 and before is Reading.BETWEEN):
                self._fed += self._segment
            if self._fed > most + len(self.url) + _REQUEST_LINE_BYTES:
                self._refuse(too_large(most))
        elif begun == 0 and b"transfer-encoding" in self._noted:
            self._fed += self._segment
            if self._fed > most + self._received * (1 + CHUNK_BYTES_PER_BYTE):
                self._refuse(malformed("chunks carry too little"))

    def _is_handshake(self, scope: Scope, noted: Mapping[bytes, bytes]) -> bool:
        """Say whether the request opens a WebSocket. Any other upgrade is left out of account."""
        asked = noted[b"upgrade"].strip().lower() == b"websocket" and scope["method"] == "GET"
        if self.shared.upgrade is None or not asked or not self.parser.should_upgrade():
            return False
        busy = self.exchange is not None and not self.exchange.complete
        if busy or b"transfer-encoding" in noted or announces_body(scope["headers"]):
            raise malformed("expected a handshake by itself and without a body")
        return True

    def _upgrade(self, rest: bytes) -> None:
        """Go on after a request that asked for another protocol."""
        scope, upgrade = self._handshake, self.shared.upgrade
        if scope is None or upgrade is None:
            if rest:
                self.data_received(rest)
            return
        self.open.discard(self)
        channel = upgrade(self, scope)
        channel.connection_made(self.transport)
        self.transport.set_protocol(channel)
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        lines = [b"GET %s%s HTTP/1.1" % (scope.get("raw_path", b"/"), query)]
        lines += [b"%s: %s" % header for header in scope["headers"]]
        channel.data_received(b"\r\n".join(lines) + b"\r\n\r\n")
        if rest:
            channel.data_received(rest)

    def _refuse(self, refused: Refused) -> None:
        """Answer that what came in is no request, in its turn, and read nothing more."""
        self._last = True
        latest, current = self._latest, self.exchange
        in_body = self._reading is Reading.BODY and latest is not None
        if in_body and latest is not current:
            if self._queue:
                self._queue.pop()
        elif in_body and latest is not None:
            latest.disconnect()
            if latest.started:
                self._cut_off(refused.code)
                return
            current = None
        if current is None or current.complete:
            self._tell(refused)
        else:
            self._owed = refused
            self._reading = Reading.BETWEEN

    def _tell(self, refused: Refused) -> None:
        """Answer now, and close."""
        answer = refused.answer()
        self.open.refusals.note(refused.code, answer.status, self.peer)
        if not self.transport.is_closing():
            with_body = self._messages == 0 or self.parser.get_method() != b"HEAD"
            self.transport.write(self.open.written(answer, with_body))
            self._linger()

    def _leave(self) -> None:
        """Close after an answer."""
        if self._latest is not None and self._latest.more:
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        """Close, as soon as the client had the time to read what it was answered."""
        self._last = True
        self._reading = Reading.REST
        self._since = self.open.now
        self._received = 0
        self._queue.clear()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.flow.resume_reading()
        else:
            self.transport.close()

    def _throw_away(self, size: int) -> None:
        self._received += size
        if self._received > LINGER_BYTES:
            self.transport.abort()

    def _stalled(self, now: float) -> bool:
        """Say whether the client has taken nothing for too long of what is written to it."""
        unsent = self.transport.get_write_buffer_size()
        done = self.exchange is None or self.exchange.complete
        going_on = not (done or self.flow.write_paused or self.transport.is_closing())
        if going_on or unsent == 0 or unsent < self._unsent or self._unsent == 0:
            self._unsent = unsent
            self._unsent_since = now
            return False
        return now - self._unsent_since > self.open.bounds.write_timeout_s

    def _cut_off(self, code: str) -> None:
        self.open.refusals.note(code, 0, self.peer)
        self.transport.abort()
