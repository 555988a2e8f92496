"""The routes that `shape.py` does not generate: whatever reads more than path, query and JSON, and
whatever answers more than JSON.

`Wide` makes a route's coroutine: read the arguments, open the operation, send its result. Streams
and WebSockets are served inside the operation's context, everything else after it has ended.
"""

from asyncio import CancelledError
from collections.abc import Callable, Collection
from functools import partial
from typing import Union, get_args

from msgspec import Struct

from ringfence.kernel.ports import Endpoint, Live, ToolEnv, Work
from ringfence.tools.http.answers.conditional import not_modified
from ringfence.tools.http.answers.encoding import encoder
from ringfence.tools.http.answers.files import File, send_file
from ringfence.tools.http.answers.narrowing import narrowing, nothing_but
from ringfence.tools.http.answers.reply import Reply, headers_of
from ringfence.tools.http.binding.kinds import answer_of, arms_of
from ringfence.tools.http.binding.plan import Plan
from ringfence.tools.http.binding.reading import Incoming, read
from ringfence.tools.http.contract import Route
from ringfence.tools.http.description.results import types_in
from ringfence.tools.http.limits import Common
from ringfence.tools.http.live.conversation import Conversation, same_origin
from ringfence.tools.http.live.delivery import Delivery
from ringfence.tools.http.live.leaving import ClientGone, HangUps, Stopping
from ringfence.tools.http.live.streams import Encode, EventStream, Stream
from ringfence.tools.http.problem import Refused, explained, stopping
from ringfence.tools.http.wire import (
    JSON_TYPE,
    Disconnected,
    Handle,
    Headers,
    Message,
    Receive,
    Scope,
    Send,
)

_LIVE = ("Stream", "EventStream")
_WITHOUT_JSON = {"Stream", "File", ""}  # of what declares no type that is JSON


class Exchange(Struct, frozen=True):
    """One request, and the way back."""

    scope: Scope
    receive: Receive
    send: Send
    captures: tuple[str, ...]


class Wide:
    """Makes the coroutines of routes.

    Args:
        config: What a request may be, and which origins may open a WebSocket.
        env: Of the driver: a clock for heartbeats, and what masks secrets.
        hang_ups: How connections that stay are ended.
    """

    def __init__(self, config: Common, env: ToolEnv, hang_ups: HangUps) -> None:
        self._config = config
        self._clock = env.clock
        self._redact = env.redact
        self._hang_ups = hang_ups
        self._origins: Collection[str] = config.cors.allow_origins if config.cors else ()
        self._encode = encoder()

    def route(self, endpoint: Endpoint, plan: Plan, route: Route) -> Handle:
        """Return the coroutine function that serves a route."""
        result = endpoint.declared.signature.result
        is_live = any(_is_live(arm) for arm in arms_of(result))
        site = _Site(endpoint, plan, route, is_live, self._encoding(result), nothing_but(result))
        serve = partial(self._serve, site)
        if route.method == "WEBSOCKET":
            serve = partial(self._converse, endpoint, plan)

        async def handle(
            scope: Scope, receive: Receive, send: Send, captures: tuple[str, ...]
        ) -> None:
            await serve(Exchange(scope, receive, send, captures))

        return handle

    async def _serve(self, site: "_Site", exchange: Exchange) -> None:
        answering = _Answering(self, exchange, site)
        limit, endpoint = site.route.max_body_bytes, site.endpoint
        incoming = Incoming(
            exchange.scope,
            exchange.receive,
            exchange.captures,
            self._config,
            self._config.max_body_bytes if limit is None else limit,
        )
        inbound = exchange.scope.get("inbound")
        try:
            args = await read(site.plan, incoming)
            if site.is_live:
                await endpoint.live(answering.inside)(args, None, None, inbound)
            else:
                await answering.answer(await endpoint.open(args, None, None, inbound))
        except CancelledError:
            if not answering.started:
                await stopping().send_to(exchange.send)
            raise
        except (Disconnected, ClientGone, Stopping):
            pass  # nobody is there, or all has been said
        except Exception as error:  # contained: whatever a request raises becomes its answer
            answer = explained(error, endpoint, self._redact)
            if not answering.started:
                await answer.send_to(exchange.send)
        finally:
            await incoming.close()

    async def _converse(self, endpoint: Endpoint, plan: Plan, exchange: Exchange) -> None:
        scope = exchange.scope
        conversation = Conversation(
            scope,
            exchange.receive,
            exchange.send,
            hang_ups=self._hang_ups,
            max_message_bytes=self._config.max_message_bytes,
            encode=self._encode,
            redact=self._redact,
        )
        raised: BaseException | None = None
        try:
            if not same_origin(scope, self._origins):
                said = "a page of another origin may not connect; [tools.http.cors] names who may"
                raise Refused(403, "cross_origin", said)
            incoming = Incoming(
                scope, exchange.receive, exchange.captures, self._config, 0, conversation.socket
            )
            args = await read(plan, incoming)
            await endpoint.live(conversation.serve)(args, None, None, scope.get("inbound"))
        except CancelledError as error:
            raised = error
        except Exception as error:  # contained: it becomes the answer, or the reason of the close
            raised = error
            if isinstance(error, Refused):
                error.trace_id = endpoint.refused(error)
        await conversation.conclude(raised, endpoint.operation)
        if isinstance(raised, CancelledError):
            raise raised

    def _encoding(self, result: object) -> Encode:
        """Return what encodes the JSON of a result, as it is declared."""
        declared = list(types_in(result))
        if not declared and {answer_of(arm) for arm in arms_of(result)} <= _WITHOUT_JSON:
            return _undeclared
        made = narrowing(Union[tuple(declared)]) if declared else None  # noqa: UP007 - at run time
        if made is None:
            return self._encode
        encode, narrow = self._encode, made.narrow
        return lambda value: encode(narrow(value))

    def delivery(self, exchange: Exchange, send: Send, status: int, encode: Encode) -> Delivery:
        """Return what sends a stream."""
        return Delivery(
            exchange.scope,
            exchange.receive,
            send,
            clock=self._clock,
            hang_ups=self._hang_ups,
            status=status,
            encode=encode,
        )


