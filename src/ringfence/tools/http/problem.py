"""RFC 9457 answers: what a stranger is told when a request fails.

`Refused` is raised here for requests that never reach their operation; `answer_to` translates any
exception. Invariant: what the server did wrong is told by its code and trace id alone.
"""

import logging
import math
from collections.abc import Callable, Sequence
from http import HTTPStatus

from msgspec import Struct, json

from ringfence.errors import (
    AppError,
    DeadlineExceeded,
    Fault,
    Invalid,
    PluginFailed,
    RingfenceError,
)
from ringfence.kernel.ports import Endpoint
from ringfence.tools.http.wire import Answer

logger = logging.getLogger(__name__)
# How other frameworks answer from within a handler.
_FOREIGN = {
    "HTTPException": ("fastapi", "litestar", "starlette", "werkzeug"),
    "Http404": ("django",),
    "PermissionDenied": ("django",),
}
PROBLEM_TYPE = (b"content-type", b"application/problem+json")


class Problem(Struct, frozen=True, omit_defaults=True):
    """The body of every answer that is an error."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    trace_id: str = ""
    errors: tuple[Fault, ...] = ()


class Refused(Exception):
    """A request that does not get as far as its operation.

    Args:
        status: Of the answer, 400 to 599.
        code: Stable, for machines.
        detail: For a person; shown to whoever sent the request.
        errors: Every fault of the request.
        headers: Of the answer, beside its type and length.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str = "",
        *,
        errors: Sequence[Fault] = (),
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.trace_id = ""  # where it has been recorded
        self._parts = (status, code, detail)
        self._errors = errors
        self._headers = headers

    def answer(self, trace_id: str = "") -> "Answer":
        """Return what is sent."""
        trace = trace_id or self.trace_id
        return _answer(*self._parts, trace_id=trace, errors=self._errors, headers=self._headers)


def stopping() -> Answer:
    """Return the answer to a request that the end of the process cuts off."""
    return _answer(503, "stopping", headers=((b"connection", b"close"),))


def explained(error: Exception, endpoint: Endpoint, redact: Callable[[str], str] = str) -> Answer:
    """Translate whatever a request raised into its answer, with the trace that it is recorded in.
    `redact` masks the application's secrets in it.

    What did not come through the kernel, a result that JSON does not carry for instance, is
    recorded here, and logged like any bug.
    """
    if isinstance(error, RingfenceError):
        if not error.trace_id:  # of a store, while its content was sent
            error.trace_id = endpoint.refused(error)
        if isinstance(error, PluginFailed):
            _tell_of_foreign(error.__cause__ or error.__context__, endpoint.operation)
        return answer_to(error, endpoint.operation, redact)
    trace_id = endpoint.refused(error)
    if isinstance(error, Refused):
        return error.answer(trace_id)
    logger.error("%s failed in trace %s", endpoint.operation, trace_id, exc_info=error)
    return _answer(500, "internal", trace_id=trace_id)


def _tell_of_foreign(raised: BaseException | None, operation: str) -> None:
    name, package = type(raised).__name__, type(raised).__module__.partition(".")[0]
    if package in _FOREIGN.get(name, ()):
        logger.warning(
            "%s: %s of %s is a bug to Ringfence, which answers 500. Raise an error of ringfence,"
            " or better a subclass with a code of the domain: NotFound answers 404.",
            operation,
            name,
            package,
        )


def answer_to(error: Exception, operation: str, redact: Callable[[str], str] = str) -> Answer:
    """Translate whatever a request raised into its answer.

    Args:
        error: Of any kind; one that is neither `Refused` nor a RingfenceError did not come
            through the kernel, and is logged by its kind and place alone.
        operation: What was being served, for the log.
        redact: Masks the application's secrets in what a feature says.
    """
    match error:
        case Refused():
            return error.answer()
        case RingfenceError():
            return _answer_to_ringfence(error, redact)
        case _:
            logger.error("%s: %s", operation, _place(error))
            return _answer(500, "internal")


def _answer_to_ringfence(error: RingfenceError, redact: Callable[[str], str]) -> Answer:
    # A deadline says whether what it cut off was committed all the same. What a tool says is for
    # the author: it names tables, columns and paths.
    told = (isinstance(error, DeadlineExceeded) and "committed" in error.hint) or (
        isinstance(error, AppError) and error.status < 500
    )
    faults = error.faults if isinstance(error, Invalid) else ()
    return _answer(
        error.status,
        "internal" if error.status == 500 else error.code,
        redact(f"{error.message} {error.hint}".strip()) if told else "",
        trace_id=error.trace_id,
        errors=[Fault(f.path, redact(f.message)) for f in faults],
        headers=_retry_after(error.retry_after_s),
    )


def _retry_after(seconds: float | None) -> tuple[tuple[bytes, bytes], ...]:
    if seconds is None:
        return ()
    return ((b"retry-after", b"%d" % max(0, math.ceil(seconds))),)


def _answer(
    status: int,
    code: str,
    detail: str = "",
    *,
    trace_id: str = "",
    errors: Sequence[Fault] = (),
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Answer:
    problem = Problem(
        type="about:blank",
        title=_title(status),
        status=status,
        code=code,
        detail=detail,
        trace_id=trace_id,
        errors=tuple(errors),
    )
    return Answer(status, json.encode(problem), (PROBLEM_TYPE, *headers))


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _place(error: Exception) -> str:
    """Kind and innermost place of an exception. Never its message, which may quote the request."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    return f"{type(error).__name__} at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
