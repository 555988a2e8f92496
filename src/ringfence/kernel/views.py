"""How a call's payload and result map between a consumer and a provider, ready to be followed.

The call path follows a `View`; it knows nothing of types. Whoever wires gives the kernel its
`Contracts`, which work views out while an application starts: see `ringfence.contracts`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NoReturn, Protocol, TypeVar

from msgspec import Struct

from ringfence.errors import Invalid, NotGranted
from ringfence.kernel.delivery import Envelope
from ringfence.kernel.manifest import EventFacts, ServiceNeed
from ringfence.kernel.ports import Signature
from ringfence.kernel.registry import Entry

T = TypeVar("T")
Check = Literal["class", "convert"]
Answer = Literal["nothing", "class", "one", "several", "convert"]
Values = tuple[object, ...]
Payload = Mapping[str, object]
Convert = Callable[[object], object]


class View(Struct, frozen=True):
    """How one consumer's parameters and result map to one provider's."""

    names: tuple[str, ...]
    defaults: Values  # one for each name; REQUIRED for none
    checks: tuple[Check, ...]
    classes: tuple[type[object] | None, ...]
    converts: tuple[Convert, ...]
    passed: tuple[str, ...]  # for each of the handler's arguments: `a0`, `fixed[0]`, `built`
    fixed: Values  # the provider's defaults for what the view does not send
    build: Callable[[Payload], object] | None  # makes the provider's Struct from its fields
    answer: Answer
    answer_class: type[object] | None
    result_class: object  # the provider's own: its values are trusted as they are
    pick: Convert  # from a result of that class: what the view has of it
    read: Convert  # from any other result
    unfit: Callable[[Payload], Invalid]
    misread: Callable[[object], NoReturn]


class Contracts(Protocol):
    """What types mean: read by whoever wires, followed by the kernel. A module will do."""

    def bind(self, need: ServiceNeed, entry: Entry) -> View:
        """Work out how the view of a field under `@requires` maps to `entry`; it is known to
        fit."""
        ...

    def bind_named(self, entry: Entry) -> View:
        """Work out how a mapping of `entry`'s own parameters maps to it, and its result to data."""
        ...

    def reader(
        self, signature: Signature, events: Mapping[str, Sequence[EventFacts]]
    ) -> Callable[[Envelope], Values]:
        """Work out how a handler's arguments are read from a stored event; what is returned raises
        a RingfenceError where they cannot be."""
        ...

    def read(self, value: object, hint: type[T], subject: str) -> T:
        """Convert `value` into `hint`; raise Invalid with every fault otherwise."""
        ...


def outside(operation: str) -> NotGranted:
    """What a call from no context gets, as from a thread or a loop of the plugin's own."""
    return NotGranted(
        "called outside any context; expected a handler, a hook, or what one of them has started.",
        subject=operation,
        hint="Start background work with `ctx.spawn`.",
    )
