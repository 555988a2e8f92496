"""Which addresses a link may reach.

Only what is routed publicly is allowed by itself. `private` adds the networks of one's own,
`allow` whatever it names. An address that carries another one (mapped, NAT64) is judged by the
one inside; the tunnels of old (6to4, Teredo) are never public.
Source: the special-purpose registries of IANA (RFC 6890), and the metadata services of the large
clouds.
"""

from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


# Not `is_global`: its answers differ between versions of Python.
_SPECIAL_V4 = _networks(
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",  # the platform's own services on Azure, at a public address
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
)
_ROUTED_V6 = ip_network("2000::/3")
_SPECIAL_V6 = _networks("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
_PRIVATE = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
)
# Inside private networks, and what a stranger wants most: the credentials of the machine.
_METADATA = _networks("100.100.100.200/32", "fd00:ec2::/32", "fd20:ce::/32")
_CARRIERS = _networks("::ffff:0:0/96", "64:ff9b::/96")


class Allowed:
    """What one link may reach.

    Args:
        private: Whether loopback and private networks are allowed.
        allow: Further networks.
    """

    def __init__(self, private: bool, allow: Sequence[str]) -> None:
        self._private = private
        self._allow = tuple(ip_network(text, strict=False) for text in allow)

    def permits(self, text: str) -> bool:
        """Whether the address may be reached; what is no address may not."""
        try:
            address: Address = ip_address(text.partition("%")[0])
        except ValueError:
            return False
        inner = _carried(address)
        if _within(address, self._allow) or _within(inner, self._allow):
            return True
        if _is_public(inner):
            return True
        return self._private and _within(inner, _PRIVATE) and not _within(inner, _METADATA)


def _carried(address: Address) -> Address:
    if isinstance(address, IPv6Address) and _within(address, _CARRIERS):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not _within(address, _SPECIAL_V4)
    return address in _ROUTED_V6 and not _within(address, _SPECIAL_V6)


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
