"""The shop's rules about pages, and how amounts are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import money
from lib.markup import html, joined


@given(st.text())
def test_no_value_ends_the_text_or_the_quotes_that_it_stands_in(value: str) -> None:
    """Whatever it is, the template around it stays what it was."""
    made = html('<a title="{v}">{v}</a>', v=value)
    inner = made.removeprefix('<a title="').removesuffix("</a>")
    assert not set("<>'\"") & set(inner.replace('">', "", 1))


def test_markup_goes_in_as_it_is() -> None:
    """Made by `html` it was escaped before; text that looks like it is escaped."""
    parts = joined(html("<li>{n}</li>", n=n) for n in ("a", "<b>"))
    assert html("<ul>{parts}</ul>", parts=parts) == "<ul><li>a</li><li>&lt;b&gt;</li></ul>"


@pytest.mark.parametrize(
    "cents, currency, shown",
    [(5, "EUR", "€0.05"), (123_456, "USD", "$1,234.56"), (1200, "CHF", "CHF 12.00")],
)
def test_amounts_have_two_places_and_a_sign(cents: int, currency: str, shown: str) -> None:
    """A currency without a sign is written out."""
    assert money.shown(cents, currency) == shown
