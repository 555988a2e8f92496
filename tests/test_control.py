"""The control socket: who is answered, what is answered, and which process has it."""

import asyncio
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.audit import AuditLog
from ringfence.cli import client
from ringfence.config import Secret
from ringfence.control import CONNECTIONS, ControlServer
from ringfence.control_messages import (
    REQUEST_BYTES,
    Answer,
    Command,
    Problem,
    Question,
    Request,
)
from ringfence.control_socket import Claim, candidates
from ringfence.errors import Conflict, Fault, Invalid, PluginQuarantined, StartRefused
from ringfence.kernel.context import Principal
from ringfence.report import (
    DomainStatus,
    EndedTraces,
    PluginStatus,
    Span,
    Status,
    ToolStatus,
    Trace,
)
from tests.eventless import Eventless

pytestmark = pytest.mark.anyio

SPAN = Span(
    "0" * 31 + "1", "0" * 15 + "2", "", "100", "orders.place", "orders.place_order", "POST /orders",
    datetime(2030, 1, 1, tzinfo=UTC), 0.25, 3,
)  # fmt: skip
TRACE = Trace(SPAN.trace_id, SPAN.started_at, 0.25, "POST /orders", "orders.place", "orders.place")
STATUS = Status(
    "shop",
    "degraded",
    ["orders.place_order is quarantined"],
    os.getpid(),
    "0",
    1.5,
    [DomainStatus("orders", [PluginStatus("orders.place_order", "quarantined", "a typo")])],
    [ToolStatus("db", "db", "sqlite", "healthy")],
)


class Shop(Eventless):
    """An application as the socket sees it."""

    def __init__(self) -> None:
        self.principals: list[Principal | None] = []
        self.traced: list[int] = []
        self.hold = asyncio.Event()
        self.calls: asyncio.Queue[str] = asyncio.Queue()
        self.ended: asyncio.Queue[EndedTraces | None] = asyncio.Queue()

    async def call(
        self, name: str, payload: Mapping[str, object], principal: Principal | None, *, trace: int
    ) -> object:
        self.principals.append(principal)
        self.traced.append(trace)
        self.calls.put_nowait(name)
        match name:
            case "echo":
                return {"payload": payload, "key": Secret("canary")}
            case "wait":
                await self.hold.wait()
                return "waited"
            case "invalid":
                faults = [Fault("$.sku", "missing"), Fault("$.quantity", "expected int")]
                raise Invalid("it does not fit.", subject="orders.place", faults=faults)
            case "conflict":
                error = Conflict("sold out.", hint="Order fewer.")
                error.trace_id = "ab" * 16
                raise error
            case "quarantined":
                raise PluginQuarantined("it did not load: line 3.", subject="orders.place")
            case "surrogate":
                raise Conflict("\ud800")
            case "odd":
                return object()
            case _:
                raise ZeroDivisionError("canary")

    def status(self) -> Status:
        return STATUS

    def trace(self, wanted: str) -> list[Span]:
        return [SPAN] if SPAN.trace_id.startswith(wanted) else []

    def traces(self, limit: int, failed: bool) -> list[Trace]:
        return [] if failed else [TRACE] * limit

    async def follow(self, failed: bool) -> AsyncGenerator[EndedTraces, None]:
        self.calls.put_nowait("follow")
        try:
            while True:
                ended = await self.ended.get()
                if ended is None:
                    raise Conflict("no more.")
                yield ended
        finally:
            self.calls.put_nowait("left")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    return folder


@pytest.fixture
async def shop() -> Shop:
    return Shop()


@pytest.fixture
async def server(shop: Shop, root: Path) -> AsyncIterator[ControlServer]:
    made = ControlServer(shop, root)
    await made.start()
    yield made
    await made.stop()


async def ask(root: Path, name: str, payload: Mapping[str, object] | None = None) -> object:
    return await asyncio.to_thread(client.call, root, name, payload or {})


async def refused(root: Path, name: str) -> Problem:
    with pytest.raises(client.Answered) as caught:
        await ask(root, name)
    return caught.value.problem


async def raw(root: Path, sent: bytes, *, end: bool = True) -> Answer:
    """Send bytes as they are, and read what comes back."""
    path = str(root / ".ringfence" / "control.sock")
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(sent)
        if end:
            writer.write_eof()
        answer = await reader.read()
    finally:
        writer.close()
    return msgspec.json.decode(answer, type=Answer)


# ---- questions and answers


