"""A database that was migrated in steps is the one that was migrated at once."""

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from anyio import run
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.tools.db.migrations import Migration, discover

from .upkeep import Quiet, upkeep

ROOT = Path(__file__).parents[3]
APPLICATIONS = ("apps/shop", "examples")


def migrate(root: Path) -> None:
    """Do what `ringfence migrate` does."""
    run(upkeep(root).migrate, Quiet())


def content(root: Path) -> list[str]:
    """Return all that a database holds, but for the moments of its migrations."""
    with closing(sqlite3.connect(root / "data" / "shop.db")) as line:
        assert line.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        line.execute("UPDATE ringfence_migrations SET applied_at = ''")
        return list(line.iterdump())


def add(root: Path, source: Path, migrations: Sequence[Migration]) -> Path:
    """Copy some of an application's migrations into another."""
    for each in migrations:
        target = root / each.shown
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / each.shown, target)
    return root


@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_prefix_of_an_application_is_the_same_in_steps_and_at_once(
    tmp_path: Path, name: str
) -> None:
    """Whichever version a database comes from, it ends where a new one begins."""
    source = ROOT / name
    domains = {path.name: path for path in sorted((source / "domains").iterdir())}
    migrations, findings = discover(domains, source)
    assert migrations
    assert not findings
    in_steps = tmp_path / "in-steps"
    for count in range(1, len(migrations) + 1):
        add(in_steps, source, migrations[count - 1 : count])
        migrate(in_steps)
        at_once = add(tmp_path / f"at-once-{count}", source, migrations[:count])
        migrate(at_once)
        assert content(in_steps) == content(at_once)


TABLES = st.sampled_from("abc")
CHANGES = st.one_of(
    st.tuples(st.just("INSERT INTO {0} (x) VALUES ({1});"), st.integers(0, 9)),
    st.tuples(st.just("UPDATE {0} SET x = x + {1};"), st.integers(0, 9)),
    st.tuples(st.just("ALTER TABLE {0} ADD COLUMN c{2} INTEGER DEFAULT {1};"), st.integers(0, 9)),
    st.tuples(
        st.just(
            "CREATE TABLE new_{0} (id INTEGER PRIMARY KEY, x, twice);\n"
            "INSERT INTO new_{0} (id, x) SELECT id, x FROM {0};\nDROP TABLE {0};\n"
            "ALTER TABLE new_{0} RENAME TO {0};"
        ),
        st.integers(0, 9),
    ),
    st.tuples(st.just("CREATE INDEX i{2} ON {0} (x);"), st.integers(0, 9)),
)


@settings(max_examples=12, deadline=None)
@given(
    changes=st.lists(st.tuples(TABLES, CHANGES), min_size=1, max_size=8),
    stops=st.sets(st.integers(1, 10)),
)
def test_wherever_it_stops_on_the_way(
    changes: list[tuple[str, tuple[str, int]]],
    stops: set[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Generated tables, rows, columns, rebuilds and indexes, in steps of generated sizes."""
    source, in_steps, at_once = (tmp_path_factory.mktemp(each) for each in ("new", "some", "all"))
    texts = [(name, f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, x);") for name in "abc"]
    texts += [
        (table, text.format(table, number, at))
        for at, (table, (text, number)) in enumerate(changes)
    ]
    for at, (domain, text) in enumerate(texts):
        path = source / "domains" / domain / "migrations" / f"202601010000{at:02}_step.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    domains = {name: source / "domains" / name for name in "abc"}
    migrations, _ = discover(domains, source)
    begin = 0
    for end in sorted({*(stop for stop in stops if stop < len(texts)), len(texts)}):
        add(in_steps, source, migrations[begin:end])
        migrate(in_steps)
        begin = end
    migrate(add(at_once, source, migrations))
    assert content(in_steps) == content(at_once)
