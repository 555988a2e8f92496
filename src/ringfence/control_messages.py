"""What is said over the control socket: a line of JSON each way, or many in answer to one.

A request is a `Question`, which changes nothing, or a `Command`, which says what to write down of
it before it is carried out. A request whose answer is a stream is followed until either end hangs
up; a line with a problem is the last one. Used by `control.py` and its other end, `cli/client.py`.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from ringfence.errors import Fault

REQUEST_BYTES = 1 << 20
ANSWER_BYTES = 16 << 20
MOST_TRACES = 1000
STOPPING = "stopping"  # the code of the problem that ends a stream when the application stops


class Problem(Struct, frozen=True, omit_defaults=True):
    """What went wrong, in the members that an answer over HTTP has (RFC 9457)."""

    title: str
    status: int
    code: str
    detail: str = ""
    trace_id: str = ""
    errors: tuple[Fault, ...] = ()
    type: str = "about:blank"


class Question(Struct, frozen=True):
    """A request that changes nothing."""


class Command(Struct, frozen=True):
    """A request that may change something: it is written down before it is carried out."""

    def told(self) -> tuple[str, tuple[str, ...]]:
        """Return what is done, and its arguments as they may be kept: none of their values."""
        raise NotImplementedError


class CallRequest(Command, frozen=True, tag_field="do", tag="call", forbid_unknown_fields=True):
    """Call a service."""

    name: Annotated[str, Meta(max_length=256)]
    payload: dict[str, object] = {}

    def told(self) -> tuple[str, tuple[str, ...]]:
        return f"call {self.name}", tuple(self.payload)


class StatusRequest(
    Question, frozen=True, tag_field="do", tag="status", forbid_unknown_fields=True
):
    """Ask how the application is."""


class TraceRequest(Question, frozen=True, tag_field="do", tag="trace", forbid_unknown_fields=True):
    """Ask for the spans of a trace."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]


class TracesRequest(
    Question, frozen=True, tag_field="do", tag="traces", forbid_unknown_fields=True
):
    """Ask for the traces that ended last."""

    limit: Annotated[int, Meta(ge=1, le=MOST_TRACES)] = 20
    failed: bool = False


class FollowRequest(
    Question, frozen=True, tag_field="do", tag="follow", forbid_unknown_fields=True
):
    """Ask for traces as they end: a stream."""

    failed: bool = False


Request = CallRequest | StatusRequest | TraceRequest | TracesRequest | FollowRequest


class Answer(Struct, frozen=True, omit_defaults=True):
    """One line that comes back: a result, or a problem."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    problem: Problem | None = None
