"""The syntax of paths."""

import pytest

from ringfence.tools.http.path import Named, Pattern, Unreadable, parse


def test_segments_are_text_or_named() -> None:
    """Braces around a whole segment name it."""
    pattern = parse("/orders/{order_id}/items")
    assert pattern == Pattern(("orders", Named("order_id"), "items"))
    assert isinstance(pattern, Pattern)
    assert (pattern.names, pattern.raw) == (("order_id",), None)


def test_a_path_without_parameters_is_matched_by_its_bytes() -> None:
    """The root is a path like any other."""
    root, health = parse("/"), parse("/health/live")
    assert isinstance(root, Pattern)
    assert isinstance(health, Pattern)
    assert (root.raw, health.raw) == (b"/", b"/health/live")


@pytest.mark.parametrize(
    "path",
    [
        *("", "orders", "/orders/", "//", "/a//b", "/{a}{b}", "/x{a}", "/{}", "/{1a}", "/{a b}"),
        *("/a b", "/a?b", "/a#b", "/a%20b", "/é", "/./a", "/a/..", "/{a}/{a}", "/}a{", "/{a"),
    ],
)
def test_what_is_not_a_path_is_explained(path: str) -> None:
    """There is always a message that quotes it, and a fix."""
    wrong = parse(path)
    assert isinstance(wrong, Unreadable)
    assert repr(path) in wrong.message
    assert wrong.fix
