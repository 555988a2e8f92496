"""Customers for the shop: they browse, search, order, pay, and sometimes send rubbish."""
