"""The command line's end of the control socket: a question and its answer, or answers, blocking.

`call`, `status`, `trace`, `traces` and `follow` ask the application in a folder. Nothing is sent
before the other end has shown to be the application's own user, or root.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ringfence.control_messages import (
    ANSWER_BYTES,
    REQUEST_BYTES,
    STOPPING,
    Answer,
    CallRequest,
    DeadRequest,
    EditRequest,
    EventsRequest,
    FollowEventsRequest,
    FollowRequest,
    LettersRequest,
    Problem,
    PublishRequest,
    Request,
    StatusRequest,
    SubscriptionRequest,
    SubscriptionsRequest,
    TraceRequest,
    TracesRequest,
    WhyRequest,
)
from ringfence.control_socket import candidates, is_supported, peer_uid
from ringfence.errors import RingfenceError
from ringfence.report import (
    Cause,
    EndedTraces,
    EventShown,
    LetterShown,
    Span,
    Status,
    SubscriptionStatus,
    Trace,
)

CONNECT_S = 10.0
EventCommand = PublishRequest | EditRequest | LettersRequest | SubscriptionRequest


class NotRunning(RingfenceError, code="not_running"):
    """Nobody answers for that application; nothing was done."""


class NoSocket(RingfenceError, code="no_control_socket"):
    """This platform has no control socket; nothing was done."""


class Answered(RingfenceError, code="answered"):
    """The application answered with a problem."""

    def __init__(self, problem: Problem, root: Path) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem
        self.root = root
        self.trace_id = problem.trace_id


def call(root: Path, name: str, payload: Mapping[str, object], *, timeout_s: float = 300) -> object:
    """Call a service of a running application, as the operator; return plain JSON values.

    Raises:
        NotRunning: Nobody answers for the application in `root`.
        NoSocket: Nobody can be asked on this platform.
        Answered: It failed; `problem` says how.
    """
    answer = _ask(root, CallRequest(name, dict(payload)), timeout_s)
    result: object = msgspec.json.decode(answer)
    return result


def status(root: Path, *, timeout_s: float = 10) -> Status:
    """Return the state of a running application; raises as `call` does."""
    return msgspec.json.decode(_ask(root, StatusRequest(), timeout_s), type=Status)


def trace(root: Path, wanted: str, *, timeout_s: float = 10) -> list[Span]:
    """Return the spans of one trace; raises as `call` does, and where not one trace is meant."""
    return msgspec.json.decode(_ask(root, TraceRequest(wanted), timeout_s), type=list[Span])


def traces(root: Path, limit: int, failed: bool, *, timeout_s: float = 10) -> list[Trace]:
    """Return the traces that ended last, oldest first; raises as `call` does."""
    answer = _ask(root, TracesRequest(limit, failed), timeout_s)
    return msgspec.json.decode(answer, type=list[Trace])


def follow(root: Path, failed: bool) -> Iterator[EndedTraces]:
    """Yield traces as they end, until the application stops; raises as `call` does."""
    for line in _lines(root, FollowRequest(failed)):
        yield msgspec.json.decode(line, type=EndedTraces)


def why(root: Path, wanted: str, *, timeout_s: float = 10) -> list[Cause]:
    """Return the chain of causes around an id; raises as `call` does."""
    return msgspec.json.decode(_ask(root, WhyRequest(wanted), timeout_s), type=list[Cause])


def events(root: Path, topic: str, limit: int, *, timeout_s: float = 10) -> list[EventShown]:
    """Return the events that were stored last, oldest first; raises as `call` does."""
    answer = _ask(root, EventsRequest(topic, limit), timeout_s)
    return msgspec.json.decode(answer, type=list[EventShown])


def subscriptions(root: Path, *, timeout_s: float = 10) -> list[SubscriptionStatus]:
    """Return how every subscription is; raises as `call` does."""
    answer = _ask(root, SubscriptionsRequest(), timeout_s)
    return msgspec.json.decode(answer, type=list[SubscriptionStatus])


def dead(root: Path, wanted: DeadRequest, *, timeout_s: float = 10) -> list[LetterShown]:
    """Return dead letters, the newest first; raises as `call` does."""
    return msgspec.json.decode(_ask(root, wanted, timeout_s), type=list[LetterShown])


def do(root: Path, command: EventCommand, *, timeout_s: float = 60) -> object:
    """Do what changes something about events; raises as `call` does."""
    result: object = msgspec.json.decode(_ask(root, command, timeout_s))
    return result


def follow_events(root: Path, topic: str) -> Iterator[EventShown]:
    """Yield events as they are stored, until the application stops; raises as `call` does."""
    for line in _lines(root, FollowEventsRequest(topic)):
        yield msgspec.json.decode(line, type=EventShown)


def _lines(root: Path, request: Request) -> Iterator[msgspec.Raw]:
    """Yield what is answered line by line, until the application stops."""
    with _asked(root, request, None) as connection:
        received = bytearray()
        while True:
            answer = msgspec.json.decode(_receive(connection, received), type=Answer)
            if answer.problem is None:
                yield answer.result
            elif answer.problem.code == STOPPING:
                return
            else:
                raise Answered(answer.problem, root)


def _ask(root: Path, request: Request, timeout_s: float) -> msgspec.Raw:
    with _asked(root, request, timeout_s) as connection:
        answer = msgspec.json.decode(_receive(connection, bytearray()), type=Answer)
    if answer.problem is not None:
        raise Answered(answer.problem, root)
    return answer.result


@contextmanager
def _asked(root: Path, request: Request, timeout_s: float | None) -> Iterator[socket.socket]:
    """Send a request; the block reads what comes back, each part of it within `timeout_s`."""
    if not is_supported():
        raise NoSocket(
            "this platform has no Unix sockets, over which a running application is asked.",
            subject=str(root),
            hint="Open its /health/ready, read its log, or run it where they are: Linux or macOS.",
        )
    line = msgspec.json.encode(request) + b"\n"
    if len(line) > REQUEST_BYTES:
        problem = Problem("Content Too Large", 413, "too_large", "at most 1 MiB is sent")
        raise Answered(problem, root)
    try:
        with _connect(root, timeout_s or CONNECT_S) as connection:
            connection.sendall(line)
            connection.settimeout(timeout_s)
            yield connection
    except TimeoutError:
        message = f"no answer within {timeout_s:g} s; the application is busy or stuck"
        raise NotRunning(message, subject=str(root)) from None
    except (OSError, msgspec.DecodeError) as error:
        raise NotRunning(f"the connection broke off: {error}", subject=str(root)) from None


def _connect(root: Path, timeout_s: float) -> socket.socket:
    owner = root.stat().st_uid
    for path in candidates(root, {os.geteuid(), owner}):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
            # Who listens sees what is sent: it has to be someone who may know.
            if peer_uid(connection) in {os.geteuid(), owner, 0}:
                return connection
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            pass
        except PermissionError:
            connection.close()
            hint = "Use the account that runs the application."
            message = "its control socket belongs to another user"
            raise NotRunning(message, subject=str(root), hint=hint) from None
        connection.close()
    hint = f"Start it with `ringfence run {root}`."
    raise NotRunning("the application is not running.", subject=str(root), hint=hint)


def _receive(connection: socket.socket, received: bytearray) -> bytes:
    """Return the next line; what follows it stays in `received`."""
    start = 0
    while (end := received.find(b"\n", start)) < 0:
        start = len(received)
        chunk = connection.recv(1 << 16)
        if not chunk:
            raise ConnectionError("the answer ends in the middle")
        received += chunk
        if len(received) > 2 * ANSWER_BYTES:
            raise ConnectionError("the answer does not end")
    line = bytes(received[:end])
    del received[: end + 1]
    return line
