"""Text from outside stays text: whatever a command shows, a terminal obeys none of it."""

import asyncio
import json
import os
import unicodedata
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ringfence.cli import COMMANDS, invoke
from ringfence.control import ControlServer
from ringfence.deliveries import Deliveries
from ringfence.errors import Conflict, Fault, Finding, Invalid
from ringfence.kernel.context import Failure, Principal
from ringfence.report import (
    Cause,
    DomainStatus,
    EndedTraces,
    EventShown,
    LetterShown,
    Offered,
    PluginStatus,
    Span,
    Status,
    SubscriptionStatus,
    ToolStatus,
    Trace,
)
from tests.kernel.apps import write

from .process import process

# A title of the window, a colour by a C1 control, and text that runs backwards.
EVIL = "\x1b]0;owned\x07\x9b31m\x9d2;x\x9c\r\x08\x7f\u202eabc\u2066\u200f\u061c\u2028\u0085end"
IN_A_NAME = EVIL.replace("\u2028", "")  # of a file: everything but a slash
WHEN = datetime(2030, 1, 1, tzinfo=UTC)
ID = "ab" * 16
WRITES_FILES = {"new", "completion"}  # of names that are refused unless they are plain


def obeys(text: str) -> list[str]:
    """Return what of a text a terminal would take for an order."""
    kinds = ("Cc", "Cf", "Zl", "Zp", "Cs")
    return [repr(c) for c in text if c != "\n" and unicodedata.category(c) in kinds]


class EvilDeliveries(Deliveries):
    """Events whose every word is an attack."""

    def __init__(self) -> None:
        pass

    async def publish(
        self, topic: str, payload: Mapping[str, object], principal: str | None = None
    ) -> str:
        return EVIL

    async def events(self, topic: str = "", limit: int = 20) -> list[EventShown]:
        return [EventShown(EVIL, 1, EVIL, 1, EVIL, WHEN, EVIL, EVIL, EVIL)]

    async def follow(self, topic: str = "") -> AsyncGenerator[EventShown, None]:
        yield (await self.events())[0]
        raise Conflict(EVIL, subject=EVIL)

    async def letters(
        self, subscription: str = "", topic: str = "", wanted: str = "", limit: int = 100
    ) -> list[LetterShown]:
        event = (await self.events())[0]
        return [LetterShown(f"{ID}.1", EVIL, event, WHEN, 1, EVIL, EVIL, [EVIL])]

    async def change(self, wanted: str, changes: Mapping[str, object]) -> dict[str, object]:
        return {EVIL: EVIL}

    async def steer(self, action: str, name: str, who: str) -> int:
        raise Conflict(EVIL, subject=name)

    async def subscriptions(self) -> list[SubscriptionStatus]:
        return [SubscriptionStatus(EVIL, EVIL, "paused", EVIL, 1, 1, oldest_at=WHEN)]


