"""A restore under a running application: the state before or the one after, and no restart."""

import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

from ringfence.cli import invoke
from tests.kernel.apps import feature, write

from .bystander import BYSTANDER
from .process import DEADLINE_S, process

ROWS = 20_000
# Each row says of which state it is: a state in which they differ is torn.
STATES = {
    "ringfence.toml": '[app]\nname = "app"\n',
    "domains/states/migrations/20260101000000_states.sql": f"""
    CREATE TABLE state (id INTEGER PRIMARY KEY, of INTEGER NOT NULL, filler TEXT NOT NULL);
    CREATE INDEX state_of ON state (of);
    INSERT INTO state (of, filler)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
        SELECT 1, hex(zeroblob(100)) FROM n;
    CREATE TABLE touched (id INTEGER PRIMARY KEY);
    """,
    "domains/states/keep.py": feature(
        """
        from ringfence.tools.http import get, post


        class Keep(Plugin):
            db: Database

            @get("/state")
            async def seen(self) -> dict[str, int]:
                found = await self.db.fetch_one(
                    "SELECT min(of) AS low, max(of) AS high, count(*) AS count FROM state"
                )
                assert found is not None
                return found

            @post("/touch")
            async def touch(self) -> int:
                async with self.db.transaction() as tx:
                    low = await tx.fetch_value("SELECT min(of) FROM state", into=int)
                    await tx.execute("INSERT INTO touched DEFAULT VALUES")
                    high = await tx.fetch_value("SELECT max(of) FROM state", into=int)
                assert low == high
                return low

            @post("/next")
            async def next(self) -> int:
                return await self.db.execute("UPDATE state SET of = of + 1")
        """
    ),
}


class Load(threading.Thread):
    """Asks one thing again and again, and keeps what it is answered."""

    def __init__(self, address: str, path: str, data: bytes | None = None) -> None:
        super().__init__(daemon=True)
        self.answers: list[str] = []
        self.enough = threading.Event()
        self._request = urllib.request.Request(f"{address}{path}", data=data)

    def run(self) -> None:
        while not self.enough.is_set():
            try:
                with urllib.request.urlopen(self._request, timeout=DEADLINE_S) as answer:
                    self.answers.append(answer.read().decode())
            except (OSError, urllib.error.HTTPError) as error:
                self.answers.append(repr(error))


def test_a_restore_under_load_is_seen_wholly_or_not_at_all(tmp_path: Path) -> None:
    """Twice there and back: no request fails, none sees a mixture, the process is the same."""
    root = write(tmp_path / "app", {**BYSTANDER, **STATES})
    backups = [tmp_path / "one.db", tmp_path / "two.db"]
    with process(root) as app:
        app.serving()
        assert invoke(["db", "backup", str(root), "--to", str(backups[0])]) == 0
        request = urllib.request.Request(f"{app.address}next", data=b"")
        urllib.request.urlopen(request, timeout=DEADLINE_S).close()
        assert invoke(["db", "backup", str(root), "--to", str(backups[1])]) == 0
        loads = [
            Load(app.address, "state"),
            Load(app.address, "state"),
            Load(app.address, "touch", b""),
            Load(app.address, "weather/Ulm"),
        ]
        for load in loads:
            load.start()
        for backup in (*backups, *backups, backups[0]):
            assert invoke(["db", "restore", str(backup), "--app", str(root), "--yes"]) == 0
        assert invoke(["db", "backup", str(root), "--to", str(tmp_path / "three.db")]) == 0
        for load in loads:
            load.enough.set()
        for load in loads:
            load.join(DEADLINE_S)
        one, two = (f'{{"low":{n},"high":{n},"count":{ROWS}}}' for n in (1, 2))
        assert {*loads[0].answers, *loads[1].answers} == {one, two}
        assert set(loads[2].answers) == {"1", "2"}
        assert set(loads[3].answers) == {'"sunny in Ulm"'}
        assert app.get("state") == {"low": 1, "high": 1, "count": ROWS}
        app.signal()
        assert app.end() == 0
    for kept in (
        tmp_path / "three.db",
        *(root / "data" / "backups").iterdir(),
        root / "data/app.db",
    ):
        with closing(sqlite3.connect(kept)) as line:
            assert line.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert line.execute("SELECT count(DISTINCT of) FROM state").fetchone() == (1,)


# Restores again and again, each time in a child of its own, and kills the child at one point
# further: before its n-th statement, sync, name given or taken, or some pages of a copy.
SWEEP = """
import asyncio, os, pathlib, signal, sqlite3, sys
from contextlib import ExitStack
from pathlib import Path

from ringfence.app import maintenance
from ringfence.cli.progress import Shown
from ringfence.tools.db.drivers import _sqlite_copy, _sqlite_restore
from ringfence.tools.db.drivers._sqlite_line import Line

database = maintenance(Path(sys.argv[1]), ExitStack())["db"]
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
        line.set_trace_callback(step)
        return line

    def before(owner, name):
        call = getattr(owner, name)

        def stepped(*args, **named):
            step()
            return call(*args, **named)

        setattr(owner, name, stepped)

    sqlite3.connect = connect
    before(os, "fsync")
    before(os, "link")
    before(pathlib.Path, "replace")
    before(pathlib.Path, "unlink")
    before(_sqlite_copy.Work, "advanced")


for at in range(1, 1000, 2):
    child = os.fork()
    if not child:
        bomb(at)
        asyncio.run(database.restore(Path(sys.argv[2]), Shown(quiet=True)))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print("killed" if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)
    input()
    if not os.WIFSIGNALED(status):
        break
"""


def test_a_restore_that_is_killed_leaves_the_state_before(tmp_path: Path) -> None:
    """At whichever point: the database is sound and of one state; run to its end, nothing is left
    lying about, and the state before is among the backups."""
    root = write(tmp_path / "app", STATES)
    assert invoke(["migrate", str(root)]) == 0
    backup = tmp_path / "one.db"
    assert invoke(["db", "backup", str(root), "--to", str(backup)]) == 0
    file = root / "data/app.db"
    _set(file, 2)
    seen: list[int] = []
    with subprocess.Popen(
        [sys.executable, "-c", SWEEP, str(root), str(backup)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for how in child.stdout:
            seen.append(_state(file))
            if how == "killed\n" and seen[-1] == 1:  # done, but for the tidying up
                _set(file, 2)
            child.stdin.write("\n")
            child.stdin.flush()
    assert (child.returncode, seen[-1]) == (0, 1)
    assert seen.count(2) > 20
    assert [each.name for each in file.parent.iterdir() if each.name.startswith(".")] == []
    kept = max((root / "data/backups").iterdir())
    assert _state(kept) == 2


def test_a_backup_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a copy: 130, and no file."""
    root = write(tmp_path / "app", STATES)
    assert invoke(["migrate", str(root)]) == 0
    code = (
        "import os, signal, sys\n"
        "from ringfence.cli import invoke\n"
        "from ringfence.cli.progress import Shown\n"
        "Shown.advanced = lambda self, done, total: os.kill(os.getpid(), signal.SIGINT)\n"
        f"sys.exit(invoke(['db', 'backup', {str(root)!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=25)
    assert done.returncode == 130
    assert list((root / "data/backups").iterdir()) == []


def _set(file: Path, of: int) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as line:
        line.execute("UPDATE state SET of = ?", (of,))


def _state(file: Path) -> int:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as line:
        assert line.execute("PRAGMA quick_check").fetchone() == ("ok",)
        low, high, count = line.execute("SELECT min(of), max(of), count(*) FROM state").fetchone()
    assert (low, count) == (high, ROWS)
    return int(low)
