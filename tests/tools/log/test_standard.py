"""The standard library's logging comes in with its trace, once, and leaves as others left it."""

import asyncio
import io
import json as stdlib_json
import logging
import subprocess
import sys
import textwrap
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import cast

import pytest
from msgspec import Struct, structs

from ringfence.kernel.ports import Clock, Context, Grant, Health, ToolEnv, current
from ringfence.tools.clock.drivers import fake
from ringfence.tools.log import Record
from ringfence.tools.log.conformance import CANARY, redact
from ringfence.tools.log.drivers import logging as to_logging
from ringfence.tools.log.drivers import memory, stderr
from tests.kernel.apps import feature, running

pytestmark = pytest.mark.anyio

GRANT = Grant("orders.place_order", "orders", "log")


class Here(Struct, frozen=True):
    """What a log reads of the context that it is called in."""

    app: str = "shop"
    trace_id: str = "0abc" * 8
    span_id: str = "0def" * 4
    operation: str = "orders.place"
    plugin: str = "orders.place_order"


def owned_by(app: str) -> Callable[[Context], bool]:
    return lambda ctx: cast("Here", ctx).app == app


@pytest.fixture
def env() -> ToolEnv:
    clock: Clock = fake.Driver(fake.Config(), NotImplemented)
    health = Health("ready")
    owns = owned_by("shop")
    return ToolEnv(
        "shop", "log", Path(), Path(), clock, {}, lambda: health, redact=redact, owns=owns
    )


@pytest.fixture
def inside() -> Iterator[Here]:
    """Be in the context of a call of `orders.place`."""
    here = Here()
    token = current.set(cast("Context", here))
    yield here
    current.reset(token)


@asynccontextmanager
async def kept(env: ToolEnv, **options: object) -> AsyncIterator[list[Record]]:
    """Give what a started driver of the kind `memory` keeps."""
    driver = memory.Driver(structs.replace(memory.Config(), **options), env)
    await driver.start()
    try:
        yield cast("list[Record]", driver.records)
    finally:
        await driver.stop()


@asynccontextmanager
async def written(env: ToolEnv, path: Path, **options: object) -> AsyncIterator[stderr.Driver]:
    """Give a started driver of the kind `stderr` that writes into a file."""
    config = structs.replace(stderr.Config(format="json", warnings=False), **options)
    with path.open("w") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", file)
        driver = stderr.Driver(config, env)
    await driver.start()
    try:
        yield driver
    finally:
        await driver.stop()


@contextmanager
def console() -> Iterator[io.StringIO]:
    """Give the console, to which somebody's handler of the root logger writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        logging.getLogger().addHandler(handler)
        yield stream
        logging.getLogger().removeHandler(handler)


async def test_what_a_library_logs_has_the_trace_of_who_called_it(
    env: ToolEnv, inside: Here
) -> None:
    """Message, level, extra fields, and the logger's name; with the plugin that was at work."""
    async with kept(env) as records:
        logging.getLogger("httpx").warning("GET %s", "/x", extra={"status": 503})
    (record,) = records
    assert (record.level, record.message) == ("warning", "GET /x")
    assert record.fields == {"status": 503, "logger": "httpx"}
    assert (record.trace_id, record.span_id) == (inside.trace_id, inside.span_id)
    assert (record.operation, record.plugin) == (inside.operation, inside.plugin)


async def test_an_error_of_a_library_is_kept_with_its_traceback(env: ToolEnv) -> None:
    """`logger.exception` is what most of them use."""
    async with kept(env) as records:
        try:
            raise OSError("full")
        except OSError:
            logging.getLogger("asyncpg").exception("pool")
    (record,) = records
    assert record.fields == {"error": "OSError: full", "logger": "asyncpg"}
    assert record.traceback.endswith("OSError: full")


