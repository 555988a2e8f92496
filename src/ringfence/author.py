"""What an author writes with: `Plugin`, `service`, `requires`, `event`, `on`, `upcast`.
(`wait` is in `ringfence.threads`.)

A plugin's annotated fields are its constructor's parameters, by name. Decorators declare and do
nothing else, so importing a feature calls none of it; `ringfence.reading` reads what they left
behind.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal, TypeVar, dataclass_transform, get_origin

from ringfence.kernel.context import Budget
from ringfence.kernel.delivery import WhenFull
from ringfence.kernel.manifest import Service
from ringfence.kernel.ports import declare
from ringfence.kernel.topics import EventType, On

F = TypeVar("F", bound=Callable[..., object])
P = TypeVar("P", bound=type)
RETRIES = 5  # with the longest waits, about a minute
CONCURRENCY = 8


@dataclass_transform(kw_only_default=True)
class Plugin:
    """One feature. Annotate what it needs; decorate what it offers.

    A field is a tool (typed by its contract), another domain's service (typed by a Protocol under
    `@requires`) or a `Settings` class. The kernel fills them in; a unit test passes fakes by name.
    A written `__init__` with the same annotations on its parameters is as good.

    Lifecycle methods, all optional, sync or async: `start`, `stop`.
    """

    def __init__(self, **given: object) -> None:
        cls = type(self)
        names = field_names(cls)
        unknown = sorted(given.keys() - set(names))
        missing = [n for n in names if n not in given and not hasattr(cls, n)]
        if unknown or missing:
            wrong = f"no field {unknown[0]!r}" if unknown else f"missing {', '.join(missing)}"
            raise TypeError(f"{cls.__name__}: {wrong}; expected fields {', '.join(names)}")
        for name, value in given.items():
            setattr(self, name, value)


def annotations_of(cls: type) -> Mapping[str, object]:
    """Return a class's own annotations, whether or not all of their names can be resolved."""
    if sys.version_info >= (3, 14):  # until then they are evaluated with the class
        from annotationlib import Format, get_annotations

        return get_annotations(cls, format=Format.FORWARDREF)
    return inspect.get_annotations(cls)


def field_names(cls: type) -> list[str]:
    """Return the names of a plugin class's annotated fields, base classes first."""
    found: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        for name, annotation in annotations_of(base).items():
            if not _is_class_variable(annotation):
                found[name] = None
    return list(found)


def _is_class_variable(annotation: object) -> bool:
    if isinstance(annotation, str):
        return annotation.startswith(("ClassVar", "typing.ClassVar"))
    return annotation is ClassVar or get_origin(annotation) is ClassVar


def service(
    name: str,
    *,
    timeout_s: float | None = None,
    budget: Budget | None = None,
    calls: Sequence[str] = (),
) -> Callable[[F], F]:
    """Provide the decorated method as the service `name`.

    Args:
        name: `<domain>.<word>`, under the plugin's own domain.
        timeout_s: Seconds for one call; without it the caller's deadline alone counts.
        budget: What one call and all that it causes may spend, beside the caller's budget.
        calls: Services that the method reaches through `ctx.call`.

    Guarantees:
        Called with checked parameters, inside a context of its own; an answer leaves only when
        the tasks that it started have ended.
    """
    return declare(Service(name=name, budget=_within(timeout_s, budget), calls=tuple(calls)))


def _within(wall_s: float | None, budget: Budget | None) -> Budget | None:
    if wall_s is None:
        return budget
    wider = budget or Budget()
    return Budget(wider.calls, wider.queries, wider.events, wider.depth, wall_s)


def requires(name: str) -> Callable[[P], P]:
    """Mark a Protocol as this plugin's view of the service `name`.

    The Protocol has one method, `async def __call__(self, *, ...) -> View`, and names only what
    this feature sends and reads. The kernel checks it against the provider before anything starts.
    """

    def mark(protocol: P) -> P:
        setattr(protocol, "__ringfence_requires__", name)
        return protocol

    setattr(mark, "__ringfence_unapplied__", name)  # a Protocol, if the parentheses are missing
    return mark


def event(
    topic: str,
    *,
    key: str = "",
    version: int = 1,
    durable: bool = True,
    when_full: WhenFull = "drop_oldest",
) -> Callable[[P], P]:
    """Mark a class as the event of a topic; its publishers are the features of its domain.

    Args:
        topic: `<domain>.<word>`, under the domain that declares it.
        key: The field whose value orders deliveries: of one key they run in commit order, one at
            a time.
        version: Raise it with a change that an older payload does not fit, and write an `@upcast`.
        durable: False for what may be lost: it is not stored, reaches who subscribes at that
            moment, and is delivered once, or never.
        when_full: What is dropped of an event that is not durable, where a subscription has no
            room for more.
    """

    def mark(cls: P) -> P:
        setattr(cls, "__ringfence_event__", EventType(topic, key, version, durable, when_full))
        return cls

    return mark


def on(
    pattern: str,
    *,
    retries: int = RETRIES,
    timeout: float | None = None,
    concurrency: int = CONCURRENCY,
    broadcast: bool = False,
    since: Literal["now", "beginning"] = "now",
    budget: Budget | None = None,
    calls: Sequence[str] = (),
) -> Callable[[F], F]:
    """Run the decorated method for each event whose topic fits the pattern.

    Args:
        pattern: A topic; `*` stands for one of its words, `**` at the end for any number.
        retries: How often a delivery that failed is tried again before it is a dead letter.
        timeout: Seconds for one attempt; without it the wall time of `[budgets.events]` counts.
        concurrency: How many run at a time; of one key never more than one.
        broadcast: Reach every process of the application, from now on, with nothing stored.
        since: Where a subscription begins that is new: with the next event, or with the first one
            that is still kept.
        budget: What one delivery and all that it causes may spend, beside `[budgets.events]`.
        calls: Services that the method reaches through `ctx.call`.

    Guarantees:
        At least once, also after a crash between any two instructions; with a parameter `tx`
        exactly once, as far as its effects are in that transaction. Deliveries of one key run in
        commit order, retries included.
    """
    return declare(
        On(
            pattern=pattern,
            retries=retries,
            concurrency=concurrency,
            broadcast=broadcast,
            from_start=since == "beginning",
            budget=_within(timeout, budget),
            calls=tuple(calls),
        )
    )


def upcast(topic: str, from_version: int) -> Callable[[F], F]:
    """Let the decorated function turn a payload of an older version into one of the next.

    It stands in the file of the event's class, takes the older payload (its parameter's type, or
    plain data) and returns the newer one, as plain data or as any value that has it. Payloads that
    were stored before a change pass through all steps up to the version of the class.

    Args:
        topic: Of the event.
        from_version: That it takes; it returns `from_version + 1`.
    """

    def mark(function: F) -> F:
        setattr(function, "__ringfence_upcast__", (topic, from_version))
        return function

    return mark
