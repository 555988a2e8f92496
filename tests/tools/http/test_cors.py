"""Answers for pages of other origins."""

import pytest

from ringfence.errors import StartRefused
from ringfence.testing.http import HttpClient
from ringfence.tools.http.beside.cors import allow
from ringfence.tools.http.limits import Cors
from ringfence.tools.http.wire import Answer, Receive, Scope, Send

pytestmark = pytest.mark.anyio

SHOP = "https://shop.example.com"


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    await Answer(200, b"{}").send_to(send)


def client(**cors: object) -> HttpClient:
    return HttpClient(allow(inner, Cors(**{"allow_origins": (SHOP,), **cors})))  # type: ignore[arg-type]


async def test_a_page_of_an_allowed_origin_may_read() -> None:
    """The answer names its origin, and what of it may be read."""
    answer = await client(expose_headers=("x-total",)).get("/", headers={"origin": SHOP})
    assert (answer.status, answer.body) == (200, b"{}")
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["access-control-expose-headers"] == "x-total"
    assert "access-control-allow-credentials" not in answer.headers
    assert "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize("origin", ["https://evil.example", f"{SHOP}.evil.example", "null", "*"])
async def test_a_page_of_another_origin_may_not(origin: str) -> None:
    """Its browser is not told anything."""
    answer = await client().get("/", headers={"origin": origin})
    assert "access-control-allow-origin" not in answer.headers


async def test_a_preflight_is_answered_without_the_application() -> None:
    """With methods, headers and how long they hold."""
    asked = {
        "origin": SHOP,
        "access-control-request-method": "PUT",
        "access-control-request-headers": "x-token",
    }
    allowed = client(allow_methods=("GET", "PUT"), allow_headers=("x-token",), max_age_s=7)
    answer = await allowed.request("OPTIONS", "/", headers=asked)
    assert answer.status == 200
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert "x-token" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-max-age"] == "7"
    assert (await client().request("OPTIONS", "/", headers=asked)).status == 400


async def test_any_origin_may_be_allowed() -> None:
    """For answers that are public anyway."""
    answer = await client(allow_origins=("*",)).get("/", headers={"origin": "https://a.example"})
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_cookies_come_from_named_origins() -> None:
    """Together with any origin they would let every page act as whoever is signed in."""
    answer = await client(allow_credentials=True).get("/", headers={"origin": SHOP})
    assert answer.headers["access-control-allow-credentials"] == "true"
    with pytest.raises(StartRefused, match=r"tools\.http\.cors\.allow_credentials"):
        client(allow_origins=(SHOP, "*"), allow_credentials=True)


@pytest.mark.parametrize("origin", ["shop.example.com", f"{SHOP}/", f"{SHOP}/path", "", "https://"])
def test_what_is_no_origin_refuses_the_start(origin: str) -> None:
    """It would never match anything."""
    with pytest.raises(StartRefused, match=r"tools\.http\.cors\.allow_origins"):
        client(allow_origins=(origin,))
