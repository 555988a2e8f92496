"""Rules that guess: what they find, and what looks like it and is right."""

from pathlib import Path

import pytest

from ringfence.check.examination import examine
from tests.kernel.apps import write

FILE = "domains/orders/_code.py"
KEY = "q7Rk2vXw9ZpL" + "4sTb8NdY"  # put together, so that no scanner takes it for one


def found(root: Path, text: str, file: str = FILE) -> list[str]:
    """Return the rules that a text breaks."""
    return [finding.rule for finding in examine(write(root, {file: text})).findings]


SECRETS = {
    "an AWS key": f'X = "AKIA{"QJ3XWZ7PLM2NVB4K"}"',
    "a GitHub token": f'X = "ghp_{"a1B2" * 9}"',
    "a GitLab token": f'X = "glpat-{"a1B2c" * 4}"',
    "a Slack token": f'X = "xoxb-{"123456789012"}-abcdefghij12"',
    "a Stripe key": f'X = "sk_live_{"a1B2" * 6}"',
    "a Google key": f'X = "AIza{"a1B2c" * 7}"',
    "a private key": 'X = """-----BEGIN RSA PRIVATE ' + 'KEY-----\nMIIEowIBAAKCAQEA1234\n"""',
    "a signed token": f'X = "eyJ{"hbGciOiJIUzI1NiJ9"}.eyJ{"zdWIiOiIxMjM0NTY3"}.{"a1B2c" * 5}"',
    "a password in an address": 'X = "postgres://shop:' + 'hx83kd92@db.internal/shop"',
    "an assignment": f'API_KEY = "{KEY}"',
    "an annotated assignment": f'api_key: str = "{KEY}"',
    "an argument": f'connect(password="{KEY}")',
    "an attribute": f'client.auth_token = "{KEY}"',
    "a dictionary": f'OPTIONS = {{"secret_key": "{KEY}"}}',
    "a Secret": f'from ringfence import Secret\nX = Secret("{KEY}")',
}
NO_SECRETS = {
    "the name of a variable": 'API_KEY = "ORDERS_API_KEY_2"',
    "a placeholder": 'API_KEY = "your-api-key-here-1234-example"',
    "a variable": 'API_KEY = "${ORDERS_API_KEY}"',
    "a column": 'PASSWORD = "password_hash_v2_column"',
    "a path": 'TOKEN = "/run/secrets/bank_token_1"',
    "an address": 'token = "https://auth.internal/oauth2/token"',
    "words": 'secret = "correct horse battery staple 1"',
    "a short one": 'TOKEN = "tok_visa1"',
    "a test's token": 'token = "tok_test_4242424242"',
    "a kind of token": 'token = "refresh-token-v2-2024"',
    "a digest of something": f'ETAG = "{KEY}"',
    "a key of a table": f'KEYS = {{"order": "{KEY}"}}',
    "an identity": 'ORDER = "123e4567-e89b-12d3-a456-426614174000"',
    "a pattern": 'TOKEN = r"^tok_[a-z_]+$"',
    "a public key": 'X = "-----BEGIN PUBLIC KEY-----\\nMIIBIjANBgkqhkiG9w0B"',
    "an address without a password": 'X = "postgres://shop@db.internal/shop"',
    "an address with a variable": 'X = "postgres://shop:${DB_PASSWORD}@db.internal/shop"',
    "an address that is an example": 'X = "postgres://user:password@localhost/shop"',
    "an address with a port and an at": 'X = "https://shop.internal:8443/users/@ada"',
    "base64 of a picture": f'PIXEL = "{KEY}{KEY}=="',
    "an alphabet": 'ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"',
    "a header's name": 'API_KEY = "X-Api-Key-2"',
    "a digit a hundred times": f'TOKEN = "{"a1" * 20}"',
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS.keys())
def test_a_secret_is_found_and_not_repeated(tmp_path: Path, text: str) -> None:
    """The finding says of what kind it is; who reads the log of a build learns no more."""
    findings = examine(write(tmp_path, {FILE: text + "\n"})).findings
    assert [finding.rule for finding in findings] == ["RF513"]
    for part in text.replace("@", '"').replace(":", '"').split('"'):
        if any(char.isdigit() for char in part) and len(part) > 7:
            assert part not in str(findings[0])


@pytest.mark.parametrize("text", NO_SECRETS.values(), ids=NO_SECRETS.keys())
def test_what_looks_like_a_secret_is_none(tmp_path: Path, text: str) -> None:
    """Names, placeholders, paths, digests."""
    assert found(tmp_path, text + "\n") == []


