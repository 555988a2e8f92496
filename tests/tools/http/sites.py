"""One route that stays open, as an ASGI application: for tests of streams and of WebSockets."""

import asyncio
from collections.abc import Awaitable, Callable

from ringfence.testing.http import HttpClient
from ringfence.tools.clock.drivers.fake import Config, Driver
from ringfence.tools.http.conformance import environment
from ringfence.tools.http.doubles import Lively
from ringfence.tools.http.live.conversation import Conversation
from ringfence.tools.http.live.delivery import Delivery
from ringfence.tools.http.live.leaving import HangUps
from ringfence.tools.http.live.sockets import WebSocket
from ringfence.tools.http.live.streams import EventStream, Stream
from ringfence.tools.http.wire import Receive, Scope, Send


class Counted(Lively):
    """A connection whose turns can be counted, and asked for what went on."""

    def __init__(self, site: "Site") -> None:
        super().__init__()
        self._site = site

    def turn(self, deadline: bool = True) -> None:
        self._site.turns.append(deadline)

    def rest(self) -> None:
        self._site.turns.append(None)


class Site:
    """What one route does: its turns (with a deadline, without, None for rest), and how it ended.

    `stop` is what an application does to its open connections when it stops.
    """

    def __init__(self) -> None:
        self.clock = Driver(Config(), environment())
        self.hang_ups = HangUps()
        self.turns: list[bool | None] = []
        self.ended: BaseException | None = None
        self.client = HttpClient(self.serve)

    def stop(self) -> None:
        self.hang_ups.end()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError

    async def _run(self, work: Awaitable[None], live: Counted) -> None:
        """As the kernel does: what ended the connection comes out in the place of its end."""
        try:
            await work
        except asyncio.CancelledError as error:
            self.ended = live.ended or error
        except Exception as error:
            self.ended = error


class Streaming(Site):
    """Answers every request with the stream that a function returns."""

    def __init__(self, function: Callable[[Scope], Stream | EventStream[object]]) -> None:
        super().__init__()
        self._function = function
        self.started = False

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        delivery = Delivery(scope, receive, send, clock=self.clock, hang_ups=self.hang_ups)
        live = Counted(self)

        async def work() -> None:
            live.turn()
            await delivery.deliver(live, self._function(scope))

        await self._run(work(), live)
        self.started = delivery.started


class Talking(Site):
    """Serves every WebSocket by a coroutine function."""

    def __init__(
        self, function: Callable[[WebSocket], Awaitable[object]], max_message_bytes: int = 1 << 20
    ) -> None:
        super().__init__()
        self._function = function
        self._limit = max_message_bytes

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        conversation = Conversation(
            scope, receive, send, hang_ups=self.hang_ups, max_message_bytes=self._limit
        )
        live = Counted(self)

        async def work() -> object:
            return await self._function(conversation.socket)

        await self._run(conversation.serve(live, work()), live)
        await conversation.conclude(self.ended, "test")
