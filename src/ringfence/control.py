"""The control socket: how the command line reaches a running application.

`ControlServer` owns one Unix socket and the lock beside it, which together say that this
application runs. One line of JSON comes in; one goes out, or, where the application answers with an
iterator, one for each of its values until either end hangs up. Invariant: nobody is answered but
the user who runs the application, and root; and what may change something is audited, or not done.
Used by `serve.py`; the other end is `cli/client.py`.
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from http import HTTPStatus
from inspect import isawaitable
from pathlib import Path
from typing import Protocol, assert_never

import msgspec

from ringfence.audit import AuditLog
from ringfence.contracts.payload import adapter_of, carry_out
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
from ringfence.control_socket import Claim, is_supported, peer_uid, user_name
from ringfence.deliveries import Deliveries
from ringfence.errors import Fault, Invalid, RingfenceError
from ringfence.kernel.context import Principal, next_trace
from ringfence.report import Cause, EndedTraces, Span, Status, Trace
from ringfence.settings import hide

CONNECTIONS = 32
REQUEST_TIMEOUT_S = 5.0
STALLED_S = 60.0  # a stream's reader may pause its terminal for as long
GRACE_S = 5.0

_log = logging.getLogger("ringfence.control")

_INTERNAL = Problem("Internal Server Error", 500, "internal")
_STOPPING = Problem("Service Unavailable", 503, STOPPING, "the application is stopping")


class Controlled(Protocol):
    """What the socket needs of an application."""

    async def call(
        self, name: str, payload: Mapping[str, object], principal: Principal | None, *, trace: int
    ) -> object: ...

    def status(self) -> Status: ...

    def trace(self, wanted: str) -> list[Span]: ...

    def traces(self, limit: int, failed: bool) -> Sequence[Trace]: ...

    def follow(self, failed: bool) -> AsyncGenerator[EndedTraces, None]: ...

    async def why(self, wanted: str) -> Sequence[Cause]: ...

    @property
    def deliveries(self) -> Deliveries: ...


Commands = CallRequest | PublishRequest | EditRequest | LettersRequest | SubscriptionRequest


class _Refused(Exception):
    """A request that does not get as far as the application."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        self.problem = Problem(HTTPStatus(status).phrase, status, code, detail)


class _Stream:
    """What is answered line by line."""

    def __init__(self, values: AsyncGenerator[object, None]) -> None:
        self.values = values


def claim_folder(root: Path) -> Claim | None:
    """Claim an application's folder for this process; None where there is no control socket.

    Raises:
        StartRefused: Another process runs this application.
    """
    return Claim.take(root) if is_supported() else None


