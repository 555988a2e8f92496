"""Names of static files that lead elsewhere, or are no names, are refused; the others serve."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.tools.http.beside.static import Found, find
from tests.kernel.apps import running, write

from .bystander import BYSTANDER, asked_throughout

pytestmark = pytest.mark.anyio

SECRET = "canary-8c1f"
FILES = {
    "public/index.html": "home",
    "public/docs/page.html": "page",
    "public/.env": SECRET,
    "public/.git/config": SECRET,
    "public/docs/.hidden/page.html": SECRET,
    "secret.txt": SECRET,
    "public-old/page.html": SECRET,
}
NAMES = [
    "../secret.txt",
    "/../secret.txt",
    "docs/../../secret.txt",
    "./index.html",
    "docs/./page.html",
    "docs/../index.html",
    "%2e%2e/secret.txt",
    "%2E%2E%2Fsecret.txt",
    "..%2fsecret.txt",
    "..%5csecret.txt",
    "..\\secret.txt",
    "%252e%252e%252fsecret.txt",
    "%252e%252e/secret.txt",
    "..%252fsecret.txt",
    "%c0%ae%c0%ae/secret.txt",
    "%c0%ae%c0%ae%c0%afsecret.txt",
    "..%c0%afsecret.txt",
    "%e0%80%ae%e0%80%ae/secret.txt",
    "%uff0e%uff0e/secret.txt",
    "%ef%bc%8e%ef%bc%8e/secret.txt",
    ".%2e/secret.txt",
    "....//secret.txt",
    "..;/secret.txt",
    "../public-old/page.html",
    "..",
    "../",
    ".",
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    "///etc/passwd",
    "file:///etc/passwd",
    "C:/Windows/win.ini",
    "C:%5cWindows%5cwin.ini",
    "c%3asecret.txt",
    "%5c%5chost%5cshare%5cx",
    "index.html::$DATA",
    "index.html.",
    "index.html%20",
    "index.html%00",
    "index.html%00.png",
    "%00",
    "../secret.txt%00.html",
    "index.html%0a",
    "%ff%fe",
    "%",
    "%2",
    "%zz",
    ".env",
    "%2eenv",
    ".git/config",
    "docs/.hidden/page.html",
    "docs//page.html",
    "docs/page.html/",
    "docs/page.html/../page.html",
    "a/" * 2000,
    "a" * 5000,
    "out.txt",
    "out/secret.txt",
    "out/",
    "dangling",
    "round",
    "to-env",
    "hidden/config",
    "zero",
    "pipe",
    "linked-index/",
    "CON",
    "~/secret.txt",
    "~root",
]


def tricky(root: Path) -> Path:
    """Write an application with a folder of links and oddities."""
    write(root, {**FILES, **BYSTANDER})
    public = root / "public"
    (public / "out.txt").symlink_to(root / "secret.txt")
    (public / "out").symlink_to(root)
    (public / "dangling").symlink_to("nothing")
    (public / "round").symlink_to("round")
    (public / "to-env").symlink_to(".env")
    (public / "hidden").symlink_to(".git")
    (public / "zero").symlink_to("/dev/zero")
    os.mkfifo(public / "pipe")
    (public / "linked-index").mkdir()
    (public / "linked-index/index.html").symlink_to(root / "secret.txt")
    return root


async def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    """Each of a corpus is refused, tells nothing, and harms nobody."""
    root = tricky(tmp_path / "shop")
    static = {"tools": {"http": {"static": {"/static": "public"}}}}
    async with running(root, {}, overrides=static) as app:
        site = app.http
        assert (await site.get("/static/docs/page.html")).text == "page"
        async with asked_throughout(app):
            for name in NAMES:
                answer = await site.get(f"/static/{name}")
                assert answer.status in (400, 404, 414), name
                assert SECRET not in answer.text
                assert "root:" not in answer.text
                assert answer.headers["content-type"] == "application/problem+json", name
        assert (await site.get("/static/docs/page.html")).text == "page"


@given(
    st.lists(
        st.sampled_from(
            ["..", ".", "", "docs", "out", "public", "secret.txt", ".env", "%2e%2e", "%2f", "%5c",
             "%00", "\\", "~", "C:", "page.html", "..%2f", "%252e", "%c0%ae"]
        ),
        max_size=6,
    )
)  # fmt: skip
def test_no_combination_of_names_leads_out_of_the_folder(shop: Path, parts: list[str]) -> None:
    """What is found is inside the folder, under a name without a dot in front."""
    folder = shop / "public"
    found = find(folder, ("/" + "/".join(parts)).encode())
    if isinstance(found, Found):
        assert found.path in (folder / "index.html", folder / "docs/page.html")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tricky(tmp_path_factory.mktemp("names").resolve() / "shop")
