"""Both HTTP drivers keep the contract."""

import asyncio
import http.client
from collections.abc import Mapping

import pytest
from msgspec import convert

from ringfence.kernel.ports import ToolEnv
from ringfence.testing.http import HttpClient
from ringfence.tools.http.conformance import Answered, HttpConformance, Ingress, Subject
from ringfence.tools.http.drivers import memory, uvicorn


async def ask_memory(
    driver: Ingress, method: str, target: str, headers: Mapping[str, str], content: bytes
) -> Answered:
    assert isinstance(driver, memory.Driver)
    response = await HttpClient(driver).request(method, target, headers=headers, content=content)
    return Answered(response.status, response.headers, response.body)


async def ask_socket(
    driver: Ingress, method: str, target: str, headers: Mapping[str, str], content: bytes
) -> Answered:
    assert isinstance(driver, uvicorn.Driver)
    address = driver.addresses[0].removeprefix("http://")

    def ask() -> Answered:
        connection = http.client.HTTPConnection(address, timeout=10)
        try:
            connection.request(method, target, body=content or None, headers=dict(headers))
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Answered(response.status, received, response.read())
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


def make_memory(config: Mapping[str, object], env: ToolEnv) -> Ingress:
    return memory.Driver(convert(config, memory.Config), env)


def make_uvicorn(config: Mapping[str, object], env: ToolEnv) -> Ingress:
    return uvicorn.Driver(convert({"port": 0, **config}, uvicorn.Config), env)


@pytest.mark.anyio
class TestMemory(HttpConformance):
    """In the process."""

    @pytest.fixture
    def subject(self) -> Subject:
        return Subject(make_memory, ask_memory)


@pytest.mark.anyio
class TestUvicorn(HttpConformance):
    """Over loopback."""

    @pytest.fixture
    def subject(self) -> Subject:
        return Subject(make_uvicorn, ask_socket)
