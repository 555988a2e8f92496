"""A driver for the tool `files`: `onefile`."""
