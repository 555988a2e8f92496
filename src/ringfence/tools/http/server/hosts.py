"""Which values of the header Host are served: the guard against DNS rebinding and spoofed hosts.

`Allowed(names).permits(host)`; `served_by_default(address)` is what holds where no names are
configured. Invariant: what is remembered of hosts seen is bounded. Called by drivers and `App`.
"""

import re
from collections.abc import Sequence
from ipaddress import ip_address

from ringfence.tools.http.problem import Refused

# Hosts remembered with their verdict; more than an application has, few enough to forget at once.
_REMEMBERED = 1024
_LONGEST = 255  # of a name in DNS
_HOST = re.compile(rb"(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]*)(?::[0-9]{0,5})?")
_LOOPBACK = ("localhost", "*.localhost")
ANY = "*"


class Allowed:
    """The hosts that are served.

    Args:
        names: `example.com`, an address, `*.example.com` for all names below it, or `*` for any.
        loopback: Whether literal addresses of this machine itself are served as well.
    """

    def __init__(self, names: Sequence[str], *, loopback: bool = False) -> None:
        lowered = [name.lower().rstrip(".") for name in names]
        self._any = ANY in lowered
        self._exact = frozenset(name.strip("[]") for name in lowered if not name.startswith("*"))
        self._below = tuple(name[1:] for name in lowered if name.startswith("*."))
        self._loopback = loopback
        self._seen: dict[bytes, bool] = {}

    def permits(self, host: bytes) -> bool:
        """Say whether a request with that Host is served; a port in it does not matter."""
        verdict = self._seen.get(host)
        if verdict is None:
            verdict = self._judge(host)
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            if len(host) <= _LONGEST:
                self._seen[host] = verdict
        return verdict

    def _judge(self, host: bytes) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].decode().lower().strip("[]").rstrip(".")
        if self._any or name in self._exact or name.endswith(self._below):
            return True
        return self._loopback and is_loopback(name)


def misdirected(host: bytes) -> Refused:
    """Return the refusal of a Host that is not served."""
    if _HOST.fullmatch(host) is None:
        said = "expected a name or an address in the header Host"
        return Refused(400, "malformed", said)
    return Refused(421, "host_not_served", "add the host to allowed_hosts in [tools.http]")


def is_loopback(address: str) -> bool:
    """Say whether that is an address by which a machine reaches itself."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def served_by_default(addresses: Sequence[str]) -> Allowed:
    """Return what is served where nothing is configured.

    A page in a browser may let its own name point to 127.0.0.1 and so reach what listens there;
    whoever is bound to loopback alone is therefore served under the names of loopback alone.

    Args:
        addresses: Those that are listened on.
    """
    if addresses and all(map(is_loopback, addresses)):
        return Allowed(_LOOPBACK, loopback=True)
    return Allowed((ANY,))
