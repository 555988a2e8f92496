"""Both type checkers reject the marked lines of `cases/`, and accept all the others.

A line that must be rejected ends with `# error: mypy, pyright` (or one of the two).
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).parent / "cases"
ROOT = Path(__file__).parents[1]
MARK = re.compile(r"# error: ([a-z, ]+)$")
Places = set[tuple[str, int]]


def marked(checker: str) -> Places:
    """Return file and line of each mark that names this checker."""
    places: Places = set()
    for path in CASES.glob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            mark = MARK.search(line)
            if mark and checker in mark[1].split(", "):
                places.add((path.name, number))
    return places


def rejected_by_mypy() -> tuple[Places, str]:
    """Return what mypy reports in the cases, and its output."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(CASES)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    found = re.findall(r"([\w-]+\.py):(\d+): error: ", output.stdout)
    return {(name, int(line)) for name, line in found}, output.stdout + output.stderr


def rejected_by_pyright() -> tuple[Places, str]:
    """Return what pyright reports in the cases, and its output."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    output = subprocess.run(
        [*command, str(CASES)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    places: Places = {
        (Path(fault["file"]).name, fault["range"]["start"]["line"] + 1)
        for fault in json.loads(output.stdout)["generalDiagnostics"]
        if fault["severity"] == "error"
    }
    return places, output.stdout + output.stderr


@pytest.mark.timeout(130)
def test_mypy_rejects_exactly_the_marked_lines() -> None:
    """mypy reports an error on each marked line and on no other."""
    rejected, output = rejected_by_mypy()
    assert rejected == marked("mypy"), output


@pytest.mark.timeout(130)
def test_pyright_rejects_exactly_the_marked_lines() -> None:
    """pyright reports an error on each marked line and on no other."""
    rejected, output = rejected_by_pyright()
    assert rejected == marked("pyright"), output


def test_there_are_cases() -> None:
    """An empty folder would pass the comparison without saying anything."""
    assert marked("mypy")
    assert marked("pyright")
