"""Name → entry: the one place that a hot swap flips, and where a call finds what it runs.

An entry outlives what it points to. Callers hold entries or callables made from them, never
plugins; `refusal` is the single thing that the call path asks before it runs a handler.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from ringfence.errors import NoSuchService, RingfenceError, did_you_mean
from ringfence.kernel.context import Budget
from ringfence.kernel.limits import Bulkhead
from ringfence.kernel.ports import Declared, Signature

Handler = Callable[..., Coroutine[object, None, object]]
Refusal = Callable[[], RingfenceError]


@dataclass(slots=True, eq=False)
class Entry:
    """One operation that can be called: a service, a route, a hook."""

    operation: str
    plugin: str
    declared: Declared | None  # None for a name whose plugin is quarantined
    signature: Signature
    handler: Handler
    bulkhead: Bulkhead
    budget: Budget | None = None  # of its own, beside its caller's
    refusal: Refusal | None = None


class Registry:
    """The services of one application."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def put(self, name: str, entry: Entry) -> None:
        self._entries[name] = entry

    def find(self, name: str) -> Entry | None:
        return self._entries.get(name)

    def get(self, name: str) -> Entry:
        """Return the entry called `name`; raises NoSuchService, with the nearest name."""
        entry = self._entries.get(name)
        if entry is None:
            hint = did_you_mean(name, sorted(self._entries))
            raise NoSuchService(f"no plugin provides this service{hint}", subject=name)
        return entry
