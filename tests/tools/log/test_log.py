"""Both drivers of the log keep its contract; standard error gets lines that are safe to show."""

import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, json, structs

from ringfence.config import Secret
from ringfence.kernel.ports import Clock, Context, Grant, Health, ToolEnv, current
from ringfence.tools.clock.drivers import fake
from ringfence.tools.log import SPEC, Level, Log, Record
from ringfence.tools.log.conformance import LogConformance, Subject, redact
from ringfence.tools.log.drivers import logging as to_logging
from ringfence.tools.log.drivers import memory, stderr
from ringfence.tools.log.lines import json_line, printable, text_line
from ringfence.tools.log.standard import KNOWN, Standard

pytestmark = pytest.mark.anyio

GRANT = Grant("orders.place_order", "orders", "log")
RECORD = Record(datetime(2030, 1, 1, tzinfo=UTC), "info", "m")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.fixture
def clock() -> Clock:
    return fake.Driver(fake.Config(), NotImplemented)


@pytest.fixture
def env(clock: Clock) -> ToolEnv:
    return ToolEnv("shop", "log", Path(), Path(), clock, {}, lambda: Health("ready"), redact=redact)


@pytest.fixture
def stderr_file(tmp_path: Path) -> Path:
    return tmp_path / "stderr"


def driver_on(path: Path, config: stderr.Config, env: ToolEnv) -> stderr.Driver:
    """Make a driver while a file is standard error, which it holds on to."""
    with path.open("w") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", file)
        return stderr.Driver(config, env)


@pytest.fixture
async def written(env: ToolEnv, stderr_file: Path) -> AsyncIterator[stderr.Driver]:
    driver = driver_on(stderr_file, stderr.Config(), env)
    await driver.start()
    yield driver
    await driver.stop()


@pytest.fixture
async def kept(env: ToolEnv) -> AsyncIterator[memory.Driver]:
    driver = memory.Driver(memory.Config(level="info"), env)
    await driver.start()
    yield driver
    await driver.stop()


class TestStderr(LogConformance):
    """Standard error, as a machine reads it."""

    @pytest.fixture
    def subject(self, written: stderr.Driver, stderr_file: Path) -> Subject:
        def records() -> list[Record]:
            return [json.decode(line, type=Record) for line in lines(stderr_file)]

        return Subject(written.handle(GRANT), records)


class TestMemory(LogConformance):
    """The list that a test looks at."""

    @pytest.fixture
    def subject(self, kept: memory.Driver) -> Subject:
        return Subject(kept.handle(GRANT), lambda: list(kept.records))


class Team(logging.Handler):
    """A handler that a team has had all along: keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)


@pytest.fixture
async def team() -> AsyncIterator[Team]:
    team = Team()
    logging.getLogger().addHandler(team)
    yield team
    logging.getLogger().removeHandler(team)


@pytest.fixture
async def handed(env: ToolEnv) -> AsyncIterator[to_logging.Driver]:
    driver = to_logging.Driver(to_logging.Config(), env)
    await driver.start()
    yield driver
    await driver.stop()


def read_back(record: logging.LogRecord) -> Record:
    """Make of a `LogRecord` what a team's handler sees of it."""
    extra = {name: value for name, value in vars(record).items() if name not in KNOWN}
    trace = record.exc_text or ""
    if record.exc_info:
        trace = logging.Formatter().formatException(record.exc_info)
    return Record(
        datetime.fromtimestamp(record.created, UTC),
        cast("Level", record.levelname.lower()),
        record.getMessage(),
        getattr(record, "plugin", ""),
        trace_id=getattr(record, "trace_id", ""),
        span_id=getattr(record, "span_id", ""),
        operation=getattr(record, "operation", ""),
        fields={name.removesuffix("_"): value for name, value in extra.items()},
        traceback=trace if record.exc_info is None or record.exc_info[2] else "",
    )


class TestLogging(LogConformance):
    """The standard library's logging, as a team's handler sees it."""

    @pytest.fixture
    def subject(self, handed: to_logging.Driver, team: Team) -> Subject:
        return Subject(handed.handle(GRANT), lambda: list(map(read_back, team.kept)))


class Here(Struct, frozen=True):
    """What a log reads of the context that it is called in."""

    trace_id: str = "0abc" * 8
    span_id: str = "0def" * 4
    operation: str = "orders.place"
    plugin: str = "orders.place_order"


@contextmanager
def inside() -> Iterator[Here]:
    """Be in the context of a call of `orders.place`."""
    here = Here()
    token = current.set(cast("Context", here))
    yield here
    current.reset(token)


def test_the_tool_announces_itself() -> None:
    """Its contract is what a plugin's field names."""
    assert (SPEC.name, SPEC.contract, SPEC.default_driver) == ("log", Log, "stderr")


async def test_a_record_carries_the_context_that_it_was_written_in(kept: memory.Driver) -> None:
    """Trace, span and operation are those of the call, for plugins and kernel alike."""
    with inside() as ctx:
        kept.handle(GRANT).info("a")
        logging.getLogger("ringfence").info("b")
    assert len(kept.records) == 2
    for record in kept.records:
        assert (record.trace_id, record.span_id) == (ctx.trace_id, ctx.span_id)
        assert (record.operation, record.plugin) == ("orders.place", "orders.place_order")


class Card(Struct):
    number: Secret


