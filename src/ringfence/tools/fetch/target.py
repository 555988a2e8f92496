"""From the path that a feature gives to the place that a request goes to.

`Targets` knows a link's base and the other origins that it may reach. Invariant: a path ends below
the base, whatever it is made of; what could be read in two ways is refused, not repaired.
"""

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote, unquote, urljoin

from msgspec import Struct

from ringfence.tools.fetch.contract import RefusedTarget

ANY_HTTPS = "https://*"
PORTS = {"http": 80, "https": 443}

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?",
    re.ASCII,
)
_AUTHORITY = re.compile(r"[a-z]+://[^/?#\\]*", re.ASCII | re.IGNORECASE)
_NUMERIC = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)
_VISIBLE = re.compile(r"[!-~]*", re.ASCII)
# RFC 3986: what a segment may hold as it is. "/" separates the segments of a `path`.
_SAFE = "-._~!$&'()*+,;=:@"


class Origin(Struct, frozen=True):
    """A scheme, a host in lower case without brackets, and a port."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """What `Host` says: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


class Target(Struct, frozen=True):
    """Where a request goes.

    Args:
        origin: Whom to connect to.
        path: With the base's, percent-encoded.
        query: Of an absolute URL; without its `?`.
        own: Whether it is a path below the base, which alone gets the link's credential.
        shown: How errors name it: without the base, and without a query.
    """

    origin: Origin
    path: str
    query: str
    own: bool
    shown: str


class Targets:
    """What a link can reach.

    Args:
        base_url: Where it leads; empty for one that takes absolute URLs alone.
        absolute: Origins of absolute URLs; `https://*` is any of that scheme.

    Raises:
        ValueError: They are no such things.
    """

    def __init__(self, base_url: str, absolute: Sequence[str]) -> None:
        if not base_url and not absolute:
            raise ValueError('it has no base_url; expected `base_url = "https://…"`, got nothing.')
        self.base: Origin | None = None
        self._prefix = "/"
        if base_url:
            self.base, path, query = _parsed(base_url, "base_url")
            if query or not _is_plain(path):
                raise ValueError(
                    "base_url has a query, or a path with dots, escapes or `//` in it."
                )
            self._prefix = path if path.endswith("/") else f"{path}/"
        self._any = ANY_HTTPS in absolute
        self._others = {_origin(text) for text in absolute if text != ANY_HTTPS}

    def of(self, path: str, names: Sequence[str]) -> Target:
        """Return where `path` and the `names` after it lead.

        Raises:
            RefusedTarget: Out of the link.
        """
        given: tuple[object, ...] = (path, *names)
        for text in given:
            if not isinstance(text, str):
                got = type(text).__name__
                what = "a path" if text is path else "a segment"
                raise _refused(f"{what} is text; got {got}. Write str(…) around it.", f"{text!r}")
        if _AUTHORITY.match(path):
            return self._elsewhere(path, names)
        if self.base is None:
            raise _refused("it has no base_url and takes absolute URLs; got a path.", path)
        if path.startswith(("/", "\\")):
            raise _refused(
                "a path is relative to the link's base_url; got one that begins anew.", path
            )
        if path and not _is_plain(f"/{path}", encoded=False):
            raise _refused(
                "a path is plain segments between slashes; got what could leave the base.", path
            )
        glue = "/" if names and path and not path.endswith("/") else ""
        after = "/".join(quote(_named(name), safe=_SAFE) for name in names)
        rest = quote(path, safe=_SAFE + "/") + glue + after
        return Target(self.base, self._prefix + rest, "", True, rest)

    def redirected(self, at: Target, location: str) -> Target:
        """Return where a redirect leads.

        Raises:
            RefusedTarget: Out of the link.
        """
        try:
            url = urljoin(f"{at.origin}{at.path}", location).partition("#")[0]
        except ValueError:
            raise _refused("the answer redirects to what is no URL.", "redirect") from None
        origin, path, query = _split(url)
        below = path.startswith(self._prefix) and _is_plain(path)
        if at.own and origin == self.base and below:
            return Target(origin, path, query, True, path.removeprefix(self._prefix))
        # A stranger's answer must not lead to where the credential is sent.
        if not at.own and self._may_reach(origin):
            return Target(origin, path, query, False, f"{origin}/…")
        raise _refused("the answer redirects out of the link.", str(origin))

    def _elsewhere(self, url: str, names: Sequence[str]) -> Target:
        if names:
            raise _refused(
                "an absolute URL is taken as it is; got segments to add.", "absolute URL"
            )
        origin, path, query = _split(url)
        if not self._may_reach(origin):
            said = "it is an absolute URL; expected a path, or an origin that `absolute` names."
            hint = f'If it is meant, add `absolute = ["{origin}"]` to the table of the link.'
            raise RefusedTarget(said, subject=str(origin), hint=hint)
        return Target(origin, path, query, False, f"{origin}/…")

    def _may_reach(self, origin: Origin) -> bool:
        return origin in self._others or (self._any and origin.scheme == "https")


def _origin(text: str) -> Origin:
    origin, path, query = _parsed(text, "absolute")
    if path != "/" or query:
        raise ValueError('absolute takes origins: expected "https://host" or "https://host:port".')
    return origin


def _parsed(url: str, key: str) -> tuple[Origin, str, str]:
    try:
        return _split(url)
    except RefusedTarget as error:
        said = f"{key} is no URL: {error.message}"
        raise ValueError(
            f'{said} Expected "https://host/path/", without user, password or `#`.'
        ) from None


def _split(url: str) -> tuple[Origin, str, str]:
    """Take a URL apart; what is sent is put together from the parts, so nothing is read twice."""
    authority = _AUTHORITY.match(url)
    end = authority.end() if authority else 0
    match = _URL.fullmatch(url[:end].lower() + url[end:])
    if match is None or not _VISIBLE.fullmatch(url) or "\\" in url:
        raise _refused("it is no plain http or https URL.", "absolute URL")
    host = match["host"].removesuffix(".")
    port = int(match["port"] or PORTS[match["scheme"]])
    if not _is_host(host) or not 0 < port < 65536:
        raise _refused("its host or port is written in no ordinary way.", "absolute URL")
    origin = Origin(match["scheme"], host.strip("[]"), port)
    return origin, match["path"] or "/", (match["query"] or "?")[1:]


def _is_host(host: str) -> bool:
    """Whether it is a name, or an address in its usual form: no decimal, octal or short one."""
    try:
        if host.startswith("["):
            IPv6Address(host[1:-1])
        elif _NUMERIC.fullmatch(host.rpartition(".")[2]):
            IPv4Address(host)
    except AddressValueError:
        return False
    return all(0 < len(label) < 64 for label in host.split(".")) or host.startswith("[")


def _is_plain(path: str, *, encoded: bool = True) -> bool:
    """Whether a path means the same to everybody: no dots, no doubled or other slashes."""
    if "//" in path or "\\" in path or (not encoded and re.search(r"[%?#]", path)):
        return False
    once = [unquote(part) for part in path.split("/")]
    return all(_is_segment(part) and _is_segment(unquote(part)) for part in once)


def _is_segment(text: str) -> bool:
    return text not in (".", "..") and not re.search(r"[/\\\x00-\x1f\x7f\ud800-\udfff]", text)


def _named(name: str) -> str:
    if not name or not all(map(_is_segment, (name, unquote(name), unquote(unquote(name))))):
        raise _refused(
            "a segment is one name; got what is empty, dots, or has a slash in it.", name
        )
    return name


def _refused(said: str, subject: object) -> RefusedTarget:
    return RefusedTarget(said, subject=f"{subject!r:.80}")
