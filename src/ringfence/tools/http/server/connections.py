"""The open connections of a driver: how many there may be, what ticks for them, how they end.

`Connections` counts them by address and sweeps over them once a second, which keeps all of their
deadlines; `Refusals` writes down what is turned away. Invariant: a connection that has been
entered is counted until it has left, whatever protocol it speaks by then.
"""

import asyncio
import logging
from asyncio import Future, Task
from collections import Counter
from email.utils import format_datetime
from http import HTTPStatus
from ipaddress import ip_network
from typing import Protocol

from msgspec import Struct

from ringfence.kernel.ports import Clock
from ringfence.tools.http.problem import Refused
from ringfence.tools.http.server.drain import alarm
from ringfence.tools.http.wire import Answer

logger = logging.getLogger(__name__)
# How long a client may take, at the least, to read an answer that is already written.
FLUSH_S = 1.0
# The resolution of every deadline here, and of the date header.
SWEEP_S = 1.0
_PREFIX_BITS = 64  # of an IPv6 address: what one subscriber is given


class Bounds(Struct, frozen=True):
    """What connections may take, at most; the keys of `[tools.http]` are documented by the driver.

    Guarantees:
        None of the times is cut short; each may take two seconds longer.
    """

    max_target_bytes: int = 8 << 10
    max_header_bytes: int = 32 << 10
    max_headers: int = 100
    header_timeout_s: float = 20
    body_timeout_s: float = 20
    write_timeout_s: float = 20
    keep_alive_s: float = 5
    max_connections: int = 10_000
    max_connections_per_address: int = 256
    max_concurrency: int = 1000
    max_message_bytes: int = 1 << 20


class Connection(Protocol):
    """A connection, as whoever counts it sees it."""

    transport: asyncio.Transport

    def check(self, now: float) -> None:
        """Keep its deadlines."""
        ...

    def shutdown(self) -> None:
        """End it as soon as what is in progress on it has ended."""
        ...


class Refusals:
    """Writes one record for each kind of refusal in a second, and how many more there were.

    Nothing of a request is in a record, and no number of them floods the log.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, int]] = Counter()

    def note(self, code: str, status: int, peer: str) -> None:
        """Take note that `peer` was turned away.

        Args:
            code: Of the answer.
            status: Of the answer; 0 where there was none.
            peer: Its address.
        """
        self._counts[code, status] += 1
        if self._counts[code, status] == 1:
            told = {"code": code, "status": status, "peer": peer}
            answered = f"answered {status}" if status else "cut off"
            logger.warning("http: %s: %s was %s", code, peer or "a client", answered, extra=told)

    def flush(self) -> None:
        """Say how many have not been written."""
        counts, self._counts = self._counts, Counter()
        for (code, status), count in counts.items():
            if count > 1:
                told = {"code": code, "status": status, "count": count - 1}
                logger.warning("http: %s: %d more in the same second", code, count - 1, extra=told)


class Connections(set[Connection]):
    """The open connections of one driver, and what they share. uvicorn's protocols add and remove.

    Args:
        clock: By which every deadline is kept.
        bounds: What a connection may take.
    """

    def __init__(self, clock: Clock, bounds: Bounds) -> None:
        super().__init__()
        self.bounds = bounds
        self.tasks: set[Task[None]] = set()
        self.refusals = Refusals()
        self.waiting = 0  # requests whose answer has not begun
        self.now = clock.monotonic()  # as of the last sweep: what deadlines are counted from
        self.closing = False
        self._clock = clock
        self._gone: Future[None] | None = None
        self._counted = 0
        self._by_address: Counter[str] = Counter()
        self._date = b""
        self.lines: dict[tuple[bytes, bytes], bytes] = {}  # headers that recur, as they are written
        self._starts: dict[int, bytes] = {}
        self.sweep()

    def add(self, connection: Connection) -> None:
        super().add(connection)
        if self.closing:  # accepted just before: it has no request yet, nor will it have one
            asyncio.get_running_loop().call_soon(connection.shutdown)

    def discard(self, connection: object) -> None:
        super().discard(connection)
        if self._gone is not None and not self._gone.done() and not self:
            self._gone.set_result(None)

    remove = discard  # a connection may leave twice: when it is upgraded, and when it is lost

    def enter(self, address: str, trusted: bool) -> Refused | None:
        """Count a connection, which is to `leave`; return why it is not served, if it is not.

        Args:
            address: Of the peer; empty where it has none.
            trusted: Whether it is a proxy, which speaks for many.
        """
        self._counted += 1
        key = _subscriber(address)
        self._by_address[key] += 1
        if self._counted > self.bounds.max_connections:
            return _too_many("too_many_connections", "too many connections are open")
        most = self.bounds.max_connections_per_address
        if address and not trusted and self._by_address[key] > most:
            said = f"more than {most} connections are open from this address"
            return _too_many("too_many_connections_from_address", said)
        return None

    def leave(self, address: str) -> None:
        """Count a connection no more."""
        key = _subscriber(address)
        self._counted -= 1
        self._by_address[key] -= 1
        if not self._by_address[key]:
            del self._by_address[key]

    def start_of(self, status: int) -> bytes:
        """Return an answer's first lines: its status, and the date."""
        found = self._starts.get(status)
        if found is None:
            first = b"HTTP/1.1 %d %s\r\n" % (status, _phrase(status))
            found = self._starts[status] = b"%sdate: %s\r\n" % (first, self._date)
        return found

    def written(self, answer: Answer, with_body: bool = True) -> bytes:
        """Return the bytes of an answer after which the connection is closed."""
        lines = [b"%s: %s\r\n" % header for header in answer.headers if header[0] != b"connection"]
        length = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(answer.body)
        body = answer.body if with_body else b""
        return b"".join((self.start_of(answer.status), *lines, length, body))

    def sweep(self) -> None:
        """Set date and time, and keep the deadlines of all connections."""
        self.now = self._clock.monotonic()
        self._date = format_datetime(self._clock.now(), usegmt=True).encode()
        self._starts.clear()
        for connection in tuple(self):
            try:
                connection.check(self.now)
            except Exception as error:  # contained: the deadlines of all others have to be kept
                logger.error("http: a connection failed its check: %s", type(error).__name__)
                connection.transport.abort()
        self.refusals.flush()

    async def end(self, seconds: float) -> None:
        """Wait until all are closed; break those that are not after `seconds`."""
        self._gone = asyncio.get_running_loop().create_future()
        with alarm(self._clock, seconds) as late:
            if self:
                await asyncio.wait({self._gone, late}, return_when=asyncio.FIRST_COMPLETED)
        for connection in tuple(self):
            connection.transport.abort()
        self.refusals.flush()


def _too_many(code: str, detail: str) -> Refused:
    return Refused(503, code, detail, headers=((b"retry-after", b"1"),))


def _subscriber(address: str) -> str:
    """Return what an address is counted as: itself, or the network of an IPv6 address."""
    if ":" not in address:
        return address
    return str(ip_network((address.partition("%")[0], _PREFIX_BITS), strict=False))


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