async def test_libraries_are_heard_from_warnings_on(env: ToolEnv) -> None:
    """Unless `levels` says otherwise, for one or, as `root`, for all."""
    async with kept(env) as records:
        logging.getLogger("lib.a").info("quiet")
    assert list(records) == []
    levels = {"root": "info", "lib.b": "debug", "lib.b.loud": "error"}
    async with kept(env, level="info", levels=levels) as records:
        for name in ("lib.a", "lib.b", "lib.b.loud"):
            for level in (logging.DEBUG, logging.INFO, logging.ERROR):
                logging.getLogger(name).log(level, "m")
    heard = [(record.fields["logger"], record.level) for record in records]
    assert heard == [
        ("lib.a", "info"),
        ("lib.a", "error"),
        ("lib.b", "debug"),
        ("lib.b", "info"),
        ("lib.b", "error"),
        ("lib.b.loud", "error"),
    ]
    assert logging.getLogger().level == logging.WARNING
    assert logging.getLogger("lib.b").level == logging.NOTSET


async def test_a_plugin_has_a_level_of_its_own(env: ToolEnv) -> None:
    """By its name, or by that of its domain."""
    levels = {"orders": "debug", "orders.cancel_order": "error"}
    config = structs.replace(memory.Config(level="warning"), levels=levels)
    driver = memory.Driver(config, env)
    for plugin in ("orders.place_order", "orders.cancel_order", "stock.hold"):
        driver.handle(Grant(plugin, "", "log")).debug(plugin)
        driver.handle(Grant(plugin, "", "log")).warning(plugin)
    assert [(record.message, record.level) for record in driver.records] == [
        ("orders.place_order", "debug"),
        ("orders.place_order", "warning"),
        ("stock.hold", "warning"),
    ]


async def test_a_record_belongs_to_the_application_that_was_at_work(
    env: ToolEnv, inside: Here
) -> None:
    """Of two in a process, each has its own; outside any context the first has it, once."""
    other = structs.replace(env, app="bank", owns=owned_by("bank"))
    async with kept(env) as ours, kept(other) as theirs:
        logging.getLogger("lib").warning("of the shop")
        token = current.set(cast("Context", Here(app="bank")))
        logging.getLogger("lib").warning("of the bank")
        current.set(None)
        logging.getLogger("lib").warning("of nobody")
        current.reset(token)
    assert [record.message for record in ours] == ["of the shop", "of nobody"]
    assert [record.message for record in theirs] == ["of the bank"]


async def test_the_more_talkative_of_two_applications_wins(env: ToolEnv) -> None:
    """Each keeps what it asked for, and at the end the level is what it was."""
    before = logging.getLogger("lib").level
    async with kept(env, level="error"):
        async with kept(env, levels={"lib": "debug"}) as talkative:
            async with kept(env, levels={"lib": "error"}):
                logging.getLogger("lib").debug("m")
            logging.getLogger("lib").debug("n")
        assert logging.getLogger("lib").level == before
    assert [record.message for record in talkative] == ["m", "n"]


async def test_what_another_handler_shows_on_the_console_is_not_shown_twice(
    env: ToolEnv, tmp_path: Path
) -> None:
    """Who has configured logging keeps what he has; the log says so, once."""
    with console() as shown:
        async with written(env, tmp_path / "log"):
            logging.getLogger("lib").warning("once")
    (said,) = (tmp_path / "log").read_text().splitlines()
    assert "root logger shows libraries" in said
    assert shown.getvalue() == "once\n"


async def test_the_console_can_be_taken_over(env: ToolEnv, tmp_path: Path) -> None:
    """With `libraries = "always"` its handlers are set aside, and put back."""
    with console() as shown:
        before = set(logging.getLogger().handlers)
        async with written(env, tmp_path / "log", libraries="always"):
            logging.getLogger("lib").warning("once")
        logging.getLogger("lib").warning("after")
        assert set(logging.getLogger().handlers) == before
    (said,) = (tmp_path / "log").read_text().splitlines()
    assert stdlib_json.loads(said)["message"] == "once"
    assert shown.getvalue() == "after\n"


async def test_libraries_can_be_left_out(env: ToolEnv, tmp_path: Path) -> None:
    """The kernel's own messages come in all the same."""
    async with written(env, tmp_path / "log", libraries="never"):
        logging.getLogger("lib").warning("theirs")
        logging.getLogger("ringfence.kernel").warning("ours")
    (said,) = (tmp_path / "log").read_text().splitlines()
    assert stdlib_json.loads(said)["message"] == "ours"


