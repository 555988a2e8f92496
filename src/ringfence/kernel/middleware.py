"""The chain around a handler, composed once when its plugin is bound.

From the inside out: the method; the request values that it asks for (`ctx`, `user`, `tx`); the
worker thread of a `def`. The fixed outermost layer, the gate, is `call.py`'s. A handler that asks
for nothing runs with nothing around it.
"""

import inspect
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import cast

from ringfence.errors import KernelBug, Unauthenticated
from ringfence.kernel.context import Context, Principal, current
from ringfence.kernel.delivery import Delivery
from ringfence.kernel.manifest import Offer, RequestValue
from ringfence.kernel.proxy import for_thread
from ringfence.kernel.registry import Handler
from ringfence.kernel.threads import Enter, Run

Scope = Callable[[], AbstractAsyncContextManager[object]]
Mark = Callable[[], Coroutine[object, None, None]]


def compose(
    offer: Offer,
    instance: object,
    scopes: Mapping[str, Scope],
    run: Run | None,
    enter: Enter,
    mark: Mark | None = None,
) -> Handler:
    """Return the handler of one operation: called with its arguments in order, awaited.

    Args:
        offer: The method, and what it asks for.
        instance: The plugin.
        scopes: For each parameter that a tool fills in, what yields its value.
        run: How a `def` runs on its plugin's threads; None for an `async def`, which needs none.
        enter: How a scope, and what is awaited, is entered there.
        mark: Writes down, inside its transaction, that a delivery is done.
    """
    method: Callable[..., object] = _positional(offer, getattr(instance, offer.method))
    simple = [v for v in offer.request_values if v.parameter not in scopes]
    if run is not None:
        return _threaded(method, simple, scopes, run, enter, mark)
    handler = cast(Handler, method)
    if simple:
        handler = _with_values(handler, simple)
    for name, scope in scopes.items():
        handler = _inside(handler, name, scope, mark)
        mark = None  # it is written by the innermost alone
    return handler


def _positional(offer: Offer, method: Callable[..., object]) -> Callable[..., object]:
    """Let parameters be passed in order that are keyword-only, or that follow a request value."""
    code = getattr(offer.function, "__code__", None)
    names = tuple(p.name for p in offer.signature.parameters)
    if code is not None and code.co_varnames[1 : code.co_argcount][: len(names)] == names:
        return method
    kinds = inspect.signature(method).parameters
    in_order = [n == t for n, t in zip(names, kinds, strict=False)]
    by_keyword = inspect.Parameter.KEYWORD_ONLY
    first = next(
        (i for i, n in enumerate(names) if not in_order[i] or kinds[n].kind is by_keyword),
        len(names),
    )
    named = names[first:]

    def call(*args: object, **values: object) -> object:
        return method(*args[:first], **dict(zip(named, args[first:], strict=True)), **values)

    return call


def _principal(ctx: Context) -> Principal:
    if ctx.principal is None:
        raise Unauthenticated("nobody is signed in; expected a principal.", subject=ctx.operation)
    return ctx.principal


def _delivery(ctx: Context) -> Delivery:
    journey = ctx.origin.journey
    if journey is None:
        raise KernelBug("a handler of deliveries ran for none")
    taken, it = journey.taken, journey.taken.envelope
    # A suspect's attempt was counted before it began.
    attempt = taken.attempts + (not taken.suspect)
    return Delivery(
        it.id,
        it.topic,
        it.version,
        it.key,
        it.payload,
        it.published_at,
        attempt,
        it.plugin,
        it.principal,
    )


# What the kernel itself fills in; the rest is yielded by tools.
FILLED: Mapping[type, Callable[[Context], object]] = {
    Context: lambda ctx: ctx,
    Principal: _principal,
    Delivery: _delivery,
}


def _values(wanted: list[RequestValue]) -> dict[str, object]:
    ctx = current.get()
    if ctx is None:
        raise KernelBug("a handler ran outside any context")
    return {value.parameter: FILLED[value.type](ctx) for value in wanted}


def _with_values(method: Handler, wanted: list[RequestValue]) -> Handler:
    def call(*args: object, **scoped: object) -> Coroutine[object, None, object]:
        return method(*args, **_values(wanted), **scoped)

    return call


def _inside(method: Handler, name: str, scope: Scope, mark: Mark | None) -> Handler:
    async def call(*args: object, **scoped: object) -> object:
        async with scope() as value:
            answer = await method(*args, **scoped, **{name: value})
            if mark is not None:
                await mark()
            return answer

    return call


def _threaded(
    method: Callable[..., object],
    simple: list[RequestValue],
    scopes: Mapping[str, Scope],
    run: Run,
    enter: Enter,
    mark: Mark | None,
) -> Handler:
    if not simple and not scopes:

        def call(*args: object) -> Coroutine[object, None, object]:
            return run(method, args)

        return call

    def work(args: tuple[object, ...], values: dict[str, object]) -> object:
        with ExitStack() as entered:
            for name, scope in scopes.items():
                values[name] = for_thread(entered.enter_context(enter(scope())), enter)
            answer = method(*args, **values)
            if mark is not None:
                enter(mark())
            return answer

    async def call_with_values(*args: object) -> object:
        return await run(work, (args, _values(simple)))

    return call_with_values
