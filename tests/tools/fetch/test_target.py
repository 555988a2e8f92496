"""From a path to the place that a request goes to."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.tools.fetch import RefusedTarget
from ringfence.tools.fetch.target import Targets

BASE = "https://pay.test/v1/"


@pytest.mark.parametrize(
    "base, path, names, expected",
    [
        (BASE, "charges", (), "/v1/charges"),
        ("https://pay.test/v1", "charges", (), "/v1/charges"),
        ("https://pay.test", "charges/", (), "/charges/"),
        (BASE, "", (), "/v1/"),
        (BASE, "", ("a",), "/v1/a"),
        (BASE, "charges", ("ch_1", "refunds"), "/v1/charges/ch_1/refunds"),
        (BASE, "charges/", ("é ?#&%",), "/v1/charges/%C3%A9%20%3F%23&%25"),
        (BASE, "things:batch", ("100%",), "/v1/things:batch/100%25"),
    ],
)
def test_a_path_is_put_below_the_base(
    base: str, path: str, names: tuple[str, ...], expected: str
) -> None:
    """With or without a slash between; what is no part of a path is encoded."""
    target = Targets(base, ()).of(path, names)
    assert (str(target.origin), target.path, target.own) == ("https://pay.test", expected, True)


@given(st.text(), st.lists(st.text(), max_size=3))
def test_whatever_is_given_ends_below_the_base_or_nowhere(path: str, names: list[str]) -> None:
    """No text leads out of it."""
    try:
        target = Targets(BASE, ()).of(path, names)
    except RefusedTarget:
        return
    assert target.path.startswith("/v1/")
    assert target.path.isascii()
    assert not {".", ".."} & set(target.path.split("/"))
    assert not {"?", "#", "\\", " ", "\n"} & set(target.path)
    assert str(target.origin) == "https://pay.test"


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.test/x",
        "HTTPS://Hooks.Test/x",
        "https://hooks.test:443/x",
        "https://hooks.test./x",
    ],
)
def test_an_absolute_url_is_allowed_by_its_origin(url: str) -> None:
    """However that is written; it gets nothing of the link's."""
    target = Targets(BASE, ["https://hooks.test"]).of(url, ())
    assert (str(target.origin), target.path, target.own) == ("https://hooks.test", "/x", False)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.test/x",
        "https://hooks.test:8443/x",
        "https://sub.hooks.test/",
        "https://hooks.test.evil.example/",
        "https://hooks.test@evil.example/",
        "https://user:pw@hooks.test/",
        "https://hooks.test\\@evil.example/",
        "https://hooks.test#@evil.example/",
        "https://hooks.test/x#y",
        "https://hooks.test/x y",
        "https://hooks.test/\r\nX: y",
        "https:///x",
        "https://",
        "ftp://hooks.test/",
        "file:///etc/passwd",
        "gopher://hooks.test/",
        "https://hooks.test:0/",
        "https://hooks.test:65536/",
        "https://hooks.test:٤/",
        "https://hooks。test/",
        "https://ⓗooks.test/",
        "https://hooks.test/é",
        BASE,
    ],
)
def test_any_other_url_is_refused(url: str) -> None:
    """Nothing is guessed, repaired or read in a second way; the link's own base is no exception."""
    with pytest.raises(RefusedTarget):
        Targets(BASE, ["https://hooks.test"]).of(url, ())


@pytest.mark.parametrize("path", ["https:/hooks.test/", "https:hooks.test/x"])
def test_what_names_no_host_is_a_path_like_any_other(path: str) -> None:
    """A colon makes no URL."""
    target = Targets(BASE, ["https://hooks.test"]).of(path, ())
    assert (str(target.origin), target.path) == ("https://pay.test", f"/v1/{path}")


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "1.2.3.4.5",
        "256.1.1.1",
        "[::1",
        "[::ffff:1.2.3]",
        "[fe80::1%25eth0]",
        "a..b",
    ],
)
def test_a_host_has_one_form(host: str) -> None:
    """Numbers that some resolvers take for addresses are none; the rest is for the resolver."""
    with pytest.raises(RefusedTarget):
        Targets("", ["https://*"]).of(f"https://{host}/", ())


def test_any_https_origin_can_be_allowed() -> None:
    """For what customers configure; http is not part of it, and a path has no base to be below."""
    targets = Targets("", ["https://*"])
    assert targets.of("https://[2606:4700::1111]:8443/x?y=1", ()).query == "y=1"
    for path in ("http://a.test/", "x"):
        with pytest.raises(RefusedTarget):
            targets.of(path, ())


@pytest.mark.parametrize(
    "base, location, expected",
    [
        (BASE, "b", "/v1/b"),
        (BASE, "/v1/b?c=1", "/v1/b"),
        (BASE, "https://pay.test/v1/b", "/v1/b"),
        (BASE, "//pay.test/v1/b", "/v1/b"),
    ],
)
def test_a_redirect_within_the_link_is_followed(base: str, location: str, expected: str) -> None:
    """Relative or absolute."""
    targets = Targets(base, ["https://hooks.test"])
    target = targets.redirected(targets.of("a", ()), location)
    assert (target.path, target.own) == (expected, True)


@pytest.mark.parametrize(
    "location",
    [
        "https://hooks.test/",
        "http://pay.test/v1/b",
        "https://pay.test:8443/v1/b",
        "https://pay.test/",
        "/v1",
        "/v10/b",
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "https://pay.test@evil.example/v1/",
        "javascript:1",
        "http://[",
        "//[::1",
    ],
)
def test_a_redirect_out_of_the_link_is_refused(location: str) -> None:
    """Also to where absolute URLs may go: its answer was not asked for there."""
    targets = Targets(BASE, ["https://hooks.test"])
    with pytest.raises(RefusedTarget):
        targets.redirected(targets.of("a", ()), location)


def test_an_absolute_url_is_never_redirected_to_the_links_own_base() -> None:
    """A stranger must not choose what the link's credential is used for."""
    targets = Targets(BASE, ["https://hooks.test", "https://other.test"])
    start = targets.of("https://hooks.test/x", ())
    assert not targets.redirected(start, "https://other.test/y").own
    with pytest.raises(RefusedTarget):
        targets.redirected(start, "https://pay.test/v1/charges")


@pytest.mark.parametrize(
    "base, absolute",
    [
        ("", []),
        ("pay.test", []),
        ("ftp://pay.test/", []),
        ("https://user:pw@pay.test/", []),
        ("https://pay.test/v1?x=1", []),
        ("https://pay.test/a/../b", []),
        ("https://pay.test//b", []),
        ("https://127.1/", []),
        (BASE, ["https://hooks.test/path"]),
        (BASE, ["hooks.test"]),
        (BASE, ["http://*"]),
    ],
)
def test_what_is_configured_wrongly_is_refused(base: str, absolute: list[str]) -> None:
    """Before anything is sent, and without showing it: a URL may hold a password."""
    with pytest.raises(ValueError, match=r"base_url|absolute") as refused:
        Targets(base, absolute)
    assert "pw" not in str(refused.value)


def test_a_number_is_no_segment() -> None:
    """The easiest mistake with an id is named with its way out, before anything is sent."""
    number: Any = 7
    with pytest.raises(RefusedTarget, match=r"a segment is text; got int. Write str\(…\)"):
        Targets(BASE, ()).of("charges", (number,))
