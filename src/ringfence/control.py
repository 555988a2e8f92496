"""The control socket: how the command line reaches a running application.

`ControlServer` owns one Unix socket and the lock beside it, which together say that this
application runs. One line of JSON comes in, one goes out, then the connection ends. Invariant:
nobody is answered but the user who runs the application, and root. Used by `serve.py`; the other
end is `cli/client.py`.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from http import HTTPStatus
from inspect import isawaitable
from pathlib import Path
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Struct

from ringfence.contracts.payload import adapter_of, carry_out
from ringfence.control_socket import Claim, is_supported, peer_uid, user_name
from ringfence.errors import Fault, Invalid, RingfenceError
from ringfence.kernel.context import Principal
from ringfence.report import Span, Status
from ringfence.settings import hide

REQUEST_BYTES = 1 << 20
ANSWER_BYTES = 16 << 20
CONNECTIONS = 32
REQUEST_TIMEOUT_S = 5.0
GRACE_S = 5.0

_log = logging.getLogger("ringfence.control")


class Problem(Struct, frozen=True, omit_defaults=True):
    """What went wrong, in the members that an answer over HTTP has (RFC 9457)."""

    title: str
    status: int
    code: str
    detail: str = ""
    trace_id: str = ""
    errors: tuple[Fault, ...] = ()
    type: str = "about:blank"


_INTERNAL = Problem("Internal Server Error", 500, "internal")


class CallRequest(Struct, frozen=True, tag_field="do", tag="call", forbid_unknown_fields=True):
    """Call a service."""

    name: Annotated[str, Meta(max_length=256)]
    payload: dict[str, object] = {}


class StatusRequest(Struct, frozen=True, tag_field="do", tag="status", forbid_unknown_fields=True):
    """Ask how the application is."""


class TraceRequest(Struct, frozen=True, tag_field="do", tag="trace", forbid_unknown_fields=True):
    """Ask for the spans of a trace."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]


Request = CallRequest | StatusRequest | TraceRequest


class Answer(Struct, frozen=True, omit_defaults=True):
    """The one line that comes back: a result, or a problem."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    problem: Problem | None = None


class Controlled(Protocol):
    """What the socket needs of an application."""

    async def call(
        self, name: str, payload: Mapping[str, object], principal: Principal | None
    ) -> object: ...

    def status(self) -> Status: ...

    def trace(self, wanted: str) -> list[Span]: ...


class _Refused(Exception):
    """A request that does not get as far as the application."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        self.problem = Problem(HTTPStatus(status).phrase, status, code, detail)


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
        self._timeout_s = request_timeout_s
        self._claim = claim
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[object]] = set()
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
        """Stop to listen, and wait a few seconds for answers that are on their way."""
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
            async with asyncio.timeout(self._timeout_s):
                writer.write(answer)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            # Whoever asked has gone, or reads too slowly to be waited for.
            writer.transport.abort()
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        try:
            # An answer that leaves with the question unread is lost: the peer sees a reset.
            line = await self._line(reader)
            principal = _principal(writer)
            if len(self._tasks) > CONNECTIONS:
                raise _Refused(503, "overloaded", f"{CONNECTIONS} requests are open already")
            request = self._request(line)
            result = await self._handle(request, principal)
            encoded = self._encoder.encode(result)
            if len(encoded) > ANSWER_BYTES:
                raise _Refused(500, "answer_too_large", "the answer is larger than 16 MiB")
            answer = Answer(msgspec.Raw(encoded))
        except _Refused as refused:
            answer = Answer(problem=refused.problem)
        except RingfenceError as error:
            answer = Answer(problem=_problem(error, self._redact))
        except (OSError, asyncio.IncompleteReadError):
            raise
        except Exception:  # one request may fail, the socket goes on
            _log.exception("control: a request failed")
            answer = Answer(problem=_INTERNAL)
        try:
            return self._encoder.encode(answer) + b"\n"
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

    async def _handle(self, request: Request, principal: Principal) -> object:
        match request:
            case CallRequest(name, payload):
                # What an operator does from outside leaves a trace of who it was.
                _log.info("%s calls %s", principal.id, name)
                return await self._application.call(name, payload, principal)
            case StatusRequest():
                return self._application.status()
            case TraceRequest(wanted):
                return self._application.trace(wanted)


def _shown(value: object) -> object:
    """Encode what msgspec does not know: what an adapter carries, and secrets as `***`."""
    if isawaitable(value):
        kind = type(value).__name__
        told = f"the result holds a {kind}; expected a value. Write `await` in front of it."
        raise _Refused(500, "not_awaited", told)
    return hide(value) if adapter_of(type(value)) is None else carry_out(value)


def _principal(writer: asyncio.StreamWriter) -> Principal:
    uid = peer_uid(writer.get_extra_info("socket"))
    if uid is None or uid not in (os.geteuid(), 0):
        raise _Refused(403, "forbidden", "only the user who runs the application may ask")
    return Principal(f"operator:{user_name(uid)}")


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