async def test_a_call_comes_back_as_plain_values(server: ControlServer, root: Path) -> None:
    """What a service returns arrives as JSON has it, secrets hidden."""
    got = await ask(root, "echo", {"sku": "a", "n": 1, "deep": [{"x": None}]})
    assert got == {"payload": {"sku": "a", "n": 1, "deep": [{"x": None}]}, "key": "***"}


async def test_a_call_is_the_operators(server: ControlServer, root: Path, shop: Shop) -> None:
    """The principal is the user at the other end, never what the request says."""
    await ask(root, "echo", {"principal": "user:42"})
    (principal,) = shop.principals
    assert principal is not None
    assert principal == Principal(f"operator:{pwd.getpwuid(os.geteuid()).pw_name}")


async def test_status_and_trace_come_back_typed(server: ControlServer, root: Path) -> None:
    """What the application says of itself survives the way."""
    assert await asyncio.to_thread(client.status, root) == STATUS
    assert await asyncio.to_thread(client.trace, root, "0000") == [SPAN]
    assert await asyncio.to_thread(client.trace, root, "f") == []


async def test_an_expected_failure_comes_back_as_a_problem(
    server: ControlServer, root: Path
) -> None:
    """The body is that of an answer over HTTP: code, status, detail, trace id, every fault."""
    invalid = await refused(root, "invalid")
    assert (invalid.status, invalid.code) == (422, "invalid")
    assert invalid.detail == "orders.place: it does not fit."
    assert [fault.path for fault in invalid.errors] == ["$.sku", "$.quantity"]
    conflict = await refused(root, "conflict")
    assert (conflict.status, conflict.detail) == (409, "sold out. Order fewer.")
    assert conflict.trace_id == "ab" * 16
    quarantined = await refused(root, "quarantined")
    assert (quarantined.status, quarantined.code) == (503, "plugin_quarantined")
    assert "line 3" in quarantined.detail


@pytest.mark.parametrize("name", ["crash", "odd", "surrogate"])
async def test_a_bug_comes_back_without_detail(
    server: ControlServer, root: Path, name: str
) -> None:
    """What nobody expected is told by its code, and the socket goes on."""
    problem = await refused(root, name)
    assert (problem.status, problem.code, problem.detail) == (500, "internal", "")
    assert await asyncio.to_thread(client.status, root) == STATUS


async def test_questions_are_answered_side_by_side(
    server: ControlServer, root: Path, shop: Shop
) -> None:
    """A call that takes its time holds up no other."""
    waiting = asyncio.ensure_future(ask(root, "wait"))
    await ask(root, "echo")
    assert not waiting.done()
    shop.hold.set()
    assert await waiting == "waited"


async def test_traces_come_back_typed(server: ControlServer, root: Path) -> None:
    """As many as were asked for."""
    assert await asyncio.to_thread(client.traces, root, 3, False) == [TRACE] * 3
    assert await asyncio.to_thread(client.traces, root, 3, True) == []


# ---- what is on record


def test_every_request_says_whether_it_may_change_something() -> None:
    """What does is a command, and is audited."""
    for request in get_args(Request):
        assert issubclass(request, Question) != issubclass(request, Command)


async def test_a_call_is_on_record(server: ControlServer, root: Path, shop: Shop) -> None:
    """Who, what, with which names, and how it ended; none of the values."""
    await ask(root, "echo", {"password": "canary"})
    await refused(root, "conflict")
    await refused(root, "crash")
    echo, conflict, crash = AuditLog(root).read()
    assert (echo.what, echo.arguments, echo.outcome) == ("call echo", ("password",), "done")
    assert echo.uid == os.geteuid()
    assert [conflict.outcome, crash.outcome] == ["conflict", "internal"]
    assert [f"{trace:032x}" for trace in shop.traced] == [
        one.trace_id for one in (echo, conflict, crash)
    ]
    assert b"canary" not in (root / ".ringfence" / "audit.jsonl").read_bytes()


async def test_what_changes_nothing_is_not_on_record(server: ControlServer, root: Path) -> None:
    """Whoever looks all day fills no file."""
    await asyncio.to_thread(client.status, root)
    await asyncio.to_thread(client.trace, root, "0000")
    await asyncio.to_thread(client.traces, root, 3, False)
    await raw(root, b'{"do":"call"}\n')
    assert AuditLog(root).read() == []


