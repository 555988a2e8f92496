"""A sink writes what its reader takes, keeps what fits, and never waits."""

import os
import threading
from collections.abc import Iterator

import pytest

from ringfence.tools.log.sink import Sink

PIPE_BYTES = 1 << 16


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue


def sink_on(fd: int, backlog_bytes: int = 1 << 20) -> Sink:
    return Sink(fd, lambda count: b"%d dropped\n" % count, backlog_bytes=backlog_bytes)


def read_all(reader: int) -> bytes:
    with os.fdopen(reader, "rb") as file:
        return file.read()


def test_a_line_is_there_when_write_returns(pipe: tuple[int, int]) -> None:
    """While the reader keeps up nothing is buffered: a crash loses no line."""
    reader, writer = pipe
    sink = sink_on(writer)
    sink.write(b"one\n")
    assert os.read(reader, 100) == b"one\n"
    sink.close(1)


def test_a_reader_that_sleeps_holds_nobody_up(pipe: tuple[int, int]) -> None:
    """Many times what the pipe takes is accepted at once, and arrives whole and in order."""
    reader, writer = pipe
    sink = sink_on(writer)
    lines = [b"%06d %s\n" % (number, b"x" * 93) for number in range(5000)]
    for line in lines:
        sink.write(line)
    os.close(writer)
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(read_all(reader)))
    thread.start()
    sink.close(10)
    thread.join(10)
    assert got[0].splitlines(keepends=True) == lines
    assert sink.dropped == 0


def test_beyond_the_bound_lines_are_dropped_and_counted(pipe: tuple[int, int]) -> None:
    """Memory stays flat, and the reader is told how many lines are missing."""
    reader, writer = pipe
    sink = sink_on(writer, backlog_bytes=1000)
    for number in range(5000):
        sink.write(b"%099d\n" % number)
    assert 5000 - (PIPE_BYTES + 1000) // 100 - 1 <= sink.dropped < 5000
    os.close(writer)
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(read_all(reader)))
    thread.start()
    sink.close(10)
    thread.join(10)
    rows = got[0].splitlines()
    told = [int(row.split()[0]) for row in rows if row.endswith(b"dropped")]
    lines = [int(row) for row in rows if not row.endswith(b"dropped")]
    assert sum(told) == sink.dropped
    assert len(lines) == 5000 - sink.dropped
    assert lines == sorted(lines)


def test_lines_of_many_threads_stay_whole(pipe: tuple[int, int]) -> None:
    """No line is written into another."""
    reader, writer = pipe
    sink = sink_on(writer)

    def write(letter: bytes) -> None:
        for _ in range(300):
            sink.write(letter * 200 + b"\n")

    threads = [
        threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c", b"d")
    ]
    got: list[bytes] = []
    collector = threading.Thread(target=lambda: got.append(read_all(reader)))
    for thread in (collector, *threads):
        thread.start()
    for thread in threads:
        thread.join(10)
    os.close(writer)
    sink.close(10)
    collector.join(10)
    lines = got[0].splitlines()
    assert len(lines) == 1200
    assert {(line[:1] * 200) == line for line in lines} == {True}


def test_a_reader_that_has_gone_is_no_failure(pipe: tuple[int, int]) -> None:
    """Lines for a closed pipe are counted as dropped."""
    reader, writer = pipe
    sink = sink_on(writer)
    os.close(reader)
    sink.write(b"one\n")
    assert sink.dropped == 1
    sink.close(1)


def test_closing_does_not_wait_for_ever(pipe: tuple[int, int]) -> None:
    """A reader that never reads costs the time that it was given, and no more."""
    reader, writer = pipe
    sink = sink_on(writer)
    for _ in range(2000):
        sink.write(b"x" * 99 + b"\n")
    sink.close(0)
    sink.write(b"late\n")
    assert sink.dropped == 1
    os.close(writer)
    # The thread that still writes ends once somebody reads.
    assert read_all(reader).count(b"\n") == 2000


def test_the_descriptor_is_the_sinks_own(pipe: tuple[int, int]) -> None:
    """Whoever closes theirs does not redirect the log into another file."""
    reader, writer = pipe
    sink = sink_on(writer)
    os.close(writer)
    sink.write(b"one\n")
    sink.close(1)
    assert read_all(reader) == b"one\n"
