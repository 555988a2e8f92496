"""The page at `/docs`: an application's operations, to read and to try, from `/openapi.json`.

`page` returns what is served at each of `PATHS`. It asks nothing of other hosts and refers to what
it needs relatively, so that it works below whatever path the application is mounted at. Its policy
lets no script run but its own; what a document says is inserted as text alone.
"""

import functools
from pathlib import Path

from ringfence.tools.http.wire import Answer

DOCS = "/docs"
PATHS = (
    DOCS,
    *(f"{DOCS}/{name}" for name in ("app.css", "app.js", "dom.js", "schema.js", "tryit.js")),
)
_SITE = Path(__file__).parent / "site"
_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    b" img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    b" require-trusted-types-for 'script'"
)


@functools.cache
def page(path: str) -> Answer:
    """Return what GET answers at one of `PATHS`."""
    file = _SITE / (path.removeprefix(DOCS)[1:] or "index.html")
    headers = (
        (b"content-type", _TYPES[file.suffix]),
        (b"content-security-policy", _POLICY),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    )
    return Answer(200, file.read_bytes(), headers)
