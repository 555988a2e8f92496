"""A driver for the tool `log`: `file`."""
