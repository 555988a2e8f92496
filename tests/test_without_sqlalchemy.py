"""An application that has no statements of SQLAlchemy, where it is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = "import sys; sys.modules['sqlalchemy'] = None\n"
RUN = "import pytest; sys.exit(pytest.main(sys.argv[1:]))"
USE = """
import asyncio, pathlib, sys
from tests.tools.db.support import handle, make, migrations, running
from ringfence.tools.db import QueryError

async def main():
    root = pathlib.Path(sys.argv[1])
    migrations(root, {"orders": "CREATE TABLE note (id INTEGER PRIMARY KEY)"})
    async with running(make(root)) as driver:
        db = handle(driver)
        await db.execute("INSERT INTO note (id) VALUES ($1)", 1)
        assert [row async for row in db.stream("SELECT id FROM note")] == [{"id": 1}]
        try:
            await db.fetch_all(object())
        except QueryError as error:
            print(error)

asyncio.run(main())
assert "sqlalchemy" not in sys.modules
"""


def python(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", text, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170)


@pytest.mark.timeout(180)
def test_nothing_needs_sqlalchemy() -> None:
    """The database's suite passes where it cannot be imported, but for what is about it."""
    suite = "tests/tools/db/test_sqlite_conformance.py"
    chosen = ["-k", "expanded or returning or data or constraint or first_rows"]
    ran = python(BLOCK + RUN, "-q", "-p", "no:cacheprovider", suite, *chosen)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    assert " passed" in ran.stdout
    assert " skipped" in ran.stdout


@pytest.mark.timeout(180)
def test_a_database_without_its_statements_does_not_load_it(tmp_path: Path) -> None:
    """Installed or not; and what is no statement is told so without it."""
    ran = python(USE, str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert "got a object" in ran.stdout
