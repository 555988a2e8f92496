"""A file over a real connection: a client that stops reading, and others beside it."""

import asyncio
from pathlib import Path

import pytest

from ringfence import asgi
from ringfence.app import boot, load
from ringfence.testing.http import HttpClient
from tests.kernel.apps import feature, write

pytestmark = pytest.mark.anyio

SIZE = 64 << 20
FEATURE = feature(
    """
    from ringfence.tools.http import get
    from ringfence.tools.http.answers.files import File


    class Reports(Plugin):
        @get("/report")
        async def report(self) -> File:
            return File("{path}", filename="year.bin")

        @get("/missing")
        async def missing(self) -> File:
            return File("{path}.gone")

        @get("/ping")
        async def ping(self) -> str:
            return "pong"
    """
)
ASK = b"GET /%b HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"


async def test_a_client_that_stops_reading_holds_up_nobody(tmp_path: Path) -> None:
    """Others are answered meanwhile, and it gets the whole file once it reads on."""
    path = tmp_path / "report.bin"
    with path.open("wb") as file:
        file.truncate(SIZE)
    root = write(tmp_path / "shop", {"domains/a/reports.py": FEATURE.format(path=path)})
    app = await boot(load(root, {"tools": {"http": {"port": 0}}}))
    try:
        host, _, port = app.addresses[0].removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 16)
        writer.write(ASK % b"report")
        head = await reader.readuntil(b"\r\n\r\n")
        for _ in range(10):
            other, asking = await asyncio.open_connection(host, int(port))
            asking.write(ASK % b"ping")
            assert (await other.read()).endswith(b'"pong"')
            asking.close()
        read = 0
        while piece := await reader.read(1 << 20):
            read += len(piece)
        writer.close()
        assert b"content-length: %d" % SIZE in head.lower()
        assert read == SIZE
    finally:
        await app.stop()


async def test_a_missing_file_is_a_bug_with_a_trace(tmp_path: Path) -> None:
    """The client learns the trace id and nothing of the path."""
    path = tmp_path / "report.bin"
    root = write(tmp_path / "shop", {"domains/a/reports.py": FEATURE.format(path=path)})
    async with asgi(root) as app:
        answer = await HttpClient(app).get("/missing")
        assert (answer.status, answer.json(dict)["code"]) == (500, "internal")
        assert answer.json(dict)["trace_id"]
        assert "report" not in answer.text
