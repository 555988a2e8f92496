"""Answers that pages of other origins may read, as `[tools.http.cors]` says; by starlette."""

from typing import cast

from ringfence.errors import StartRefused
from ringfence.tools.http.limits import Cors
from ringfence.tools.http.wire import Asgi


def allow(app: Asgi, cors: Cors) -> Asgi:
    """Return `app`, with preflight requests answered and headers for browsers added.

    Raises:
        StartRefused: Cookies are allowed together with any origin, or an origin is none.
    """
    from starlette.middleware.cors import CORSMiddleware

    if cors.allow_credentials and "*" in cors.allow_origins:
        raise StartRefused(
            "tools.http.cors.allow_credentials: any page could act as whoever is signed in;"
            ' expected the origins by name, got allow_origins = ["*"]. Name them.'
        )
    for origin in cors.allow_origins:
        scheme, found, host = origin.partition("://")
        if origin != "*" and not (scheme and found and host and "/" not in host):
            raise StartRefused(
                "tools.http.cors.allow_origins: expected an origin such as"
                f" https://shop.example.com with no path, got {origin!r:.80}."
            )
    wrapped = CORSMiddleware(
        app,  # type: ignore[arg-type]
        allow_origins=cors.allow_origins,
        allow_methods=cors.allow_methods,
        allow_headers=cors.allow_headers,
        expose_headers=cors.expose_headers,
        allow_credentials=cors.allow_credentials,
        max_age=cors.max_age_s,
    )
    return cast("Asgi", wrapped)
