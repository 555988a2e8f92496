"""Run all that `make check` looks at, at once: `python -m scripts.checks`.

Each is named when it and those before it have ended; one that fails shows what it said, and the
others go on.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

BIN = Path(sys.executable).parent
DOCUMENTS = ["README.md", *sorted(map(str, Path("docs").glob("*.md")))]


class Check(NamedTuple):
    """A command; `chatty` if it also says something where nothing is wrong."""

    name: str
    command: list[str]
    chatty: bool = False


# The longest first: the others find room beside them.
CHECKS = [
    Check("mypy", ["mypy", "--no-error-summary"]),
    Check("pyright", ["pyright", "--pythonpath", sys.executable, "--warnings"], chatty=True),
    Check("snippets", ["python", "scripts/readme_snippets.py", *DOCUMENTS]),
    Check("imports", ["lint-imports", "--no-cache"], chatty=True),
    Check("ruff: lint", ["ruff", "check", "--quiet", "."]),
    Check("ruff: format", ["ruff", "format", "--check", "."], chatty=True),
]


def run(check: Check) -> "subprocess.CompletedProcess[str]":
    program, *arguments = check.command
    return subprocess.run(
        [BIN / program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )


def main(checks: list[Check]) -> int:
    failed = False
    with ThreadPoolExecutor(len(checks)) as pool:
        for check, ran in zip(checks, pool.map(run, checks), strict=True):
            wrong = ran.returncode != 0
            failed |= wrong
            print(f"{check.name}: failed" if wrong else check.name, flush=True)
            if wrong or not check.chatty:
                sys.stdout.write(ran.stdout)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(CHECKS))