@pytest.mark.parametrize("form", ["json", "text"])
async def test_a_secret_is_never_written(env: ToolEnv, stderr_file: Path, form: str) -> None:
    """As a value, in a value, and in an error, it is stars."""
    driver = driver_on(stderr_file, structs.replace(stderr.Config(), format=form), env)
    log = driver.handle(GRANT)
    secret = Secret("canary-7f3a")
    text = f"m {secret}"
    log.info(text, a=secret, b=[secret], c=Card(secret), d=ValueError(secret))
    (line,) = lines(stderr_file)
    assert "canary" not in line
    assert line.count("***") == 5
    await driver.stop()


async def test_text_is_for_people(env: ToolEnv, stderr_file: Path) -> None:
    """Without a terminal there are no colours; the trace is there to copy."""
    driver = driver_on(stderr_file, stderr.Config(format="text"), env)
    with inside() as ctx:
        driver.handle(GRANT).warning("order placed", order_id=7, note="two words", tags=["a"])
    (line,) = lines(stderr_file)
    assert line == (
        "2030-01-01T00:00:00.000+00:00 WARNING order placed order_id=7 "
        'note="two words" tags=["a"]  plugin=orders.place_order operation=orders.place '
        f"trace={ctx.trace_id}"
    )
    await driver.stop()


async def test_a_terminal_gets_text_in_colour(
    env: ToolEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` looks at what is at the other end; `never` means it."""
    reader, terminal = os.openpty()
    with os.fdopen(terminal, "w") as opened, os.fdopen(reader, "rb") as shown:
        monkeypatch.setattr(sys, "stderr", opened)
        for config in (stderr.Config(), stderr.Config(colour="never")):
            driver = stderr.Driver(config, env)
            driver.handle(GRANT).error("m")
            await driver.stop()
        coloured, plain = shown.readline(), shown.readline()
    assert b"\x1b[1;31mERROR" in coloured
    assert b"\x1b" not in plain
    assert b"ERROR" in plain


async def test_without_standard_error_a_driver_starts_all_the_same(
    env: ToolEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process without one (a service on some systems) is no reason to fail."""
    monkeypatch.setattr(sys, "stderr", None)
    driver = stderr.Driver(stderr.Config(level="error"), env)
    driver.handle(GRANT).info("m")
    await driver.stop()


async def test_after_the_stop_nothing_is_written_and_nothing_raises(
    written: stderr.Driver, stderr_file: Path
) -> None:
    """A late message of a feature that is still ending is dropped."""
    log = written.handle(GRANT)
    await written.stop()
    log.error("late")
    logging.getLogger("ringfence").error("late")
    assert lines(stderr_file) == []


async def test_a_message_whose_arguments_do_not_fit_is_kept(kept: memory.Driver) -> None:
    """A mistake in a message does not lose it."""
    (standard,) = (each for each in logging.getLogger().handlers if isinstance(each, Standard))
    standard.handle(logging.LogRecord("ringfence", logging.CRITICAL, "", 1, "%d %d", (1,), None))
    assert [(record.level, record.message) for record in kept.records] == [("error", "%d %d")]


async def test_two_applications_share_the_kernels_logger(env: ToolEnv) -> None:
    """Each kernel message is recorded once, and the level is put back at the end."""
    before = logging.getLogger("ringfence").level
    one, other = (memory.Driver(memory.Config(), env) for _ in range(2))
    await one.start()
    await other.start()
    logging.getLogger("ringfence").info("m")
    assert len(one.records) + len(other.records) == 1
    await one.stop()
    logging.getLogger("ringfence").info("n")
    assert [record.message for record in other.records] == ["n"]
    await other.stop()
    assert logging.getLogger("ringfence").level == before


async def test_memory_keeps_the_newest(env: ToolEnv) -> None:
    """A flood of records stays within its bound."""
    driver = memory.Driver(memory.Config(size=3), env)
    log = driver.handle(GRANT)
    for number in range(10):
        log.debug(str(number))
    assert [record.message for record in log.records] == ["7", "8", "9"]


# ---- text from outside


HOSTILE = "\x1b]0;owned\x07\r\n\x9b31mFAKE\x7f\u202e\u2028x\ud800"


def test_terminal_escapes_are_spelled_out() -> None:
    """What a terminal would obey is shown instead."""
    assert printable(HOSTILE) == ("\\x1b]0;owned\\x07\\r\\n\\x9b31mFAKE\\x7f\\u202e\\u2028x\\ud800")
    assert printable("Grüße, 世界 👋🏽") == "Grüße, 世界 👋🏽"


@given(st.text(st.characters()))
def test_no_text_reaches_a_terminal_as_a_command(text: str) -> None:
    """Whatever is written in a message, a name or a field, its line is one line of plain text."""
    hostile = structs.replace(
        RECORD, message=text, fields={text: text, "n": [text]}, plugin=text, operation=text
    )
    safe = structs.replace(
        hostile,
        message=text.encode("utf-8", "replace").decode(),
        fields={"a": text.encode("utf-8", "replace").decode()},
        plugin="",
        operation="",
    )
    for line in (printable(text) + "\n", json_line(safe), text_line(safe, colour=False)):
        assert len(line.splitlines()) == 1
        assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in line[:-1])
    assert json.decode(json_line(safe), type=Record) == safe


def test_a_traceback_cannot_fake_a_line() -> None:
    """Its lines are indented, and escaped one by one."""
    record = structs.replace(RECORD, traceback=f"a\n{HOSTILE}")
    first, *rest = text_line(record, colour=False).splitlines()
    assert first.endswith("m")
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in "".join(rest)
