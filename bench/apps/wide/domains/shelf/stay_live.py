"""Send events without an end, and answer messages."""

import asyncio
from collections.abc import AsyncIterator

from msgspec import Struct

from ringfence import Plugin
from ringfence.tools.http import EventStream, WebSocket, get, websocket


class Price(Struct):
    sku: str
    price: float


class StayLive(Plugin):
    @get("/events")
    async def follow(self) -> EventStream[Price]:
        return EventStream(self._prices())

    @websocket("/echo")
    async def echo(self, socket: WebSocket) -> None:
        await socket.accept()
        async for message in socket:
            await socket.send(message)

    async def _prices(self) -> AsyncIterator[Price]:
        while True:
            await asyncio.sleep(0)  # events come when something happens, one at a time
            yield Price("blue-7", 9.5)