async def test_whoever_listens_beside_sees_no_secret(
    env: ToolEnv, caplog: pytest.LogCaptureFixture
) -> None:
    """Message, arguments, extra fields and tracebacks are masked before others have them."""
    async with kept(env):
        try:
            raise OSError(CANARY)
        except OSError:
            extra = {"note": CANARY, "api_key": "k", "count": 1}
            logging.getLogger("lib").exception("calling %s", CANARY, extra=extra)
        logging.getLogger("lib").warning("%d left", 7)
    first, second = caplog.records
    assert "canary" not in caplog.text
    assert "canary" not in str(vars(first))
    assert (vars(first)["api_key"], vars(first)["count"]) == ("***", 1)
    assert "OSError: ***" in caplog.text
    assert (second.msg, second.args) == ("%d left", (7,))


async def test_a_thread_of_a_def_handler_logs_in_its_context(tmp_path: Path) -> None:
    """By `logging` as by the tool: worker threads have the variables of their call."""
    text = """
    import logging


    class Work(Plugin):
        @service("work.do")
        def do(self) -> str:
            logging.getLogger("lib").warning("from a thread")
            return "done"
    """
    async with running(tmp_path, {"domains/work/do.py": feature(text)}) as app:
        await app.call("work.do")
        (span,) = app.spans
        records = app.driver("log").records  # type: ignore[attr-defined]
        (record,) = [record for record in records if record.message == "from a thread"]
        assert (record.plugin, record.trace_id) == ("work.do", span.trace_id)


async def test_what_asyncio_says_of_a_lost_task_is_kept(env: ToolEnv) -> None:
    """asyncio tells of it through `logging`; in its form it is one record."""
    async with kept(env) as records:
        loop = asyncio.get_running_loop()
        loop.default_exception_handler({"message": "Task failed", "exception": OSError("full")})
    (record,) = records
    assert (record.fields["logger"], record.fields["error"]) == ("asyncio", "OSError: full")


async def test_warnings_are_logged_where_it_is_asked_for(env: ToolEnv, tmp_path: Path) -> None:
    """By the logger `py.warnings`; afterwards they are shown as before."""
    before = warnings.showwarning
    async with written(env, tmp_path / "log", warnings=True):
        warnings.showwarning("old", DeprecationWarning, "x.py", 1)
    assert warnings.showwarning is before
    (said,) = (tmp_path / "log").read_text().splitlines()
    assert stdlib_json.loads(said)["fields"]["logger"] == "py.warnings"
    assert "DeprecationWarning: old" in said


# ---- out


