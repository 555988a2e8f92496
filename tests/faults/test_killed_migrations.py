"""A migration that is killed, raced or failing: all of it is there, or nothing of it."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.kernel.apps import feature, write

STEPS = {
    "domains/a/migrations/20260101000000_one.sql": """
    CREATE TABLE one (id INTEGER PRIMARY KEY, x TEXT NOT NULL);
    INSERT INTO one (x) VALUES ('a'), ('b'), ('c');
    """,
    "domains/a/migrations/20260101000001_two.sql": """
    CREATE TABLE new_one (id INTEGER PRIMARY KEY, x TEXT NOT NULL, y INTEGER DEFAULT 7);
    INSERT INTO new_one (id, x) SELECT id, x FROM one;
    DROP TABLE one;
    ALTER TABLE new_one RENAME TO one;
    CREATE INDEX one_x ON one (x);
    """,
    "domains/b/migrations/20260101000002_three.sql": """
    -- after: a/20260101000001_two
    CREATE TABLE three (x);
    INSERT INTO three WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
        SELECT hex(randomblob(8)) || i FROM n;
    """,
}
# Of each prefix: its tables and what they hold.
STATES = [
    ([], {}),
    (["one"], {"one": 3}),
    (["one"], {"one": 3}),
    (["one", "three"], {"one": 3, "three": 500}),
]

# Migrates again and again, each time in a child of its own, and kills the child at one point
# further: before its n-th statement, or after so many steps of SQLite's machine. Says after each
# what became of it, and waits for a line; ends when a child has come to its end by itself.
SWEEP = """
import asyncio, os, signal, sqlite3, sys
from contextlib import ExitStack
from pathlib import Path

from ringfence.app import maintenance
from ringfence.cli.progress import Shown

database = maintenance(Path(sys.argv[1]), ExitStack())["db"]
kind, every, stride = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
real = sqlite3.connect
count = 0


def bomb(at):
    def step(*_):
        global count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def connect(*args, **named):
        line = real(*args, **named)
        if kind == "statement":
            line.set_trace_callback(step)
        else:
            line.set_progress_handler(step, every)
        return line

    sqlite3.connect = connect


for at in range(1, 4000, stride):
    child = os.fork()
    if not child:
        bomb(at)
        asyncio.run(database.migrate(Shown(quiet=True)))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print("killed" if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)
    input()
    if not os.WIFSIGNALED(status):
        break
"""


def state(root: Path) -> int:
    """Return how many migrations a database has had; nothing but these may be in it."""
    file = root / "data" / "app.db"
    if not file.exists():
        return 0
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as line:
        assert line.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        listed = line.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        tables = [name for (name,) in listed if not name.startswith("ringfence_")]
        known = line.execute(
            "SELECT count(*) FROM sqlite_schema WHERE name = 'ringfence_migrations'"
        ).fetchone()[0]
        records = known and line.execute("SELECT name FROM ringfence_migrations ORDER BY name")
        names = [name for (name,) in records or ()]
        assert names == [Path(path).stem for path in list(STEPS)[: len(names)]]
        held = {t: line.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables}
        columns = [row[1] for row in line.execute("PRAGMA table_info(one)")]
    assert (tables, held) == STATES[len(names)]
    assert columns == [[], ["id", "x"], ["id", "x", "y"], ["id", "x", "y"]][len(names)]
    return len(names)


@pytest.mark.parametrize("kind, every, stride", [("statement", 1, 1), ("step", 30, 13)])
def test_a_migration_that_is_killed_is_there_wholly_or_not_at_all(
    tmp_path: Path, kind: str, every: int, stride: int
) -> None:
    """Killed at one point after another, and run again each time: it goes on where it was."""
    root = write(tmp_path / "app", STEPS)
    killed = 0
    reached: set[int] = set()
    with subprocess.Popen(
        [sys.executable, "-c", SWEEP, str(root), kind, str(every), str(stride)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for line in child.stdout:
            how = line.strip()
            reached.add(state(root))
            if how == "killed":
                killed += 1
                if killed % 3 == 0:  # from the beginning, so that later points are reached
                    for file in (root / "data").iterdir():
                        file.unlink()
            else:
                assert how == "0"
            child.stdin.write("\n")
            child.stdin.flush()
    assert child.returncode == 0
    assert killed > 15
    assert reached >= {0, 2, 3}
    assert state(root) == 3


def test_two_that_migrate_at_once_apply_each_migration_once(tmp_path: Path) -> None:
    """Both end well, and whoever comes second finds it done."""
    root = write(tmp_path / "app", STEPS)
    for _ in range(2):
        command = [sys.executable, "-m", "ringfence", "migrate", str(root)]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        said = [each.communicate(timeout=25)[0] for each in both]
        assert [each.returncode for each in both] == [0, 0], said
        assert state(root) == 3
        for file in (root / "data").iterdir():
            file.unlink()


def test_a_failing_migration_is_exit_code_2_of_every_command(tmp_path: Path) -> None:
    """Nothing of it is applied, those before it stay; file and line are told; mended, it goes."""
    broken = {
        **STEPS,
        "domains/b/read.py": feature(
            """
            class Read(Plugin):
                db: Database

                @service("b.count")
                async def count(self) -> int:
                    return await self.db.fetch_value("SELECT count(*) FROM three", into=int)
            """
        ),
        "domains/b/migrations/20260101000003_bad.sql": """
        CREATE TABLE half (x);
        INSERT INTO half SELECT x FROM nowhere;
        """,
    }
    root = write(tmp_path / "app", broken)
    for verb in (["migrate"], ["run", "--port", "0"], ["migrate", "--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "ringfence", *verb, str(root)],
            capture_output=True,
            text=True,
            timeout=25,
            check=False,
        )
        assert done.returncode == 2
        told = done.stdout if "--json" in verb else done.stderr
        assert "domains/b/migrations/20260101000003_bad.sql" in told
        assert ":2: RF204" in told or '"line": 2' in told
        assert "nowhere" in told
        assert state(root) == 3
    bad = root / "domains/b/migrations/20260101000003_bad.sql"
    bad.write_text("SELECT 1")
    assert subprocess.run([sys.executable, "-m", "ringfence", "migrate", str(root)]).returncode == 0


def test_a_migration_that_is_interrupted_ends_at_once(tmp_path: Path) -> None:
    """Ctrl-C while a statement runs that would take for ever: undone, and 130."""
    endless = """
    CREATE TABLE endless (x);
    INSERT INTO endless WITH RECURSIVE n(i) AS
        (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT max(i) FROM n;
    """
    root = write(
        tmp_path / "app", {**STEPS, "domains/c/migrations/20260101000004_end.sql": endless}
    )
    with subprocess.Popen(
        [sys.executable, "-m", "ringfence", "migrate", str(root)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if "still applying c/20260101000004_end" in line:
                child.send_signal(signal.SIGINT)
                break
        assert child.wait(10) == 130
    assert state(root) == 3