def _undeclared(value: object) -> bytes:
    kind = type(value).__name__
    raise TypeError(f"the handler returned {kind}, which is not what it declares")


class _Site(Struct, frozen=True):
    """A route, and what all of its requests have in common."""

    endpoint: Endpoint
    plan: Plan
    route: Route
    is_live: bool
    encode: Encode
    nothing: Callable[[], None]


def _is_live(hint: object) -> bool:
    """Whether a result is sent while its operation goes on."""
    if answer_of(hint) == "Reply":
        return any(_is_live(arm) for value in get_args(hint) for arm in arms_of(value))
    return answer_of(hint) in _LIVE


class _Answering:
    """The answer to one request, on its way out."""

    def __init__(self, wide: Wide, exchange: Exchange, site: _Site) -> None:
        self.started = False
        self._wide = wide
        self._exchange = exchange
        self._status = site.route.status
        self._encode = site.encode
        self._nothing = site.nothing
        self._added: Headers = []

    async def inside(self, live: Live, work: Work) -> None:
        """Run the handler and send what it returns, inside its context."""
        live.turn()
        result = await work
        value = self._opened(result)
        if isinstance(value, Stream | EventStream):
            delivery = self._wide.delivery(self._exchange, self._send, self._status, self._encode)
            await delivery.deliver(live, value)
        else:
            await self._whole(result, value)

    async def answer(self, result: object) -> None:
        """Send a result."""
        await self._whole(result, self._opened(result))

    def _opened(self, result: object) -> object:
        """Take a `Reply` apart."""
        if not isinstance(result, Reply):
            return result
        reply: Reply[object] = result
        self._added = headers_of(reply)
        if reply.status is not None:
            if not 200 <= reply.status <= 399:
                raise ValueError(
                    f"a Reply has status {reply.status}; expected 200 to 399. Raise an error of"
                    " ringfence for any other."
                )
            self._status = reply.status
        return reply.value

    async def _whole(self, result: object, value: object) -> None:
        scope, receive = self._exchange.scope, self._exchange.receive
        if isinstance(value, File):
            await send_file(self._versioned(value), scope, receive, self._send, self._status)
            return
        kind, content = self._written(result, value)
        if isinstance(result, Reply) and self._is_known(result):
            kept = [(n, v) for n, v in self._added if n != b"content-type"]
            self._added = []
            await self._send({"type": "http.response.start", "status": 304, "headers": kept})
            await self._send({"type": "http.response.body", "body": b""})
            return
        headers: Headers = [] if self._status in (204, 304) else [_length(content)]
        if value is not None and not any(name == b"content-type" for name, _ in self._added):
            headers.append(kind)
        await self._send(
            {"type": "http.response.start", "status": self._status, "headers": headers}
        )
        await self._send({"type": "http.response.body", "body": content})

    def _versioned(self, file: File) -> File:
        """Give a file the version that its reply names, in the place of its own."""
        names = (b"etag", b"last-modified")
        told = {n.decode(): v.decode("latin-1") for n, v in self._added if n in names}
        self._added = [(n, v) for n, v in self._added if n not in names]
        headers = {**file.headers, **told}
        return File(file.source, file.media_type, file.filename, headers, file.inline)

    def _written(self, result: object, value: object) -> tuple[tuple[bytes, bytes], bytes]:
        if value is None:
            if result is None:
                self._nothing()
            self._status = 204 if self._status == 200 else self._status
            return JSON_TYPE, b""
        if self._status in (204, 205):
            raise ValueError(f"a Reply with status {self._status} has a value; expected None")
        media_type = result.media_type if isinstance(result, Reply) else None
        if isinstance(value, str) and media_type is not None:
            kept = media_type if "charset=" in media_type else f"{media_type}; charset=utf-8"
            return (b"content-type", kept.encode("latin-1")), value.encode()
        if isinstance(value, bytes | bytearray) and isinstance(result, Reply):
            kept = media_type or "application/octet-stream"
            return (b"content-type", kept.encode("latin-1")), bytes(value)
        return JSON_TYPE, self._encode(value)

    def _is_known(self, reply: "Reply[object]") -> bool:
        return (
            200 <= self._status <= 299
            and self._exchange.scope["method"] in ("GET", "HEAD")
            and not_modified(self._exchange.scope["headers"], reply.etag, reply.last_modified)
        )

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            if self._added:
                added = {name for name, _ in self._added}
                kept = [one for one in message.get("headers", ()) if one[0] not in added]
                message = {**message, "headers": [*kept, *self._added]}
        await self._exchange.send(message)


def _length(content: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(content)
