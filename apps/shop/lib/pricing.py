"""The shop's rules about money. Pure, so that every domain may use them; amounts are in cents."""

BULK_QUANTITY = 10
BULK_PERCENT_OFF = 5


def unit_price(list_price_cents: int, quantity: int) -> int:
    """Return the price of one piece when `quantity` are bought together; half a cent rounds up."""
    if quantity < BULK_QUANTITY:
        return list_price_cents
    return (list_price_cents * (100 - BULK_PERCENT_OFF) + 50) // 100


def shipping(goods_cents: int, *, flat_cents: int, free_from_cents: int) -> int:
    """Return what sending goods of that worth costs."""
    return 0 if goods_cents >= free_from_cents else flat_cents
