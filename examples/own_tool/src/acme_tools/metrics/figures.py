"""The figures themselves, and how they are written down: in the text format of Prometheus.

Invariant: nothing that is wrong with a figure reaches whoever counts it, and there are never more
than `most_series` of them. Used by `service.py`.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from typing import Literal, NamedTuple

from acme_tools.metrics.contract import NoSuchMetric

DROPPED = "metrics_dropped_total"
NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_LABEL = re.compile(r"[^\x00-\x1f\ud800-\udfff]{0,200}")
_OF_SUMMARIES = ("_count", "_sum")  # how the two series of an observed name end

Kind = Literal["counter", "summary"]
Labels = tuple[tuple[str, str], ...]


class Reading(NamedTuple):
    """What one gauge said."""

    name: str
    help: str
    value: float


class Figures:
    """What was counted and observed in one application, from any thread."""

    def __init__(self, most_series: int) -> None:
        self._most_series = most_series
        self._lock = Lock()  # guards all that follows
        self._kinds: dict[str, Kind] = {}
        self._series: dict[tuple[str, Labels], tuple[int, float]] = {}  # how often, and the sum
        self._dropped = 0

    def add(self, kind: Kind, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Add a value to a series, or drop it."""
        key = (name, tuple(sorted(labels.items())))
        fits = _fits(kind, name, value, labels)
        with self._lock:
            often, total = self._series.get(key, (0, 0.0)) if fits else (0, 0.0)
            is_full = often == 0 and len(self._series) >= self._most_series
            if not fits or is_full or self._kinds.get(name, kind) != kind:
                self._dropped += 1
                return
            self._kinds[name] = kind
            self._series[key] = (often + 1, total + value)

    def value(self, name: str, labels: Mapping[str, str]) -> float:
        """Return what a counter has come to; raises NoSuchMetric."""
        with self._lock:
            found = self._series.get((name, tuple(sorted(labels.items()))))
        if found is None:
            raise NoSuchMetric("nothing has been counted so.", subject=name)
        return found[1]

    def written(self, readings: Iterable[Reading]) -> str:
        """Return all of it as text, sorted by name, with what the gauges have said."""
        with self._lock:
            series, kinds, dropped = sorted(self._series.items()), dict(self._kinds), self._dropped
        blocks = {reading.name: _gauge(reading) for reading in readings}
        for name, kind in kinds.items():
            own = [(labels, figure) for (of, labels), figure in series if of == name]
            blocks[name] = f"# TYPE {name} {kind}\n" + "".join(_lines(name, kind, own))
        blocks[DROPPED] = f"# TYPE {DROPPED} counter\n{DROPPED} {dropped}\n"
        return "".join(blocks[name] for name in sorted(blocks))


def _fits(kind: Kind, name: object, value: object, labels: Mapping[str, object]) -> bool:
    """Whether a figure is one; its caller's types are not believed, since nothing may raise."""
    named = isinstance(name, str) and NAME.fullmatch(name) and not name.endswith(_OF_SUMMARIES)
    if not named or name == DROPPED:
        return False
    if not isinstance(value, int | float) or not math.isfinite(value):
        return False
    if kind == "counter" and value < 0:
        return False
    texts = labels.values()
    return all(isinstance(text, str) and _LABEL.fullmatch(text) for text in texts)


def _gauge(reading: Reading) -> str:
    text = reading.help.replace("\\", "\\\\").replace("\n", "\\n")
    head = f"# HELP {reading.name} {text}\n" if text else ""
    return f"{head}# TYPE {reading.name} gauge\n{reading.name} {_number(reading.value)}\n"


def _lines(
    name: str, kind: Kind, series: Iterable[tuple[Labels, tuple[int, float]]]
) -> Iterator[str]:
    for labels, (often, total) in series:
        shown = ",".join(f'{label}="{_quoted(text)}"' for label, text in labels)
        shown = f"{{{shown}}}" if shown else ""
        if kind == "summary":
            yield f"{name}_count{shown} {often}\n{name}_sum{shown} {_number(total)}\n"
        else:
            yield f"{name}{shown} {_number(total)}\n"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
