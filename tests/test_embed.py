"""An application inside another's process, as ASGI."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import ringfence
from ringfence.embed import Embedded
from ringfence.errors import BootError
from ringfence.testing.http import HandshakeRefused, HttpClient
from ringfence.tools.http.wire import Message
from tests.kernel.apps import feature, write

pytestmark = pytest.mark.anyio

SHOP = {
    "domains/orders/show.py": feature(
        """
        from ringfence.tools.http import get, post, websocket
        from ringfence.tools.http.live.sockets import WebSocket

        said = []


        class Show(Plugin):
            db: Database

            async def start(self) -> None:
                with open("{log}", "a") as file:
                    file.write("start ")

            async def stop(self) -> None:
                with open("{log}", "a") as file:
                    file.write("stop ")

            @get("/orders/{{order_id}}")
            async def show(self, order_id: int) -> int:
                return order_id

            @get("/")
            async def home(self) -> str:
                return "home"

            @websocket("/live/{{topic}}")
            async def live(self, topic: str, socket: WebSocket) -> None:
                await socket.accept()
                async for text in socket.messages(str):
                    await socket.send(f"{{topic}} {{text}}")

            @post("/slow")
            async def slow(self, number: int) -> int:
                await asyncio.sleep(0)
                return number
        """
    ),
    "ringfence.toml": """
        [tools.http]
        host = "203.0.113.1"
        port = 1
        keep_alive_s = 3
        max_target_bytes = 100
        """,
}
BROKEN = {
    "domains/orders/a.py": feature(
        """
        class A(Plugin):
            @service("orders.same")
            async def same(self) -> int:
                return 1
        """
    ),
    "domains/orders/b.py": feature(
        """
        class B(Plugin):
            @service("orders.same")
            async def same(self) -> int:
                return 1
        """
    ),
}


def shop(root: Path) -> Path:
    """Write an application that says in the file `log` when it starts and stops."""
    log = root.parent / f"{root.name}.log"
    log.touch()
    show = SHOP["domains/orders/show.py"].format(log=log)
    return write(root, {**SHOP, "domains/orders/show.py": show})


def said(root: Path) -> str:
    return (root.parent / f"{root.name}.log").read_text()


class Server:
    """The lifespan of an ASGI application, as a server runs it."""

    def __init__(self, app: object) -> None:
        self._app = app
        self._events: asyncio.Queue[Message] = asyncio.Queue(1)
        self._answers: asyncio.Queue[Mapping[str, object]] = asyncio.Queue()

    async def __aenter__(self) -> Mapping[str, object]:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        call = self._app(scope, self._events.get, self._answers.put)  # type: ignore[operator]
        self._task = asyncio.create_task(call)
        return await self._step("startup")

    async def __aexit__(self, *_: object) -> None:
        if not self._task.done():
            assert (await self._step("shutdown"))["type"] == "lifespan.shutdown.complete"
        await self._task

    async def _step(self, name: str) -> Mapping[str, object]:
        await self._events.put({"type": f"lifespan.{name}"})
        return await self._answers.get()


async def test_a_server_starts_and_stops_it(tmp_path: Path) -> None:
    """By the lifespan, as `uvicorn module:app` does; afterwards nothing is served."""
    root = shop(tmp_path / "shop")
    app = ringfence.asgi(root)
    async with Server(app) as answer:
        assert answer["type"] == "lifespan.startup.complete"
        assert said(root) == "start "
        assert (await HttpClient(app).get("/orders/3")).json() == 3
    assert said(root) == "start stop "
    late = await HttpClient(app).get("/orders/3")
    assert (late.status, late.json(dict)["code"]) == (503, "stopping")


async def test_keys_of_a_port_do_not_count(tmp_path: Path) -> None:
    """Limits do, and a key that no driver knows is refused."""
    root = shop(tmp_path / "shop")
    async with ringfence.asgi(root) as app:
        long = await HttpClient(app).get("/orders/" + "1" * 100)
        assert long.status == 414
    with pytest.raises(BootError) as refused:
        async with ringfence.asgi(root, tools={"http": {"porrt": 1}}):
            pass
    assert "porrt" in str(refused.value)


def host(app: Embedded, *, lifespan: bool) -> Starlette:
    """Return a Starlette application with `app` below `/shop` and a route of its own."""

    @asynccontextmanager
    async def starts(_: Starlette) -> AsyncIterator[None]:
        async with app:
            yield

    async def old(_: Request) -> PlainTextResponse:
        return PlainTextResponse("old")

    routes = [Route("/old", old), Mount("/shop", app=app)]
    return Starlette(routes=routes, lifespan=starts if lifespan else None)


async def test_a_host_mounts_it_below_a_prefix(tmp_path: Path) -> None:
    """It starts with its host, and its routes are below where it is mounted."""
    root = shop(tmp_path / "shop")
    outer = host(ringfence.asgi(root), lifespan=True)
    async with Server(outer):
        assert said(root) == "start "
        client = HttpClient(outer)  # type: ignore[arg-type]
        assert (await client.get("/shop/orders/3")).json() == 3
        assert (await client.get("/shop/")).json() == "home"
        assert (await client.get("/old")).text == "old"
        assert (await client.get("/orders/3")).status == 404
        missing = await client.get("/shop/nothing")
        assert missing.json(dict)["code"] == "no_such_route"
    assert said(root) == "start stop "


async def test_the_first_request_starts_it_once(tmp_path: Path) -> None:
    """Where nobody else does, however many come at the same time."""
    root = shop(tmp_path / "shop")
    app = ringfence.asgi(root)
    client = HttpClient(host(app, lifespan=False))  # type: ignore[arg-type]
    asked = [client.post("/shop/slow", params={"number": n}) for n in range(20)]
    answers = await asyncio.gather(*asked)
    assert [answer.json() for answer in answers] == list(range(20))
    assert said(root) == "start "
    async with app:
        pass
    assert said(root) == "start stop "


async def test_a_request_that_is_cancelled_does_not_stop_the_start(tmp_path: Path) -> None:
    """The others wait for the same start."""
    root = shop(tmp_path / "shop")
    app = ringfence.asgi(root)
    first = asyncio.create_task(HttpClient(app).get("/"))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    async with app:
        assert (await HttpClient(app).get("/")).json() == "home"
    assert said(root) == "start stop "


async def test_a_failing_start_is_told_to_the_server(tmp_path: Path) -> None:
    """With all findings; whoever asks later gets 503 and no reason."""
    app = ringfence.asgi(write(tmp_path / "broken", BROKEN))
    async with Server(app) as answer:
        assert answer["type"] == "lifespan.startup.failed"
        assert "domains/orders/b.py" in str(answer["message"])
    refused = await HttpClient(app).get("/")
    assert (refused.status, refused.json(dict)["code"]) == (503, "not_started")
    assert "orders" not in refused.text
    with pytest.raises(HandshakeRefused):
        async with HttpClient(app).websocket("/live"):
            pass


async def test_a_failing_start_is_told_to_the_host(tmp_path: Path) -> None:
    """It decides whether it serves without."""
    for root in (write(tmp_path / "broken", BROKEN), tmp_path / "nowhere"):
        with pytest.raises(BootError):
            async with ringfence.asgi(root):
                pass


async def test_a_failing_start_at_a_request_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every request gets 503, and none starts it again."""
    client = HttpClient(ringfence.asgi(write(tmp_path / "broken", BROKEN)))
    assert [(await client.get("/")).status for _ in range(3)] == [503, 503, 503]
    told = [r for r in caplog.records if "does not start" in r.getMessage()]
    assert len(told) == 1
    assert "domains/orders/b.py" in told[0].getMessage()