async def test_a_call_that_cannot_be_recorded_is_refused(
    server: ControlServer, root: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It says why, reaches no service, and what changes nothing is answered."""
    monkeypatch.setattr("ringfence.control_socket._ELSEWHERE", tmp_path / "missing")
    (root / ".ringfence" / "audit.jsonl").mkdir()
    problem = await refused(root, "echo")
    assert (problem.status, problem.code) == (503, "audit_unavailable")
    assert "audit.jsonl" in problem.detail
    assert shop.principals == []
    assert await asyncio.to_thread(client.status, root) == STATUS


# ---- streams


async def follow(root: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    path = str(root / ".ringfence" / "control.sock")
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"do":"follow"}\n')
    return reader, writer


async def test_a_stream_is_a_line_for_each_value(
    server: ControlServer, root: Path, shop: Shop
) -> None:
    """As they come, until the other end hangs up; then nothing is left of it."""
    reader, writer = await follow(root)
    for missed in (False, True):
        shop.ended.put_nowait(EndedTraces([TRACE], missed))
        answer = msgspec.json.decode(await reader.readline(), type=Answer)
        assert msgspec.json.decode(answer.result, type=EndedTraces) == EndedTraces([TRACE], missed)
    writer.close()
    assert [await shop.calls.get(), await shop.calls.get()] == ["follow", "left"]


async def test_a_stopping_application_ends_its_streams(shop: Shop, root: Path) -> None:
    """At once, and they are told."""
    server = ControlServer(shop, root)
    await server.start()
    following = asyncio.ensure_future(asyncio.to_thread(lambda: list(client.follow(root, False))))
    reader, writer = await follow(root)
    assert [await shop.calls.get(), await shop.calls.get()] == ["follow", "follow"]
    await server.stop()
    assert await following == []
    answer = msgspec.json.decode(await reader.readline(), type=Answer)
    assert answer.problem is not None
    assert answer.problem.code == "stopping"
    assert await reader.read() == b""
    writer.close()


async def test_a_stream_may_end_with_a_problem(
    server: ControlServer, root: Path, shop: Shop
) -> None:
    """What goes wrong in its midst is told like any other failure."""
    shop.ended.put_nowait(None)
    with pytest.raises(client.Answered, match="no more"):
        await asyncio.to_thread(lambda: list(client.follow(root, False)))


async def test_a_reader_that_takes_nothing_is_hung_up_on(
    server: ControlServer, root: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is queued for it meanwhile."""
    monkeypatch.setattr("ringfence.control.STALLED_S", 0.05)
    large = EndedTraces([TRACE] * 20_000)
    _, writer = await follow(root)
    for _ in range(10):
        shop.ended.put_nowait(large)
    assert [await shop.calls.get(), await shop.calls.get()] == ["follow", "left"]
    assert not shop.ended.empty()
    writer.close()
    assert await asyncio.to_thread(client.status, root) == STATUS


# ---- malformed requests


@pytest.mark.parametrize(
    "sent",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"no json\n",
        b'{"do":"shutdown"}\n',
        b'{"do":"call"}\n',
        b'{"do":"call","name":7}\n',
        b'{"do":"call","name":"a","payload":[]}\n',
        b'{"do":"call","name":"a","principal":"root"}\n',
        b'{"do":"call","name":"' + b"a" * 300 + b'"}\n',
        b'{"do":"trace","id":""}\n',
        b'{"do":"traces","limit":0}\n',
        b'{"do":"traces","limit":100000}\n',
        b'{"do":"follow","failed":"yes"}\n',
        b'{"do":"call","name":"\xff"}\n',
        b'{"do":"call","name":"a","payload":{"x":' + b"[" * 100_000 + b"}}\n",
        b'{"do":"status"}',
        b"\x00\xff\xfe",
    ],
)
async def test_a_malformed_request_is_told_so(
    server: ControlServer, root: Path, shop: Shop, sent: bytes
) -> None:
    """It reaches no service, and the next request is served."""
    answer = await raw(root, sent)
    assert answer.problem is not None
    assert (answer.problem.status, answer.problem.code) == (400, "malformed")
    assert shop.principals == []
    assert await asyncio.to_thread(client.status, root) == STATUS


async def test_a_request_without_an_end_is_bounded(server: ControlServer, root: Path) -> None:
    """Beyond a megabyte nobody listens any more."""
    path = str(root / ".ringfence" / "control.sock")
    _, writer = await asyncio.open_unix_connection(path)
    chunk = b"x" * (1 << 16)
    sent = 0
    try:
        while sent < 64 * REQUEST_BYTES:
            writer.write(chunk)
            await writer.drain()
            sent += len(chunk)
    except OSError:
        pass
    writer.close()
    assert sent < 8 * REQUEST_BYTES
    assert await asyncio.to_thread(client.status, root) == STATUS


