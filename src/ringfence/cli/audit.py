"""`ringfence audit`: which commands have changed something, and who gave them."""

from pathlib import Path

import click

from ringfence.audit import AuditLog, Record
from ringfence.cli.options import app_argument, json_option
from ringfence.cli.terminal import Tone, say, say_json
from ringfence.cli.waterfall import duration

_TONES: dict[str, Tone] = {"done": "good", "unfinished": "warn"}


@click.command("audit")
@app_argument
@click.option("--who", metavar="USER", help="Only commands of this user: a name or a number.")
@click.option("--what", metavar="TEXT", help="Only commands that contain this: `call orders.`")
@click.option("--failed", is_flag=True, help="Only commands that did not end well.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="How many, of the newest.",
)
@json_option
def verb(
    app: Path, who: str | None, what: str | None, failed: bool, limit: int, as_json: bool
) -> int:
    """List the commands that may have changed something in the application in the folder APP.

    The newest are at the end. The application need not run. Of what a service was called with the
    names are kept, not the values.
    """
    kept = [
        record
        for record in AuditLog(app).read()
        if (who is None or who in (record.who, str(record.uid)))
        and (what is None or what in record.what)
        and not (failed and record.outcome == "done")
    ][-limit:]
    if as_json:
        say_json({"records": kept})
        return 0
    for record in kept:
        _row(record)
    if not kept:
        say("no command is on record" if not (who or what or failed) else "no command is like that")
    return 0


def _row(record: Record) -> None:
    tone = _TONES.get(record.outcome, "bad")
    say(
        (f"{record.at.astimezone():%Y-%m-%d %H:%M:%S}", "dim"),
        f"  {record.who}  ",
        (record.what, "bold"),
        f" {' '.join(record.arguments)}".rstrip(),
        "  ",
        (record.outcome, tone),
        (f"  {duration(record.took_s)}" if record.took_s else "", "dim"),
        (f"  trace {record.trace_id}" if record.trace_id else "", "dim"),
    )