METHOD = """\
import itertools
from ringfence import Plugin, service, wait
from ringfence.tools.db import Database, Transaction, UnitOfWork
from ringfence.tools.files import Files


class Case(Plugin):
    db: Database
    files: Files

    @service("orders.case")
    async def case(self, skus: list[str], tx: Transaction) -> None:
        await tx.execute("DELETE FROM baskets")
        await self.files.delete("a")
        await self.db.fetch_all("SELECT 1")
"""
LOOPS = {
    "for": "for sku in skus:\n    await self.db.fetch_one('SELECT $1', sku)",
    "a comprehension": "[await self.db.fetch_one('SELECT $1', sku) for sku in skus]",
    "by what is made of the element": "for sku in skus:\n    name = sku.lower()\n"
    "    await tx.fetch_one('SELECT $1', name)",
    "async for": "async for row in self.db.stream('SELECT 1'):\n"
    "    await self.db.fetch_one('SELECT $1', row)",
    "a write": "for sku in skus:\n    await tx.execute('DELETE FROM orders WHERE sku = $1', sku)",
    "nested": "for a in (1, 2):\n    for sku in skus:\n        await tx.fetch_one('S', sku)",
}
NO_LOOPS = {
    "all at once": "await tx.execute_many('DELETE FROM t WHERE sku = $1', [(s,) for s in skus])",
    "in chunks": "for some in itertools.batched(skus, 100):\n"
    "    await tx.fetch_all('SELECT $1', some)",
    "a few that stand there": "for name in ('a', 'b'):\n    await tx.fetch_one('SELECT $1', name)",
    "until there are none": "while await self.db.execute_many('DELETE FROM t', []):\n    pass",
    "attempts": "for attempt in range(3):\n    await self.db.fetch_one('SELECT $1', attempt)",
    "what was fetched": "for row in await self.db.fetch_all('SELECT 1'):\n    print(row)",
    "written down after an effect": "for sku in skus:\n    await self.files.delete(sku)\n"
    "    await self.db.execute('UPDATE t SET gone = 1 WHERE sku = $1', sku)",
    "a list's own method": "for sku in skus:\n    skus.execute(sku)",
}


def in_a_method(body: str) -> str:
    """Return a feature whose handler does that; without a `tx` where the database itself is used,
    which is another rule's business."""
    text = METHOD + "".join(f"        {line}\n" for line in body.splitlines())
    if "tx." not in body:
        text = text.replace(", tx: Transaction", "").replace(
            "        await tx.execute(", "        ("
        )
    return text


@pytest.mark.parametrize("body", LOOPS.values(), ids=LOOPS.keys())
def test_a_query_for_each_element_is_found(tmp_path: Path, body: str) -> None:
    """Whatever the loop looks like."""
    assert found(tmp_path, in_a_method(body), "domains/orders/case.py") == ["RF514"]


@pytest.mark.parametrize("body", NO_LOOPS.values(), ids=NO_LOOPS.keys())
def test_a_query_beside_a_loop_is_none(tmp_path: Path, body: str) -> None:
    """Chunks, attempts, one after an effect."""
    assert found(tmp_path, in_a_method(body), "domains/orders/case.py") == []


HONEST = {
    "an error that is told": "def a(log):\n    try:\n        b()\n    except Exception as e:\n"
    "        log.error(str(e))\n\ndef b(): ...",
    "an error that is raised again": "def a():\n    try:\n        print()\n    except Exception:\n"
    "        raise ValueError from None",
    "an error that is kept": "def a():\n    try:\n        print()\n    except Exception as error:\n"
    "        return error",
    "an expected error": "def a():\n    try:\n        return int('1')\n    except ValueError:\n"
    "        pass",
    "an expected error, suppressed": "from contextlib import suppress\nwith suppress(KeyError):\n"
    "    {}[1]",
    "a cancellation of one's own": "import asyncio\n\nasync def a(task):\n    task.cancel()\n"
    "    try:\n        await task\n    except asyncio.CancelledError:\n        pass",
    "a task in a group": "import asyncio\n\nasync def a():\n"
    "    async with asyncio.TaskGroup() as g:\n"
    "        g.create_task(a())",
    "a task that is awaited": "import asyncio\n\nasync def a():\n"
    "    task = asyncio.create_task(a())\n"
    "    await task",
    "a task that is kept": "import asyncio\n\nasync def a(kept):\n"
    "    kept.add(asyncio.create_task(a()))",
    "a sleep on a thread": "import asyncio, time\n\nasync def a():\n"
    "    await asyncio.to_thread(time.sleep, 1)",
    "a sleep in a function inside": "import asyncio, time\n\nasync def a():\n    def b():\n"
    "        time.sleep(1)\n    await asyncio.to_thread(b)",
    "a sleep of another kind": "async def a(time):\n    time.sleep(1)",
    "an open of one's own": "async def a(shop):\n    shop.open()\n\ndef open(): ...\n\n"
    "async def b():\n    open()",
    "an object of one's own": "class Basket:\n    def add(self):\n        self.count = 1",
    "a loader that is safe": "import yaml\nX = yaml.load('a', yaml.CSafeLoader)",
    "SQL with a constant": "COLUMNS = 'a, b'\n\ndef a(db):\n"
    "    db.execute(f'SELECT {COLUMNS} FROM t')",
    "SQL with places for values": "def a(db, skus):\n    marks = ', '.join('$1' for _ in skus)\n"
    "    db.execute(f'SELECT 1 IN ({marks})', *skus)",
    "SQL with a choice": "from typing import Literal\n\n"
    "def a(db, way: Literal['ASC', 'DESC']):\n    db.execute(f'SELECT 1 ORDER BY 1 {way}')",
}


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST.keys())
def test_honest_code_breaks_no_rule(tmp_path: Path, text: str) -> None:
    """It looks like what a rule is about, and is right."""
    assert found(tmp_path, text + "\n") == []