async def test_too_large_a_request_is_not_even_sent(server: ControlServer, root: Path) -> None:
    """The command line says so itself."""
    with pytest.raises(client.Answered) as caught:
        await ask(root, "echo", {"x": "x" * REQUEST_BYTES})
    assert caught.value.problem.status == 413


async def test_a_request_that_does_not_arrive_is_given_up(shop: Shop, root: Path) -> None:
    """A client that sends nothing holds no connection for long."""
    server = ControlServer(shop, root, request_timeout_s=0.05)
    await server.start()
    answer = await raw(root, b'{"do":"sta', end=False)
    await server.stop()
    assert answer.problem is not None
    assert answer.problem.code == "too_slow"


async def test_connections_are_bounded(server: ControlServer, root: Path, shop: Shop) -> None:
    """Beyond the bound the answer is `overloaded`, at once; afterwards there is room again."""
    line = b'{"do":"call","name":"wait"}\n'
    waiting = [asyncio.ensure_future(raw(root, line)) for _ in range(CONNECTIONS)]
    for _ in waiting:
        await shop.calls.get()
    answer = await raw(root, line)
    assert answer.problem is not None
    assert answer.problem.code == "overloaded"
    shop.hold.set()
    assert all(one.problem is None for one in await asyncio.gather(*waiting))
    assert await asyncio.to_thread(client.status, root) == STATUS


