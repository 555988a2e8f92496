"""Models where more than one JSON document is exchanged: pages, replies, forms, events, sockets,
and the control socket."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path

import pytest

from ringfence.cli import client
from ringfence.control import ControlServer
from ringfence.kernel.context import Principal
from ringfence.report import EndedTraces, Span, Status, Trace
from ringfence.testing import TestApplication
from tests.eventless import Eventless
from tests.kernel.apps import feature, running

pydantic = pytest.importorskip("pydantic", reason="pip install 'ringfence[pydantic]'")
pytestmark = pytest.mark.anyio

FEATURE = feature("""
    from decimal import Decimal

    from pydantic import BaseModel, Field

    from ringfence.tools.http import (
        EventStream,
        Form,
        Page,
        Paged,
        Reply,
        ServerEvent,
        WebSocket,
        get,
        post,
        websocket,
    )

    class Line(BaseModel):
        sku: str
        price: Decimal = Field(Decimal(1), alias="unitPrice")

    LINES = [Line(sku=sku) for sku in "abc"]

    class Lines(Plugin):
        @get("/page")
        async def page(self, search: Paged) -> Page[Line]:
            after = search.after(str) or ""
            return search.page([line for line in LINES if line.sku > after], lambda row: row.sku)

        @post("/reply")
        async def reply(self, line: Line) -> Reply[Line]:
            return Reply(line, status=201, headers={"x-sku": line.sku})

        @post("/form")
        async def form(self, line: Form[Line]) -> str:
            return repr(line)

        @get("/events")
        async def events(self) -> EventStream[Line]:
            async def each():
                for line in LINES:
                    yield ServerEvent(line)

            return EventStream(each())

        @websocket("/echo")
        async def echo(self, socket: WebSocket) -> None:
            await socket.accept()
            async for line in socket.messages(Line):
                await socket.send(line)
""")


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[TestApplication]:
    """Return an application that exchanges models in every way."""
    async with running(tmp_path, {"domains/orders/lines.py": FEATURE}, strict=True) as app:
        yield app


def written(sku: str) -> dict[str, str]:
    return {"sku": sku, "unitPrice": "1"}


async def test_a_page_holds_models(app: TestApplication) -> None:
    """And goes on where the one before it ended."""
    first: dict[str, object] = (await app.http.get("/page?limit=2")).json()  # type: ignore[assignment]
    assert first["items"] == [written("a"), written("b")]
    rest: dict[str, object] = (await app.http.get(f"/page?cursor={first['next']}")).json()  # type: ignore[assignment]
    assert rest["items"] == [written("c")]


async def test_a_reply_holds_a_model(app: TestApplication) -> None:
    """With a status and headers of its own."""
    answer = await app.http.post("/reply", json=written("a"))
    assert (answer.status, answer.headers["x-sku"], answer.json()) == (201, "a", written("a"))


async def test_a_form_is_read_as_a_model(app: TestApplication) -> None:
    """Every fault of it under `form`, what is unknown included."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = await app.http.post("/form", content=b"sku=a&unitPrice=2.50", headers=form)
    assert answer.json() == "Line(sku='a', price=Decimal('2.50'))"
    answer = await app.http.post("/form", content=b"unitPrice=much&skuu=a", headers=form)
    problem: dict[str, list[dict[str, str]]] = answer.json()  # type: ignore[assignment]
    assert sorted((e["path"], e["message"]) for e in problem["errors"]) == [
        ("form.sku", "is missing"),
        ("form.skuu", "unknown field; did you mean 'sku'?"),
        ("form.unitPrice", "Input should be a valid decimal"),
    ]


async def test_events_hold_models(app: TestApplication) -> None:
    """Written as any answer is."""
    async with app.http.stream("GET", "/events") as answer:
        found = [event.json(dict[str, str]) async for event in answer.events()]
    assert found == [*map(written, "abc")]


async def test_a_socket_exchanges_models(app: TestApplication) -> None:
    """Both ways."""
    async with app.http.websocket("/echo") as socket:
        await socket.send(written("a"))
        assert await socket.receive(object) == written("a")


class Shop(Eventless):
    """An application as the control socket sees it."""

    async def call(
        self, name: str, payload: Mapping[str, object], principal: Principal | None, *, trace: int
    ) -> object:
        model: type = pydantic.create_model("Line", sku=str)
        return [model(**payload)]

    def status(self) -> Status:
        raise NotImplementedError

    def trace(self, wanted: str) -> list[Span]:
        raise NotImplementedError

    def traces(self, limit: int, failed: bool) -> list[Trace]:
        raise NotImplementedError

    def follow(self, failed: bool) -> AsyncGenerator[EndedTraces, None]:
        raise NotImplementedError


async def test_a_call_from_the_command_line_is_answered_with_what_the_model_says(
    tmp_path: Path,
) -> None:
    """As JSON has it."""
    server = ControlServer(Shop(), tmp_path)
    await server.start()
    try:
        answer = await asyncio.to_thread(client.call, tmp_path, "lines.find", {"sku": "a"})
    finally:
        await server.stop()
    assert answer == [{"sku": "a"}]
