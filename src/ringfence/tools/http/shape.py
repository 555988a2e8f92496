"""The coroutine that serves a route: generated once for each shape, not for each route.

A shape is where the arguments come from. Its source is put together from the lines below and
executed once into a factory, which closes over one route's own parts. `Shapes` keeps the factories;
`asgi.App` owns it.

What is generated for `@post("/orders")` with one Struct reads

    async def route(scope, receive, send, captures):
        try:
            message = await receive()
            ...
            try:
                a0 = take0(content)
                a0.__class__ = class0
            except UNREADABLE as error:
                a0, = reread(captures, query, content, error)
            result = await open_((a0,), None, None, scope.get("inbound"))
            ...
"""

from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from typing import cast

from msgspec import Struct

from ringfence.kernel.ports import Endpoint, Parameter
from ringfence.tools.http.answers.encoding import encoder
from ringfence.tools.http.answers.narrowing import narrowing, nothing_but
from ringfence.tools.http.binding.arguments import (
    UNREADABLE,
    FromBody,
    FromPath,
    FromQuery,
    FromWholeQuery,
    HotArgument,
    Parts,
    reread,
)
from ringfence.tools.http.binding.body import (
    expect_json,
    read_rest,
    refuse_long,
    too_long,
)
from ringfence.tools.http.binding.plan import Plan
from ringfence.tools.http.binding.query import Query, parse
from ringfence.tools.http.limits import Limits
from ringfence.tools.http.problem import explained, stopping
from ringfence.tools.http.wire import JSON_TYPE, Disconnected, Handle, Send

_HEAD = """\
async def route(scope, receive, send, captures):
    query, content = NOTHING, b""
    try:
"""
_QUERY = """\
        if scope["query_string"]:
            query = parse(scope["query_string"], max_query_params)
"""
_BODY = """\
        headers = scope["headers"]
        refuse_long(headers, max_body_bytes)
        message = await receive()
        content = message.get("body", b"")
        if message.get("more_body", False) or message["type"] != "http.request":
            content = await read_rest(content, message, receive, headers, max_body_bytes)
        elif len(content) > max_body_bytes:
            raise too_long(max_body_bytes)
        if JSON_TYPE not in headers:
            expect_json(headers, content)
"""
_TAIL = """\
        result = await open_(({arguments}), None, None, scope.get("inbound"))
        if result is None:
            nothing()
            start = empty
            content = b""
        else:{narrow}
            content = encode(result)
            start = {{
                "type": "http.response.start",
                "status": status,
                "headers": [JSON_TYPE, (b"content-length", b"%d" % len(content))],
            }}
    except CancelledError:
        await stopping().send_to(send)
        raise
    except Exception as error:  # contained: whatever a request raises becomes its answer
        await fail(error, send)
        return
    await send(start)
    await send({{"type": "http.response.body", "body": content}})
"""
_ARGUMENT = {
    "text": ["a{n} = captures[{index}]"],
    "path": ["a{n} = take{n}(captures[{index}])"],
    "query": ["a{n} = take{n}(query)"],
    "body": ["a{n} = take{n}(content)"],
    "struct": ["a{n} = take{n}(content)", "a{n}.__class__ = class{n}"],
}


# What makes a result no more than it is declared, where it could be.
_NARROW = {
    "": "",
    "class": """
            if result.__class__ is not declared:
                result = narrow(result)""",
    "whole": """
            result = narrow(result)""",
}


class _Source(Struct, frozen=True):
    """Where one argument comes from; `index` counts captures."""

    kind: str
    index: int = 0


class Shape(Struct, frozen=True):
    """Where the arguments come from, and how the result is narrowed: a key of `_NARROW`."""

    sources: tuple[_Source, ...]
    narrow: str = ""


Factory = Callable[[dict[str, object]], Handle]


def source_of(shape: Shape) -> str:
    """Write the coroutine of a shape."""
    kinds = {source.kind for source in shape.sources}
    text = _HEAD
    if "query" in kinds:
        text += _QUERY
    if kinds & {"body", "struct"}:
        text += _BODY
    arguments = "".join(f"a{n}, " for n in range(len(shape.sources)))
    if shape.sources:
        text += "        try:\n"
        for n, source in enumerate(shape.sources):
            for line in _ARGUMENT[source.kind]:
                text += f"            {line.format(n=n, index=source.index)}\n"
        text += "        except UNREADABLE as error:\n"
        text += f"            {arguments}= reread(captures, query, content, error)\n"
    return text + _TAIL.format(arguments=arguments, narrow=_NARROW[shape.narrow])


