"""A driver for the tool `http`: `function`."""
