"""Every error that Ringfence raises, and what each one means to a caller.

    RingfenceError                   code, subject, message, hint, trace id
    ├ AppError                       raised by plugins; a subclass declares its own code
    │ ├ Invalid            422       ├ NotFound     404      ├ Conflict  409
    │ ├ Unauthenticated    401       ├ Forbidden    403      └ TooMany   429
    ├ CallError                      raised by the kernel
    │ ├ NoSuchService      404       ├ NotGranted   500      ├ DeadlineExceeded  504
    │ ├ BudgetExceeded     503       ├ Overloaded   503      ├ PluginQuarantined 503
    │ ├ TransactionHeld    500       └ PluginFailed 500
    ├ ToolError                      raised by tools; a contract defines its own below this
    │ └ ToolUnavailable    503       infrastructure is down; safe to try again
    ├ BootError                      the application does not start: all findings
    │ └ StartRefused                 configuration, port or migration prevents the start
    └ KernelBug          500       an invariant broke; please report

Messages read `<subject>: <what happened>; expected <x>, got <y>. <next step>`.
"""

import difflib
from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return `; did you mean ...?` when one of `known` is close to `word`, else nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


class Fault(Struct, frozen=True):
    """One thing wrong with a payload: where (a JSON path such as `$.items[0].sku`) and what."""

    path: str
    message: str


class Finding(Struct, frozen=True, order=True):
    """One thing wrong with an application: place first, so that findings sort by file and line."""

    file: str
    line: int
    rule: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        tail = f"\n    fix: {self.fix}" if self.fix else ""
        return f"{place}: {self.rule} {self.message}{tail}"


class RingfenceError(Exception):
    """The root of the tree.

    Args:
        message: What happened, for a person; safe to show to whoever caused it.
        subject: What it happened to (`orders.place`, `domains/orders/place_order.py`).
        hint: The next step, where one is certain.
        retry_after_s: Seconds after which trying again makes sense; None when it does not.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(
        self,
        message: str = "",
        *,
        subject: str = "",
        hint: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.subject = subject
        self.hint = hint
        self.retry_after_s = retry_after_s
        self.trace_id = ""

    def __init_subclass__(cls, *, code: str | None = None) -> None:
        super().__init_subclass__()
        if code is not None:
            cls.code = code

    def __str__(self) -> str:
        text = f"{self.subject}: {self.message}" if self.subject else self.message
        return f"{text} {self.hint}".rstrip() if self.hint else text


class AppError(RingfenceError):
    """An expected failure of a feature; subclass it with `code="domain.what"`."""

    code = "app"
    status = 400


class Invalid(AppError):
    """The input is wrong. `faults` lists every fault, not the first alone."""

    code = "invalid"
    status = 422

    def __init__(
        self,
        message: str = "",
        *,
        faults: Sequence[Fault] = (),
        subject: str = "",
        hint: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, subject=subject, hint=hint, retry_after_s=retry_after_s)
        self.faults = tuple(faults)

    def __str__(self) -> str:
        listed = "".join(f"\n  {fault.path}: {fault.message}" for fault in self.faults)
        return super().__str__() + listed


class NotFound(AppError):
    """What was asked for does not exist."""

    code = "not_found"
    status = 404


class Conflict(AppError):
    """The request contradicts the state that things are in."""

    code = "conflict"
    status = 409


class Forbidden(AppError):
    """Who asks is known, and may not."""

    code = "forbidden"
    status = 403


class Unauthenticated(AppError):
    """Who asks is not known, and must be."""

    code = "unauthenticated"
    status = 401


class TooMany(AppError):
    """Too many requests of this kind from this caller."""

    code = "too_many"
    status = 429


class CallError(RingfenceError):
    """The kernel refused or ended a call."""

    code = "call"


class NoSuchService(CallError):
    """No plugin provides that name."""

    code = "no_such_service"
    status = 404


class NotGranted(CallError):
    """A plugin reached for what it does not declare."""

    code = "not_granted"


class DeadlineExceeded(CallError):
    """The context's time is up, and its work was cancelled. A COMMIT that had begun is awaited:
    then the text says `committed`."""

    code = "deadline_exceeded"
    status = 504


class BudgetExceeded(CallError):
    """A context's tree spent more than it was given; the message carries the bill."""

    code = "budget_exceeded"
    status = 503


class Overloaded(CallError):
    """A limit on work in progress is reached; nothing was started."""

    code = "overloaded"
    status = 503


class PluginQuarantined(CallError):
    """The plugin behind that name failed to load or to start; the others serve."""

    code = "plugin_quarantined"
    status = 503


class TransactionHeld(CallError):
    """Something other than the database was asked for inside a transaction."""

    code = "transaction_held"


class PluginFailed(CallError):
    """A plugin raised what it does not declare: a bug. The cause is recorded, never sent out."""

    code = "internal"


class ToolError(RingfenceError):
    """A tool could not do what was asked."""

    code = "tool"


class ToolUnavailable(ToolError):
    """The infrastructure behind a tool is down; nothing was done, trying again is safe."""

    code = "tool_unavailable"
    status = 503


class BootError(RingfenceError):
    """The application does not start; `findings` says everything that is wrong with it."""

    code = "boot"

    def __init__(self, message: str = "", *, findings: Sequence[Finding] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)

    def __str__(self) -> str:
        return "\n".join([self.message, *map(str, self.findings)]).strip()


class StartRefused(BootError):
    """The configuration, a port or a migration prevents the start."""

    code = "start_refused"


class KernelBug(RingfenceError):
    """An invariant of the kernel broke. Please report it with the text of this error."""

    code = "kernel_bug"