async def test_strict_refuses_what_is_quarantined_otherwise(tmp_path: Path) -> None:
    """As `--strict` does."""
    root = write(tmp_path / "shop", {"domains/orders/broken.py": "import nothing_of_that_name"})
    async with ringfence.asgi(root):
        pass
    with pytest.raises(BootError):
        async with ringfence.asgi(root, strict=True):
            pass


async def test_two_live_side_by_side(tmp_path: Path) -> None:
    """Each with its own features under the same names."""
    roots = [shop(tmp_path / name) for name in ("one", "two")]
    async with ringfence.asgi(roots[0]) as one, ringfence.asgi(roots[1]) as two:
        assert (await HttpClient(one).get("/orders/1")).json() == 1
        assert (await HttpClient(two).get("/orders/2")).json() == 2
    assert [said(root) for root in roots] == ["start stop "] * 2


async def test_it_starts_again_with_its_host(tmp_path: Path) -> None:
    """As a test of the host does, which runs its lifespan more than once."""
    root = shop(tmp_path / "shop")
    app = ringfence.asgi(root)
    for _ in range(2):
        async with app:
            assert (await HttpClient(app).get("/")).json() == "home"
    assert said(root) == "start stop start stop "


async def test_another_event_loop_is_refused(tmp_path: Path) -> None:
    """Its database and its tasks belong to the one that it was started on."""
    root = shop(tmp_path / "shop")
    async with ringfence.asgi(root) as app:
        client = HttpClient(app)
        assert (await asyncio.to_thread(asyncio.run, client.get("/"))).status == 503
        assert (await client.get("/")).status == 200


async def test_signals_stay_with_the_host(tmp_path: Path) -> None:
    """What it does at a signal is its own business."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with ringfence.asgi(shop(tmp_path / "shop")):
        now = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert now == before


async def test_a_body_in_pieces_passes_its_host(tmp_path: Path) -> None:
    """And so does an answer that is read as it comes."""
    outer = host(ringfence.asgi(shop(tmp_path / "shop")), lifespan=True)
    async with (
        Server(outer),
        HttpClient(outer).stream("GET", "/shop/openapi.json") as answer,  # type: ignore[arg-type]
    ):
        assert b"".join([piece async for piece in answer.chunks()]).startswith(b"{")


async def test_a_websocket_passes_its_host(tmp_path: Path) -> None:
    """Both ways, below where the application is mounted; what is not there is refused."""
    outer = host(ringfence.asgi(shop(tmp_path / "shop")), lifespan=True)
    client = HttpClient(outer)  # type: ignore[arg-type]
    async with Server(outer):
        async with client.websocket("/shop/live/news") as socket:
            await socket.send('"hello"')
            assert await socket.receive() == "news hello"
        with pytest.raises(HandshakeRefused) as refused:
            async with client.websocket("/shop/nothing"):
                pass
        assert refused.value.response.status == 404


def test_importing_it_loads_nothing_of_http() -> None:
    """Servers and starlette come with the application that needs them."""
    code = (
        "import sys, ringfence; ringfence.asgi('.');"
        "print(*sorted({'uvicorn','starlette','uvloop','anyio','ringfence.app',"
        "'ringfence.tools.http'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
