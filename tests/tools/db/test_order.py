"""Migrations are applied by stamp, unless a file says that it comes after another."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.errors import Finding
from ringfence.tools.db.migrations import discover

from .support import migration


def found(root: Path) -> tuple[list[str], list[Finding]]:
    """Return the order of all migrations, and what is wrong with them."""
    domains = {path.name: path for path in sorted((root / "domains").iterdir())}
    migrations, findings = discover(domains, root)
    return [each.id for each in migrations], findings


def test_one_comes_after_what_it_names(tmp_path: Path) -> None:
    """In its own domain without saying so, in another by name; several lines add up."""
    migration(tmp_path, "a", "20260101000001_one.sql", "-- after: 20260101000003_three\nSELECT 1")
    migration(tmp_path, "a", "20260101000003_three.sql", "SELECT 1")
    migration(
        tmp_path,
        "b",
        "20260101000000_zero.sql",
        "-- Needs both.\n-- after: a/20260101000001_one\n\n"
        "--After: a/20260101000003_three \nSELECT 1",
    )
    assert found(tmp_path) == (
        ["a/20260101000003_three", "a/20260101000001_one", "b/20260101000000_zero"],
        [],
    )


@pytest.mark.parametrize(
    "text, line, said, fix",
    [
        ("-- after: 20260101000000_on", 1, "names no migration", "'a/20260101000000_one'"),
        ("\n-- after: b/20260101000000_one", 2, "names no migration", "a/20260101000000_one"),
        ("-- after: 20260101000000_one.sql", 1, "expected a migration", "<stamp>_<name>"),
        ("-- after: ../a/20260101000000_one", 1, "expected a migration", "<stamp>_<name>"),
        ("-- after: the other one", 1, "expected a migration", "<stamp>_<name>"),
        ("-- after:", 1, "expected a migration", "<stamp>_<name>"),
        ("SELECT 1;\n-- after: 20260101000000_one", 2, "below the first statement", "top"),
    ],
)
def test_what_names_nothing_is_a_finding(
    tmp_path: Path, text: str, line: int, said: str, fix: str
) -> None:
    """With the line, and with what was probably meant."""
    migration(tmp_path, "a", "20260101000000_one.sql", "SELECT 1")
    migration(tmp_path, "a", "20260101000001_two.sql", f"{text}\n")
    _, (finding,) = found(tmp_path)
    assert finding.file == "domains/a/migrations/20260101000001_two.sql"
    assert (finding.line, finding.rule) == (line, "RF206")
    assert said in finding.message
    assert fix in finding.fix


def test_other_comments_say_nothing(tmp_path: Path) -> None:
    """Neither prose below the first statement, nor text in a string."""
    text = "SELECT '-- after: 20260101000009_x'; -- after: lunch\n/* -- after: x */ SELECT 1"
    migration(tmp_path, "a", "20260101000000_one.sql", text)
    assert found(tmp_path) == (["a/20260101000000_one"], [])


def test_a_circle_is_printed_once(tmp_path: Path) -> None:
    """All of it, and not what merely waits for it."""
    for domain, number, after in (
        ("a", 1, "b/2"),
        ("b", 2, "c/3"),
        ("c", 3, "a/1"),
        ("d", 4, "a/1"),
    ):
        other, _, which = after.partition("/")
        text = f"-- after: {other}/2026010100000{which}_x\nSELECT 1"
        migration(tmp_path, domain, f"2026010100000{number}_x.sql", text)
    migration(tmp_path, "e", "20260101000005_x.sql", "-- after: 20260101000005_x\nSELECT 1")
    _, findings = found(tmp_path)
    assert [(each.file, each.line) for each in findings] == [
        ("domains/a/migrations/20260101000001_x.sql", 1),
        ("domains/e/migrations/20260101000005_x.sql", 1),
    ]
    assert (
        "a/20260101000001_x after b/20260101000002_x after c/20260101000003_x after "
        "a/20260101000001_x" in findings[0].message
    )


EDGES = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=14)


@settings(max_examples=40, deadline=None)
@given(edges=EDGES)
def test_the_order_keeps_every_promise_and_changes_nothing_else(
    edges: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """For edges from larger to smaller numbers, and back: each after what it names; and of two
    that could come next, the one with the earlier stamp comes first."""
    root = tmp_path_factory.mktemp("order")
    after: dict[int, set[int]] = {number: set() for number in range(12)}
    for one, two in edges:
        # 5 steps on a ring of 12 meet every number once: an order that has nothing of the stamps'.
        if (one * 5) % 12 > (two * 5) % 12:
            after[one].add(two)
    ids = {n: f"{'ab'[n % 2]}/202601010000{n:02}_x" for n in after}
    for number, targets in after.items():
        head = "".join(f"-- after: {ids[target]}\n" for target in sorted(targets))
        domain, name = ids[number].split("/")
        migration(root, domain, f"{name}.sql", f"{head}SELECT 1")
    order, findings = found(root)
    assert findings == []
    expected: list[int] = []
    while len(expected) < 12:
        ready = [n for n in after if n not in expected and after[n] <= set(expected)]
        expected.append(min(ready))
    assert order == [ids[number] for number in expected]


def test_a_driver_takes_its_own_variant_or_the_plain_file(tmp_path: Path) -> None:
    """All variants are one migration, under one name."""
    migration(tmp_path, "a", "20260101000000_one.sqlite.sql", "SELECT 'sqlite'")
    migration(tmp_path, "a", "20260101000000_one.sql", "SELECT 'plain'")
    migration(tmp_path, "a", "20260101000001_two.sql", "SELECT 'plain'")
    migration(tmp_path, "a", "20260101000001_two.postgres.sql", "DO $$ BEGIN COMMIT; END $$")
    domains = {"a": tmp_path / "domains" / "a"}
    for dialect, texts in (
        ("sqlite", ["SELECT 'sqlite'", "SELECT 'plain'"]),
        ("postgres", ["SELECT 'plain'", "DO $$ BEGIN COMMIT"]),
    ):
        migrations, _ = discover(domains, tmp_path, dialect=dialect)
        assert [each.id for each in migrations] == [
            "a/20260101000000_one",
            "a/20260101000001_two",
        ]
        assert [each.commands[0].text for each in migrations] == texts
    assert found(tmp_path)[1] == []


def test_a_variant_that_is_missing_or_unknown_is_a_finding(tmp_path: Path) -> None:
    """What is missing, for the dialect that is asked for; others can still be named."""
    migration(tmp_path, "a", "20260101000000_one.postgres.sql", "SELECT 1")
    migration(tmp_path, "a", "20260101000001_two.sql", "-- after: 20260101000000_one\nSELECT 1")
    migration(tmp_path, "a", "20260101000002_three.sqlit.sql", "SELECT 1")
    _, (missing, unknown) = found(tmp_path)
    assert (missing.rule, unknown.rule) == ("RF207", "RF201")
    assert "20260101000000_one.sqlite.sql" in missing.fix
    assert "did you mean 'sqlite'" in unknown.message
