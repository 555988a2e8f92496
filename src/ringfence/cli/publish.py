"""`ringfence publish`: one event, as the operator."""

from pathlib import Path

import click

from ringfence.cli.call import payload_of
from ringfence.cli.options import app_option, json_option
from ringfence.cli.terminal import say, say_json


@click.command("publish")
@click.argument("topic")
@click.argument("values", nargs=-1, metavar="[KEY=VALUE]...")
@app_option
@json_option
def verb(topic: str, values: tuple[str, ...], app: Path, as_json: bool) -> int:
    """Publish an event to TOPIC, which a feature of the running application publishes to as well.

    It is checked against the class of that event. A value is JSON if it can be read as such, and
    otherwise text. It returns once the event is stored.
    """
    from ringfence.cli import client
    from ringfence.control_messages import PublishRequest

    event = client.do(app, PublishRequest(topic, payload_of(values)))
    if as_json:
        say_json({"id": event})
    else:
        say(
            "published ",
            (str(event), "bold"),
            ("  what becomes of it: ringfence why ", "dim"),
            str(event)[:12],
        )
    return 0
