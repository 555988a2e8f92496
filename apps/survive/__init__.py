"""Kill the shop amid a crowd of orders, start it again, and count what has become of them."""
