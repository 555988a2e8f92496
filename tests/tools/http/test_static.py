"""Serving the files of a folder."""

from pathlib import Path

import pytest

from ringfence.testing.http import HandshakeRefused, HttpClient
from ringfence.tools.http.beside.static import Folder
from ringfence.tools.http.wire import Receive, Scope, Send

pytestmark = pytest.mark.anyio


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A folder with a page, a style, and a folder with and one without an index."""
    for name, text in {
        "style.css": "p {}",
        "index.html": "home",
        "docs/index.html": "docs",
        "docs/a b ö%.txt": "odd",
        "empty/x.txt": "x",
    }.items():
        file = tmp_path / "public" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "public"


@pytest.fixture
def site(public: Path) -> HttpClient:
    return HttpClient(Folder("/static", public))


async def test_a_file_is_shown_as_what_its_name_says(site: HttpClient) -> None:
    """With what a browser needs to keep it, and without guessing of types."""
    answer = await site.get("/static/style.css")
    assert (answer.status, answer.text) == (200, "p {}")
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "content-disposition" not in answer.headers
    known = {"if-none-match": answer.headers["etag"]}
    assert (await site.get("/static/style.css", headers=known)).status == 304
    part = await site.get("/static/style.css", headers={"range": "bytes=0-0"})
    assert (part.status, part.text) == (206, "p")
    head = await site.request("HEAD", "/static/style.css")
    assert (head.status, head.body, head.headers) == (200, b"", answer.headers)


async def test_a_name_is_decoded_once(site: HttpClient) -> None:
    """Spaces, other alphabets and percent signs are characters of a name."""
    assert (await site.get("/static/docs/a%20b%20%C3%B6%25.txt")).text == "odd"
    assert (await site.get("/static/docs/a%2520b%2520%25C3%25B6%2525.txt")).status == 404
    assert (await site.get("/static/%73tyle.css")).text == "p {}"


async def test_a_folder_is_its_index(site: HttpClient) -> None:
    """At its own address, by which relative links work; without an index there is nothing."""
    assert (await site.get("/static/")).text == "home"
    assert (await site.get("/static/docs/")).text == "docs"
    moved = await site.get("/static/docs?a=1&b=%22")
    assert (moved.status, moved.headers["location"]) == (307, "./docs/?a=1&b=%22")
    assert (await site.get("/static")).headers["location"] == "./static/"
    assert (await site.get("/static/empty/")).status == 404
    assert (await site.get("/static/empty")).status == 404
    assert (await site.get("/static/style.css/")).status == 404


async def test_what_is_not_there_is_a_problem(site: HttpClient) -> None:
    """As any other error."""
    answer = await site.get("/static/nothing.css")
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "X"])
async def test_files_are_only_read(site: HttpClient, method: str) -> None:
    """Whatever the path, 405 says what may be done."""
    for path in ("/static/style.css", "/static/nothing"):
        answer = await site.request(method, path)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        assert answer.headers["content-type"] == "application/problem+json"


async def test_options_says_what_may_be_done(site: HttpClient) -> None:
    """As it does of routes."""
    answer = await site.options("/static/style.css")
    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


async def test_a_websocket_is_refused(site: HttpClient) -> None:
    """There is nobody to talk to."""
    with pytest.raises(HandshakeRefused) as refused:
        async with site.websocket("/static/style.css"):
            pass
    assert refused.value.response.status == 404


async def test_a_folder_at_the_root_and_below_a_host(public: Path) -> None:
    """Where this application is mounted itself, its paths are below."""
    assert (await HttpClient(Folder("", public)).get("/docs/")).text == "docs"
    inner = Folder("/static", public)

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope, "root_path": "/my shop"}, receive, send)

    assert (await HttpClient(mounted).get("/my%20shop/static/docs/")).text == "docs"


async def test_a_link_inside_is_followed(public: Path) -> None:
    """Only where it leads to decides, on either side of the folder's own link."""
    (public / "latest.css").symlink_to("style.css")
    (public.parent / "www").symlink_to("public")
    site = HttpClient(Folder("/static", public.parent / "www"))
    assert (await site.get("/static/latest.css")).text == "p {}"
