"""The documents' snippets are run, and a difference is told."""

from pathlib import Path

import pytest

from scripts.readme_snippets import fits, main

GREET = """
```python
# lib/greet.py
print("hello")
```
"""


def document(folder: Path, text: str) -> str:
    path = folder / "guide.md"
    path.write_text(text)
    return str(path)


def test_a_named_file_is_there_for_the_commands(tmp_path: Path) -> None:
    """A python block with a file name is written, and a console block finds it."""
    text = GREET + "```console\n$ python lib/greet.py\nhello\n```\n"
    assert main([document(tmp_path, text)]) == 0


def test_a_configuration_is_a_file_as_well(tmp_path: Path) -> None:
    """A toml block with a file name is written, too; one without is prose."""
    text = "```toml\n# app/a.toml\nx = 1\n```\n```toml\ny = 2\n```\n"
    text += "```console\n$ cat app/a.toml\n# app/a.toml\nx = 1\n$ ls\napp\n```\n"
    assert main([document(tmp_path, text)]) == 0


def test_a_document_goes_into_a_folder(tmp_path: Path) -> None:
    """Files and commands after `cd` are in that folder."""
    text = "```console\n$ mkdir app\n$ cd app\n```\n" + GREET
    text += "```console\n$ ls\nlib\n$ python lib/greet.py\nhello\n```\n"
    assert main([document(tmp_path, text)]) == 0


def test_another_output_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is shown and what is printed stand side by side when they differ."""
    text = GREET + "```console\n$ python lib/greet.py\ngoodbye\n```\n"
    assert main([document(tmp_path, text)]) == 1
    told = capsys.readouterr().err
    assert "guide.md" in told
    assert "goodbye" in told
    assert "hello" in told


def test_a_server_stays_up_for_the_commands_after_it(tmp_path: Path) -> None:
    """A command with & runs on once it has printed what is shown, and ends with the document."""
    serve = "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
    serve += (
        "open('port', 'w').write(str(s.getsockname()[1])); print('up'); s.accept()[0].send(b'yes')"
    )
    ask = "import socket; s = socket.create_connection(('127.0.0.1', int(open('port').read())));"
    ask += "print(s.recv(3).decode())"
    text = f'```console\n$ python -c "{serve}" &\nup\n$ python -c "{ask}"\nyes\n```\n'
    assert main([document(tmp_path, text)]) == 0


def test_a_server_that_ends_at_once_is_told(tmp_path: Path) -> None:
    """A background command that does not stay is a failure, whatever it printed."""
    text = "```console\n$ python -c \"print('down')\" &\nup\n```\n"
    assert main([document(tmp_path, text)]) == 1


def test_a_server_is_stopped_as_by_its_user(tmp_path: Path) -> None:
    """`^C` interrupts what was left running, and what it says then is what is shown."""
    serve = "import signal, sys; signal.signal(2, lambda *_: sys.exit('bye')); print('up');"
    serve += "signal.pause()"
    text = f'```console\n$ python -c "{serve}" &\nup\n```\nStop it:\n```console\n^C\nBYE\n```\n'
    assert main([document(tmp_path, text.replace("BYE", "bye"))]) == 0
    assert main([document(tmp_path, text)]) == 1


def test_other_blocks_are_prose(tmp_path: Path) -> None:
    """What has no prompt of a console is shown, not run."""
    text = "```sh\nexit 3\n```\n\n```python\nraise SystemExit\n```\n"
    assert main([document(tmp_path, text)]) == 0


@pytest.mark.parametrize(
    "shown,printed,fit",
    [
        ("a ... c", "a b c", True),
        ("a...", "a\nb\nc\n", True),
        ("a", "a\n", True),
        ("a", "ab", False),
        ("(a)", "a", False),
        ("", "a", False),
    ],
)
def test_dots_stand_for_anything(shown: str, printed: str, fit: bool) -> None:
    """`...` matches any text, lines included; all else is literal."""
    assert fits(shown, printed) is fit
