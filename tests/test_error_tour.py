"""The tour of mistakes, docs/error-tour.md: every answer that it shows is the one that is given."""

import os
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from ringfence.cli import invoke
from scripts.readme_snippets import FILE_NAME, fits

PAGE = (Path(__file__).parents[1] / "docs" / "error-tour.md").read_text("utf-8")
SHOWN = "8000"  # the port of the page's application; the test's has a free one
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TRACE = re.compile(r'"trace_id":"(\w+)"|ringfence trace (\w+)')
RUNNING = "While it runs"


class Mistake(NamedTuple):
    """One section of the page: the files that it shows, and each command with its answer."""

    name: str
    files: Mapping[str, str]
    commands: Sequence[tuple[str, str]]


def read(text: str) -> Mistake:
    """Read a section; a block's first line names the file that the block is."""
    files: dict[str, str] = {}
    commands: list[tuple[str, str]] = []
    for language, block in BLOCK.findall(text):
        if language == "text":
            for prompt in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                line, _, answer = prompt.partition("\n")
                commands.append((line, answer))
        elif named := FILE_NAME.match(block):
            files[named[1]] = block
    return Mistake(text.partition("\n")[0], files, commands)


def sections() -> tuple[Mistake, list[Mistake], list[Mistake]]:
    """Return the start of all, the mistakes before anything runs, and those of what runs."""
    start, *groups = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    alone: list[Mistake] = []
    running: list[Mistake] = []
    for group in groups:
        name, *mistakes = re.split(r"^### ", group, flags=re.MULTILINE)
        found = running if name.startswith(RUNNING) else alone
        found += map(read, mistakes)
    return read(start), alone, running


START, ALONE, TOGETHER = sections()


def write(folder: Path, *mistakes: Mistake) -> None:
    for name, text in ((n, t) for mistake in mistakes for n, t in mistake.files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the one application that has all the mistakes of the running ones; give its port."""
    folder = tmp_path_factory.mktemp("tour") / "shop"
    write(folder, START, *TOGETHER)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        command = [sys.executable, "-m", "ringfence", "run", ".", "--port", "0"]
        with (folder.parent / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        yield next(str(urlsplit(line.strip()).port) for line in process.stdout if "://" in line)
        process.terminate()
        process.communicate(timeout=20)


def curl(line: str) -> str:
    """Send the request that a `curl` line of the page stands for, and return the answer's body."""
    method, body, headers, url = None, None, {}, ""
    words = iter(shlex.split(line)[1:])
    for word in words:
        match word:
            case "-s":
                pass
            case "-X":
                method = next(words)
            case "-d":
                body = next(words).encode()
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case _:
                url = word
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            text: bytes = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            text = error.read()
    return text.decode()


def answer(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Do what a command line of the page says, in this process; return what it prints."""
    if line.startswith("curl "):
        return curl(line)
    invoke(shlex.split(line)[1:])
    return "".join(capsys.readouterr())


def give(
    mistake: Mistake, capsys: pytest.CaptureFixture[str], port: str = SHOWN
) -> Iterator[tuple[str, str]]:
    """Give the commands of a section one after another, each as text shown and text printed."""
    trace_id = ""
    for line, shown in mistake.commands:
        printed = answer(line.replace(" ID", f" {trace_id}").replace(SHOWN, port), capsys)
        for found in TRACE.findall(printed):
            trace_id = "".join(found)
        yield f"$ {line}\n{shown}", f"$ {line}\n{printed.replace(port, SHOWN)}"


@pytest.mark.parametrize("mistake", ALONE, ids=[mistake.name for mistake in ALONE])
def test_a_mistake_is_answered_as_shown(
    mistake: Mistake,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The files of its section and the commands below them give that answer."""
    folder = tmp_path / "shop"
    write(folder, START, mistake)
    monkeypatch.chdir(folder)
    assert mistake.commands
    for shown, printed in give(mistake, capsys):
        assert fits(shown, printed), printed


@pytest.mark.skipif(os.name == "nt", reason="a running application is asked over a Unix socket")
@pytest.mark.parametrize("mistake", TOGETHER, ids=[mistake.name for mistake in TOGETHER])
def test_a_mistake_in_a_running_application_is_answered_as_shown(
    mistake: Mistake, port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mistakes of one application, each asked for by itself."""
    assert mistake.commands
    for shown, printed in give(mistake, capsys, port):
        assert fits(shown, printed), printed


def test_the_tour_is_long_enough_and_right_at_its_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thirty mistakes at least; what they start from has none."""
    assert len(ALONE) + len(TOGETHER) >= 30
    write(tmp_path, START)
    assert invoke(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no findings\n"
