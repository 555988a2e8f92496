"""A driver for the tool `clock`: `scaled`."""