def test_a_fields_use_is_seen_in_all_its_forms(tmp_path: Path) -> None:
    """By a parameter of its tool, in a function inside, by whoever is given the object."""
    text = """\
from ringfence import Plugin, service
from ringfence.tools.clock import Clock
from ringfence.tools.db import Database, Transaction
from ringfence.tools.log import Log


class ByParameter(Plugin):
    db: Database
    archive: "Database | None"

    @service("orders.a")
    async def a(self, tx: Transaction) -> None:
        await tx.execute("DELETE FROM orders")


class Inside(Plugin):
    clock: Clock

    @service("orders.b")
    async def b(self) -> object:
        return [x for x in [1] if (lambda: self.clock.now())()]


class HandedOn(Plugin):
    log: Log

    @service("orders.c")
    async def c(self) -> None:
        tell(self)


def tell(one: HandedOn) -> None:
    one.log.info("done")
"""
    assert found(tmp_path, text) == []


HELD = {
    "a service by name": "async with self.db.transaction():\n    await ctx.call('stock.level')",
    "a write past the transaction": "async with self.db.transaction() as tx:\n"
    "    await self.db.execute('DELETE FROM orders')",
    "a unit of work": "async with self.db.transaction():\n    await self.db.run(print)",
    "by a method of its own": "async with self.db.transaction():\n    await self._ask()",
    "on a thread": "with wait(self.db.transaction()) as tx:\n    wait(self.db.run(print))",
}
NOT_HELD = {
    "a read of the last commit": "async with self.db.transaction() as tx:\n"
    "    await self.db.fetch_all('SELECT 1')",
    "a savepoint": "async with self.db.transaction():\n    async with self.db.transaction():\n"
    "        pass",
    "before and after": "await self._ask()\nasync with self.db.transaction() as tx:\n"
    "    await tx.execute('DELETE FROM orders')\nawait self._ask()",
    "what is done later": "async with self.db.transaction() as tx:\n"
    "    later = lambda: self._ask()\nawait later()",
}


def holding(body: str) -> str:
    """Return a feature whose handler does that."""
    return (
        """\
from ringfence import Context, Plugin, service, wait
from ringfence.tools.db import Database


class Case(Plugin):
    db: Database
    level: "LevelOf"

    async def _ask(self) -> int:
        return await self.level()

    @service("orders.case", calls=["stock.level"])
    async def case(self, ctx: Context) -> None:
"""
        + "".join(f"        {line}\n" for line in body.splitlines())
    ).replace("async def case", "def case" if body.startswith("with") else "async def case")


@pytest.mark.parametrize("body", HELD.values(), ids=HELD.keys())
def test_what_is_waited_for_inside_a_transaction_is_found(tmp_path: Path, body: str) -> None:
    """Directly, or by a method that does."""
    assert found(tmp_path, holding(body), "domains/orders/case.py") == ["RF508"]


@pytest.mark.parametrize("body", NOT_HELD.values(), ids=NOT_HELD.keys())
def test_what_holds_nothing_up_is_none(tmp_path: Path, body: str) -> None:
    """Reads, savepoints, and what is outside."""
    assert found(tmp_path, holding(body), "domains/orders/case.py") == []
