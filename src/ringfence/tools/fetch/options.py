"""The keys of a link's table, the same for every driver."""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from ringfence.settings import Seconds, Secret
from ringfence.tools.fetch.addresses import Allowed
from ringfence.tools.fetch.messages import NAME, SET_BY_THE_TOOL, VALUE
from ringfence.tools.fetch.target import ANY_HTTPS, Origin, Targets

Count = Annotated[int, Meta(ge=1)]
_LOCAL = re.compile(r"(?:.*\.)?localhost", re.ASCII)
_ADDRESS = re.compile(r"[0-9.]+|.*:.*", re.ASCII)


class Basic(Struct, frozen=True):
    """A user and a password, for `Authorization: Basic`."""

    user: str
    password: Secret


class Config(Struct, frozen=True, kw_only=True):
    """The keys of `[tools.<link>]` with `tool = "fetch"`.

    Args:
        base_url: Where the link leads: `https://host/path/`. A link with none takes absolute URLs.
        token: Sent as `Authorization: Bearer …`.
        basic: Sent as `Authorization: Basic …`: `{user = "…", password = "…"}`.
        headers: Sent with each request; treated as secrets.
        timeout: For one attempt, from waiting for a connection to the end of the body.
        connect_timeout: Of it, for the name, the connection and TLS.
        read_timeout: Of it, for the next piece to be taken or to come.
        pool_timeout: Of it, for one of `connections` to be free.
        retries: After the first attempt, where repeating is harmless.
        redirects: To follow, on GET and HEAD, within the link; any other is an error.
        connections: In use at a time.
        keepalive: How long one without a request is kept. Below the 5 s after which servers on
            Node.js close theirs, so that a request seldom meets a connection that is closing.
        max_bytes: Of an answer's body, decompressed, unless it is streamed.
        max_header_bytes: Of an answer's headers together.
        private: Whether it may reach this machine and private networks.
        allow: Further networks that it may reach: `["169.254.10.0/24"]`.
        absolute: Origins that a feature may name by an absolute URL; `"https://*"` is all of them.
        trace: Whether `traceparent` is sent; by default where `private` is set, since it tells
            a stranger how much is going on.
        ca_file: Certificates to trust in the place of the system's.
    """

    base_url: str = ""
    token: Secret | None = None
    basic: Basic | None = None
    headers: dict[str, Secret] = {}
    timeout: Seconds = Seconds(10)
    connect_timeout: Seconds = Seconds(3)
    read_timeout: Seconds = Seconds(5)
    pool_timeout: Seconds = Seconds(2)
    retries: Annotated[int, Meta(ge=0, le=10)] = 2
    redirects: Annotated[int, Meta(ge=0, le=10)] = 0
    connections: Count = 20
    keepalive: Seconds = Seconds(4)
    max_bytes: Count = 10 << 20
    max_header_bytes: Annotated[int, Meta(ge=1024)] = 64 << 10
    private: bool = False
    allow: list[str] = []
    absolute: list[str] = []
    trace: bool | None = None
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        targets = Targets(self.base_url, self.absolute)
        if self.token is not None and self.basic is not None:
            raise ValueError("it has a token and a basic; expected one of them.")
        _check_headers(self)
        for text in self.allow:
            _check_network(text)
        if self.private and ANY_HTTPS in self.absolute:
            raise ValueError(
                f'it takes any URL by "{ANY_HTTPS}", and with `private` would take whoever chooses '
                "one into this network; expected one of them. Use a second link for the other."
            )
        if targets.base is not None:
            _check_base(self, targets.base)

    @property
    def sends_credentials(self) -> bool:
        """Whether anything of it must not be read on the way."""
        return self.token is not None or self.basic is not None or bool(self.headers)

    @property
    def sends_trace(self) -> bool:
        """Whether its requests carry the ids of their trace."""
        return self.private if self.trace is None else self.trace


def _check_headers(config: Config) -> None:
    for name, value in config.headers.items():
        if not NAME.fullmatch(name) or name.lower() in SET_BY_THE_TOOL:
            raise ValueError(f"headers has a name that cannot be sent: {name!r:.80}.")
        _check_value(value.reveal(), f"headers.{name}")
    if config.token is not None:
        _check_value(config.token.reveal(), "token")
    if config.basic is not None and ":" in config.basic.user:
        raise ValueError("basic.user has a colon in it, which no server could tell from its end.")


def _check_value(value: str, key: str) -> None:
    if not value or not VALUE.fullmatch(value) or value != value.strip():
        raise ValueError(f"{key} is empty or holds what no header can, such as the end of a line.")


def _check_network(text: str) -> None:
    try:
        ip_network(text, strict=False)
    except ValueError:
        said = 'allow takes networks; expected "10.0.0.0/8", or `private = true` for a name'
        raise ValueError(f"{said}, got {text!r:.80}.") from None


def _check_base(config: Config, base: Origin) -> None:
    local = bool(_LOCAL.fullmatch(base.host))
    literal = bool(_ADDRESS.fullmatch(base.host))
    allowed = Allowed(config.private, config.allow)
    if (local and not (config.private or config.allow)) or (
        literal and not allowed.permits(base.host)
    ):
        more = " or an `allow` that names it" if config.private else ""
        raise ValueError(
            "base_url leads to this machine or to an address that is not public; expected a "
            f"public host, or `private = true`{more}. If it is meant, add that to the table."
        )
    if base.scheme == "http" and config.sends_credentials and not config.private:
        raise ValueError(
            "its credential would cross the network unencrypted; expected https:// in base_url, "
            "got http://. Where that network is your own, add `private = true`."
        )
