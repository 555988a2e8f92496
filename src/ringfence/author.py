"""What an author writes with: `Plugin`, `service`, `requires`. (`wait` is in `ringfence.threads`.)

A plugin's annotated fields are its constructor's parameters, by name. Decorators declare and do
nothing else, so importing a feature calls none of it; `ringfence.reading` reads what they left
behind.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, TypeVar, dataclass_transform, get_origin

from ringfence.kernel.context import Budget
from ringfence.kernel.manifest import Service
from ringfence.kernel.ports import declare

F = TypeVar("F", bound=Callable[..., object])
P = TypeVar("P", bound=type)


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
    if timeout_s is not None:
        wider = budget or Budget()
        budget = Budget(wider.calls, wider.queries, wider.events, wider.depth, timeout_s)
    return declare(Service(name=name, budget=budget, calls=tuple(calls)))


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
