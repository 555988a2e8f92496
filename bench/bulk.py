"""Rows for memory while very much goes through: growth of the server's process over before.

A body, a file and a stream pass in pieces, so the process must hold what one connection may have
in flight, and no more. A first request of each kind, a small one, loads what it needs.
"""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.applications import copied
from bench.measure import NotMeasured, forget_peak, peak_kb, resident_kb
from bench.report import Row
from bench.servers import Server, ringfence

GIGABYTE = 1 << 30
SMALL = 1 << 20
STREAMED = 100 << 20
PIECE = bytes(64 << 10)
# What may be in flight: the pieces that wait in both directions, the first megabyte of an upload,
# which is kept in memory, and what an allocator keeps of all that. A whole body is 60 times it.
LIMIT_MB = 16
PATIENCE_S = 60.0
SLOW_PAUSE_S, SLOW_BYTES, SLOW_BUFFER_BYTES = 0.005, 256 << 10, 64 << 10

Move = Callable[[int, int], None]  # so many bytes, to or from that port


def rows() -> Iterator[Row]:
    """Move a gigabyte in each of the ways there are, and 100 MB to a slow reader."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        file = folder / "file"
        application = copied("bulk", folder)
        variables = {"BENCH_FILE": str(file)}
        server = stack.enter_context(ringfence(application, variables=variables))

        def download(size_bytes: int, port: int) -> None:
            with file.open("wb") as sparse:
                sparse.truncate(size_bytes)
            receive("/files/one", size_bytes, port)

        ways: list[tuple[str, Move, int]] = [
            ("1 GB to an UploadFile", upload, GIGABYTE),
            ("1 GB to a BodyStream", send_body, GIGABYTE),
            ("1 GB to a route that takes 1 MB", be_refused, GIGABYTE),
            ("1 GB from a File", download, GIGABYTE),
            ("100 MB of a Stream, read slowly", read_slowly, STREAMED),
        ]
        for name, move, size_bytes in ways:
            started = time.monotonic()
            grown = growth_mb(server, move, size_bytes)
            note = f"in {time.monotonic() - started:.1f} s"
            yield Row(f"memory: {name}", grown, "MB more", limit=LIMIT_MB, note=note)


def growth_mb(server: Server, move: Move, size_bytes: int) -> float:
    """Return how much more memory a server held at most, while so much was moved."""
    move(SMALL, server.port)
    before = resident_kb(server.pid)
    forget_peak(server.pid)
    move(size_bytes, server.port)
    return (peak_kb(server.pid) - before) * 1024 / 1e6


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode()


def expect(answer: bytes, status: int) -> None:
    if not answer.startswith(b"HTTP/1.1 %d " % status):
        raise NotMeasured(f"expected {status}, got {answer[:300]!r}")


def send(path: str, kind: str, before: bytes, size_bytes: int, after: bytes, port: int) -> None:
    """Send a body of zeros, with something before and after it, and await its acceptance."""
    length = len(before) + size_bytes + len(after)
    lines = f"Content-Type: {kind}", f"Content-Length: {length}"
    with connect(port) as line:
        line.sendall(head("POST", path, *lines) + before)
        for _ in range(size_bytes // len(PIECE)):
            line.sendall(PIECE)
        line.sendall(after)
        expect(line.recv(1 << 16), 200)


def upload(size_bytes: int, port: int) -> None:
    described = 'Content-Disposition: form-data; name="file"; filename="zeros"'
    before = f"--zeros\r\n{described}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
    after = b"\r\n--zeros--\r\n"
    send("/files", "multipart/form-data; boundary=zeros", before, size_bytes, after, port)


def send_body(size_bytes: int, port: int) -> None:
    send("/bodies", "application/octet-stream", b"", size_bytes, b"", port)


def be_refused(size_bytes: int, port: int) -> None:
    """Send far more than is taken, without saying how much, and go on when it is refused."""
    answer = b""
    with connect(port) as line:
        lines = "Content-Type: application/octet-stream", "Transfer-Encoding: chunked"
        line.sendall(head("POST", "/refused", *lines))
        try:
            for _ in range(max(size_bytes, 4 << 20) // len(PIECE)):
                line.sendall(b"%x\r\n%s\r\n" % (len(PIECE), PIECE))
                if not answer and select.select([line], [], [], 0)[0]:
                    answer = line.recv(1 << 16)
            answer = answer or line.recv(1 << 16)
        except ConnectionError:
            pass  # it is cut off in the end: that is what is expected
    expect(answer, 413)


def receive(path: str, size_bytes: int, port: int) -> None:
    with connect(port) as line:
        line.sendall(head("GET", path, "Connection: close"))
        answer = line.recv(1 << 16)
        expect(answer, 200)
        received = len(answer)
        while piece := line.recv(1 << 20):
            received += len(piece)
    if received < size_bytes:
        raise NotMeasured(f"{path}: {received} bytes of {size_bytes}")


def read_slowly(size_bytes: int, port: int) -> None:
    """Read a stream after a second's rest, at 50 MB a second at most."""
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
        line.settimeout(PATIENCE_S)
        line.connect(("127.0.0.1", port))
        line.sendall(head("GET", f"/streams/{size_bytes // len(PIECE)}", "Connection: close"))
        time.sleep(1)
        received = pause_after = 0
        while piece := line.recv(SLOW_BYTES):
            if not received:
                expect(piece, 200)
            received += len(piece)
            if received >= pause_after:
                pause_after = received + SLOW_BYTES
                time.sleep(SLOW_PAUSE_S)
    if received < size_bytes:
        raise NotMeasured(f"a stream ended after {received} bytes of {size_bytes}")
