"""What the suite is run against, and the tables that it works on."""

from collections.abc import Callable

import pytest
from msgspec import Struct

from ringfence.tools.db.contract import Database

SCHEMA = """
CREATE TABLE item (
    id BIGINT PRIMARY KEY,
    name TEXT UNIQUE,
    amount BIGINT NOT NULL CHECK (amount >= 0)
);
CREATE TABLE part (
    id BIGINT PRIMARY KEY,
    item_id BIGINT NOT NULL REFERENCES item (id),
    note TEXT,
    done BOOLEAN,
    moment TIMESTAMPTZ
);
CREATE TABLE thing (
    id BIGINT PRIMARY KEY,
    flag BOOLEAN,
    whole BIGINT,
    ratio DOUBLE PRECISION,
    words TEXT,
    raw BYTEA,
    moment TIMESTAMPTZ,
    wall TIMESTAMP,
    day DATE,
    hour TIME,
    price NUMERIC,
    cost NUMERIC(12, 2) CHECK (cost >= 0),
    uid UUID,
    doc JSONB
);
"""

INSERT = "INSERT INTO item (id, name, amount) VALUES ($1, $2, $3)"
COUNT = "SELECT count(*) FROM item"


class Subject(Struct, frozen=True):
    """The database under test: `database(plugin)` is the handle of one plugin."""

    database: Callable[[str], Database]


class Conformance:
    """A part of the suite."""

    @pytest.fixture
    def db(self, subject: Subject) -> Database:
        """The handle of one plugin."""
        return subject.database("orders.place_order")