class Shapes:
    """Factories of coroutines, by shape."""

    def __init__(self, limits: Limits, redact: Callable[[str], str] = str) -> None:
        self._limits = limits
        self._redact = redact
        self._factories: dict[Shape, Factory] = {}
        self._encode = encoder()

    def route(
        self, endpoint: Endpoint, plan: Plan, status: int, max_body_bytes: int | None = None
    ) -> Handle:
        """Return the coroutine function that serves one route.

        Args:
            endpoint: What it opens.
            plan: Where the arguments come from.
            status: Of a successful answer.
            max_body_bytes: Of its body; None: as the limits say.
        """
        if max_body_bytes is None:
            max_body_bytes = self._limits.max_body_bytes
        parts: dict[str, object] = {
            "open_": endpoint.open,
            "status": status,
            "empty": _empty(status),
            "nothing": nothing_but(endpoint.declared.signature.result),
            "reread": _rereading(plan),
            "fail": _failing(endpoint, self._redact),
            "max_body_bytes": max_body_bytes,
        }
        made = narrowing(endpoint.declared.signature.result)
        narrow = ""
        if made is not None:
            narrow = "whole" if made.cls is None else "class"
            parts |= {"narrow": made.narrow, "declared": made.cls}
        sources: list[_Source] = []
        for n, argument in enumerate(plan.arguments):
            if not isinstance(argument, HotArgument):
                raise TypeError(f"{endpoint.operation}: {argument} is not read on the hot path")
            parts[f"take{n}"] = argument.take
            source = _Source("query")
            match argument:
                case FromPath(parameter=Parameter(annotation=hint)):
                    if hint is int:
                        parts[f"take{n}"] = _taking_int(argument.take)
                    source = _Source("text" if argument.is_text else "path", argument.index)
                case FromBody() if argument.is_struct:
                    source = _Source("struct")
                    parts[f"take{n}"] = argument.reader.decode
                    parts[f"class{n}"] = argument.reader.declared
                case FromBody():
                    source = _Source("body")
                case FromQuery() | FromWholeQuery():
                    pass
            sources.append(source)
        return self._factory(Shape(tuple(sources), narrow), tuple(parts))(parts)

    def _factory(self, shape: Shape, names: tuple[str, ...]) -> Factory:
        factory = self._factories.get(shape)
        if factory is None:
            factory = self._factories[shape] = self._compile(shape, names)
        return factory

    def _compile(self, shape: Shape, names: tuple[str, ...]) -> Factory:
        body = source_of(shape).replace("\n", "\n    ").rstrip()
        text = f"def factory({', '.join(names)}):\n    {body}\n    return route\n"
        namespace: dict[str, object] = {
            "CancelledError": CancelledError,
            "JSON_TYPE": JSON_TYPE,
            "NOTHING": {},
            "UNREADABLE": UNREADABLE,
            "encode": self._encode,
            "expect_json": expect_json,
            "max_query_params": self._limits.max_query_params,
            "parse": parse,
            "read_rest": read_rest,
            "refuse_long": refuse_long,
            "stopping": stopping,
            "too_long": too_long,
        }
        exec(compile(text, "<ringfence http route>", "exec"), namespace)  # noqa: S102 - own text
        factory = cast("Callable[..., Handle]", namespace["factory"])
        return lambda parts: factory(**parts)


def _taking_int(take: Callable[[str], object]) -> Callable[[str], object]:
    """Read what most integers in paths are without asking msgspec, which decides on all others."""

    def read(text: str) -> object:
        plain = len(text) < 16 and text.isascii() and text.isdigit() and text[0] != "0"
        return int(text) if plain else take(text)

    return read


def _empty(status: int) -> dict[str, object]:
    """The start of an answer without a value: 204, or the status that its route asks for."""
    if status in (200, 204):
        return {"type": "http.response.start", "status": 204, "headers": []}
    headers = [(b"content-length", b"0")]
    return {"type": "http.response.start", "status": status, "headers": headers}


def _rereading(
    plan: Plan,
) -> Callable[[tuple[str, ...], Query, bytes, BaseException], tuple[object, ...]]:
    def again(
        captures: tuple[str, ...], query: Query, content: bytes, error: BaseException
    ) -> tuple[object, ...]:
        return reread(plan.arguments, Parts(captures, query, content), error)

    return again


def _failing(
    endpoint: Endpoint, redact: Callable[[str], str]
) -> Callable[[Exception, Send], Awaitable[None]]:
    async def fail(error: Exception, send: Send) -> None:
        if not isinstance(error, Disconnected):
            await explained(error, endpoint, redact).send_to(send)

    return fail