async def test_stopping_ends_calls_that_do_not_end(
    shop: Shop, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call in progress gets its grace, then the connection ends."""
    monkeypatch.setattr("ringfence.control.GRACE_S", 0.01)
    server = ControlServer(shop, root)
    await server.start()
    waiting = asyncio.ensure_future(ask(root, "wait"))
    await shop.calls.get()
    await server.stop()
    with pytest.raises(client.NotRunning):
        await waiting


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(junk=st.binary(max_size=200))
def test_junk_is_answered_or_dropped(junk_root: Path, junk: bytes) -> None:
    """Whatever bytes come, the connection ends and the server goes on."""

    async def scenario() -> None:
        server = ControlServer(Shop(), junk_root)
        await server.start()
        if junk:
            answer = await raw(junk_root, junk)
            assert answer.problem is not None
        assert await asyncio.to_thread(client.status, junk_root) == STATUS
        await server.stop()

    asyncio.run(scenario())


@pytest.fixture
def junk_root(tmp_path: Path) -> Path:
    return tmp_path


# ---- one instance


async def test_the_socket_is_private_from_the_start(server: ControlServer, root: Path) -> None:
    """Mode 0600, in a folder of mode 0700."""
    path = root / ".ringfence" / "control.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_the_umask_is_put_back(server: ControlServer) -> None:
    """Files that features make later have the modes that the operator chose."""
    mask = os.umask(0o022)
    os.umask(mask)
    assert mask != 0o177


async def test_a_second_instance_is_refused(server: ControlServer, root: Path, shop: Shop) -> None:
    """The first is named, and goes on undisturbed."""
    second = ControlServer(Shop(), root)
    with pytest.raises(StartRefused, match=f"running already, as process {os.getpid()}"):
        await second.start()
    await second.stop()
    assert await asyncio.to_thread(client.status, root) == STATUS


async def test_after_a_stop_another_may_start(shop: Shop, root: Path) -> None:
    """Stopping leaves no socket behind."""
    for _ in range(2):
        server = ControlServer(shop, root)
        await server.start()
        assert await ask(root, "echo")
        await server.stop()
        assert not (root / ".ringfence" / "control.sock").exists()
    with pytest.raises(client.NotRunning, match="not running"):
        await ask(root, "echo")


async def test_what_a_dead_process_left_behind_is_replaced(shop: Shop, root: Path) -> None:
    """Killed without warning, an instance holds nobody up."""
    code = (
        "import sys, time; from pathlib import Path; from ringfence.control_socket import Claim\n"
        f"claim = Claim.take(Path({str(root)!r})); sock = claim.listen(); sock.listen()\n"
        "print('up', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        server = ControlServer(shop, root)
        with pytest.raises(StartRefused, match=f"as process {process.pid}"):
            await server.start()
        process.send_signal(signal.SIGKILL)
    assert (root / ".ringfence" / "control.sock").exists()
    await server.start()
    assert await asyncio.to_thread(client.status, root) == STATUS
    await server.stop()


async def test_a_file_in_the_sockets_place_is_refused_clearly(shop: Shop, root: Path) -> None:
    """A folder of that name is somebody's mistake, told by its path."""
    (root / ".ringfence" / "control.sock").mkdir(parents=True)
    server = ControlServer(shop, root)
    with pytest.raises(StartRefused, match=r"control\.sock: cannot listen"):
        await server.start()
    await server.stop()


# ---- where it is


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / ("d" * 60) / ("e" * 60)
    folder.mkdir(parents=True)
    yield folder
    for path in candidates(folder, {os.geteuid()}):
        path.with_suffix(".lock").unlink(missing_ok=True)


async def test_too_long_a_path_has_its_socket_elsewhere(shop: Shop, deep: Path) -> None:
    """Both ends find the same place, and it is the user's own."""
    server = ControlServer(shop, deep)
    await server.start()
    (path,) = candidates(deep, {os.geteuid()})
    assert len(os.fsencode(path)) < 104
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert await asyncio.to_thread(client.status, deep) == STATUS
    await server.stop()


def test_a_folder_that_others_may_write_is_not_trusted(
    deep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who was there first, with a folder or a link, does not get the socket."""
    monkeypatch.setattr("ringfence.control_socket._ELSEWHERE", tmp_path)
    (path,) = candidates(deep, {os.geteuid()})
    path.parent.mkdir(mode=0o700)
    path.parent.chmod(0o770)
    with pytest.raises(StartRefused, match="other users may write"):
        Claim.take(deep)
    path.parent.rmdir()
    (tmp_path / "theirs").mkdir(mode=0o700)
    path.parent.symlink_to(tmp_path / "theirs")
    with pytest.raises(StartRefused, match="another user"):
        Claim.take(deep)


# ---- who is at the other end


NOBODY = 65534
AS_NOBODY = """
import os, socket, sys
os.setgroups([]); os.setgid({uid}); os.setuid({uid})
connection = socket.socket(socket.AF_UNIX)
try:
    connection.connect(sys.argv[1])
    connection.sendall(b'{{"do":"call","name":"echo"}}\\n')
    print(connection.makefile().read())
except PermissionError:
    print("not let in")
"""


def as_nobody(path: Path) -> str:
    code = AS_NOBODY.format(uid=NOBODY)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_another_user_is_not_let_in(server: ControlServer, root: Path, shop: Shop) -> None:
    """The mode keeps strangers out; and where it would not, they are asked who they are."""
    path = root / ".ringfence" / "control.sock"
    temporary = Path(tempfile.gettempdir())
    open_up = [folder for folder in path.parents if temporary in folder.parents]
    modes = [folder.stat().st_mode for folder in open_up]
    try:
        for folder in open_up:
            folder.chmod(0o755)
        assert await asyncio.to_thread(as_nobody, path) == "not let in\n"
        path.chmod(0o666)
        answer = msgspec.json.decode(await asyncio.to_thread(as_nobody, path), type=Answer)
    finally:
        for folder, mode in zip(open_up, modes, strict=True):
            folder.chmod(mode)
    assert answer.problem is not None
    assert (answer.problem.status, answer.problem.code) == (403, "forbidden")
    assert shop.principals == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_not_used(root: Path, tmp_path: Path) -> None:
    """A process that may not own the place beside the application takes its own elsewhere."""
    (root / ".ringfence").mkdir()
    os.chown(root / ".ringfence", NOBODY, NOBODY)
    claim = Claim.take(root)
    assert claim.path.parent == Path(f"/tmp/ringfence-{os.geteuid()}")
    claim.release()
    claim.path.with_suffix(".lock").unlink()


async def test_nobody_is_answered_whose_user_is_unknown(
    server: ControlServer, root: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system cannot tell, the answer is no."""
    monkeypatch.setattr("ringfence.control.peer_uid", lambda connection: None)
    answer = await raw(root, b'{"do":"call","name":"echo"}\n')
    assert answer.problem is not None
    assert answer.problem.code == "forbidden"
    assert shop.principals == []


async def test_nothing_is_sent_to_a_strangers_socket(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line looks who listens before it says anything."""
    (root / ".ringfence").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(root / ".ringfence" / "control.sock"))
    listener.listen()
    monkeypatch.setattr("ringfence.cli.client.peer_uid", lambda connection: NOBODY)
    with pytest.raises(client.NotRunning):
        await ask(root, "echo", {"password": "canary"})
    accepted, _ = await asyncio.to_thread(listener.accept)
    with accepted, listener:
        assert await asyncio.to_thread(partial(accepted.recv, 100)) == b""
