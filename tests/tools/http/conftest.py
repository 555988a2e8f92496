"""Serving plain coroutine functions in memory."""

from collections.abc import Callable, Sequence

import pytest
from msgspec import convert

from ringfence.kernel.ports import Endpoint
from ringfence.testing.http import HttpClient
from ringfence.tools.http.asgi import App
from ringfence.tools.http.conformance import environment
from ringfence.tools.http.limits import Common

Serve = Callable[..., HttpClient]


@pytest.fixture
def serve() -> Serve:
    """Return a function that serves endpoints and returns a client: `serve(endpoint(...))`."""

    def build(*endpoints: Endpoint, **limits: int) -> HttpClient:
        app = App(convert(limits, Common), environment())
        bound: Sequence[Endpoint] = endpoints
        app.bind(bound, ())
        return HttpClient(app)

    return build
