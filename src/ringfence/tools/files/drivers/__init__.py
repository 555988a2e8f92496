"""The drivers of `files`: `local` and `memory`."""
