"""Sockets to listen on, taken before anything is served, so that a port in use stops the start.

`bind` takes an address, `address_of` shows one, `most_connections` says how many connections the
system allows. Used by drivers that have a port.
"""

import asyncio
import errno
import socket

from ringfence.errors import StartRefused

# Beyond this, one process would serve its connections too slowly to keep them.
MOST_CONNECTIONS = 10_000
# Descriptors kept for files, databases and what is accepted only to be refused: an eighth.
_RESERVED_SHARE = 8
_RESERVED = 64

_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_CHOOSE = "Stop what uses it, or choose another port: --port, or port in [tools.http]."


async def bind(host: str, port: int) -> list[socket.socket]:
    """Return bound sockets, one for each address that `host` stands for.

    Args:
        host: A name or an address.
        port: 0 for one that is free, the same on each address.

    Raises:
        StartRefused: The port is in use or may not be used, or the host is no address of here.
    """
    taken: list[socket.socket] = []
    failure: OSError | None = None
    try:
        for family, address in await _addresses(host, port):
            port = taken[0].getsockname()[1] if taken else port
            try:
                taken.append(_bind(family, (address[0], port, *address[2:])))
            except OSError as error:
                failure = error
                if error.errno not in _NOT_HERE:  # a name may stand for a family we lack
                    raise
        if not taken:
            raise failure or OSError(errno.EADDRNOTAVAIL, "no such address")
    except OSError as error:
        for other in taken:
            other.close()
        raise refused(host, port, error) from None
    return taken


async def _addresses(host: str, port: int) -> list[tuple[int, tuple[str | int | bytes, ...]]]:
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return list({address: (int(family), address) for family, *_, address in found}.values())


def _bind(family: int, address: tuple[str | int | bytes, ...]) -> socket.socket:
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        taken.setblocking(False)
        # On Windows the usual option would let another process take the very same port.
        exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
        taken.setsockopt(socket.SOL_SOCKET, exclusive, 1)
        if family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(address)
    except OSError:
        taken.close()
        raise
    return taken


def refused(host: str, port: int, error: OSError) -> StartRefused:
    """Return the one line that says why nothing can be listened on."""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return StartRefused(f"http: {place} is in use by another process. {_CHOOSE}")
    if error.errno == errno.EACCES:
        return StartRefused(f"http: {place} may not be used by this user. {_CHOOSE}")
    if isinstance(error, socket.gaierror) or error.errno in _NOT_HERE:
        return StartRefused(
            f"http: {host} is no address of this machine. Set host in [tools.http],"
            " 127.0.0.1 for this machine alone or 0.0.0.0 for all its addresses."
        )
    return StartRefused(f"http: cannot listen on {place}: {error.strerror}. {_CHOOSE}")


def address_of(taken: socket.socket) -> str:
    """Return the URL under which a socket is reached: `http://127.0.0.1:8000`."""
    host, port = taken.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def most_connections() -> int:
    """Return how many connections may be open, by the limit of open files where there is one."""
    try:
        import resource  # Windows has neither the module nor such a limit
    except ImportError:
        return MOST_CONNECTIONS
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    left = limit - max(_RESERVED, limit // _RESERVED_SHARE)
    return max(1, min(MOST_CONNECTIONS, left))
