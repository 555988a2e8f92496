"""Accepting connections, also while there are no descriptors to accept them with.

`Acceptor` is opened, resumed once a second, and closed. Invariant: while the system has nothing
left to accept with, new connections wait in its own queue and nothing here spins.
"""

import asyncio
import errno
import logging
import socket
from asyncio import Task
from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)
# Connections taken in one turn of the event loop, which has other work as well.
BURST = 64
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Accepts on sockets that listen already.

    Args:
        protocol: Makes what speaks on a new connection.
    """

    def __init__(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._protocol = protocol
        self._sockets: tuple[socket.socket, ...] = ()
        self._servers: list[asyncio.Server] = []
        self._greeting: set[Task[None]] = set()
        self._paused: set[socket.socket] = set()
        self._short = False

    async def open(self, sockets: Sequence[socket.socket], backlog: int) -> None:
        """Accept from now on."""
        self._loop = asyncio.get_running_loop()
        for each in sockets:
            try:
                self._loop.add_reader(each, self._accept, each)
                self._sockets += (each,)
            except NotImplementedError:  # Windows' loop, which waits for connections by itself
                self._servers.append(
                    await self._loop.create_server(self._protocol, sock=each, backlog=backlog)
                )

    def resume(self) -> None:
        """Try again where accepting has paused."""
        paused, self._paused = self._paused, set()
        for each in paused:
            self._loop.add_reader(each, self._accept, each)

    async def close(self) -> None:
        """Accept nothing more, and give the sockets up, so that whoever asks is refused at once."""
        for server in self._servers:
            server.close()
        for each in self._sockets:
            self._loop.remove_reader(each)
            each.close()
        self._sockets, self._servers = (), []
        self._paused.clear()
        if self._greeting:
            await asyncio.wait(self._greeting)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(BURST):
            try:
                taken, _address = listening.accept()
            except OSError as error:
                if error.errno in _SHORT:
                    self._pause(listening, error)
                return  # nobody is there, or no longer
            if self._short:
                self._short = False
                logger.info("http: accepting_resumed: connections are accepted again")
            taken.setblocking(False)
            task = self._loop.create_task(self._greet(taken))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        self._loop.remove_reader(listening)
        self._paused.add(listening)
        if not self._short:
            self._short = True
            logger.error(
                "http: accepting_paused: no connection can be accepted: %s; trying every second."
                " Raise the limit of open files, or lower max_connections in [tools.http]",
                error.strerror,
                extra={"code": "accepting_paused"},
            )

    async def _greet(self, taken: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, taken)
        except OSError:  # it is gone already
            taken.close()
