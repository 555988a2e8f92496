"""What is believed of a request beyond its own bytes: who sent it first, and which trace it is of.

`Proxies` knows whose word counts; `traced` reads `traceparent`. Invariant: a stranger's headers
change neither address nor scheme nor trace; at most its trace is linked.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from ringfence.errors import StartRefused
from ringfence.kernel.ports import Inbound

_SCHEMES = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}
# Version 00 has these four fields; later ones may have more. Source: W3C Trace Context, 3.2.
_TRACEPARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?"
)


class Proxies:
    """The peers whose `X-Forwarded-*` and `traceparent` are believed.

    Args:
        trusted: Addresses, or networks as `10.0.0.0/8`.

    Raises:
        StartRefused: One of them is neither.
    """

    def __init__(self, trusted: Sequence[str]) -> None:
        try:
            self._networks = tuple(ip_network(each, strict=False) for each in trusted)
        except ValueError as error:
            raise StartRefused(
                f"http: trusted_proxies: {error}. Give addresses or networks, as 10.0.0.0/8."
            ) from None

    def trusts(self, address: str) -> bool:
        """Say whether that peer's word counts."""
        if not self._networks:
            return False
        parsed = _address(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def client(self, forwarded: bytes) -> str | None:
        """Return who sent the request first, as far as trusted peers say.

        Args:
            forwarded: All of `X-Forwarded-For`, from a trusted peer; each proxy adds to its right.

        Returns:
            The rightmost address that is no trusted proxy, the leftmost where all are, and None
            where an entry that counts is no address.
        """
        found: str | None = None
        for entry in reversed(forwarded.split(b",")):
            parsed = _address(entry.decode("latin-1"))
            if parsed is None:
                return found
            found = str(parsed)
            if not any(parsed in network for network in self._networks):
                return found
        return found


def scheme(forwarded: bytes) -> str | None:
    """Return `http` or `https` from `X-Forwarded-Proto`; its last entry is the peer's own."""
    return _SCHEMES.get(forwarded.rpartition(b",")[2].strip().lower())


def traced(traceparent: bytes, trusted: bool) -> Inbound | None:
    """Return what a `traceparent` means here, None where it is malformed.

    Args:
        traceparent: The header's value.
        trusted: Whether it came from a trusted peer, whose trace goes on.
    """
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None or (found[1] == b"00" and found[4]):
        return None
    trace, span = found[2].decode(), found[3].decode()
    return Inbound(link=f"{trace}-{span}", trace=int(trace, 16) if trusted else None)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed
