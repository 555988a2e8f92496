"""A load client in a process of its own, for requests that are answered and over.

`python -m bench.load [--connections N] PORT SECONDS METHOD PATH [BODY [HEADER...]]`: a body is
JSON, unless a header says otherwise. Keeps 32 connections busy, or N, each with one request at a
time, for some seconds; prints how many were answered. Any answer but a 200 or 201 ends it with an
error.
"""

import asyncio
import sys
import time
from functools import partial
from typing import cast

import uvloop

CONNECTIONS = 32
PATIENCE_S = 10.0


class Connection(asyncio.Protocol):
    """Sends its request again as soon as it is answered, until the time is up."""

    def __init__(self, request: bytes, stop_at: float, ended: asyncio.Future[int]) -> None:
        self.request = request
        self.stop_at = stop_at
        self.ended = ended
        self.answered = 0
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        if head[9:12] not in (b"200", b"201"):
            self._end(RuntimeError(f"the server answered {self.received!r}"))
            return
        _, found, rest = head.lower().partition(b"content-length:")
        if not found:
            self._end(RuntimeError(f"an answer without Content-Length: {head!r}"))
            return
        if len(body) < int(rest.partition(b"\r")[0]):
            return
        self.received = b""
        self.answered += 1
        if time.monotonic() < self.stop_at:
            self.transport.write(self.request)
        else:
            self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or RuntimeError("the server closed the connection"))

    def _end(self, error: Exception | None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(self.answered)
        else:
            self.ended.set_exception(error)
        self.transport.close()


async def load(port: int, seconds: float, request: bytes, connections: int = CONNECTIONS) -> int:
    """Return the number of requests that were answered."""
    loop = asyncio.get_running_loop()
    stop_at = time.monotonic() + seconds
    all_ended = [loop.create_future() for _ in range(connections)]
    for ended in all_ended:
        await loop.create_connection(
            partial(Connection, request, stop_at, ended), "127.0.0.1", port
        )
    async with asyncio.timeout(seconds + PATIENCE_S):
        return sum(await asyncio.gather(*all_ended))


def request(port: int, method: str, path: str, body: str = "", *headers: str) -> bytes:
    """Return one request as it goes over the wire."""
    head = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *headers]
    if body:
        head.append(f"Content-Length: {len(body.encode())}")
        if not any(header.lower().startswith("content-type:") for header in headers):
            head.append("Content-Type: application/json")
    return ("\r\n".join([*head, "", ""]) + body).encode()


if __name__ == "__main__":
    arguments, connections = sys.argv[1:], CONNECTIONS
    if arguments[0] == "--connections":
        connections, arguments = int(arguments[1]), arguments[2:]
    port, seconds, *rest = arguments
    sent = request(int(port), *rest)
    print(uvloop.run(load(int(port), float(seconds), sent, connections)))
