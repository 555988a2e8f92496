"""What the storefront's pages share: the frame around them, a price, a picture, the categories."""

from typing import LiteralString

from msgspec import Struct

from lib.markup import Html, html
from ringfence import Settings
from ringfence.tools.http import Reply

# A page loads nothing from elsewhere and runs no script, whatever may be in it.
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


class Sales(Settings, section="sales"):
    currency: str = "EUR"


class Product(Struct):
    """What the pages need of a product, and no more."""

    sku: str
    name: str
    category: str
    description: str
    price_cents: int
    picture: str | None


def page(title: str, content: Html, *, refresh_s: int | None = None) -> Reply[str]:
    """Return a whole page, which its browser loads again after `refresh_s`."""
    text = html(
        _FRAME,
        title=title,
        content=content,
        refresh=html('<meta http-equiv="refresh" content="{s}">', s=refresh_s) if refresh_s else "",
    )
    return Reply(text, headers=_HEADERS, media_type="text/html; charset=utf-8")


def picture(product: Product) -> Html:
    """Return a product's picture; a tile with its initial where it has none."""
    if product.picture is not None:
        return html(
            '<img class="tile" src="{src}" alt="{name}">', src=product.picture, name=product.name
        )
    return html(
        '<span class="tile {category}" aria-hidden="true">{initial}</span>',
        category=product.category,
        initial=product.name[:1],
    )


_FRAME: LiteralString = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{refresh}
<title>{title}</title>
<link rel="stylesheet" href="/static/shop.css">
</head>
<body>
<header>
<a class="brand" href="/">Leaf &amp; Bean</a> <span>tea, coffee, and what they need</span>
</header>
<main>
{content}
</main>
<footer>The reference application of Ringfence. Nothing here is for sale.
<a href="/docs">Its API</a></footer>
</body>
</html>
"""