class ControlServer:
    """Answers the command line for one application.

    Args:
        application: Who does what is asked.
        root: Its folder; the socket is `.ringfence/control.sock` in it, where that is possible.
        redact: Masks its secrets in what a problem says.
        claim: The claim of the folder, where the caller has taken it already.
        request_timeout_s: Seconds for a request to arrive, and for its answer to be taken.
    """

    def __init__(
        self,
        application: Controlled,
        root: Path,
        *,
        redact: Callable[[str], str] = str,
        claim: Claim | None = None,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self._application = application
        self._root = root
        self._redact = redact
        self._audit = AuditLog(root, redact)
        self._timeout_s = request_timeout_s
        self._claim = claim
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._stopping = asyncio.Event()
        self._encoder = msgspec.json.Encoder(enc_hook=_shown)
        self._decoder = msgspec.json.Decoder(Request)

    async def start(self) -> None:
        """Claim the application's folder and listen.

        Raises:
            StartRefused: Another process runs this application, or there is nowhere to listen.
        """
        if not is_supported():
            _log.warning("no control socket on this platform: status, call and trace cannot ask")
            return
        self._claim = self._claim or Claim.take(self._root)
        self._server = await asyncio.start_unix_server(
            self._serve, sock=self._claim.listen(), limit=REQUEST_BYTES
        )

    async def stop(self) -> None:
        """Stop to listen, end the streams, and wait a few seconds for answers on their way."""
        self._stopping.set()
        if self._server is not None:
            self._server.close()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=GRACE_S)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._server = None
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            answer = await self._answer(reader, writer)
            if isinstance(answer, bytes):
                await self._send(writer, answer, self._timeout_s)
            else:
                async with aclosing(answer.values):
                    await self._stream(answer.values, reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            # Whoever asked has gone, or reads too slowly to be waited for.
            writer.transport.abort()
        finally:
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter, line: bytes, limit_s: float) -> None:
        async with asyncio.timeout(limit_s):
            writer.write(line)
            await writer.drain()

    async def _stream(
        self,
        values: AsyncIterator[object],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Send values until there are no more, the reader hangs up, or the application stops."""
        sending = asyncio.ensure_future(self._send_each(values, writer))
        gone = asyncio.ensure_future(reader.read(1))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([sending, gone, stopping], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            elif not gone.done():
                await self._send(writer, self._problem(_STOPPING), self._timeout_s)
        finally:
            for each in (sending, gone, stopping):
                each.cancel()
            await asyncio.gather(sending, gone, stopping, return_exceptions=True)

    async def _send_each(self, values: AsyncIterator[object], writer: asyncio.StreamWriter) -> None:
        """Send one value after another, each once the one before has been taken: what does not get
        through meanwhile is the iterator's to count."""
        try:
            async for value in values:
                await self._send(writer, self._encoded(value), STALLED_S)
        except OSError:
            raise
        except Exception as error:  # as for a request
            await self._send(writer, self._failed(error), self._timeout_s)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> "bytes | _Stream":
        try:
            # An answer that leaves with the question unread is lost: the peer sees a reset.
            line = await self._line(reader)
            uid = _operator(writer)
            if len(self._tasks) > CONNECTIONS:
                raise _Refused(503, "overloaded", f"{CONNECTIONS} requests are open already")
            result = await self._handle(self._request(line), uid)
            return result if isinstance(result, _Stream) else self._encoded(result)
        except (OSError, asyncio.IncompleteReadError):
            raise
        except Exception as error:  # one request may fail, the socket goes on
            return self._failed(error)

    def _failed(self, error: Exception) -> bytes:
        match error:
            case _Refused():
                return self._problem(error.problem)
            case RingfenceError():
                return self._problem(_problem(error, self._redact))
            case _:
                _log.error("control: a request failed", exc_info=error)
                return self._problem(_INTERNAL)

    def _encoded(self, result: object) -> bytes:
        encoded = self._encoder.encode(result)
        if len(encoded) > ANSWER_BYTES:
            raise _Refused(500, "answer_too_large", "the answer is larger than 16 MiB")
        return self._encoder.encode(Answer(msgspec.Raw(encoded))) + b"\n"

    def _problem(self, problem: Problem) -> bytes:
        try:
            return self._encoder.encode(Answer(problem=problem)) + b"\n"
        except UnicodeEncodeError:  # half a surrogate pair in what a feature says
            return self._encoder.encode(Answer(problem=_INTERNAL)) + b"\n"

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await reader.readuntil(b"\n")
        except TimeoutError:
            text = f"no whole line within {self._timeout_s:g} s"
            raise _Refused(408, "too_slow", text) from None
        except asyncio.LimitOverrunError:
            raise _Refused(413, "too_large", "a request is at most 1 MiB") from None
        except asyncio.IncompleteReadError as end:
            if not end.partial:
                raise
            raise _Refused(400, "malformed", "the line does not end") from None

    def _request(self, line: bytes) -> Request:
        try:
            request: Request = self._decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Refused(400, "malformed", str(error)) from None
        return request

    async def _handle(self, request: Request, uid: int) -> object:
        match request:
            case CallRequest():
                return await self._command(request, uid)
            case StatusRequest():
                return self._application.status()
            case TraceRequest(wanted):
                return self._application.trace(wanted)
            case TracesRequest(limit, failed):
                return self._application.traces(limit, failed)
            case FollowRequest(failed):
                return _Stream(self._application.follow(failed))
            case WhyRequest(wanted):
                return await self._application.why(wanted)
            case EventsRequest(topic, limit):
                return await self._application.deliveries.events(topic, limit)
            case FollowEventsRequest(topic):
                return _Stream(self._application.deliveries.follow(topic))
            case SubscriptionsRequest():
                return await self._application.deliveries.subscriptions()
            case DeadRequest(subscription, topic, wanted, limit):
                deliveries = self._application.deliveries
                return await deliveries.letters(subscription, topic, wanted, limit)
            case PublishRequest() | EditRequest() | LettersRequest() | SubscriptionRequest():
                return await self._command(request, uid)
            case _:
                assert_never(request)

    async def _command(self, command: Commands, uid: int) -> object:
        """Do what may change something; who wanted it is on record before it begins."""
        trace = next_trace()
        what, arguments = command.told()
        who = Principal(f"operator:{user_name(uid)}")
        with self._audit.record(what, arguments, uid=uid, trace_id=f"{trace:032x}"):
            match command:
                case CallRequest(name, payload):
                    return await self._application.call(name, payload, who, trace=trace)
                case PublishRequest(topic, payload):
                    return await self._application.deliveries.publish(topic, payload, who.id)
                case EditRequest(letter, changes):
                    return await self._application.deliveries.change(letter, changes)
                case LettersRequest(action, ids):
                    store = self._application.deliveries.store
                    return await (store.replay(ids) if action == "replay" else store.drop(ids))
                case SubscriptionRequest(action, name):
                    return await self._application.deliveries.steer(action, name, who.id)
                case _:
                    assert_never(command)


def _shown(value: object) -> object:
    """Encode what msgspec does not know: what an adapter carries, and secrets as `***`."""
    if isawaitable(value):
        kind = type(value).__name__
        told = f"the result holds a {kind}; expected a value. Write `await` in front of it."
        raise _Refused(500, "not_awaited", told)
    return hide(value) if adapter_of(type(value)) is None else carry_out(value)


def _operator(writer: asyncio.StreamWriter) -> int:
    """Return the user at the other end, if it is one that may ask."""
    uid = peer_uid(writer.get_extra_info("socket"))
    if uid is None or uid not in (os.geteuid(), 0):
        _log.warning("control: user %s was turned away", "unknown" if uid is None else uid)
        raise _Refused(403, "forbidden", "only the user who runs the application may ask")
    return uid


def _problem(error: RingfenceError, redact: Callable[[str], str]) -> Problem:
    told = f"{error.subject}: {error.message}" if error.subject else error.message
    try:
        title = HTTPStatus(error.status).phrase
    except ValueError:
        title = "Error"
    return Problem(
        title,
        error.status,
        error.code,
        redact(f"{told} {error.hint}".strip()),
        error.trace_id,
        tuple(Fault(f.path, redact(f.message)) for f in error.faults)
        if isinstance(error, Invalid)
        else (),
    )
