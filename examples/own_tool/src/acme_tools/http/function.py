"""HTTP without a server: a function-as-a-service hands over one request at a time, as an event.

Events are those of API Gateway and of function URLs, "payload format 2.0". What runs the function
boots the application once, and then:

    driver = application.driver("http")
    answer = await driver.answer(event)
"""

from asyncio import CancelledError, Event, Task, create_task, shield
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar
from urllib.parse import unquote

from msgspec import Meta, Struct, ValidationError, convert

from ringfence.errors import NotGranted
from ringfence.kernel.ports import Endpoint, Grant, StaticName, ToolEnv
from ringfence.tools.http.asgi import App
from ringfence.tools.http.limits import Common
from ringfence.tools.http.problem import Refused, stopping
from ringfence.tools.http.server.drain import drain
from ringfence.tools.http.wire import Answer, Message, Scope


class Config(Common, frozen=True, forbid_unknown_fields=True):
    """The keys of `[tools.http]` with `driver = "function"`: those of every driver, and this.

    Args:
        max_answer_bytes: Of an answer, which is collected as a whole; a longer one becomes 500.
    """

    max_answer_bytes: Annotated[int, Meta(ge=1)] = 4 << 20


class Http(Struct, frozen=True):
    """How a request came."""

    method: str


class RequestContext(Struct, frozen=True):
    """What the platform says of a request."""

    http: Http


class Request(Struct, frozen=True, rename="camel"):
    """One event, as far as it is read."""

    raw_path: str
    request_context: RequestContext
    raw_query_string: str = ""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    body: str = ""
    is_base64_encoded: bool = False


class Driver:
    """The HTTP ingress of an application, for events."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._most_bytes = config.max_answer_bytes
        self._clock = env.clock
        self._app = App(config, env)
        self._tasks: set[Task[None]] = set()
        self._serving = False

    async def answer(self, event: Mapping[str, object]) -> dict[str, object]:
        """Serve one request; return the answer as the platform wants it.

        Whatever is wrong with the event is answered as well: 400, or 503 while nothing is served.
        """
        exchange = Exchange(self._most_bytes)
        if not self._serving:
            return await exchange.said(stopping())
        try:
            request = convert(event, Request)
            body = b64decode(request.body) if request.is_base64_encoded else request.body.encode()
        except (ValidationError, NotBase64, UnicodeEncodeError) as error:
            return await exchange.said(Refused(400, "malformed_event", str(error)).answer())
        task = create_task(self._serve(_scope(request), exchange, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await shield(task)
        except CancelledError:
            task.cancel()
            raise
        if exchange.too_long:
            exchange = Exchange(self._most_bytes)
            return await exchange.said(Refused(500, "answer_too_large").answer())
        return exchange.result()

    async def start(self) -> None:
        """Start what is served beside routes; there is nothing to connect to."""
        await self._app.start()

    async def stop(self) -> None:
        """Cancel what is still in progress."""
        await self.close(0)
        await self._app.stop()

    def handle(self, grant: Grant) -> object:
        """Refuse: plugins are reached over HTTP, and hold no handle on it."""
        raise NotGranted("http gives plugins no handle", subject=grant.plugin)

    def bind(self, endpoints: Sequence[Endpoint], absent: Sequence[StaticName]) -> None:
        """Take the routes to serve."""
        self._app.bind(endpoints, absent)

    async def open(self) -> None:
        """Serve from now on."""
        self._serving = True

    async def close(self, grace_s: float) -> None:
        """Serve nothing new; let requests in progress end, or cancel them after `grace_s`."""
        self._serving = False
        self._app.hang_up()
        await drain(self._tasks, self._clock, grace_s)

    async def _serve(self, scope: Scope, exchange: "Exchange", body: bytes) -> None:
        exchange.body = body
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except (CancelledError, TooLong):
            return  # cancelled by `close`, it has answered; too long, nobody takes the answer


def _scope(request: Request) -> Scope:
    headers = [(k.lower().encode(), v.encode("latin-1")) for k, v in request.headers.items()]
    if request.cookies:
        headers.append((b"cookie", "; ".join(request.cookies).encode("latin-1")))
    return {
        "type": "http",
        "method": request.request_context.http.method,
        "scheme": "https",
        "path": unquote(request.raw_path),
        "raw_path": request.raw_path.encode(),
        "query_string": request.raw_query_string.encode(),
        "root_path": "",
        "headers": headers,
    }


class TooLong(Exception):
    """The answer has more bytes than may be."""


class Exchange:
    """One request on its way, and the answer as it is collected."""

    def __init__(self, most_bytes: int) -> None:
        self.body: bytes | None = b""
        self.too_long = False
        self._most_bytes = most_bytes
        self._start: Message = {"type": "http.response.start", "status": 500, "headers": []}
        self._received = bytearray()
        self._complete = Event()

    async def receive(self) -> Message:
        if self.body is not None:
            body, self.body = self.body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._complete.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._received += message.get("body", b"")
        self.too_long = len(self._received) > self._most_bytes
        if self.too_long:
            raise TooLong
        if not message.get("more_body", False):
            self._complete.set()

    async def said(self, answer: Answer) -> dict[str, object]:
        """Return an answer that the application has no part in."""
        await answer.send_to(self.send)
        return self.result()

    def result(self) -> dict[str, object]:
        """Return what has been sent; its body in base64, which is right for text as well."""
        headers: dict[str, str] = {}
        cookies: list[str] = []
        for raw_name, raw_value in self._start.get("headers", []):
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            if name == "set-cookie":
                cookies.append(value)
            else:
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
        encoded = b64encode(self._received).decode()
        return {
            "statusCode": self._start.get("status", 500),
            "headers": headers,
            "cookies": cookies,
            "body": encoded,
            "isBase64Encoded": True,
        }
