"""Accepting connections, with and without descriptors to accept them with."""

import asyncio
import errno
import socket
from typing import cast

import pytest

from ringfence.tools.http.server.acceptor import Acceptor

pytestmark = pytest.mark.anyio


class Listening(socket.socket):
    """A socket to which the system has nothing left to accept with, as long as it is `short`."""

    short = True
    tries = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.tries += 1
        if self.short:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


class Greeting(asyncio.Protocol):
    """Says hello."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast("asyncio.Transport", transport)  # uvloop's are no subclasses of asyncio's
        stream.write(b"hello")
        stream.close()


async def test_without_descriptors_it_tries_once_and_again_when_it_is_told_to(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Between the tries nothing spins, though somebody waits; one record says that it paused."""
    caplog.set_level("INFO")
    with Listening() as listening:
        listening.setblocking(False)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        acceptor = Acceptor(Greeting)
        await acceptor.open([listening], 1)
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        for tries in (1, 2, 3):
            for _ in range(50):
                await asyncio.sleep(0)
            assert listening.tries == tries
            acceptor.resume()
        listening.short = False
        assert await asyncio.wait_for(reader.read(), 10) == b"hello"
        writer.close()
        await acceptor.close()
    assert [message.split(":")[1] for message in caplog.messages] == [
        " accepting_paused",
        " accepting_resumed",
    ]
