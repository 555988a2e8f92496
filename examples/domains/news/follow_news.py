"""Publish news, and follow them live: as server-sent events, or over a WebSocket.

Each reader has a flag of its own that says `look again`, and reads the table from where it is. So
a slow one holds up nobody, and memory stays flat; nothing is lost, and one that was cut off goes
on where it was.
"""

from asyncio import Event
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from ringfence import Plugin, Secret, Settings, Unauthenticated
from ringfence.tools.clock import Clock
from ringfence.tools.db import Database
from ringfence.tools.http import (
    Cookie,
    EventStream,
    Header,
    ServerEvent,
    WebSocket,
    get,
    post,
    websocket,
)

ITEMS_A_READ = 100

ItemId = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class News(Settings, section="news"):
    access_token: Secret


class Draft(Struct):
    text: Annotated[str, Meta(min_length=1, max_length=500)]


class Item(Struct):
    id: int
    at: datetime
    text: str


class NotAReader(Unauthenticated, code="news.not_a_reader"):
    """The cookie `news_token` is missing or wrong."""


class FollowNews(Plugin):
    def __init__(self, db: Database, clock: Clock, news: News) -> None:
        self.db = db
        self.clock = clock
        self.news = news
        self.readers: set[Event] = set()

    @post("/news", status=201)
    async def publish(self, draft: Draft) -> Item:
        """Publish an item.

        Example: {"text": "Rain stops play."}
        """
        at = self.clock.now()
        item_id = await self.db.fetch_value(
            "INSERT INTO news (at, text) VALUES ($1, $2) RETURNING id", at, draft.text, into=int
        )
        for reader in self.readers:
            reader.set()
        return Item(item_id, at, draft.text)

    @get("/news/live")
    async def stream(self, last_event_id: Header[ItemId | None] = None) -> EventStream[Item]:
        """Follow the news: what comes from now on, or all after the item that was seen last."""
        start = await self._latest() if last_event_id is None else last_event_id
        return EventStream(self._events(start))

    @websocket("/news/socket")
    async def converse(
        self, socket: WebSocket, after: ItemId | None = None, news_token: Cookie[str] = ""
    ) -> None:
        """Follow the news: what comes from now on, or all after the item `after`."""
        # Before `accept` an error is an answer to the handshake, here 401.
        if Secret(news_token) != self.news.access_token:
            raise NotAReader("the cookie news_token is missing or wrong.")
        start = await self._latest() if after is None else after
        await socket.accept()
        async for item in self._items(start):
            await socket.send(item)

    async def _events(self, after: int) -> AsyncIterator[ServerEvent[Item]]:
        async for item in self._items(after):
            yield ServerEvent(item, id=str(item.id))

    async def _items(self, after: int) -> AsyncIterator[Item]:
        look_again = Event()
        self.readers.add(look_again)
        try:
            while True:
                look_again.clear()
                items = await self.db.fetch_all(
                    "SELECT * FROM news WHERE id > $1 ORDER BY id LIMIT $2",
                    after,
                    ITEMS_A_READ,
                    into=Item,
                )
                for item in items:
                    yield item
                    after = item.id
                if not items:
                    await look_again.wait()
        finally:
            self.readers.discard(look_again)

    async def _latest(self) -> int:
        return await self.db.fetch_value("SELECT COALESCE(max(id), 0) FROM news", into=int)
