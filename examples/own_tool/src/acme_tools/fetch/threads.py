"""HTTP/1.1 by the standard library's client: a connection and a thread for each request.

Transport only: attempts, retries and redirects are those of `ringfence.tools.fetch.service`.
No connection is kept, so none has been closed by the other side when it is needed.
"""

import asyncio
import socket
import ssl
from asyncio import CancelledError
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead, LineTooLong
from typing import ClassVar, TypeVar

from msgspec import Struct

from ringfence.errors import StartRefused
from ringfence.kernel.ports import Grant, ToolEnv
from ringfence.tools.fetch import BadResponse, Fetch, RefusedTarget
from ringfence.tools.fetch.addresses import Allowed
from ringfence.tools.fetch.contract import Head
from ringfence.tools.fetch.messages import Outgoing
from ringfence.tools.fetch.options import Config as Config
from ringfence.tools.fetch.service import Link, Undone
from ringfence.tools.fetch.target import Origin
from ringfence.tools.fetch.timeouts import Late, Within

T = TypeVar("T")
_PIECE_BYTES = 1 << 16


class Driver:
    """One link. Serves `service.Transport`; the keys of its table are those of every driver."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._config = config
        self._env = env
        self._link = Link(config, env.instance, env.clock, self)
        self._allowed = Allowed(config.private, config.allow)
        self._free = asyncio.Semaphore(config.connections)
        self._threads = ThreadPoolExecutor(config.connections, thread_name_prefix="acme-fetch")
        self._tls: ssl.SSLContext | None = None

    async def start(self) -> None:
        """Connect to nothing yet: a link that is down refuses no start."""
        try:
            self._tls = ssl.create_default_context(cafile=self._config.ca_file)
        except OSError as error:  # ssl's own is one
            said = f"tools.{self._env.instance}.ca_file: it cannot be read: {error.strerror}."
            raise StartRefused(said) from None

    async def stop(self) -> None:
        """Let the threads end; whoever asked has gone."""
        self._threads.shutdown(wait=False)

    def handle(self, grant: Grant) -> Fetch:
        """Return the `Fetch` of one plugin."""
        return self._link.handle(grant)

    async def send(self, request: Outgoing) -> "Exchange":
        """Send a request, and wait for the head of its answer."""
        try:
            with Within(self._env.clock, self._config.pool_timeout, "free connection"):
                await self._free.acquire()
        except Late as late:
            raise Undone(late.reason) from None
        exchange = Exchange(self._threads, self._free, self._config, self._tls)
        try:
            await exchange.connect(request.target.origin, await self._addresses(request))
            await exchange.send(request)
            await exchange.receive()
        except BaseException:
            exchange.close()
            raise
        return exchange

    async def _addresses(self, request: Outgoing) -> Sequence[str]:
        """Resolve a host, and check each of its addresses: one that is refused refuses all."""
        host, port = request.target.origin.host, request.target.origin.port
        try:
            with Within(self._env.clock, self._config.connect_timeout, f"address of {host}"):
                loop = asyncio.get_running_loop()
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except Late as late:
            raise Undone(late.reason) from None
        except (OSError, UnicodeError) as error:
            raise Undone(f"the name {host} has no address: {error}") from None
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        for address in addresses:
            if not self._allowed.permits(address):
                said = f"the link may not reach its address; expected a public one, got {address}."
                hint = f"If it is meant, add it to `allow` in [tools.{self._env.instance}]."
                raise RefusedTarget(said, subject=host, hint=hint)
        return addresses


class Exchange:
    """One request and its answer, on a connection of its own. Serves `service.Incoming`.

    Args:
        threads: One of them is in the exchange at a time.
        free: Let go of when the exchange is over and no thread is in it.
        config: The link's.
        tls: How certificates are verified.
    """

    head: Head

    def __init__(
        self,
        threads: ThreadPoolExecutor,
        free: asyncio.Semaphore,
        config: Config,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._threads = threads
        self._free = free
        self._config = config
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._client = HTTPConnection("")
        self._answer: HTTPResponse | None = None
        self._job: Future[object] | None = None
        self._closed = False

    async def connect(self, origin: Origin, addresses: Sequence[str]) -> None:
        """Connect to the first address that answers; raises Undone."""
        reason = ""
        limit_s = float(self._config.connect_timeout) / len(addresses)
        for address in addresses:
            try:
                await self._on_thread(partial(self._connected, origin, address, limit_s))
            except OSError as error:
                reason = f"no connection to {origin.authority} ({address}): {error}"
            else:
                return
        raise Undone(reason)

    def _connected(self, origin: Origin, address: str, limit_s: float) -> None:
        raw = socket.create_connection((address, origin.port), limit_s)
        try:
            self._socket = raw
            if origin.scheme == "https" and self._tls is not None:
                self._socket = self._tls.wrap_socket(raw, server_hostname=origin.host)
        except BaseException:
            raw.close()
            raise
        # A system call that lasts longer is silence of the other side.
        self._socket.settimeout(float(self._config.read_timeout))
        self._client.sock = self._socket

    async def send(self, request: Outgoing) -> None:
        """Send it. What the other side does not take it may have answered already."""
        whole = isinstance(request.body, bytes)
        request.begun = True
        with suppress(OSError):
            await self._on_thread(lambda: self._begin(request))
            if not isinstance(request.body, bytes):
                async for piece in request.body:
                    if piece:
                        framed = b"%x\r\n%b\r\n" % (len(piece), piece)
                        await self._on_thread(partial(self._client.send, framed))
            if not whole:
                await self._on_thread(lambda: self._client.send(b"0\r\n\r\n"))

    def _begin(self, request: Outgoing) -> None:
        path, query, body = request.target.path, request.query, request.body
        target = f"{path}?{query}" if query else path
        self._client.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers:
            self._client.putheader(name, value.encode("latin-1"))
        self._client.putheader("connection", "close")
        if not isinstance(body, bytes):
            self._client.putheader("transfer-encoding", "chunked")
        elif body or request.method in ("POST", "PUT", "PATCH"):
            self._client.putheader("content-length", str(len(body)))
        self._client.endheaders(body if isinstance(body, bytes) and body else None)

    async def receive(self) -> None:
        """Wait for the head of the answer."""
        answer = self._answer = await self._understood(self._client.getresponse)
        fields = answer.getheaders()
        size_bytes = sum(len(name) + len(value) for name, value in fields)
        if size_bytes > self._config.max_header_bytes:
            raise self._too_many_headers()
        if answer.status < 200:
            raise BadResponse(f"its answer is an interim one: {answer.status}.")
        names: dict[str, str] = {}
        for name, value in fields:
            key = name.lower()
            names[key] = f"{names[key]}, {value}" if key in names else value
        self.head = Head(answer.status, names)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the body as it comes."""
        answer = self._answer
        assert answer is not None
        while piece := await self._understood(lambda: answer.read1(_PIECE_BYTES)):
            yield piece
        if answer.length:
            raise Undone(f"the connection was closed {answer.length} bytes before the end")

    async def _understood(self, call: Callable[[], T]) -> T:
        try:
            return await self._on_thread(call)
        except TimeoutError:
            raise Undone(f"no answer within {self._config.read_timeout:g} s") from None
        except (OSError, IncompleteRead) as error:
            raise Undone(f"the connection broke: {error}") from None
        except LineTooLong:
            raise self._too_many_headers() from None
        except HTTPException:
            raise BadResponse("it does not speak HTTP/1.1.") from None

    def _too_many_headers(self) -> BadResponse:
        limit = self._config.max_header_bytes
        return BadResponse(f"its headers are larger than the link allows: {limit} bytes.")

    async def _on_thread(self, call: Callable[[], T]) -> T:
        """Run what blocks. Cancelled, it is left to itself: `close` makes it end."""
        job = self._threads.submit(call)
        self._job = job  # type: ignore[assignment]
        waiting = asyncio.wrap_future(job)
        try:
            await asyncio.wait([waiting])
        except (CancelledError, GeneratorExit):
            waiting.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            raise
        return waiting.result()

    def close(self) -> None:
        """End it, in whatever state it is."""
        if self._closed:
            return
        self._closed = True
        if self._socket is not None:
            with suppress(OSError):  # the other side was faster
                self._socket.shutdown(socket.SHUT_RDWR)  # which wakes the thread
        if self._job is None:
            self._let_go()
        else:
            self._job.add_done_callback(self._ended)

    def _ended(self, job: "Future[object]") -> None:
        """On the thread, or here, once no thread is in the exchange."""
        if self._answer is not None:
            self._answer.close()
        self._client.close()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._let_go)

    def _let_go(self) -> None:
        self._free.release()
