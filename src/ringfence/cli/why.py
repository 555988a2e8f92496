"""`ringfence why`: what caused an id, and what it caused, across events."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from ringfence.cli.options import app_option, json_option
from ringfence.cli.terminal import Tone, say, say_json
from ringfence.cli.waterfall import duration
from ringfence.report import Cause

_TONES: dict[str, Tone] = {"done": "good", "published": "good", "failed": "bad", "dead": "bad"}


@click.command("why")
@click.argument("wanted", metavar="ID")
@app_option
@json_option
def verb(wanted: str, app: Path, as_json: bool) -> int:
    """Show what caused ID and what it caused: requests, services, events, deliveries, failures.

    ID is that of a trace, a span, an event or a delivery, or the beginning of one. What has been
    published is known from the database, also from before a restart; what ran, as long as it is
    kept.
    """
    from ringfence.cli import client

    if not 1 <= len(wanted) <= 64:
        raise click.UsageError("ID: expected 1 to 64 characters.")
    steps = client.why(app, wanted)
    if as_json:
        say_json({"steps": steps})
        return 0
    for step, depth in _tree(steps):
        _row(step, depth, step.id.startswith(wanted))
    return 0


def _tree(steps: Sequence[Cause]) -> Iterator[tuple[Cause, int]]:
    """Yield each step below the one that caused it, in order of time."""
    known = {step.id for step in steps}
    below: dict[str, list[Cause]] = {}
    for step in reversed(steps):
        below.setdefault(step.cause if step.cause in known else "", []).append(step)
    waiting = [(step, 0) for step in below.get("", [])]
    while waiting:
        step, depth = waiting.pop()
        yield step, depth
        waiting += [(each, depth + 1) for each in below.get(step.id, [])]


def _row(step: Cause, depth: int, wanted: bool) -> None:
    word = {"event": "published ", "delivery": "to "}.get(step.kind, "")
    attempts = f"  attempt {step.attempts}" if step.attempts else ""
    took = f"  {duration(step.duration_s)}" if step.duration_s else ""
    state = "" if step.state in ("done", "published") and step.kind != "delivery" else step.state
    say(
        (f"{step.at.astimezone():%H:%M:%S.%f}"[:-3], "dim"),
        "  " + "  " * depth,
        (word, "dim"),
        (step.what, "bold" if wanted else ""),
        (f"  {state}" if state else "", _TONES.get(step.state, "warn")),
        (f"{attempts}{took}  {step.plugin}  {step.id[:12]}", "dim"),
    )
    if step.error:
        where = f"  ({step.where})" if step.where else ""
        say(" " * 12 + "  " + "  " * depth, ("  ↳ ", "dim"), (step.error, "bad"), (where, "dim"))
