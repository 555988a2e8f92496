"""The connections of one link: made to addresses that were checked, kept for the next request.

Invariant: the address that is connected to is one that was checked, of the one resolution that was
made; Host and TLS keep the name. At most `connections` are in use, and as many again idle.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address

from msgspec import Struct

from ringfence.kernel.ports import Clock, Timer
from ringfence.tools.fetch.addresses import Allowed
from ringfence.tools.fetch.contract import RefusedTarget
from ringfence.tools.fetch.drivers._connection import Connection
from ringfence.tools.fetch.options import Config
from ringfence.tools.fetch.service import Undone
from ringfence.tools.fetch.target import Origin
from ringfence.tools.fetch.timeouts import Late, Within

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class _Idle(Struct, frozen=True):
    """A connection that waits for its next request."""

    origin: Origin
    connection: Connection
    until: float


async def resolved(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name, as the system knows them, best first."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)  # SOCK_STREAM
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Pool:
    """Gives out connections and takes them back.

    Args:
        config: The link's.
        clock: By which connections get too old.
        resolve: From a name to addresses.
        instance: The link's name, for messages.
    """

    def __init__(self, config: Config, clock: Clock, resolve: Resolve, instance: str) -> None:
        self._config = config
        self._clock = clock
        self._resolve = resolve
        self._instance = instance
        self._allowed = Allowed(config.private, config.allow)
        self._free = asyncio.Semaphore(config.connections)
        self._idle: deque[_Idle] = deque()  # the one to expire first at the left
        self._timer: Timer | None = None
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    async def take(self, origin: Origin, *, fresh: bool = False) -> Connection:
        """Return a connection, kept or new.

        Args:
            origin: Whom to.
            fresh: Take a new one, whatever is kept.

        Raises:
            Undone: There is none to be had.
            RefusedTarget: The host has an address that may not be reached.
        """
        try:
            with Within(self._clock, self._config.pool_timeout, "free connection"):
                await self._free.acquire()
        except Late as late:
            raise Undone(f"{late.reason}; all {self._config.connections} are in use") from None
        try:
            kept = None if fresh else self._kept(origin)
            if kept is not None:
                return kept
            with Within(self._clock, self._config.connect_timeout, f"connection to {origin.host}"):
                return await self._connected(origin)
        except Late as late:
            self._free.release()
            raise Undone(late.reason) from None
        except BaseException:
            self._free.release()
            raise

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """Take back a connection; it is kept if it is good for another exchange."""
        self._free.release()
        if not connection.rest():
            return
        if self._closed:
            connection.close()
            return
        until = self._clock.monotonic() + self._config.keepalive
        idle = _Idle(origin, connection, until)
        connection.on_idle_event = partial(self._forget, idle)
        self._idle.append(idle)
        if len(self._idle) > self._config.connections:
            self._drop(self._idle[0])
        self._watch()

    def close(self) -> None:
        """Close what is kept, and keep nothing more."""
        self._closed = True
        while self._idle:
            self._drop(self._idle[0])
        if self._timer is not None:
            self._timer.cancel()

    def context(self) -> ssl.SSLContext:
        """Return how certificates are verified; read from the disk with the first use."""
        if self._tls is None:
            cafile = None if self._config.ca_file is None else str(self._config.ca_file)
            self._tls = ssl.create_default_context(cafile=cafile)
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def _kept(self, origin: Origin) -> Connection | None:
        self._expire()
        for idle in reversed(self._idle):  # the youngest is the least likely to be closing
            if idle.origin == origin:
                self._forget(idle)
                idle.connection.on_idle_event = None
                return idle.connection
        return None

    def _expire(self) -> None:
        now = self._clock.monotonic()
        while self._idle and self._idle[0].until <= now:
            self._drop(self._idle[0])

    def _watch(self) -> None:
        if self._timer is None and self._idle:
            self._timer = self._clock.call_at(self._idle[0].until, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._expire()
        self._watch()

    def _forget(self, idle: _Idle) -> None:
        with suppress(ValueError):
            self._idle.remove(idle)

    def _drop(self, idle: _Idle) -> None:
        self._forget(idle)
        idle.connection.on_idle_event = None
        idle.connection.close()

    async def _connected(self, origin: Origin) -> Connection:
        addresses = await self._addresses(origin)
        said = ""
        # A dead address among several leaves time for the others.
        share_s = self._config.connect_timeout / len(addresses)
        for address in addresses:
            try:
                with Within(self._clock, share_s, f"connection to {address}"):
                    return await self._connect(origin, address)
            except Late as late:
                said = late.reason
            except ssl.SSLError as error:
                said = f"TLS with {origin.host} failed: {error.reason or error}"
            except OSError as error:
                said = f"no connection to {origin.authority} ({address}): {error.strerror or error}"
        raise Undone(said)

    async def _addresses(self, origin: Origin) -> Sequence[str]:
        """Resolve a host, and check each of its addresses: one that is refused refuses all."""
        try:
            found: Sequence[str] = [str(ip_address(origin.host))]
        except ValueError:
            found = await self._looked_up(origin)
        for address in found:
            if not self._allowed.permits(address):
                more = "" if self._config.private else "`private = true`, or "
                raise RefusedTarget(
                    f"the link may not reach its address; expected a public one, got {address}.",
                    subject=origin.host,
                    hint=f"If it is meant, add {more}an `allow` that names it, to "
                    f"[tools.{self._instance}].",
                )
        return found

    async def _looked_up(self, origin: Origin) -> Sequence[str]:
        try:
            found = await self._resolve(origin.host, origin.port)
        except (OSError, UnicodeError) as error:
            raise Undone(f"the name {origin.host} has no address: {error}") from None
        if not found:
            raise Undone(f"the name {origin.host} has no address")
        return found

    async def _connect(self, origin: Origin, address: str) -> Connection:
        secure = origin.scheme == "https"
        config = self._config
        made: list[Connection] = []

        def make() -> Connection:
            made.append(Connection(self._clock, config.read_timeout, config.max_header_bytes))
            return made[-1]

        try:
            await asyncio.get_running_loop().create_connection(
                make,
                address,
                origin.port,
                ssl=self.context() if secure else None,
                server_hostname=origin.host if secure else None,
            )
        except BaseException:
            for connection in made:
                connection.close()
            raise
        return made[-1]
