"""RF502: a feature that goes to a driver instead of asking for the tool."""

from collections.abc import Iterator

from ringfence.check.code import Code
from ringfence.check.rule import Hit, Rule

_DATABASES = frozenset(
    {
        *("sqlite3", "aiosqlite", "apsw", "asyncpg", "psycopg", "psycopg2", "pymysql"),
        *("aiomysql", "MySQLdb", "pymongo"),
    }
)


def _look(code: Code) -> Iterator[Hit]:
    seen: set[int] = set()
    for _, whole, node in code.imports:
        words = whole.split(".")
        is_driver = words[:2] == ["ringfence", "tools"] and "drivers" in words
        if (is_driver or words[0] in _DATABASES) and node.lineno not in seen:
            seen.add(node.lineno)
            what = ".".join(words[:4]) if is_driver else f"{words[0]}, a database driver,"
            yield Hit(
                node.lineno,
                f"{what} is chosen by configuration; expected a tool that is asked for by a field",
                "annotate a field with the contract: `db: Database` of ringfence.tools.db",
            )


RULE = Rule(
    id="RF502",
    title="A feature imports a driver.",
    why="A feature asks for a tool by its contract, and `ringfence.toml` chooses the driver. "
    "Through a driver of its own it has no budget, no deadline, no trace and no ownership of "
    "tables, and its tests need the real thing.",
    bad="import sqlite3\n",
    good="""\
from ringfence import Plugin, service
from ringfence.tools.db import Database


class CountOrders(Plugin):
    db: Database

    @service("orders.count")
    async def count(self) -> int:
        return await self.db.fetch_value("SELECT count(*) FROM orders", into=int)
""",
    look=_look,
)
