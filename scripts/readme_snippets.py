"""Run what the documents show: `python scripts/readme_snippets.py README.md docs/*.md`.

A ```python, ```toml or ```sql block whose first line is a comment with a file name becomes that
file, in a temporary folder of the document's own. In a ```console block each line `$ command` runs
there, and the lines below it must be what it prints; `...` stands for anything. A command that ends
with `&` keeps running, once it has printed what is shown, until a line `^C` or the end of the
document, and `cd` holds for all that comes after it. Other blocks are prose. Documents run beside
each other, so each has ports of its own.
"""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

# Of each command; several run at once, beside the type checkers.
PATIENCE_S = 60.0
# Documents at a time: what they run waits more than it computes.
MOST = 4
BLOCK = re.compile(r"^```(python|toml|sql|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"(?:#|--) ([\w./-]+\.\w+)\n")
# The programs of the environment that runs this come first.
SEARCH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

# Plugins of the environment that no document uses, and that take each run of pytest a second.
ADDOPTS = "-pno:schemathesis -pno:hypothesispytest -pno:xdist"


class Mismatch(Exception):
    """A document shows something else than what happens."""


def fits(shown: str, printed: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("..."))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def execute(line: str, shown: str, folder: Path, running: list[subprocess.Popen[bytes]]) -> None:
    """Run one command in `folder` until it ends, or, in the background, until it shows enough."""
    output = folder / f".printed-{len(running)}"
    background = line.endswith("&")
    with output.open("wb") as sink:
        process = subprocess.Popen(
            ["/bin/sh", "-c", line.removesuffix("&")],
            cwd=folder,
            env={**os.environ, "PATH": SEARCH, "PYTHONUNBUFFERED": "1", "PYTEST_ADDOPTS": ADDOPTS},
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running.append(process)
    give_up_at = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < give_up_at:
        if background and fits(shown, output.read_text()):
            return
        time.sleep(0.02)
    printed = output.read_text()
    if process.poll() is None or background or not fits(shown, printed):
        raise Mismatch(f"$ {line}\nshown:\n{shown}\nprinted:\n{printed}")


def interrupt(shown: str, folder: Path, running: list[subprocess.Popen[bytes]]) -> None:
    """Press Ctrl-C for the command that was last left running, and wait until it has ended."""
    number = max(n for n, process in enumerate(running) if process.poll() is None)
    output = folder / f".printed-{number}"
    before = len(output.read_text())
    os.killpg(running[number].pid, signal.SIGINT)
    running[number].wait(PATIENCE_S)
    printed = output.read_text()[before:]
    if not fits(shown, printed):
        raise Mismatch(f"^C\nshown:\n{shown}\nprinted:\n{printed}")


def run(document: Path, folder: Path, running: list[subprocess.Popen[bytes]]) -> list[str]:
    """Write one document's files and run its commands, in the order of the document; return what
    was left out."""
    left_out: list[str] = []
    for language, block in BLOCK.findall(document.read_text()):
        named = FILE_NAME.match(block)
        if language != "console" and named:
            target = folder / named[1]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block)
        prompts = re.split(r"^(?:\$ |(?=\^C))", block, flags=re.MULTILINE)[1:]
        for prompt in prompts if language == "console" else ():
            if prompt.startswith("^C"):
                interrupt(prompt.removeprefix("^C"), folder, running)
                continue
            line, _, shown = prompt.partition("\n")
            if line.startswith("cd "):
                folder /= line.removeprefix("cd ").strip()
                continue
            if which(line.split()[0], path=SEARCH) is None:
                left_out.append(f"{document}: not run, it is not installed here: {line}")
                continue
            execute(line.rstrip(), shown, folder, running)
    return left_out


def examine(document: Path) -> tuple[list[str], Mismatch | None]:
    """Run one document in a folder of its own; return what was left out, or what is wrong."""
    running: list[subprocess.Popen[bytes]] = []
    with TemporaryDirectory(prefix="snippets-") as folder:
        try:
            return run(document, Path(folder), running), None
        except Mismatch as mismatch:
            return [], mismatch
        finally:
            for process in running:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGTERM)
                    process.wait(PATIENCE_S)


def main(documents: list[str]) -> int:
    failed = 0
    with ThreadPoolExecutor(MOST) as pool:
        for document, (left_out, wrong) in zip(
            documents, pool.map(examine, map(Path, documents)), strict=True
        ):
            for line in left_out:
                print(line)
            if wrong is not None:
                failed = 1
                print(f"{document}: shows something else\n{wrong}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
