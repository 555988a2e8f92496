"""A driver for the tool `db`: `threads`."""
