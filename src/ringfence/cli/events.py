"""`ringfence events`: what has been published, and what is being published."""

from pathlib import Path

import click

from ringfence.cli.options import app_option, json_option
from ringfence.cli.terminal import say, say_json
from ringfence.report import EventShown

_PAYLOAD = 100  # characters that are shown of it


@click.command("events")
@click.option("--topic", metavar="TOPIC", default="", help="Only events of this topic.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="How many, of the newest.",
)
@click.option("--follow", is_flag=True, help="Go on with each that is stored, until Ctrl-C.")
@app_option
@json_option
def verb(topic: str, limit: int, follow: bool, app: Path, as_json: bool) -> int:
    """List the events that the running application has stored, the newest at the end."""
    from ringfence.cli import client

    if follow:
        for event in client.follow_events(app, topic):
            say_json(event) if as_json else show(event)
        return 0
    found = client.events(app, topic, limit)
    if as_json:
        say_json({"events": found})
        return 0
    for event in found:
        show(event)
    if not found:
        say(f"no event of {topic} is stored" if topic else "no event is stored")
    return 0


def show(event: EventShown) -> None:
    """Print one event on a line."""
    payload = event.payload
    say(
        (f"{event.published_at.astimezone():%H:%M:%S}", "dim"),
        f"  {event.id}  ",
        (event.topic, "bold"),
        f"  {payload if len(payload) <= _PAYLOAD else payload[: _PAYLOAD - 1] + '…'}",
        (f"  {event.plugin}", "dim"),
    )
