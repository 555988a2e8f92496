"""A load client for connections that stay: `python -m bench.live PORT SECONDS events|echo PATH`.

`events` reads server-sent events on 32 connections; `echo` sends a message on each of 32 WebSockets
and waits for it to come back, again and again. Prints how many events, or messages, there were.
"""

import asyncio
import base64
import os
import sys
import time

import uvloop

CONNECTIONS = 32
PATIENCE_S = 10.0
CHUNK_BYTES = 64 << 10
MESSAGE = b'{"sku":"blue-7"}'


async def open_at(
    port: int, path: str, headers: bytes = b""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    host = b"Host: 127.0.0.1:%d\r\n" % port
    writer.write(b"GET %s HTTP/1.1\r\n%s%s\r\n" % (path.encode(), host, headers))
    head = await reader.readuntil(b"\r\n\r\n")
    if head[9:12] not in (b"200", b"101"):
        raise RuntimeError(f"the server answered {head!r}")
    return reader, writer


async def events(port: int, path: str, stop_at: float) -> int:
    """Count the events of one stream; each ends with an empty line."""
    reader, writer = await open_at(port, path)
    count, last = 0, b""
    while count == 0 or time.monotonic() < stop_at:
        received = await reader.read(CHUNK_BYTES)
        if not received:
            raise RuntimeError("the server closed the connection")
        count += (last + received).count(b"\n\n")
        last = received[-1:] if received[-2:] != b"\n\n" else b""
    writer.close()
    return count


async def echo(port: int, path: str, stop_at: float) -> int:
    """Count the round trips of one WebSocket."""
    key = base64.b64encode(os.urandom(16))
    asked = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    reader, writer = await open_at(port, path, asked + b"Sec-WebSocket-Key: %s\r\n" % key)
    # Text, final, of less than 126 bytes; what a client sends is masked, here with zeros.
    sent = bytes((0x81, 0x80 | len(MESSAGE), 0, 0, 0, 0)) + MESSAGE
    expected = bytes((0x81, len(MESSAGE))) + MESSAGE
    count = 0
    while count == 0 or time.monotonic() < stop_at:
        writer.write(sent)
        received = await reader.readexactly(len(expected))
        if received != expected:
            raise RuntimeError(f"the server sent {received!r}")
        count += 1
    writer.close()
    return count


async def load(port: int, seconds: float, kind: str, path: str) -> int:
    """Return the number of events or messages on all connections together."""
    work = {"events": events, "echo": echo}[kind]
    stop_at = time.monotonic() + seconds
    async with asyncio.timeout(seconds + PATIENCE_S):
        return sum(await asyncio.gather(*(work(port, path, stop_at) for _ in range(CONNECTIONS))))


if __name__ == "__main__":
    port, seconds, kind, path = sys.argv[1:]
    print(uvloop.run(load(int(port), float(seconds), kind, path)))
