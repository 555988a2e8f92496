"""A row for each number, a verdict where a limit is set; a table for people, JSON for machines."""

import json
import platform
import statistics
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from msgspec import Struct, to_builtins


class Row(Struct, frozen=True):
    """One number. `ratio` is what counts; `value` says what it is a ratio of today, here.

    Args:
        name: What was measured.
        value: The median, in `unit`.
        unit: `ns`, `µs CPU/request`, `MB`, …
        ratio: The median of the rounds' ratios.
        to: What the ratio is to.
        limit: What `ratio` (or `value`, where there is no ratio) must not pass.
        goal: What it should reach; never worse than the limit.
        at_least: The limit is a minimum.
        spread: Half the distance between the quartiles, as a part of the median.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    to: str = ""
    limit: float | None = None
    goal: float | None = None
    at_least: bool = False
    spread: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """`ok`, `ok, goal`, `OVER` or `UNDER`; empty where nothing is promised."""
        measured = self.value if self.ratio is None else self.ratio
        sign = -1 if self.at_least else 1
        if self.limit is None:
            return ""
        if sign * measured > sign * self.limit:
            return "UNDER" if self.at_least else "OVER"
        reached = self.goal is not None and sign * measured <= sign * self.goal
        return "ok, goal" if reached else "ok"

    @property
    def broken(self) -> bool:
        return self.verdict in ("OVER", "UNDER")


def compare(
    name: str,
    values: Sequence[float],
    others: Sequence[float],
    unit: str,
    to: str,
    *,
    limit: float | None = None,
    goal: float | None = None,
    inverse: bool = False,
    more: bool = False,
    note: str = "",
) -> Row:
    """Compare two series of one run, round by round.

    Args:
        more: More is better, as of a rate. A limit is then a minimum.
        inverse: The ratio is `others` to `values`: how many times less is used. A limit is then
            a minimum.
    """
    pairs = zip(values, others, strict=True)
    ratios = [other / value if inverse else value / other for value, other in pairs]
    median = statistics.median(ratios)
    return Row(
        name,
        statistics.median(values),
        unit,
        median,
        to,
        limit,
        goal,
        at_least=inverse or more,
        spread=spread(ratios) if values is not others else None,
        note=note,
    )


def spread(values: Sequence[float]) -> float | None:
    """Return half the distance between the quartiles, as a part of the median."""
    if len(values) < 3:
        return None
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / median


def number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def cells(row: Row) -> list[str]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}×"
    bound = ""
    if row.limit is not None:
        sign = "≥" if row.at_least else "≤"
        bound = f"{sign} {row.limit:g}" + (f", goal {row.goal:g}" if row.goal else "")
    around = "" if row.spread is None else f"±{row.spread:.1%}"
    return [row.name, f"{number(row.value)} {row.unit}", ratio, row.to, bound, row.verdict, around]


HEAD = ["what", "median", "ratio", "to", "limit", "verdict", "spread"]


def table(rows: Sequence[Row]) -> str:
    """Lay the rows out in columns, notes below."""
    lines = [HEAD, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    laid = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    laid.insert(1, "  ".join("-" * width for width in widths))
    notes = [f"{row.name}: {row.note}" for row in rows if row.note]
    return "\n".join(line.rstrip() for line in [*laid, "", *notes])


def machine() -> dict[str, object]:
    """Return what a reader of the numbers has to know of where they come from."""
    packages = ("ringfence", "msgspec", "uvicorn", "httptools", "uvloop")
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": {name: metadata.version(name) for name in packages},
    }


def write(path: Path, rows: Sequence[Row], missing: Sequence[str]) -> None:
    """Write all rows, and what could not be measured, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [{**to_builtins(row), "verdict": row.verdict} for row in rows]
    document = {**machine(), "rows": listed, "missing": list(missing)}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
