"""A driver for the tool `fetch`: `threads`."""
