"""The route table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.tools.http.path import Named, Pattern, parse
from ringfence.tools.http.problem import Refused
from ringfence.tools.http.routes import Match, Table, Wrong

SEGMENTS = st.sampled_from(["a", "b", "{x}", "{y}"])
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
ROUTES = st.lists(st.tuples(st.sampled_from(["GET", "POST"]), PATHS), max_size=12)
ASKED = st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=5)


def pattern(path: str) -> Pattern:
    read = parse(path)
    assert isinstance(read, Pattern)
    return Pattern(tuple(Named("_") if isinstance(p, Named) else p for p in read.segments))


def table(*routes: tuple[str, str]) -> Table[str]:
    built: Table[str] = Table()
    for method, path in routes:
        built.add(method, pattern(path), f"{method} {path}")
    return built


def fits(path: str, asked: list[str]) -> bool:
    parts = path[1:].split("/")
    pairs = zip(parts, asked, strict=False)
    return len(parts) == len(asked) and all(p == a or (p[0] == "{" and a) for p, a in pairs)


@given(ROUTES, st.sampled_from(["GET", "POST"]), ASKED)
def test_the_table_finds_what_trying_every_route_finds(
    routes: list[tuple[str, str]], method: str, asked: list[str]
) -> None:
    """The walk and the list agree on what is served, what is refused, and what is unknown."""
    methods = {m for m, path in routes if not _unnamed(path) and fits(path, asked)}
    found = table(*(r for r in routes if not _unnamed(r[1]))).find(
        method, ("/" + "/".join(asked)).encode()
    )
    if method in methods:
        assert isinstance(found, Match)
        assert fits(found.target.split(" ")[1], asked)
    elif methods:
        assert found == Wrong(tuple(sorted(methods | ({"HEAD"} if "GET" in methods else set()))))
    else:
        assert found is None


def _unnamed(path: str) -> bool:
    return not isinstance(parse(path), Pattern)


def test_text_goes_before_parameters() -> None:
    """A named segment takes what no text takes."""
    built = table(("GET", "/orders/new"), ("GET", "/orders/{id}"))
    assert built.find("GET", b"/orders/new") == Match("GET /orders/new")
    assert built.find("GET", b"/orders/7") == Match("GET /orders/{id}", ("7",))


def test_a_method_is_looked_for_behind_a_parameter_too() -> None:
    """That the text segment has another method hides nothing."""
    built = table(("GET", "/orders/new"), ("DELETE", "/orders/{id}"))
    assert built.find("DELETE", b"/orders/new") == Match("DELETE /orders/{id}", ("new",))
    assert built.find("PUT", b"/orders/new") == Wrong(("DELETE", "GET", "HEAD"))


@pytest.mark.parametrize(
    "raw, captures",
    [(b"/x/%C3%A9", ("é",)), (b"/%78/1", ("1",)), (b"/x/...", ("...",)), (b"/x/.a", (".a",))],
)
def test_segments_are_decoded_after_the_path_is_split(raw: bytes, captures: tuple[str]) -> None:
    """Names with dots in them are names like any other."""
    assert table(("GET", "/x/{y}")).find("GET", raw) == Match("GET /x/{y}", captures)


@pytest.mark.parametrize("raw", [b"/x/", b"/x", b"/x/1/", b"//x/1", b"/x//1", b"*", b""])
def test_a_parameter_is_one_segment_that_is_not_empty(raw: bytes) -> None:
    """Nothing is stripped, and nothing is added."""
    assert table(("GET", "/x/{y}")).find("GET", raw) is None


def test_a_path_that_is_not_utf_8_is_refused() -> None:
    """It is no path of anything."""
    with pytest.raises(Refused, match="malformed_path"):
        table(("GET", "/{x}")).find("GET", b"/%ff")


def test_the_first_of_two_equal_routes_stays() -> None:
    """What is served already cannot be taken over."""
    built: Table[str] = Table()
    for target in ("first", "second"):
        built.add("GET", pattern("/a"), target)
    assert built.find("GET", b"/a") == Match("first")
    assert built.static["GET"][b"/a"] == "first"
