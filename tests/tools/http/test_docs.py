"""The page at `/docs`."""

import asyncio
import re
import shutil
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest

from ringfence.testing import boot
from ringfence.tools.http.description import docs
from ringfence.tools.http.description.docs import PATHS, page
from ringfence.tools.http.drivers.uvicorn import Driver
from ringfence.tools.http.system import OPENAPI

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = '''"""Take things."""

from msgspec import Struct

from ringfence import NotFound, Plugin
from ringfence.tools.http import get


class Gone(NotFound, code="things.gone"):
    """<img id=injected alt="error"> is not there."""


class Thing(Struct):
    """<img id=injected alt="type">"""

    name: str


class TakeThing(Plugin):
    @get("/things/{name}")
    async def take(self, name: str) -> Thing:
        """Take <script>document.title = "broken"</script> things.

        <img id=injected src=x onerror="document.title = 'broken'">
        `<img id=injected>`

        Args:
            name: <img id=injected alt="parameter">

        Returns:
            <img id=injected alt="result">
        """
        return Thing(name)
'''


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def body(path: str) -> str:
    return page(path).body.decode()


def test_all_that_the_page_needs_is_served_beside_it() -> None:
    """Wherever it is mounted, since every address in it is relative."""
    needed = [
        str(attributes.get("src") or attributes.get("href"))
        for tag, attributes in Elements(body("/docs")).found
        if tag in ("script", "link", "a")
    ]
    needed += [
        f"docs/{name}" for path in PATHS for name in re.findall(r'from "\./([^"]+)"', body(path))
    ]
    local = {name for name in needed if not name.startswith(("#", "data:"))}
    assert local
    for name in local:
        assert urljoin("/shop/docs", name).removeprefix("/shop") in {*PATHS, OPENAPI}


def test_every_file_of_the_page_is_served() -> None:
    """None lies in the package for nothing."""
    files = {path.name for path in (Path(docs.__file__).parent / "site").iterdir()}
    assert files - {"index.html"} == {path.removeprefix("/docs/") for path in PATHS} - {"/docs"}


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_asked_of_other_hosts(path: str) -> None:
    """The page works without internet, and tells nobody that it was opened."""
    assert re.findall(r"(?:https?:)?//[a-z][\w.-]+\.[a-z]{2,}", body(path)) == []


@pytest.mark.parametrize("path", PATHS)
def test_the_policy_allows_its_own_files_alone(path: str) -> None:
    """No inline script, no markup from text, no frame around it."""
    headers = dict(page(path).headers)
    policy = {
        name: value
        for name, _, value in (
            part.strip().partition(" ")
            for part in headers[b"content-security-policy"].decode().split(";")
        )
    }
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert headers[b"x-content-type-options"] == b"nosniff"


def test_the_page_has_no_script_or_style_of_its_own() -> None:
    """Its policy would not let them run."""
    for tag, attributes in Elements(body("/docs")).found:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert tag != "style"
        assert tag != "script" or "src" in attributes


def test_types_are_those_of_the_files() -> None:
    """A browser told not to guess loads a module as JavaScript alone."""
    types = {path: dict(page(path).headers)[b"content-type"] for path in PATHS}
    assert types["/docs"] == b"text/html; charset=utf-8"
    assert types["/docs/app.css"] == b"text/css; charset=utf-8"
    assert types["/docs/app.js"] == b"text/javascript; charset=utf-8"


def test_the_page_never_makes_markup_from_text() -> None:
    """Whatever a docstring says stays text: elements are made one by one."""
    scripts = "".join(body(path) for path in PATHS if path.endswith(".js"))
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|\beval\b|new Function"
    assert re.findall(sinks, scripts) == []


@asynccontextmanager
async def serving(folder: Path, feature: str) -> AsyncIterator[str]:
    """Serve an application of one feature on a port; yield its address."""
    place = folder / "domains" / "things"
    place.mkdir(parents=True)
    (place / "take_thing.py").write_text(feature)
    async with boot(folder, overrides={"tools": {"http": {"driver": "uvicorn", "port": 0}}}) as app:
        driver = app.driver("http")
        assert isinstance(driver, Driver)
        yield driver.addresses[0]


async def shown(url: str) -> str:
    """Open a page in a browser; return its elements as they are once it has settled."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
            *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
            *("--disable-sync", f"--user-data-dir={profile}"),
            *("--virtual-time-budget=5000", "--dump-dom", url),
            stdout=PIPE,
            stderr=DEVNULL,
        )
        text, _ = await process.communicate()
    return text.decode()


@pytest.mark.anyio
@pytest.mark.timeout(90)
@pytest.mark.skipif(CHROMIUM is None, reason="there is no browser")
async def test_a_browser_shows_what_a_docstring_says_and_runs_none_of_it(tmp_path: Path) -> None:
    """The operation that the address names is open, and its docstring is text."""
    async with serving(tmp_path, HOSTILE) as address:
        text = await shown(f"{address}/docs#things.take_thing.take")
    elements = Elements(text).found
    assert "&lt;script&gt;document.title" in text
    for place in ("parameter", "result", "type", "error"):
        assert f'&lt;img id=injected alt="{place}"&gt;' in text
    assert [tag for tag, attributes in elements if attributes.get("id") == "injected"] == []
    assert len([tag for tag, _ in elements if tag == "script"]) == 1
    opened = [attributes for _, attributes in elements if "open" in attributes]
    assert [attributes["id"] for attributes in opened] == ["things.take_thing.take"]
    assert [tag for tag, _ in elements if tag == "form"] == ["form"]
    assert "broken" not in re.findall(r"<title>(.*?)</title>", text)
