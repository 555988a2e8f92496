"""How amounts are written for people. Pure; amounts are in cents."""

_SIGNS = {"EUR": "€", "USD": "$", "GBP": "£"}


def shown(cents: int, currency: str) -> str:
    """Return an amount as it stands on a page: `€12.50`, `CHF 12.50`."""
    sign = _SIGNS.get(currency, f"{currency} ")
    return f"{sign}{cents // 100:,}.{cents % 100:02}"
