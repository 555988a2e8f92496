"""The paths that Ringfence itself answers: `/health/live`, `/health/ready`, `/openapi.json`, and
the pages below `/docs`, which are in `docs.py`.

Strangers read these, so they say which state the application is in and never why.
"""

from collections.abc import Callable
from urllib.parse import quote

from msgspec import json

from ringfence.kernel.ports import Health
from ringfence.tools.http.description import docs
from ringfence.tools.http.wire import JSON_TYPE, Answer, Handle, Receive, Scope, Send

LIVE = "/health/live"
READY = "/health/ready"
OPENAPI = "/openapi.json"
PATHS = (LIVE, READY, OPENAPI, *docs.PATHS)

_FRESH = (JSON_TYPE, (b"cache-control", b"no-store"))


def handles(health: Callable[[], Health], describe: Callable[[], bytes]) -> dict[str, Handle]:
    """Return what answers GET on each of the first three of `PATHS`.

    Args:
        health: The state of the whole application, now.
        describe: The OpenAPI document; called once, when it is first asked for.
    """
    described: list[bytes] = []

    def live() -> Answer:
        return _status(200, "live")

    def ready() -> Answer:
        state = health().state
        return _status(200 if state in ("ready", "degraded") else 503, state)

    async def openapi(
        scope: Scope, receive: Receive, send: Send, captures: tuple[str, ...]
    ) -> None:
        if not described:
            described.append(describe())
        document = below(scope.get("root_path", ""), described[0])
        await Answer(200, document, (JSON_TYPE,)).send_to(send)

    return {LIVE: answering(live), READY: answering(ready), OPENAPI: openapi}


def below(root: str, document: bytes) -> bytes:
    """Return an OpenAPI document as it is where the application is mounted at `root`."""
    if not root:
        return document
    told: dict[str, object] = json.decode(document)
    return json.encode({**told, "servers": [{"url": quote(root)}]}, order="sorted")


def answering(make: Callable[[], Answer]) -> Handle:
    """Return a handle that sends what `make` returns, whatever the request says."""

    async def handle(scope: Scope, receive: Receive, send: Send, captures: tuple[str, ...]) -> None:
        await make().send_to(send)

    return handle


def _status(status: int, state: str) -> Answer:
    return Answer(status, json.encode({"status": state}), _FRESH)
