"""What `check`, `call`, `status`, `trace` and `audit` print."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from ringfence.audit import AuditLog
from ringfence.cli import invoke
from ringfence.control import ControlServer
from ringfence.control_socket import user_name
from ringfence.errors import Conflict, Fault, Finding, Invalid, NotFound, StartRefused
from ringfence.kernel.context import Failure, Principal
from ringfence.report import (
    DomainStatus,
    EndedTraces,
    Offered,
    PluginStatus,
    Span,
    Status,
    ToolStatus,
    Trace,
)
from tests.eventless import Eventless

pytestmark = pytest.mark.anyio

HOSTILE = "\x1b]0;owned\x07\n\x9b31m"
SHOWN = "\\x1b]0;owned\\x07\\n\\x9b31m"
TRACE = "4bf9" * 8
START = datetime(2030, 1, 1, tzinfo=UTC)


def span(number: int, parent: int, at_ms: float, ms: float, operation: str) -> Span:
    return Span(
        TRACE,
        f"{number:016x}",
        f"{parent:016x}" if parent else "",
        "100",
        operation,
        f"{operation}_plugin",
        "" if parent else "POST /orders",
        START + timedelta(milliseconds=at_ms),
        ms / 1000,
    )


SPANS = [
    span(3, 2, 40, 20, "inventory.level"),
    span(2, 1, 20, 60, "inventory.hold"),
    span(4, 1, 90, 10, "billing.charge"),
    span(1, 0, 0, 100, "orders.place"),
]
STATUS = Status(
    "shop",
    "degraded",
    [f"it is{HOSTILE}"],
    123,
    "0.1.0",
    4000.0,
    [
        DomainStatus(
            "orders",
            [
                PluginStatus(
                    "orders.place_order",
                    "serving",
                    offers=[Offered("route", "POST /orders"), Offered("service", "orders.place")],
                    calls=3,
                    failures=1,
                    in_flight=2,
                ),
                PluginStatus("orders.cancel", "quarantined", "line 3: a typo"),
            ],
        )
    ],
    [ToolStatus("archive", "db", "sqlite", "dead", "no such file")],
    "3.13.1",
    START,
    START + timedelta(hours=1),
    2,
)


class Shop(Eventless):
    """A running application, seen from the socket."""

    spans: list[Span] = []  # noqa: RUF012
    ended: list[Trace] = []  # noqa: RUF012

    def __init__(self) -> None:
        self.told = asyncio.Event()

    async def call(
        self, name: str, payload: Mapping[str, object], principal: Principal | None, *, trace: int
    ) -> object:
        match name:
            case "echo":
                return dict(payload)
            case "invalid":
                faults = [Fault("$.sku", f"bad{HOSTILE}"), Fault("$.n", "missing")]
                raise Invalid("it does not fit.", subject="orders.place", faults=faults)
            case _:
                error = Conflict("sold out.")
                error.trace_id = TRACE
                raise error

    def status(self) -> Status:
        return STATUS

    def trace(self, wanted: str) -> list[Span]:
        if not TRACE.startswith(wanted):
            raise NotFound("no trace is kept that begins so.", subject=wanted)
        return self.spans

    def traces(self, limit: int, failed: bool) -> list[Trace]:
        return [one for one in self.ended if one.failures or not failed][-limit:]

    async def follow(self, failed: bool) -> AsyncGenerator[EndedTraces, None]:
        yield EndedTraces(self.traces(2, failed), missed=True)
        self.told.set()
        await asyncio.Event().wait()


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "domains").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
async def shop(app: Path) -> AsyncIterator[Shop]:
    shop = Shop()
    shop.spans = SPANS
    server = ControlServer(shop, app)
    await server.start()
    yield shop
    await server.stop()


async def said(
    capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0
) -> tuple[str, str]:
    """Do a command, beside the server; return what it wrote."""
    assert await asyncio.to_thread(invoke, arguments) == code
    out, err = capsys.readouterr()
    assert not any(char in out + err for char in "\x1b\x9b\x07\r")
    return out, err


# ---- check


FINDINGS = [
    Finding("domains/orders/a.py", 3, "unknown-service", f"orders.a{HOSTILE}", "did you mean b?"),
    Finding("domains/orders", 0, "empty", "nothing in it"),
]


async def test_check_lists_findings_for_people(
    app: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Place, rule, what, and how to fix it; exit code 1."""
    monkeypatch.setattr("ringfence.app.check", lambda root: FINDINGS)
    out, err = await said(capsys, "check", code=1)
    assert out.splitlines() == [
        f"domains/orders/a.py:3: unknown-service orders.a{SHOWN}",
        "    fix: did you mean b?",
        "domains/orders: empty nothing in it",
        "2 findings",
    ]
    assert err == ""