class Evil:
    """An application whose every word is an attack."""

    failure = Failure(EVIL, EVIL, EVIL)

    async def call(
        self, name: str, payload: Mapping[str, object], principal: Principal | None, *, trace: int
    ) -> object:
        if name == "fine":
            return {EVIL: [EVIL, payload]}
        if name == "invalid":
            raise Invalid(EVIL, subject=EVIL, hint=EVIL, faults=[Fault(EVIL, EVIL)])
        error = Conflict(EVIL, subject=EVIL)
        error.trace_id = EVIL
        raise error

    def status(self) -> Status:
        plugin = PluginStatus(EVIL, EVIL, EVIL, [Offered(EVIL, EVIL)], 1, 1, 1)
        tool = ToolStatus(EVIL, EVIL, EVIL, EVIL, EVIL)
        return Status(
            EVIL, "degraded", [EVIL], 1, EVIL, 1.0, [DomainStatus(EVIL, [plugin])], [tool], EVIL
        )

    def trace(self, wanted: str) -> list[Span]:
        return [Span(EVIL, EVIL, "", EVIL, EVIL, EVIL, EVIL, WHEN, 1.0, 2, self.failure, EVIL)]

    def traces(self, limit: int, failed: bool) -> list[Trace]:
        return [Trace(EVIL, WHEN, 1.0, EVIL, EVIL, EVIL, 1, 1, self.failure)]

    async def why(self, wanted: str) -> list[Cause]:
        return [Cause("event", EVIL, "", EVIL, EVIL, WHEN, 1.0, EVIL, 1, EVIL, EVIL)]

    @property
    def deliveries(self) -> Deliveries:
        return EvilDeliveries()

    async def follow(self, failed: bool) -> AsyncGenerator[EndedTraces, None]:
        yield EndedTraces(self.traces(1, False), missed=True)
        raise Conflict(EVIL, subject=EVIL)


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One whose folder and files are called so, and say so where they fail."""
    said = ascii(EVIL)
    root = tmp_path / IN_A_NAME
    write(
        root,
        {
            "domains/till/fails.py": (
                "from ringfence import service\nfrom ringfence.tools.http import get\n\n"
                f"raise RuntimeError({said})\n\n\n"
                f"class A:\n    @get({said})\n    @service({said})\n    def a(self): ...\n"
            ),
            "domains/till/parameters.py": (
                "from ringfence import Plugin, service\n\n\nclass B(Plugin):\n"
                f'    @service("till.b")\n    async def b(self, a: str = {said}) -> None:\n'
                f'        """{EVIL.encode("unicode_escape").decode()}"""\n'
            ),
            f"domains/till/migrations/20260101000000_{IN_A_NAME}.sql": "SELECT 1;",
        },
    )
    monkeypatch.chdir(root)
    return root


# For each verb: how it is asked, and the exit code.
ASKED: dict[str, list[tuple[list[str], int]]] = {
    "check": [(["check"], 1)],
    "explain": [(["explain", f"{EVIL}?"], 1)],
    "routes": [(["routes"], 0), (["routes", EVIL], 0), (["routes", f"{EVIL}?"], 1)],
    "services": [(["services"], 0), (["services", f"{EVIL}?"], 1)],
    "doctor": [(["doctor"], 1)],
    "migrate": [(["migrate"], 2)],
    "db": [
        (["db", "backup", "--to", f"nowhere/{IN_A_NAME}"], 1),
        (["db", "restore", IN_A_NAME, "--yes"], 1),
        (["db", "backup", "--tool", EVIL], 2),
    ],
    "audit": [(["audit"], 0)],
    "status": [(["status"], 0)],
    "events": [(["events"], 0), (["events", "--follow"], 1)],
    "publish": [(["publish", EVIL, f"{EVIL}={EVIL}"], 0)],
    "subscriptions": [(["subscriptions"], 0), (["subscriptions", "pause", EVIL], 1)],
    "dead": [(["dead", "list"], 0), (["dead", "show", ID], 0)],
    "why": [(["why", "ab"], 0)],
    "graph": [(["graph", EVIL], 1)],
    "contracts": [(["contracts", EVIL], 2)],
    "impact": [(["impact", EVIL], 1)],
    "adopt": [(["adopt", EVIL], 1)],
    "trace": [(["trace"], 0), (["trace", "ab"], 0), (["trace", "--follow"], 1)],
    "call": [
        (["call", "fine", f"{EVIL}={EVIL}"], 0),
        (["call", "invalid", f"{EVIL}={EVIL}"], 1),
        (["call", EVIL], 1),
    ],
}


def test_every_verb_is_asked() -> None:
    """A new one has a row here, or is `run`, which is a process below."""
    assert COMMANDS.keys() - WRITES_FILES == ASKED.keys() | {"run"}


@pytest.mark.anyio
@pytest.mark.parametrize("verb", ASKED)
async def test_a_terminal_obeys_nothing_that_a_verb_shows(
    app: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    """Names, payloads, results, messages, paths: spelled out for people, escaped in JSON."""
    server = ControlServer(Evil(), app)
    await server.start()
    try:
        if verb == "audit":
            await asyncio.to_thread(invoke, ["call", EVIL, f"{EVIL}=1"])
            capsys.readouterr()
        for arguments, code in ASKED[verb]:
            for form in ([], ["--json"]):
                assert await asyncio.to_thread(invoke, [*arguments, *form]) == code, arguments
                out, err = capsys.readouterr()
                assert obeys(out + err) == []
                assert "owned" in out + err
                for line in out.splitlines() if form and "--follow" in arguments else ():
                    json.loads(line)
                if form and out and "--follow" not in arguments:
                    json.loads(out)
    finally:
        await server.stop()


def test_a_finding_is_spelled_out(
    app: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Place, rule, text and fix."""
    findings = [Finding(EVIL, 1, EVIL, EVIL, EVIL)]
    monkeypatch.setattr("ringfence.app.check", lambda root: findings)
    assert invoke(["check"]) == 1
    out, err = capsys.readouterr()
    assert (obeys(out + err), out.count("owned")) == ([], 4)


@pytest.mark.parametrize("arguments", [["status"], ["doctor", "--json"], ["audit", "--json"]])
def test_a_name_that_is_no_text_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Bytes that are no UTF-8 are a name as well."""
    root = tmp_path / os.fsdecode(b"app\xff")
    write(root, {"domains/till/till.py": "def\n"})
    assert invoke(["db", "backup", str(root), "--to", os.fsdecode(b"/nowhere/\xff")]) == 1
    capsys.readouterr()
    code = invoke([*arguments, "--app", str(root)])
    out, err = capsys.readouterr()
    assert code == (0 if arguments[0] == "audit" else 1)
    assert "UnicodeEncodeError" not in err
    assert obeys(out + err) == []
    if "--json" in arguments:
        json.loads(out)


def test_a_start_tells_what_failed_as_text(app: Path) -> None:
    """On the terminal and in the log; and it serves."""
    for file in (app / "domains/till/migrations").iterdir():
        file.unlink()
    with process(app) as running:
        running.serving()
        running.signal()
        assert running.end() == 0
        said = "".join([*running.out, *running.err])
    assert obeys(said) == []
    assert "owned" in said
