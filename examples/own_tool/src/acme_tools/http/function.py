"""HTTP without a server: a function-as-a-service hands over one request at a time, as an event.

Events are those of API Gateway and of function URLs, "payload format 2.0". What runs the function
boots the application once, and then:

    driver = application.driver("http")
    answer = await driver.answer(event)
"""

from asyncio import Event
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Annotated, ClassVar
from urllib.parse import unquote

from msgspec import Meta, Struct, ValidationError, convert

from ringfence.kernel.ports import ToolEnv
from ringfence.tools.http.drivers import memory
from ringfence.tools.http.problem import Refused
from ringfence.tools.http.wire import Message, Scope


class Config(memory.Config, frozen=True, forbid_unknown_fields=True):
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


class Driver(memory.Driver):
    """The HTTP ingress of an application, for events.

    All that a driver promises, which hosts are served, whose traces are linked, how requests end
    when it closes, is that of the driver in memory, which takes requests as ASGI.
    """

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        super().__init__(config, env)
        self._most_bytes = config.max_answer_bytes

    async def answer(self, event: Mapping[str, object]) -> dict[str, object]:
        """Serve one request; return the answer as the platform wants it.

        Whatever is wrong with the event is answered as well, with 400.
        """
        try:
            request = convert(event, Request)
            body = b64decode(request.body) if request.is_base64_encoded else request.body.encode()
            scope = _scope(request)
        except (ValidationError, NotBase64, UnicodeEncodeError) as error:
            return await self._said(Refused(400, "malformed_event", str(error)))
        exchange = Exchange(body, self._most_bytes)
        try:
            await self(scope, exchange.receive, exchange.send)
        except TooLong:
            return await self._said(Refused(500, "answer_too_large"))
        return exchange.result()

    async def _said(self, refused: Refused) -> dict[str, object]:
        """Return an answer that the application has no part in."""
        exchange = Exchange(b"", self._most_bytes)
        await refused.answer().send_to(exchange.send)
        return exchange.result()


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

    def __init__(self, body: bytes, most_bytes: int) -> None:
        self._body: bytes | None = body
        self._most_bytes = most_bytes
        self._start: Message = {"type": "http.response.start", "status": 500, "headers": []}
        self._received = bytearray()
        self._complete = Event()

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._complete.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._received += message.get("body", b"")
        if len(self._received) > self._most_bytes:
            raise TooLong
        if not message.get("more_body", False):
            self._complete.set()

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
