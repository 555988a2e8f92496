"""HTTP/1.1 over the network, on h11 and the event loop's transports; no proxies, no cookies.

The environment's proxies are for other programs: a link leads where its table says.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

from msgspec import Struct

from ringfence.errors import StartRefused
from ringfence.kernel.ports import Grant, ToolEnv
from ringfence.tools.fetch.contract import Fetch, Head
from ringfence.tools.fetch.drivers._connection import Connection
from ringfence.tools.fetch.drivers._pool import Pool, Resolve, resolved
from ringfence.tools.fetch.messages import Outgoing
from ringfence.tools.fetch.options import Config as Config
from ringfence.tools.fetch.service import Incoming, Link, Undone
from ringfence.tools.fetch.tally import Tally
from ringfence.tools.fetch.target import Origin


class Driver:
    """One link.

    Args:
        config: The keys of its table.
        env: Of the application.
        resolve: From a name and a port to addresses, best first; a test puts its own here.
    """

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv, resolve: Resolve = resolved) -> None:
        assert isinstance(config, Config)
        self._config = config
        self._instance = env.instance
        self._pool = Pool(config, env.clock, resolve, env.instance)
        self._link = Link(config, env.instance, env.clock, self)

    @property
    def tally(self) -> Tally:
        """What its requests have come to."""
        return self._link.tally

    async def start(self) -> None:
        """Connect to nothing yet: a link that is down refuses no start."""
        if self._config.ca_file is not None:
            try:
                self._pool.context()
            except OSError as error:  # ssl's own is one
                said = f"tools.{self._instance}.ca_file: it cannot be read: {error.strerror}."
                raise StartRefused(said) from None

    async def stop(self) -> None:
        """Close every connection that is kept."""
        self._pool.close()
        await asyncio.sleep(0)  # a transport closes its socket in the next turn of the loop

    def handle(self, grant: Grant) -> Fetch:
        """Return the `Fetch` of one plugin."""
        return self._link.handle(grant)

    async def send(self, request: Outgoing) -> Incoming:
        """Send a request and wait for the answer's head."""
        origin = request.target.origin
        connection = await self._pool.take(origin, fresh=request.fresh)
        answer = Answer(self._pool, origin, connection)
        try:
            try:
                await connection.send(request)
            except Undone:
                if not request.begun:
                    raise
                # It may have been refused before all of it was sent: then the answer is there.
            answer.head = await connection.head()
        except BaseException:
            answer.close()
            raise
        return answer


class Answer:
    """An answer on its connection, which goes back to the pool when it is closed."""

    head: Head

    def __init__(self, pool: Pool, origin: Origin, connection: Connection) -> None:
        self._pool = pool
        self._origin = origin
        self._connection: Connection | None = connection

    async def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the body as it comes."""
        assert self._connection is not None, "a stream is read within its block"
        async for chunk in self._connection.chunks():
            yield chunk

    def close(self) -> None:
        """End it; the connection is kept only if the answer was read to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_back(self._origin, connection)
