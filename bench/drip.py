"""Slow clients in a process of their own: `python -m bench.drip PORT COUNT`.

Opens so many connections, each with a request whose headers never end: one byte a second comes of
each, evenly spread. Says `ready` when all are open, and goes on until it is ended.
"""

import socket
import sys
import time
from itertools import cycle

# An address may have 256 connections; these come from several of loopback's, 200 from each.
PER_ADDRESS = 200
HEAD = b"GET /widgets/7 HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Drip: "


def connect(port: int, index: int) -> socket.socket:
    source = f"127.0.0.{2 + index // PER_ADDRESS}"
    line = socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
    line.sendall(HEAD)
    return line


if __name__ == "__main__":
    port, count = map(int, sys.argv[1:])
    lines = [connect(port, index) for index in range(count)]
    print("ready", flush=True)
    started = time.monotonic()
    for sent, line in enumerate(cycle(lines), start=1):
        line.sendall(b"a")
        time.sleep(max(0.0, started + sent / count - time.monotonic()))
