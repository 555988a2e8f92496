"""The keys of `[tools.http]` that every driver has: limits on requests, and what is served beside
routes. A driver derives its `Config` from `Common` and adds the keys of its own transport.
"""

from typing import Annotated

from msgspec import Meta, Struct

Size = Annotated[int, Meta(ge=0)]


class Limits(Struct, frozen=True):
    """What a request may be, at most.

    Args:
        max_body_bytes: Of a body; a route may say otherwise.
        max_target_bytes: Of path and query together.
        max_query_params: Parameters in a query, cookies, or fields of a form.
        max_message_bytes: Of one WebSocket message.
    """

    max_body_bytes: Size = 1 << 20
    max_target_bytes: Annotated[int, Meta(ge=1)] = 8 << 10
    max_query_params: Size = 100
    max_message_bytes: Annotated[int, Meta(ge=1)] = 1 << 20


class Cors(Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[tools.http.cors]`: which pages of other origins may read answers.

    Args:
        allow_origins: `https://shop.example.com`, or `*` for any.
        allow_methods: Beside those that need no permission.
        allow_headers: Of requests, beside those that need no permission.
        expose_headers: Of answers, that the page may read.
        allow_credentials: Whether cookies are sent; not together with origin `*`.
        max_age_s: Seconds for which a browser keeps the answer.
    """

    allow_origins: tuple[str, ...]
    allow_methods: tuple[str, ...] = ("GET",)
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    allow_credentials: bool = False
    max_age_s: Size = 600


class Common(Limits, frozen=True):
    """What every driver's `Config` begins with: `Limits`, and these.

    Args:
        allowed_hosts: Values of the header Host that are served, `*.example.com` for all below;
            empty: as the driver says.
        static: Folders by the path under which their files are served: `"/static" = "public"`.
        mounts: ASGI applications, `module:name`, by the path under which they are served; under
            `"/"` stands the one that answers what no route does.
        cors: None: pages of other origins read nothing.
        compress_min_bytes: From which size on answers are compressed; 0: never.
        docs: Whether `/docs` is served.
        log_requests: Whether each request is a line in the log.
    """

    allowed_hosts: tuple[str, ...] = ()
    static: dict[str, str] = {}
    mounts: dict[str, str] = {}
    cors: Cors | None = None
    compress_min_bytes: Size = 0
    docs: bool = True
    log_requests: bool = False
