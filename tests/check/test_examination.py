"""What is examined, what is kept of it, and what is mended."""

from pathlib import Path
from typing import Any

import pytest

from ringfence.app import check
from ringfence.check import shelf
from ringfence.check.catalogue import titles
from ringfence.check.examination import examine, mend
from ringfence.check.rules import RULES
from ringfence.cli import invoke
from scripts.readme_snippets import BLOCK, FILE_NAME
from tests.kernel.apps import write

ROOT = Path(__file__).parents[2]
WRONG = "from ringfence.kernel import boot\n"
TOUR = ["RF504", "RF505", "RF506", "RF508", "RF509", "RF514", "RF517", "RF520"]
FILE = "domains/orders/place.py"


@pytest.mark.parametrize(
    "application",
    [
        "apps/shop",
        "examples",
        "examples/own_tool/app",
        *(
            f"bench/apps/{name}"
            for name in ("bulk", "calls", "idle", "ledger", "routes", "web", "wide")
        ),
    ],
)
def test_nothing_is_found_in_what_the_project_shows(application: str) -> None:
    """Code that is there to be copied breaks no rule, and needs no waiver."""
    assert examine(ROOT / application, keep=False).findings == []


def test_nothing_is_found_in_the_features_of_the_documents(tmp_path: Path) -> None:
    """Each application that a document writes, under the folder that it gives it; but for the tour,
    which shows what goes wrong: all of that is found."""
    features = 0
    for document in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]:
        written: dict[str, dict[str, str]] = {}
        for _, body in BLOCK.findall(document.read_text("utf-8")):
            named = FILE_NAME.match(body)
            if named and "domains/" in named[1]:
                app, inside, rest = named[1].partition("domains/")
                written.setdefault(app, {})[inside + rest] = body
        found: set[str] = set()
        for number, files in enumerate(written.values()):
            features += len(files)
            root = write(tmp_path / document.stem / str(number), files)
            found |= {finding.rule for finding in examine(root, keep=False).findings}
        assert sorted(found) == (TOUR if document.stem == "error-tour" else []), document.name
    assert features > 10


def test_nothing_is_found_in_what_is_written_for_a_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application, a domain, features of all sorts and a tool, by `ringfence new`."""
    monkeypatch.chdir(tmp_path)
    assert invoke(["new", "shop"]) == 0
    monkeypatch.chdir(tmp_path / "shop")
    for arguments in (
        ["domain", "orders"],
        ["feature", "orders/place", "--route", "POST /orders"],
        ["feature", "orders/ask", "--calls", "greetings.greet", "--table", "asks"],
        ["feature", "orders/tidy", "--every", "1h"],
        ["tool", "mail"],
    ):
        assert invoke(["new", *arguments]) == 0
    assert examine(tmp_path / "shop", keep=False).findings == []


def test_every_rule_has_its_own_id_and_says_what_it_is_about() -> None:
    """In order, each with a sentence."""
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert [rule.id for rule in RULES] == sorted(rule.id for rule in RULES)
    assert all(title.endswith(".") and title[0].isupper() for title in titles().values())


def test_the_list_of_findings_says_what_explain_says() -> None:
    """One sentence a rule, in both places."""
    document = (ROOT / "docs/findings.md").read_text("utf-8")
    assert [row for row in titles().items() if f"| {row[0]} | {row[1]} |" not in document] == []


def test_tests_and_what_leads_out_of_the_application_are_left_out(tmp_path: Path) -> None:
    """A test may reach for anything; a link may lead anywhere."""
    outside = tmp_path / "outside.py"
    outside.write_text(WRONG)
    root = write(tmp_path / "app", {"domains/orders/tests/test_it.py": WRONG})
    (root / "domains/orders/link.py").symlink_to(outside)
    (root / "domains/orders/circle.py").symlink_to("circle.py")
    assert [f.rule for f in examine(root).findings] in ([], ["RF592"])


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"x = '\xff'\n", b"x = 1\0\n", b"(" * 500, b"# coding: klingon\n"]
)
def test_what_cannot_be_read_is_a_finding_and_no_error(tmp_path: Path, content: bytes) -> None:
    """Whatever is in the file, the others are examined."""
    root = write(tmp_path, {FILE: WRONG})
    (root / "domains/orders/_odd.py").write_bytes(content)
    assert [f.rule for f in examine(root).findings] == ["RF592", "RF501"]


def test_what_was_found_is_kept_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run reads no file that is as it was."""
    root = write(tmp_path, {FILE: WRONG, "domains/orders/_other.py": ""})
    first = examine(root)
    read: list[str] = []
    plain = shelf._examine

    def reading(path: Path, file: str, *rest: Any) -> shelf.Examined:
        read.append(file)
        return plain(path, file, *rest)

    monkeypatch.setattr(shelf, "_examine", reading)
    assert (examine(root), read) == (first, [])
    (root / FILE).write_text("import json\n")
    assert (list(examine(root).findings), read) == ([], [FILE])
    (root / FILE).unlink()
    assert (list(examine(root).findings), read) == ([], [FILE])


@pytest.mark.parametrize("content", [b"", b"\x00", b"not a cache" * 100])
def test_a_cache_that_cannot_be_read_is_no_cache(tmp_path: Path, content: bytes) -> None:
    """The files are read again."""
    root = write(tmp_path, {FILE: WRONG})
    first = examine(root)
    [kept] = (root / ".ringfence").glob("check.*")
    kept.write_bytes(content)
    assert examine(root) == first


def test_a_disk_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """Nothing is kept, and all is found."""
    root = write(tmp_path, {FILE: WRONG})
    (root / ".ringfence").write_text("a file where the folder would be")
    assert len(examine(root).findings) == 1


def test_an_unused_field_is_removed(tmp_path: Path) -> None:
    """And the application is as good as before."""
    unused = next(rule for rule in RULES if rule.id == "RF507")
    assert isinstance(unused.bad, str)
    root = write(tmp_path, {FILE: unused.bad})
    assert mend(root, examine(root).edits) == 1
    assert "db: Database" not in (root / FILE).read_text()
    assert examine(root).findings == []
    assert check(root) == []
