"""What is said while something takes long, and to whom."""

import sys
import threading

import pytest

from ringfence.cli import progress
from ringfence.cli.progress import Waiting


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said after a moment, on a terminal."""
    lines: list[str] = []
    monkeypatch.setattr(progress, "FIRST_S", 0.001)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress, "complain", lambda text, plain: lines.append(text))
    return lines


def test_what_takes_long_says_so(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again, while it goes on, and also where the event loop is blocked."""
    heard = threading.Semaphore(0)

    def hear(text: str, plain: bool) -> None:
        said.append(text)
        heard.release()

    monkeypatch.setattr(progress, "complain", hear)
    before = threading.active_count()
    with Waiting("reading"):
        assert heard.acquire(timeout=10)
        assert heard.acquire(timeout=10)
    assert said[0] == "still reading after 0 s"
    assert threading.active_count() == before


def test_what_is_quick_says_nothing(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It has ended before."""
    monkeypatch.setattr(progress, "FIRST_S", 60.0)
    with Waiting("reading"):
        pass
    assert said == []


@pytest.mark.parametrize("terminal", [True, False])
def test_nobody_who_reads_no_terminal_is_told(
    said: list[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    """Programs get what they asked for, and nothing beside it."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    before = threading.active_count()
    with Waiting("reading", quiet=terminal):
        assert threading.active_count() == before
    assert said == []