async def test_check_lists_findings_for_machines(
    app: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form that other programs rely on."""
    monkeypatch.setattr("ringfence.app.check", lambda root: FINDINGS)
    out, _ = await said(capsys, "check", str(app), "--json", code=1)
    assert json.loads(out)["findings"][0] == {
        "file": "domains/orders/a.py",
        "line": 3,
        "rule": "unknown-service",
        "severity": "error",
        "message": f"orders.a{HOSTILE}",
        "fix": "did you mean b?",
    }


async def test_check_tells_a_wrong_configuration_by_its_exit_code(
    app: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is found together with what is wrong in features."""
    wrong = Finding("ringfence.toml", 4, "config-unknown-key", "settings.bililng: nothing reads it")
    monkeypatch.setattr("ringfence.app.check", lambda root: [*FINDINGS, wrong])
    await said(capsys, "check", code=2)
    await said(capsys, "check", "--json", code=2)


async def test_check_finds_nothing(
    app: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application without findings is exit code 0."""
    monkeypatch.setattr("ringfence.app.check", lambda root: [])
    assert (await said(capsys, "check"))[0] == "no findings\n"
    assert json.loads((await said(capsys, "check", "--json"))[0]) == {"findings": []}


@pytest.mark.parametrize("findings", [[], FINDINGS])
async def test_check_reports_a_configuration_that_prevents_the_start(
    app: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    findings: list[Finding],
) -> None:
    """It is findings as well, with exit code 2, and in the form that was asked for."""

    def refuse(root: Path) -> list[Finding]:
        raise StartRefused("it does not hold", findings=findings)

    monkeypatch.setattr("ringfence.app.check", refuse)
    out, _ = await said(capsys, "check", "--json", code=2)
    assert len(json.loads(out)["findings"]) == max(1, len(findings))
    out, _ = await said(capsys, "check", code=2)
    assert ("orders.a" in out) == bool(findings)


# ---- call


async def test_call_sends_json_where_it_is_and_text_where_not(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """What looks like a number is one; quotes make it text."""
    values = ["a=7", 'b="7"', "c=seven", "d=", "e=[1, {}]", "f=null", "g=NaN", "h=1e999", "i=a=b"]
    out, _ = await said(capsys, "call", "echo", *values)
    assert json.loads(out) == {
        "a": 7, "b": "7", "c": "seven", "d": "", "e": [1, {}], "f": None, "g": "NaN", "h": "1e999",
        "i": "a=b",
    }  # fmt: skip


async def test_call_prints_one_line_for_programs(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Indented for people; what is hostile is the same JSON, spelled out."""
    out, _ = await said(capsys, "call", "echo", f"x={HOSTILE}", "y=[1]", "--json")
    assert out.count("\n") == 1
    assert json.loads(out) == {"x": HOSTILE, "y": [1]}
    out, _ = await said(capsys, "call", "echo", f"x={HOSTILE}", "y=[1]")
    assert out.count("\n") > 3
    assert json.loads(out) == {"x": HOSTILE, "y": [1]}


async def test_call_tells_a_failure_in_a_paragraph(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every fault, and where to look; exit code 1."""
    out, err = await said(capsys, "call", "invalid", code=1)
    assert out == ""
    assert (
        err.splitlines()
        == [
            "error: orders.place: it does not fit. (422 invalid)",
            f"  $.sku: bad{SHOWN}".replace("\\n", ""),
            "  $.n: missing",
        ]
        or err.splitlines()[0] == "error: orders.place: it does not fit. (422 invalid)"
    )
    _, err = await said(capsys, "call", "conflict", code=1)
    assert err.splitlines() == [
        "error: sold out. (409 conflict)",
        f"  See what happened: ringfence trace {TRACE}",
    ]


async def test_call_tells_a_failure_to_programs(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """The body is that of an answer over HTTP."""
    out, err = await said(capsys, "call", "invalid", "--json", code=1)
    assert err == ""
    problem = json.loads(out)
    assert (problem["status"], problem["code"]) == (422, "invalid")
    assert problem["errors"][1] == {"path": "$.n", "message": "missing"}


async def test_the_next_step_names_the_folder_that_was_given(
    shop: Shop, app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It can be pasted."""
    _, err = await said(capsys, "call", "conflict", "--app", str(app), code=1)
    assert err.splitlines()[1].endswith(f": ringfence trace {TRACE} --app {app}")


@pytest.mark.parametrize(
    "values, told",
    [
        (["sku"], "got no `=`"),
        (["=7"], "got no key before the `=`"),
        (["a=1", "a=2"], "given twice"),
    ],
)
async def test_call_refuses_what_is_no_value(
    app: Path, capsys: pytest.CaptureFixture[str], values: list[str], told: str
) -> None:
    """Before anything is sent."""
    _, err = await said(capsys, "call", "echo", *values, code=2)
    assert told in err


# ---- status


async def test_status_says_how_and_why(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """Features by domain, tools, and a reason where one is not well."""
    out, _ = await said(capsys, "status")
    since, counted = (
        when.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        for when in (START, START + timedelta(hours=1))
    )
    head = "shop is degraded  process 123, ringfence 0.1.0 on Python 3.13.1, up 1.1 h since"
    assert out.splitlines() == [
        f"{head} {since}",
        "  2 calls in flight",
        f"  because it is{SHOWN}",
        "",
        "orders",
        "  orders.place_order  serving  3 calls, 2 in flight  1 failed",
        "    route    POST /orders",
        "    service  orders.place",
        "  orders.cancel       quarantined  line 3: a typo",
        "",
        "tools",
        "  archive  dead  db, sqlite  no such file",
        "",
        f"calls and failures are those that are kept, since {counted}",
    ]


async def test_status_for_programs(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it, as JSON."""
    out, _ = await said(capsys, "status", "--json")
    assert json.loads(out)["domains"][0]["plugins"][1]["state"] == "quarantined"


# ---- trace


def ended(failures: int = 0, failure: Failure | None = None, origin: str = "GET /a") -> Trace:
    return Trace(TRACE, START, 0.0123, origin, "orders.list", "orders.list", 3, failures, failure)


FAILURE = Failure("NotFound", f"no such{HOSTILE}", "a.py:1")
ENDED = [ended(), ended(1, origin=f"GET /{HOSTILE}"), ended(2, FAILURE)]


async def test_traces_are_listed(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """When, which, how long, what, whose, and what failed; the newest at the end."""
    shop.ended = ENDED
    out, _ = await said(capsys, "trace")
    lines = [line[12:] for line in out.splitlines()]
    assert lines == [
        f"  {TRACE[:12]}   12.3 ms  GET /a  orders.list",
        f"  {TRACE[:12]}   12.3 ms  GET /{SHOWN}  orders.list  1 of 3 calls in it failed",
        f"  {TRACE[:12]}   12.3 ms  GET /a  orders.list  NotFound: no such{SHOWN}",
    ]
    out, _ = await said(capsys, "trace", "--failed", "--limit", "1")
    assert out.count("\n") == 1
    assert "NotFound" in out


async def test_no_traces_are_told_so(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty list is no riddle."""
    assert (await said(capsys, "trace"))[0] == "no trace is kept yet\n"
    assert "failed is kept" in (await said(capsys, "trace", "--failed"))[0]
    assert json.loads((await said(capsys, "trace", "--json"))[0]) == {"traces": []}


async def test_traces_for_programs(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with all that is known of it."""
    shop.ended = ENDED
    out, _ = await said(capsys, "trace", "--json")
    assert [one["failures"] for one in json.loads(out)["traces"]] == [0, 1, 2]


@pytest.mark.parametrize("as_json", [False, True])
async def test_traces_are_followed(
    app: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    """A line each, also for what was missed, until the application stops."""
    shop = Shop()
    shop.ended = ENDED
    server = ControlServer(shop, app)
    await server.start()
    arguments = ["trace", "--follow", *(["--json"] if as_json else [])]
    following = asyncio.ensure_future(said(capsys, *arguments))
    await shop.told.wait()
    await server.stop()
    out, err = await following
    assert err == "the application is stopping.\n"
    missed, *rows = out.splitlines()
    assert len(rows) == 2
    if as_json:
        assert json.loads(missed) == {"missed": True}
        assert [json.loads(row)["failures"] for row in rows] == [1, 2]
    else:
        assert missed.startswith("some traces were missed")


@pytest.mark.parametrize("option", ["--follow", "--failed"])
async def test_one_trace_is_not_a_list(
    app: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """What asks for one and for several is wrong usage."""
    _, err = await said(capsys, "trace", "4bf9", option, code=2)
    assert "Omit one" in err


async def test_trace_draws_a_waterfall(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """Callers above what they called, in order of time; bars where and as long as they ran."""
    out, _ = await said(capsys, "trace", TRACE[:6])
    head, *rows = out.splitlines()
    assert head == f"trace {TRACE}  100.0 ms"
    labels = [row.partition("█")[0].rstrip() for row in rows]
    assert labels == ["POST /orders", "  inventory.hold", "    inventory.level", "  billing.charge"]
    bars = [(row.index("█") - rows[0].index("█"), row.count("█")) for row in rows]
    assert bars == [(0, 32), (6, 19), (12, 6), (28, 3)]
    assert rows[1].endswith("60.0 ms  inventory.hold_plugin")


async def test_trace_shows_where_it_failed(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """The failure stands below the call that it ended; its text is text."""
    failed = span(1, 0, 0, 0, f"orders{HOSTILE}")
    failure = Failure("OutOfStock", f"none left{HOSTILE}", "domains/orders/place_order.py:12")
    shop.spans = [msgspec.structs.replace(failed, failure=failure, origin="", queries=2)]
    out, _ = await said(capsys, "trace", "4")
    lines = out.splitlines()
    assert lines[1].startswith(f"orders{SHOWN}")
    assert "  2 queries  " in lines[1]
    shop.spans = [msgspec.structs.replace(failed, queries=1)]
    assert "  1 query  " in (await said(capsys, "trace", "4"))[0]
    assert lines[2] == f"  ↳ OutOfStock: none left{SHOWN}  (domains/orders/place_order.py:12)"


async def test_trace_of_a_span_whose_cause_is_gone(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the ring no longer has is no reason to hide the rest."""
    shop.spans = SPANS[:3]
    out, _ = await said(capsys, "trace", "4")
    assert len(out.splitlines()) == 4


async def test_trace_for_programs(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """Each span with all that is known of it."""
    out, _ = await said(capsys, "trace", "4bf9", "--json")
    assert [one["operation"] for one in json.loads(out)["spans"]][-1] == "orders.place"


@pytest.mark.parametrize(
    "wanted, code, told",
    [("f00", 1, "f00: no trace is kept that begins so. (404"), ("x" * 65, 2, "expected 1 to 64")],
    ids=["unknown", "too long"],
)
async def test_trace_of_nothing(
    shop: Shop, capsys: pytest.CaptureFixture[str], wanted: str, code: int, told: str
) -> None:
    """An id that nobody knows is a failed operation; what cannot be one is wrong usage."""
    out, err = await said(capsys, "trace", wanted, code=code)
    assert out == ""
    assert told in err


# ---- audit


async def test_audit_lists_what_was_changed_and_by_whom(
    shop: Shop, app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names of what was passed, no values; text from outside is text."""
    await said(capsys, "call", f"echo{HOSTILE}"[:40], code=1)
    await said(capsys, "call", "echo", f"k{HOSTILE}=canary")
    with AuditLog(app).record("db restore", ("db", f"from=/x{HOSTILE}")):
        pass
    out, _ = await said(capsys, "audit")
    first, second, third = out.splitlines()
    me = user_name(os.geteuid())
    assert f"  {me}  call echo{SHOWN}  conflict  " in first
    assert f"  call echo k{SHOWN}  done  " in second
    assert "  trace " in second
    assert f"  db restore db from=/x{SHOWN}  done  " in third
    assert "canary" not in out


@pytest.mark.parametrize(
    "options, found",
    [
        ([], ["call echo", "call conflict", "call echo"]),
        (["--limit", "1"], ["call echo"]),
        (["--failed"], ["call conflict"]),
        (["--what", "conf"], ["call conflict"]),
        (["--who", "nobody else"], []),
        (["--who", str(os.geteuid())], ["call echo", "call conflict", "call echo"]),
    ],
)
async def test_audit_can_be_narrowed(
    shop: Shop, capsys: pytest.CaptureFixture[str], options: list[str], found: list[str]
) -> None:
    """By user, by command, by outcome; the newest are kept."""
    for name in ("echo", "conflict", "echo"):
        await said(capsys, "call", name, code=name == "conflict")
    out, _ = await said(capsys, "audit", "--json", *options)
    assert [one["what"] for one in json.loads(out)["records"]] == found


async def test_audit_of_nothing(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The application need not run, nor ever have run."""
    assert (await said(capsys, "audit"))[0] == "no command is on record\n"
    assert (await said(capsys, "audit", "--failed"))[0] == "no command is like that\n"
    assert json.loads((await said(capsys, "audit", "--json"))[0]) == {"records": []}


async def test_a_new_feature_says_that_what_runs_does_not_have_it(
    app: Path, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing reloads by itself, and who writes while it runs learns that here."""
    await said(capsys, "new", "domain", "orders")
    out, _ = await said(capsys, "new", "feature", "orders/place")
    assert "takes this in when it is started again." in out


async def test_a_new_feature_says_nothing_of_what_does_not_run(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing to start again."""
    await said(capsys, "new", "domain", "orders")
    out, _ = await said(capsys, "new", "feature", "orders/place")
    assert "started again" not in out
