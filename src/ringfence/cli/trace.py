"""`ringfence trace`: what one request caused, or which requests there were, or are."""

from pathlib import Path

import click

from ringfence.cli.options import app_option, json_option
from ringfence.cli.terminal import complain, say, say_json
from ringfence.cli.waterfall import duration, show
from ringfence.control_messages import MOST_TRACES
from ringfence.report import EndedTraces, Trace

_SHORT = 12  # characters of an id, in a list: enough to find it by


@click.command("trace")
@click.argument("wanted", metavar="[ID]", default="")
@app_option
@click.option("--failed", is_flag=True, help="List only traces in which something failed.")
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_TRACES),
    default=20,
    show_default=True,
    help="How many to list.",
)
@click.option("--follow", is_flag=True, help="List traces as they end, until Ctrl-C.")
@json_option
def verb(wanted: str, app: Path, failed: bool, limit: int, follow: bool, as_json: bool) -> int:
    """Show the trace ID of the running application: each call, when it ran, and how it ended.

    ID is a trace's or a span's, or the beginning of one. Errors and log lines carry it. Without it,
    the traces that ended last are listed, the newest at the end.
    """
    from ringfence.cli import client

    if wanted and (follow or failed):
        raise click.UsageError("ID names one trace; --failed and --follow list several. Omit one.")
    if len(wanted) > 64:
        raise click.UsageError("ID: expected 1 to 64 characters.")
    if follow:
        for ended in client.follow(app, failed):
            _tell(ended, as_json)
        complain("the application is stopping.", plain=True)
    elif wanted:
        spans = client.trace(app, wanted)
        if as_json:
            say_json({"spans": spans})
        else:
            show(spans)
    else:
        _list(client.traces(app, limit, failed), failed, as_json)
    return 0


def _list(traces: list[Trace], failed: bool, as_json: bool) -> None:
    if as_json:
        say_json({"traces": traces})
        return
    for trace in traces:
        _row(trace)
    if not traces:
        say("no trace in which something failed is kept" if failed else "no trace is kept yet")


def _tell(ended: EndedTraces, as_json: bool) -> None:
    """Print what has ended; for programs a line of JSON for each, and for what was missed."""
    if ended.missed:
        hint = "some traces were missed: more ended than are kept, before they could be read"
        if as_json:
            say_json({"missed": True})
        else:
            say((hint, "warn"))
    for trace in ended.traces:
        if as_json:
            say_json(trace)
        else:
            _row(trace)


def _row(trace: Trace) -> None:
    when = trace.started_at.astimezone().strftime("%H:%M:%S.%f")[:-3]
    tail = ""
    if trace.failure:
        tail = f"  {trace.failure.kind}: {trace.failure.message}"
    elif trace.failures:
        tail = f"  {trace.failures} of {trace.spans} calls in it failed"
    say(
        (when, "dim"),
        f"  {trace.trace_id[:_SHORT]}  {duration(trace.duration_s):>8}  ",
        (trace.origin or trace.operation, "bold"),
        (f"  {trace.plugin}", "dim"),
        (tail, "bad" if trace.failure else "warn"),
    )
