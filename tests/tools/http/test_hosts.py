"""Which hosts are served."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.tools.http.server.hosts import Allowed, served_by_default


@pytest.mark.parametrize(
    "host, permitted",
    [
        (b"example.com", True),
        (b"EXAMPLE.com:8443", True),
        (b"example.com.", True),
        (b"api.example.org", True),
        (b"a.b.example.org", True),
        (b"[2001:db8::1]:80", True),
        (b"example.org", False),
        (b"evilexample.org", False),
        (b"example.com.evil", False),
        (b"example.com@evil", False),
        (b"example.com/evil", False),
        (b"evil:example.com", False),
        (b"", False),
        (b"\xff", False),
    ],
)
def test_names_are_served_as_listed(host: bytes, permitted: bool) -> None:
    """Exactly, or below `*.`; neither port nor case matters."""
    allowed = Allowed(("Example.com", "*.example.org", "[2001:db8::1]"))
    assert [allowed.permits(host) for _ in range(2)] == [permitted] * 2


@pytest.mark.parametrize(
    "host, permitted",
    [
        (b"localhost:8000", True),
        (b"shop.localhost", True),
        (b"127.0.0.1", True),
        (b"127.8.9.1:80", True),
        (b"[::1]:8000", True),
        (b"192.168.0.1", False),
        (b"evil.example", False),
        (b"localhost.evil.example", False),
        (b"127.0.0.1.evil.example", False),
    ],
)
def test_on_loopback_only_its_own_names_are_served(host: bytes, permitted: bool) -> None:
    """A page whose name points here does not get in."""
    assert served_by_default(["127.0.0.1", "::1"]).permits(host) is permitted


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::"])
def test_elsewhere_every_name_is_served(address: str) -> None:
    """As long as it is one."""
    allowed = served_by_default([address])
    assert allowed.permits(b"anything.example")
    assert not allowed.permits(b"any thing")


@given(st.binary(max_size=300))
def test_a_host_is_judged_whatever_it_is(host: bytes) -> None:
    """Twice the same, and never with an error."""
    allowed = Allowed(("example.com",))
    assert allowed.permits(host) == allowed.permits(host)
