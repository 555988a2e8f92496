"""Waivers: what they excuse, and what is wrong with one."""

from pathlib import Path

import pytest

from ringfence.check.examination import examine, mend
from tests.kernel.apps import write

FILE = "domains/orders/place.py"
IMPORT = "from ringfence.kernel import boot"
REASON = "until boot is offered"


def found(root: Path, text: str) -> list[tuple[str, int]]:
    """Return rule and line of all that is found in a file of that text."""
    return [(f.rule, f.line) for f in examine(write(root, {FILE: text})).findings]


@pytest.mark.parametrize("dash", ["—", "–", "--", "-", ":"])
def test_a_waiver_excuses_its_line(tmp_path: Path, dash: str) -> None:
    """With any of the signs that people write before a reason."""
    assert found(tmp_path, f"{IMPORT}  # ringfence: allow RF501 {dash} {REASON}\n") == []


def test_a_waiver_alone_excuses_the_next_line_of_code(tmp_path: Path) -> None:
    """Past other comments and empty lines, and no further."""
    waiver = f"# ringfence: allow RF501 — {REASON}\n# more\n\n"
    assert found(tmp_path, f"{waiver}{IMPORT}\n{IMPORT} as b\n") == [("RF501", 5)]


def test_a_waiver_may_name_several_rules(tmp_path: Path) -> None:
    """Each of them is excused."""
    text = (
        f"import pickle\nX = pickle.loads(eval('b'))  # ringfence: allow RF515, RF516 — {REASON}\n"
    )
    assert found(tmp_path, text) == []


def test_a_waiver_of_another_rule_excuses_nothing(tmp_path: Path) -> None:
    """The finding stays, and the waiver is one as well."""
    text = f"{IMPORT}  # ringfence: allow RF502 — {REASON}\n"
    assert found(tmp_path, text) == [("RF501", 1), ("RF591", 1)]


@pytest.mark.parametrize(
    "waiver",
    [
        "# ringfence: allow RF501",
        "# ringfence: allow RF501 —",
        "# ringfence: allow RF501 — ok",
        "# ringfence: allow",
        "# ringfence: allow — because I say so",
        "# ringfence: allow RF999 — because I say so",
        "# ringfence: allow RF102 — because I say so",
        "# ringfence: allow RF590 because",
    ],
)
def test_a_waiver_without_rule_or_reason_excuses_nothing(tmp_path: Path, waiver: str) -> None:
    """Nor does one of what refuses the start."""
    assert found(tmp_path, f"{IMPORT}  {waiver}\n") == [("RF501", 1), ("RF590", 1)]


def test_a_text_that_reads_like_a_waiver_is_none(tmp_path: Path) -> None:
    """Only comments are."""
    text = f'X = """\n# ringfence: allow RF501 — {REASON}\n"""\n{IMPORT}\n'
    assert found(tmp_path, text) == [("RF501", 4)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_unused_waivers_are_removed(tmp_path: Path, end: str) -> None:
    """The code beside them stays as it is, its line ends included."""
    root = write(tmp_path, {FILE: ""})
    waiver = f"# ringfence: allow RF501 — {REASON}"
    text = end.join(["import json  " + waiver, waiver, "X = 1  # é", ""])
    (root / FILE).write_bytes(text.encode())
    assert mend(root, examine(root).edits) == 1
    assert (root / FILE).read_bytes() == end.join(["import json", "X = 1  # é", ""]).encode()
    assert examine(root).findings == []
