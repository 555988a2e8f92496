"""Both drivers of `fetch` keep its contract."""

import pytest

from ringfence.tools.fetch.conformance import FetchConformance, Subject

from .support import in_memory, over_http

pytestmark = pytest.mark.anyio


class TestHttp(FetchConformance):
    """The network, against a server on loopback."""

    @pytest.fixture
    def subject(self) -> Subject:
        return Subject(over_http)


class TestMemory(FetchConformance):
    """The answers that a test declares."""

    @pytest.fixture
    def subject(self) -> Subject:
        return Subject(in_memory)
