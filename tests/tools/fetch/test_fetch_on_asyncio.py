"""The driver `http` on the loop of the standard library, which Windows has."""

import pytest

from ringfence.tools.fetch.conformance import FetchConformance, Subject

from . import test_http_driver as on_uvloop
from .support import over_http

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": False}


class TestHttp(FetchConformance):
    """The network, against a server on loopback."""

    @pytest.fixture
    def subject(self) -> Subject:
        return Subject(over_http)


test_tls = on_uvloop.test_tls_is_verified_by_the_name
test_certificates = on_uvloop.test_a_certificate_that_does_not_fit_is_refused
test_kept = on_uvloop.test_a_connection_is_kept_for_the_next_request
test_idle = on_uvloop.test_an_answer_that_comes_to_an_idle_connection_ends_it
test_early = on_uvloop.test_an_answer_before_the_end_of_the_request_is_taken