class Team(logging.Handler):
    """A handler that a team has had all along: keeps what it is given, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__()
        self.kept: list[logging.LogRecord] = []
        self._failure = failure

    def emit(self, record: logging.LogRecord) -> None:
        if self._failure is not None:
            raise self._failure
        self.kept.append(record)


@asynccontextmanager
async def handed(env: ToolEnv, team: logging.Handler) -> AsyncIterator[to_logging.Driver]:
    driver = to_logging.Driver(to_logging.Config(), env)
    logging.getLogger().addHandler(team)
    await driver.start()
    try:
        yield driver
    finally:
        await driver.stop()
        logging.getLogger().removeHandler(team)


async def test_a_record_is_handed_to_the_teams_handlers(env: ToolEnv, inside: Here) -> None:
    """Under `<application>.<plugin>`, its fields as attributes, also those with a taken name."""
    team = Team()
    async with handed(env, team) as driver:
        driver.handle(GRANT).info("order placed", order_id=7, name="tea")
        logging.getLogger("lib").warning("m")
    placed, theirs = team.kept
    assert (placed.name, placed.levelname) == ("shop.orders.place_order", "INFO")
    assert placed.getMessage() == "order placed"
    assert (vars(placed)["order_id"], vars(placed)["name_"]) == (7, "tea")
    for record in (placed, theirs):
        assert vars(record)["trace_id"] == inside.trace_id
        assert vars(record)["plugin"] == inside.plugin


async def test_an_error_is_handed_over_whole_unless_it_holds_a_secret(env: ToolEnv) -> None:
    """What groups and shows errors gets the exception; one that has to be masked, its text."""
    team = Team()
    async with handed(env, team) as driver:
        for told in ("full", CANARY):
            try:
                raise OSError(told)
            except OSError as error:
                driver.handle(GRANT).error("m", error=error)
    whole, masked = team.kept
    assert whole.exc_info is not None
    assert str(whole.exc_info[1]) == "full"
    assert masked.exc_info is None
    assert (masked.exc_text or "").endswith("OSError: ***")


async def test_a_handler_that_fails_fails_nobody(env: ToolEnv) -> None:
    """Neither the feature nor the application beside it."""
    async with handed(env, Team(RuntimeError("broken"))) as driver:
        driver.handle(GRANT).error("m")


async def test_what_goes_out_does_not_come_in_again(env: ToolEnv) -> None:
    """Beside an application that takes everything in, a record is there once."""
    team = Team()
    other = structs.replace(env, app="bank", owns=owned_by("bank"))
    async with kept(other) as records, handed(env, team) as driver:
        driver.handle(GRANT).warning("out")
        logging.getLogger("lib").warning("in")
    assert [record.getMessage() for record in team.kept] == ["out", "in"]
    assert [record.message for record in records] == ["in"]


# ---- in a process of its own


def run(text: str) -> subprocess.CompletedProcess[str]:
    """Run a script that has a driver's environment as `env`."""
    head = """
    import asyncio, logging, os, select, sys, threading
    from pathlib import Path
    from ringfence.kernel.ports import Grant, Health, ToolEnv
    from ringfence.tools.clock.drivers import system
    from ringfence.tools.log.drivers import logging as to_logging
    from ringfence.tools.log.drivers import stderr

    clock = system.Driver(system.Config(), None)
    env = ToolEnv("shop", "log", Path(), Path(), clock, {}, lambda: Health("ready"))
    grant = Grant("orders.place_order", "orders", "log")
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_where_nobody_listens_warnings_are_shown_all_the_same() -> None:
    """As Python does where no handler is, the one that only masks not counted."""
    done = run("""
    driver = to_logging.Driver(to_logging.Config(), env)
    asyncio.run(driver.start())
    driver.handle(grant).info("quiet")
    driver.handle(grant).warning("loud")
    logging.getLogger("lib").warning("theirs")
    """)
    assert (done.returncode, done.stderr.splitlines()) == (0, ["loud", "theirs"])


def test_a_thread_that_dies_is_one_record() -> None:
    """Not a traceback in the middle of lines of JSON; nor is what a destructor raises."""
    done = run("""
    class Bad:
        def __del__(self):
            raise ValueError("in a destructor")

    driver = stderr.Driver(stderr.Config(format="json"), env)
    asyncio.run(driver.start())
    thread = threading.Thread(target=lambda: 1 / 0, name="mine")
    thread.start()
    thread.join()
    Bad()
    asyncio.run(driver.stop())
    assert threading.excepthook is threading.__excepthook__
    """)
    assert done.returncode == 0, done.stderr
    thread, destructor = map(stdlib_json.loads, done.stderr.splitlines())
    assert (thread["level"], thread["message"]) == ("error", "mine failed")
    assert thread["fields"]["error"] == "ZeroDivisionError: division by zero"
    assert destructor["fields"]["error"] == "ValueError: in a destructor"


def test_with_standard_error_closed_a_log_writes_nowhere() -> None:
    """A daemon without descriptors starts, and logs, all the same."""
    done = run("""
    os.close(2)
    driver = stderr.Driver(stderr.Config(), env)
    asyncio.run(driver.start())
    driver.handle(grant).error("m")
    asyncio.run(driver.stop())
    print("went on")
    """)
    assert (done.returncode, done.stdout) == (0, "went on\n")


def test_a_forked_child_logs_on() -> None:
    """Also one that is forked while lines wait for a reader: its parent's thread is not there."""
    done = run("""
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    driver = stderr.Driver(stderr.Config(format="json"), env)
    log = driver.handle(grant)
    for number in range(2000):
        log.info("x" * 90, number=number)
    child = os.fork()
    if child == 0:
        log.info("from the child")
        asyncio.run(driver.stop())
        os._exit(7)
    read = b""
    while b"from the child" not in read and select.select([reader], [], [], 5)[0]:
        read += os.read(reader, 65536)
    print(b"from the child" in read, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    sys.stdout.flush()
    os._exit(0)
    """)
    assert done.stdout == "True 7\n", done
