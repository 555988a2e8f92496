"""Which addresses a link may reach."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.tools.fetch.addresses import Allowed

PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
OWN = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fc00::1",
    "fdff::1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "64:ff9b::a00:1",
]
NEVER_BY_ITSELF = [
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "100.100.100.200",
    "::",
    "::127.0.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "2001::7f00:1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "3fff::1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "::ffff:0:127.0.0.1",
    "::ffff:169.254.169.254",
    "100::1",
    "5f00::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_routed_publicly_is_allowed(address: str) -> None:
    """Also inside an address that carries it."""
    assert Allowed(False, ()).permits(address)


@pytest.mark.parametrize("address", OWN)
def test_ones_own_networks_are_allowed_where_the_link_is_private(address: str) -> None:
    """And nowhere else."""
    assert not Allowed(False, ()).permits(address)
    assert Allowed(True, ()).permits(address)


@pytest.mark.parametrize("address", NEVER_BY_ITSELF)
def test_what_is_special_is_allowed_by_name_alone(address: str) -> None:
    """The machine's metadata is none of its private networks."""
    assert not Allowed(False, ()).permits(address)
    assert not Allowed(True, ()).permits(address)
    plain = address.partition("%")[0]
    assert Allowed(False, [plain]).permits(address)


def test_a_network_that_is_named_allows_itself_and_no_more() -> None:
    """Also where its addresses are carried by others."""
    allowed = Allowed(False, ["10.1.0.0/16"])
    assert allowed.permits("10.1.2.3")
    assert allowed.permits("::ffff:10.1.2.3")
    assert not allowed.permits("10.2.0.1")
    assert not allowed.permits("127.0.0.1")


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "2130706433", "0x7f000001", "1.1.1.01"])
def test_what_is_no_address_in_its_usual_form_is_not_allowed(text: str) -> None:
    """There is one form to check, and it is the one that is connected to."""
    assert not Allowed(True, ["0.0.0.0/0", "::/0"]).permits(text)


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_as_python_judges_it_or_more_strictly(address: IPv4Address) -> None:
    """Nothing that Python calls private or special is public here."""
    if Allowed(False, ()).permits(str(address)):
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_is_public_within_its_range_alone(address: IPv6Address) -> None:
    """Of all of IPv6 an eighth is routed, beside what carries IPv4."""
    if Allowed(False, ()).permits(str(address)):
        carried = address.ipv4_mapped or str(address).startswith("64:ff9b::")
        assert carried or 0x2000 <= int(address) >> 112 <= 0x3FFF
