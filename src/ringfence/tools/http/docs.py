"""The page at `/docs`: an application's operations, to read and to try, from `/openapi.json`.

`pages` returns what is served. The page asks nothing of other hosts and refers to all that it needs
relatively, so that it works below whatever path the application is mounted at. Its policy lets no
script run but its own; what a document says is inserted as text alone.
"""

from collections.abc import Mapping
from pathlib import Path

from ringfence.tools.http.wire import Answer

DOCS = "/docs"
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


def pages() -> Mapping[str, Answer]:
    """Return what GET answers by its path: `/docs`, and what that page is made of below it."""
    found = {f"{DOCS}/{path.name}": _answer(path) for path in sorted(_SITE.iterdir())}
    found[DOCS] = found.pop(f"{DOCS}/index.html")
    return found


def _answer(path: Path) -> Answer:
    headers = (
        (b"content-type", _TYPES[path.suffix]),
        (b"content-security-policy", _POLICY),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    )
    return Answer(200, path.read_bytes(), headers)
