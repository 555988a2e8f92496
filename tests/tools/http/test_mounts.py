"""Serving applications of others below a prefix."""

import asyncio
import logging
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import cast

import pytest

from ringfence.errors import StartRefused
from ringfence.testing.http import HandshakeRefused, HttpClient
from ringfence.tools.clock.drivers.fake import Driver as FakeClock
from ringfence.tools.http.beside.mounts import Beside
from ringfence.tools.http.conformance import LoopClock, environment
from ringfence.tools.http.limits import Common
from ringfence.tools.http.live.sockets import WebSocketClosed
from ringfence.tools.http.wire import Answer, Message, Receive, Scope, Send
from tests.kernel.apps import running

pytestmark = pytest.mark.anyio

STARLETTE = """
    from contextlib import asynccontextmanager

    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route, WebSocketRoute

    said = []


    @asynccontextmanager
    async def lifespan(app):
        said.append("started")
        yield {"pool": "open"}
        said.append("stopped")


    async def show(request):
        return JSONResponse({
            "id": request.path_params["id"],
            "path": request.scope["path"],
            "root_path": request.scope["root_path"],
            "url": str(request.url_for("show", id=request.path_params["id"])),
            "pool": request.state.pool,
        })


    async def echo(socket):
        await socket.accept()
        async for text in socket.iter_text():
            if text == "fail":
                raise ValueError("a bug")
            await socket.send_text(f"{socket.scope['path']} {text}")


    async def fail(request):
        raise ValueError("a bug")


    async def exits(request):
        raise SystemExit(3)


    async def breaks(scope, receive, send):
        start = {"type": "http.response.start", "status": 200, "headers": []}
        await send(start)
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError("a bug")


    async def silent(scope, receive, send):
        pass


    app = Starlette(
        lifespan=lifespan,
        routes=[
            Route("/items/{id}", show, name="show"),
            Route("/fail", fail),
            Route("/exits", exits),
            WebSocketRoute("/echo", echo),
        ],
    )


    def make():
        return app
    """


