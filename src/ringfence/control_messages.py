"""What is said over the control socket: a line of JSON each way, or many in answer to one.

A request is a `Question`, which changes nothing, or a `Command`, which says what to write down of
it before it is carried out. A request whose answer is a stream is followed until either end hangs
up; a line with a problem is the last one. Used by `control.py` and its other end, `cli/client.py`.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from ringfence.errors import Fault

REQUEST_BYTES = 1 << 20
ANSWER_BYTES = 16 << 20
MOST_TRACES = 1000
MOST_EVENTS = 1000
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


class WhyRequest(Question, frozen=True, tag_field="do", tag="why", forbid_unknown_fields=True):
    """Ask what caused an id, and what it caused."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]


class EventsRequest(
    Question, frozen=True, tag_field="do", tag="events", forbid_unknown_fields=True
):
    """Ask for the events that were stored last."""

    topic: Annotated[str, Meta(max_length=256)] = ""
    limit: Annotated[int, Meta(ge=1, le=MOST_EVENTS)] = 20


class FollowEventsRequest(
    Question, frozen=True, tag_field="do", tag="follow_events", forbid_unknown_fields=True
):
    """Ask for events as they are stored: a stream."""

    topic: Annotated[str, Meta(max_length=256)] = ""


class SubscriptionsRequest(
    Question, frozen=True, tag_field="do", tag="subscriptions", forbid_unknown_fields=True
):
    """Ask how every subscription is."""


class DeadRequest(Question, frozen=True, tag_field="do", tag="dead", forbid_unknown_fields=True):
    """Ask for dead letters, the newest first."""

    subscription: Annotated[str, Meta(max_length=256)] = ""
    topic: Annotated[str, Meta(max_length=256)] = ""
    id: Annotated[str, Meta(max_length=64)] = ""
    limit: Annotated[int, Meta(ge=1, le=MOST_EVENTS)] = 100


class PublishRequest(
    Command, frozen=True, tag_field="do", tag="publish", forbid_unknown_fields=True
):
    """Publish an event."""

    topic: Annotated[str, Meta(max_length=256)]
    payload: dict[str, object] = {}

    def told(self) -> tuple[str, tuple[str, ...]]:
        return f"publish {self.topic}", tuple(self.payload)


class EditRequest(Command, frozen=True, tag_field="do", tag="edit", forbid_unknown_fields=True):
    """Change fields of the payload of one dead letter."""

    id: Annotated[str, Meta(max_length=64)]
    changes: dict[str, object]

    def told(self) -> tuple[str, tuple[str, ...]]:
        return f"dead edit {self.id}", tuple(self.changes)


class LettersRequest(
    Command, frozen=True, tag_field="do", tag="letters", forbid_unknown_fields=True
):
    """Replay dead letters, or drop them."""

    action: Literal["replay", "drop"]
    ids: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=MOST_EVENTS)]

    def told(self) -> tuple[str, tuple[str, ...]]:
        return f"dead {self.action}", tuple(self.ids)


class SubscriptionRequest(
    Command, frozen=True, tag_field="do", tag="subscription", forbid_unknown_fields=True
):
    """Pause a subscription, let it go on, or forget one that is declared no more."""

    action: Literal["pause", "resume", "forget"]
    name: Annotated[str, Meta(max_length=256)]

    def told(self) -> tuple[str, tuple[str, ...]]:
        return f"subscriptions {self.action} {self.name}", ()


Request = (
    CallRequest
    | StatusRequest
    | TraceRequest
    | TracesRequest
    | FollowRequest
    | WhyRequest
    | EventsRequest
    | FollowEventsRequest
    | SubscriptionsRequest
    | DeadRequest
    | PublishRequest
    | EditRequest
    | LettersRequest
    | SubscriptionRequest
)


class Answer(Struct, frozen=True, omit_defaults=True):
    """One line that comes back: a result, or a problem."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    problem: Problem | None = None
