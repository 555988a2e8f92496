"""What a plugin may write down, and what is kept of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol

from msgspec import Struct

from ringfence.kernel.ports import contract

Level = Literal["debug", "info", "warning", "error"]


@contract("log")
class Log(Protocol):
    """Messages for whoever operates the application.

    Each record carries the time, the plugin, and the trace, span and operation of the context that
    it was written in. Values are taken as they are at the moment of the call.

    Guarantees:
        Never raises and never waits: a value that cannot be shown is named by its type, and a
        record that nobody takes is dropped and counted. What a record holds is bounded. Text from
        outside cannot start a new line or move a terminal's cursor. A Secret is written as `***`,
        and so are fields whose names look secret, and a secret of the configuration wherever it
        stands in a text.

    Args (of each level's method):
        message: What happened; the same text each time, so that it can be searched for.
        fields: What it happened to: `log.info("order placed", order_id=7)`. An exception as `error`
            is recorded with its traceback; `exc_info=True` is the one that is being handled.
    """

    def debug(self, message: str, /, **fields: object) -> None:
        """Record a detail that only a developer wants."""
        ...

    def info(self, message: str, /, **fields: object) -> None:
        """Record that something went as it should."""
        ...

    def warning(self, message: str, /, **fields: object) -> None:
        """Record something that somebody should look at, some day."""
        ...

    def error(self, message: str, /, **fields: object) -> None:
        """Record a failure that somebody should look at now."""
        ...

    def bind(self, **fields: object) -> "Log":
        """Return a log whose records have these fields as well; this one stays as it is."""
        ...


class Record(Struct, frozen=True, omit_defaults=True):
    """One message as it is kept: plain values, no object of the application among them."""

    time: datetime
    level: Level
    message: str
    plugin: str = ""
    operation: str = ""
    trace_id: str = ""
    span_id: str = ""
    fields: Mapping[str, object] = {}
    traceback: str = ""
