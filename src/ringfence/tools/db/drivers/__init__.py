"""The drivers of `db`: `sqlite`."""