@asynccontextmanager
async def beside(
    root: Path,
    files: Mapping[str, str] | None = None,
    clock: FakeClock | None = None,
    **config: Mapping[str, str],
) -> AsyncIterator[Beside]:
    """Write files and serve what the configuration says of them."""
    for name, text in (files or {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(dedent(text))
    made = Beside(Common(**config), root, clock or LoopClock())  # type: ignore[arg-type]
    before = list(sys.path)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()
        for name in [n for n, m in sys.modules.items() if str(root) in str(m)]:
            del sys.modules[name]
    assert sys.path == before


def client(made: Beside) -> HttpClient:
    """Return a client of whatever is beside the routes."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found = made.find(scope.get("raw_path", b"").removeprefix(b"/outer"))
        if found is None:
            await Answer(404, b"no route").send_to(send)
        else:
            await found(scope, receive, send)

    return HttpClient(app)


async def test_an_application_is_served_below_its_prefix(tmp_path: Path) -> None:
    """It sees the whole path and where it is mounted, and makes links that lead to itself."""
    files = {"old/main.py": STARLETTE}
    async with beside(tmp_path, files, mounts={"/legacy": "old.main:app"}) as made:
        answer = await client(made).get("/legacy/items/a%20b")
        assert answer.json() == {
            "id": "a b",
            "path": "/legacy/items/a b",
            "root_path": "/legacy",
            "url": "http://testserver/legacy/items/a b",
            "pool": "open",
        }
        assert (await client(made).get("/legacy/nothing")).status == 404
        assert (await client(made).get("/legacyx/items/a")).text == "no route"
        assert (await client(made).get("/")).text == "no route"


async def test_what_no_route_has_goes_to_the_one_at_the_root(tmp_path: Path) -> None:
    """The longest prefix wins, whatever the order."""
    files = {"old1.py": STARLETTE, "old2.py": STARLETTE, "public/a.txt": "a"}
    mounts = {"/": "old1:app", "/items/deep": "old2:app"}
    async with beside(tmp_path, files, mounts=mounts, static={"/items/files": "public"}) as made:
        site = client(made)
        assert (await site.get("/items/7")).json(dict)["root_path"] == ""
        assert (await site.get("/items/deep/items/7")).json(dict)["root_path"] == "/items/deep"
        assert (await site.get("/items/files/a.txt")).text == "a"
        assert (await site.get("/items/files/b.txt")).status == 404


async def test_where_the_host_is_mounted_itself_counts(tmp_path: Path) -> None:
    """Prefixes add up, and a host of the same family is not taken for the guest."""
    async with beside(tmp_path, {"old3.py": STARLETTE}, mounts={"/legacy": "old3:app"}) as made:

        async def outer(scope: Scope, receive: Receive, send: Send) -> None:
            host = {"root_path": "/outer", "app_root_path": "/x", "router": None, "app": None}
            found = made.find(b"/legacy")
            assert found is not None
            await found(cast("Scope", {**scope, **host}), receive, send)

        answer = await HttpClient(outer).get("/outer/legacy/items/7")
        assert answer.json(dict)["root_path"] == "/outer/legacy"
        assert answer.json(dict)["url"] == "http://testserver/outer/legacy/items/7"


async def test_a_websocket_is_served_below_the_prefix(tmp_path: Path) -> None:
    """As a request is."""
    async with (
        beside(tmp_path, {"old4.py": STARLETTE}, mounts={"/legacy": "old4:app"}) as made,
        client(made).websocket("/legacy/echo") as socket,
    ):
        await socket.send("hello")
        assert await socket.receive() == "/legacy/echo hello"


async def test_its_lifespan_is_run(tmp_path: Path) -> None:
    """Its startup before the first request, its shutdown after the last."""
    async with beside(tmp_path, {"old5.py": STARLETTE}, mounts={"/a": "old5:make()"}) as made:
        said = sys.modules["old5"].said
        assert said == ["started"]
        assert (await client(made).get("/a/items/7")).status == 200
    assert said == ["started", "stopped"]
    assert (await client(made).get("/a/items/7")).text == "no route"


async def test_an_application_without_a_lifespan_is_fine(tmp_path: Path) -> None:
    """Whether it raises, returns or asserts when it is asked."""
    bare = """
        async def app(scope, receive, send):
            {}
            start = {{"type": "http.response.start", "status": 204, "headers": []}}
            await send(start)
            await send({{"type": "http.response.body"}})
        """
    files = {
        "bare1.py": bare.format("assert scope['type'] == 'http'"),
        "bare2.py": bare.format("if scope['type'] != 'http': return"),
        "bare3.py": bare.format("scope['method']"),
    }
    mounts = {f"/{n}": f"bare{n}:app" for n in (1, 2, 3)}
    async with beside(tmp_path, files, mounts=mounts) as made:
        for n in (1, 2, 3):
            assert (await client(made).get(f"/{n}")).status == 204


BROKEN = {
    "gone:app": ("", "No module named 'gone'"),
    "mt1:app": ("x = 1", "has no attribute 'app'"),
    "mt2:app": ("import nothing_of_that_name", "nothing_of_that_name"),
    "mt3:app": ("def app(:", "SyntaxError"),
    "mt4:app": ("raise SystemExit(3)", "SystemExit: 3"),
    "mt5:app": ("app = 5", "expected an ASGI application, got int"),
    "mt6:app()": ("def app(): raise ValueError('no database')", "ValueError: no database"),
    "mt7:app": (
        """
        from starlette.applications import Starlette

        async def lifespan(app):
            raise ValueError("no database")
            yield

        from contextlib import asynccontextmanager
        app = Starlette(lifespan=asynccontextmanager(lifespan))
        """,
        "its startup failed: ValueError: no database",
    ),
}


async def test_one_that_does_not_start_fails_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its prefix answers 503, the log says why, and the others serve."""
    files = {f"{n.partition(':')[0]}.py": text for n, (text, _) in BROKEN.items() if text}
    mounts = {f"/{n.partition(':')[0]}": n for n in BROKEN}
    files["old6.py"] = STARLETTE
    async with beside(tmp_path, files, mounts={**mounts, "/": "old6:app"}) as made:
        site = client(made)
        for name, (_, reason) in BROKEN.items():
            prefix = "/" + name.partition(":")[0]
            answer = await site.get(f"{prefix}/anything")
            assert answer.status == 503, name
            assert answer.headers["content-type"] == "application/problem+json"
            said = [r.getMessage() for r in caplog.records if prefix + ":" in r.getMessage()]
            assert any(reason in text for text in said), (name, said)
            with pytest.raises(HandshakeRefused):
                async with site.websocket(f"{prefix}/live"):
                    pass
        assert (await site.get("/items/7")).status == 200


async def test_what_it_raises_is_answered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With 500 and no word about why; the log has the trace."""
    mounts = {"/a": "old7:app", "/silent": "old7:silent"}
    async with beside(tmp_path, {"old7.py": STARLETTE}, mounts=mounts) as made:
        exits = await client(made).get("/a/exits")
        assert (exits.status, exits.headers["content-type"]) == (500, "application/problem+json")
        assert "SystemExit" in caplog.text
        fails = await client(made).get("/a/fail")  # starlette answers, then raises
        assert (fails.status, "a bug" in fails.text) == (500, False)
        assert "ValueError: a bug" in caplog.text
        assert (await client(made).get("/silent")).status == 500
        assert "/silent: old7:silent gave no answer" in caplog.text


async def test_an_answer_that_breaks_off_has_no_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server cuts the connection, so that the client sees it."""
    async with beside(tmp_path, {"old8.py": STARLETTE}, mounts={"/": "old8:breaks"}) as made:
        with pytest.raises(RuntimeError, match="without a whole answer"):
            await client(made).get("/")
    assert "ValueError: a bug" in caplog.text


async def test_a_client_that_goes_away_is_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Strangers could fill the log with it; what breaks after a whole answer is still heard."""
    code = """
        async def app(scope, receive, send):
            if scope["path"] == "/old/whole":
                await send({"type": "http.response.start", "status": 204, "headers": []})
                await send({"type": "http.response.body"})
            await receive()
            raise ValueError(scope["path"])
    """

    async def leave() -> Message:
        return {"type": "http.disconnect"}

    async def gone(message: Message) -> None:
        """Send to nobody."""

    async with beside(tmp_path, {"old12.py": code}, mounts={"/old": "old12:app"}) as made:
        for path in ("/old/upload", "/old/whole"):
            found = made.find(path.encode())
            assert found is not None
            scope: dict[str, object] = {"type": "http", "method": "POST", "path": path}
            await found(cast("Scope", {**scope, "headers": []}), leave, gone)
    assert "ValueError: /old/whole" in caplog.text
    assert "/old/upload" not in caplog.text


async def test_a_websocket_that_fails_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the code of an error of the server; one that the client leaves is no error."""
    async with beside(tmp_path, {"old9.py": STARLETTE}, mounts={"/": "old9:app"}) as made:
        async with client(made).websocket("/echo") as socket:
            await socket.send("fail")
            with pytest.raises(WebSocketClosed) as closed:
                await socket.receive()
            assert closed.value.close_code == 1011
        assert "ValueError: a bug" in caplog.text
        caplog.clear()
        async with client(made).websocket("/echo") as socket:
            await socket.send("x")
        assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_one_that_hangs_at_its_start_or_stop_is_left_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each step has a deadline, by the application's clock."""
    files = {
        "slow_start.py": """
            import asyncio

            began = []

            async def app(scope, receive, send):
                began.append(scope)
                await asyncio.Event().wait()
            """,
        "slow_stop.py": """
            import asyncio

            began = []

            async def app(scope, receive, send):
                began.append(scope)
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await asyncio.Event().wait()
            """,
    }
    clock = FakeClock(FakeClock.Config(), environment())

    async def let_time_pass() -> None:
        while True:
            await asyncio.sleep(0)
            modules = map(sys.modules.get, ("slow_start", "slow_stop"))
            if all(getattr(module, "began", False) for module in modules):
                clock.advance(1)

    passing = asyncio.create_task(let_time_pass())
    mounts = {"/1": "slow_start:app", "/2": "slow_stop:app"}
    async with beside(tmp_path, files, clock, mounts=mounts) as made:
        assert (await client(made).get("/1")).status == 503
    passing.cancel()
    assert "slow_start:app: its startup has taken too long" in caplog.text
    assert "slow_stop:app: its shutdown has taken too long" in caplog.text


async def test_a_module_of_that_name_from_elsewhere_is_not_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two applications in a process may each have one."""
    first, second = tmp_path / "first", tmp_path / "second"
    async with (
        beside(first, {"old10.py": STARLETTE}, mounts={"/": "old10:app"}),
        beside(second, {"old10.py": STARLETTE}, mounts={"/": "old10:app"}) as made,
    ):
        assert (await client(made).get("/items/7")).status == 503
    assert "rename it" in caplog.text


@pytest.mark.parametrize(
    "config, said",
    [
        ({"static": {"/s": "missing"}}, "no folder missing; expected one in"),
        ({"static": {"/s": "file.txt"}}, "no folder file.txt"),
        ({"static": {"s": "."}}, '"s" is no prefix'),
        ({"static": {"/s/": "."}}, '"/s/" is no prefix'),
        ({"static": {"/a b": "."}}, "is no prefix"),
        ({"static": {"/../x": "."}}, "is no prefix"),
        ({"static": {"": "."}}, "is no prefix"),
        ({"mounts": {"/{id}": "a:app"}}, "is no prefix"),
        ({"mounts": {"/a": "a"}}, "expected module:attribute or module:factory(), got 'a'"),
        ({"mounts": {"/a": "a:b(1)"}}, "expected module:attribute"),
        ({"mounts": {"/a": "../a:app"}}, "expected module:attribute"),
        ({"mounts": {"/a": "a:app"}, "static": {"/a": "."}}, "stands under static and under"),
    ],
)
async def test_a_configuration_that_means_nothing_refuses_the_start(
    tmp_path: Path, config: dict[str, dict[str, str]], said: str
) -> None:
    """Each fault names its key."""
    (tmp_path / "file.txt").touch()
    with pytest.raises(StartRefused, match=r"tools\.http") as refused:
        async with beside(tmp_path, **config):  # type: ignore[arg-type]
            pass
    assert said in str(refused.value)


async def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """A start that is refused twice is one too many."""
    with pytest.raises(StartRefused) as refused:
        async with beside(tmp_path, static={"/a": "gone", "/b": "lost"}, mounts={"/c": "?"}):
            pass
    assert len(str(refused.value).splitlines()) == 3


async def test_nothing_is_loaded_where_nothing_is_configured(tmp_path: Path) -> None:
    """It answers nothing, and leaves the process as it is."""
    async with beside(tmp_path) as made:
        assert made.find(b"/") is None
        assert str(tmp_path) not in sys.path


MOVED = """
    from msgspec import Struct

    from ringfence import Plugin
    from ringfence.kernel.context import current
    from ringfence.tools.http import get, post


    class Items(Plugin):
        @get("/items/{item_id}")
        async def show(self, item_id: int) -> str:
            return f"moved {item_id}"
    """
OLD = """
    from ringfence.kernel.context import current
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route


    async def old(request):
        return PlainTextResponse(f"old {request.method} {current.get(None)}" + " " * 500)


    every = ["GET", "POST", "PUT"]
    app = Starlette(routes=[Route("/{path:path}", old, methods=every)])
    """


async def test_routes_move_over_one_by_one(tmp_path: Path) -> None:
    """A route of Ringfence comes first, by path and method; everything else stays where it was,
    and runs in no context."""
    http = {
        "mounts": {"/": "old11:app"},
        "static": {"/files": "public"},
        "compress_min_bytes": 100,
        "cors": {"allow_origins": ["https://shop.example.com"]},
    }
    files = {"domains/items/show.py": MOVED, "old11.py": OLD, "public/a.txt": "a"}
    async with running(tmp_path, files, overrides={"tools": {"http": http}}) as app:
        assert (await app.http.get("/items/7")).json() == "moved 7"
        assert (await app.http.put("/items/7")).text.strip() == "old PUT None"
        assert (await app.http.get("/anything/else")).text.strip() == "old GET None"
        assert (await app.http.get("/files/a.txt")).text == "a"
        assert (await app.http.get("/files/b.txt")).status == 404
        asked = {"accept-encoding": "gzip", "origin": "https://shop.example.com"}
        answer = await app.http.get("/anything", headers=asked)
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["access-control-allow-origin"] == "https://shop.example.com"
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize(
    "http, key",
    [
        ({"static": {"/s": "missing"}}, "tools.http.static"),
        ({"mounts": {"/s": "?"}}, "tools.http.mounts"),
        ({"cors": {"allow_origins": ["*"], "allow_credentials": True}}, "tools.http.cors"),
    ],
)
async def test_an_application_with_such_a_key_does_not_start(
    tmp_path: Path, http: dict[str, object], key: str
) -> None:
    """As with any other fault of the configuration."""
    files = {"domains/items/show.py": MOVED}
    with pytest.raises(StartRefused, match=re.escape(key)):
        async with running(tmp_path, files, overrides={"tools": {"http": http}}):
            pass
