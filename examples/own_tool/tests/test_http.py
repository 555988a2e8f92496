"""The driver `function` keeps the contract of HTTP."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec import Struct, convert

from acme_tools.http.function import Config, Driver
from ringfence.kernel.ports import ToolEnv
from ringfence.tools.http import Reply, SetCookie
from ringfence.tools.http.conformance import (
    Answered,
    HttpConformance,
    Ingress,
    Subject,
    endpoint,
    environment,
    serving,
)

pytestmark = pytest.mark.anyio


class Told(Struct, rename="camel"):
    """What the platform takes of an answer."""

    status_code: int
    headers: dict[str, str]
    cookies: list[str]
    body: str
    is_base64_encoded: bool


def event(
    method: str, target: str, headers: Mapping[str, str] | None = None, content: bytes = b""
) -> dict[str, object]:
    """Return a request as the platform describes it."""
    path, _, query = target.partition("?")
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "shop.example.com", "content-length": str(len(content))}
        | dict(headers or {}),
        "requestContext": {"http": {"method": method, "path": path, "sourceIp": "192.0.2.1"}},
        "body": b64encode(content).decode(),
        "isBase64Encoded": True,
    }


async def ask(
    driver: Ingress, method: str, target: str, headers: Mapping[str, str], content: bytes
) -> Answered:
    assert isinstance(driver, Driver)
    told = convert(await driver.answer(event(method, target, headers, content)), Told)
    assert told.is_base64_encoded
    return Answered(told.status_code, told.headers, b64decode(told.body))


def make(config: Mapping[str, object], env: ToolEnv) -> Driver:
    return Driver(convert(config, Config), env)


SUBJECT = Subject(make, ask)


class TestFunction(HttpConformance):
    """A request is an event, an answer what it returns."""

    @pytest.fixture
    def subject(self) -> Subject:
        return SUBJECT


async def _long() -> str:
    return "x" * 1000


async def _cookies() -> Reply[str]:
    return Reply("hello", cookies={"a": SetCookie("1"), "b": SetCookie("2")})


async def test_an_answer_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    """The platform would refuse it, and say nothing."""
    endpoints = [endpoint("GET", "/long", _long)]
    async with serving(SUBJECT, endpoints, max_answer_bytes=100) as site:
        answered = await site.get("/long")
    assert (answered.status, answered.problem()["code"]) == (500, "answer_too_large")


async def test_cookies_are_listed() -> None:
    """Both ways: the platform keeps them apart from the other headers."""
    async with serving(SUBJECT, [endpoint("GET", "/cookies", _cookies)]) as site:
        assert isinstance(site.driver, Driver)
        told = convert(await site.driver.answer(event("GET", "/cookies")), Told)
    assert [cookie.partition(";")[0] for cookie in told.cookies] == ["a=1", "b=2"]


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"rawPath": 7, "requestContext": {"http": {"method": "GET"}}},
        {**event("GET", "/orders/1"), "body": "not base64!"},
        {**event("GET", "/orders/1"), "body": "\ud800", "isBase64Encoded": False},
    ],
)
async def test_an_event_that_is_none_is_answered_400(broken: dict[str, object]) -> None:
    """Something else than a gateway has called the function."""
    async with serving(SUBJECT, env=environment()) as site:
        assert isinstance(site.driver, Driver)
        told = convert(await site.driver.answer(broken), Told)
    assert told.status_code == 400
    assert b'"malformed_event"' in b64decode(told.body)
