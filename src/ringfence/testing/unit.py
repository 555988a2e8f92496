"""What a unit test gives to a handler that it calls itself, without an application.

`context()` stands for the `ctx: Context` that the kernel would pass. It has ids, no deadline and
no limits, and reaches no service: a feature's services are its fields, where a test has its fakes.
"""

import math
from collections.abc import Awaitable, Coroutine, Mapping
from typing import TypeVar

from ringfence.errors import RingfenceError
from ringfence.kernel.context import (
    Budget,
    Context,
    Origin,
    Principal,
    next_root,
    next_span,
    next_trace,
)
from ringfence.kernel.limits import UNLIMITED, purse_for

T = TypeVar("T")


def context(*, principal: Principal | None = None) -> Context:
    """Return a root context of its own trace.

    Args:
        principal: Who asks; its tenant is the context's.
    """
    tenant = principal.tenant if principal else None
    origin = Origin(_NoApplication(), next_trace(), principal, tenant)
    span, root, purse = next_span(), next_root(), purse_for(Budget())
    return Context(None, origin, span, "test", "test", math.inf, purse, UNLIMITED, root, 0.0)


class _NoApplication:
    """In the place of the kernel, which a unit test does without."""

    def call(self, ctx: Context, name: str, payload: Mapping[str, object]) -> Awaitable[object]:
        raise _needs_application(f"ctx.call({name!r})")

    def call_into(
        self, ctx: Context, name: str, payload: Mapping[str, object], into: type[T]
    ) -> Awaitable[T]:
        raise _needs_application(f"ctx.call({name!r})")

    def spawn(
        self, ctx: Context, work: Coroutine[object, None, None], wall_s: float | None
    ) -> None:
        work.close()
        raise _needs_application("ctx.spawn")


def _needs_application(subject: str) -> RingfenceError:
    return RingfenceError(
        "a unit test has no application behind its context; expected a booted one, got none.",
        subject=subject,
        hint="Use `async with ringfence.testing.boot(path) as app`.",
    )
