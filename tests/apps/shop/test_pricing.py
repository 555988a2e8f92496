"""The shop's rules about money."""

from hypothesis import given
from hypothesis import strategies as st

from lib import pricing

cents = st.integers(min_value=1, max_value=10_000_000)


@given(cents, st.integers(min_value=1, max_value=9))
def test_a_few_pieces_cost_the_list_price(list_price: int, quantity: int) -> None:
    """The discount begins at ten pieces."""
    assert pricing.unit_price(list_price, quantity) == list_price


@given(cents, st.integers(min_value=10, max_value=1000))
def test_many_pieces_cost_five_percent_less_to_the_nearest_cent(
    list_price: int, quantity: int
) -> None:
    """Rounding moves the price by half a cent at most."""
    assert abs(100 * pricing.unit_price(list_price, quantity) - 95 * list_price) <= 50


@given(cents, cents, cents)
def test_shipping_is_free_from_the_limit_on_and_flat_below(
    goods: int, flat: int, limit: int
) -> None:
    """Goods worth exactly the limit travel free."""
    expected = 0 if goods >= limit else flat
    assert pricing.shipping(goods, flat_cents=flat, free_from_cents=limit) == expected
