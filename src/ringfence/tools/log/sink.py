"""Write to a file descriptor without ever waiting for its reader.

A line is written at once while the reader keeps up. When it does not, lines wait in a bounded
backlog that one thread writes out, and which ends when it is empty; beyond the bound lines are
dropped and counted. Invariant: `write` returns without having waited. Used by the stderr driver.
"""

import os
import select
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread

# What a pipe that is ready takes without blocking: POSIX's PIPE_BUF, as Linux has it.
_CHUNK_BYTES = 4096
_BACKLOG_BYTES = 1 << 20


class Sink:
    """Lines to one descriptor, whole and in order, from any thread.

    Args:
        fd: Where to write; duplicated, so that closing it elsewhere hurts nobody.
        notice: Gives the line that tells of so many lines dropped.
        backlog_bytes: How much may wait for the reader.
    """

    def __init__(
        self, fd: int, notice: Callable[[int], bytes], *, backlog_bytes: int = _BACKLOG_BYTES
    ) -> None:
        try:
            self._fd = os.dup(fd)
        except OSError:  # closed: there is nobody to write to
            self._fd = os.open(os.devnull, os.O_WRONLY)
        self._notice = notice
        self._limit = backlog_bytes
        self._closed = False
        self._begin()
        self._unreported = 0
        self.dropped = 0
        self._poll = None
        if hasattr(select, "poll"):  # not on Windows, where a write may wait
            self._poll = select.poll()
            self._poll.register(self._fd, select.POLLOUT)

    def _begin(self) -> None:
        self._process = os.getpid()
        self._changed = Condition()
        self._backlog: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._draining = False

    def write(self, line: bytes) -> None:
        """Write a line, now or soon; drop it when too much is waiting already."""
        if os.getpid() != self._process:
            # A forked child: the thread that writes is not here, and may have held the lock.
            self._begin()
        with self._changed:
            if self._closed:
                self.dropped += 1
            elif self._draining:
                self._queue(line)
            elif rest := self._write_now(line):
                Thread(target=self._drain, name="ringfence-log", daemon=True).start()
                self._draining = True
                self._queue(rest)

    @property
    def is_behind(self) -> bool:
        """Whether lines wait for the reader."""
        return self._draining

    def close(self, timeout_s: float) -> None:
        """Give the backlog so many seconds to be written, then accept no more."""
        with self._changed:
            if self._closed:
                return
            self._changed.wait_for(lambda: not self._draining, timeout_s)
            self._closed = True
            if not self._draining:
                os.close(self._fd)

    def _write_now(self, line: bytes) -> bytes:
        """Write while the descriptor takes it; return the rest."""
        while line and self._is_ready():
            try:
                line = line[os.write(self._fd, line[:_CHUNK_BYTES]) :]
            except BlockingIOError:
                break
            except OSError:  # the reader is gone; there is nobody to tell
                self.dropped += 1
                return b""
        return line

    def _is_ready(self) -> bool:
        return self._poll is None or bool(self._poll.poll(0))

    def _queue(self, line: bytes) -> None:
        if self._waiting_bytes + len(line) > self._limit:
            self.dropped += 1
            self._unreported += 1
        else:
            self._backlog.append(line)
            self._waiting_bytes += len(line)

    def _drain(self) -> None:
        while (line := self._next()) is not None:
            while line:
                try:
                    line = line[os.write(self._fd, line) :]
                except BlockingIOError:  # somebody else made the descriptor non-blocking
                    select.select([], [self._fd], [])
                except OSError:
                    line = b""

    def _next(self) -> bytes | None:
        with self._changed:
            if not self._backlog and self._unreported:
                self._backlog.append(self._notice(self._unreported))
                self._unreported = 0
            if self._backlog:
                line = self._backlog.popleft()
                self._waiting_bytes = max(0, self._waiting_bytes - len(line))
                return line
            self._draining = False
            if self._closed:
                os.close(self._fd)
            self._changed.notify_all()
            return None
