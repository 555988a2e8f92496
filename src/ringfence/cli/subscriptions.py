"""`ringfence subscriptions`: how each is, and how to pause one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from ringfence.cli.options import app_option, json_option
from ringfence.cli.terminal import Tone, say, say_json
from ringfence.cli.waterfall import duration
from ringfence.report import SubscriptionStatus

_TONES: dict[str, Tone] = {"active": "good", "paused": "warn"}


@click.command("subscriptions")
@click.argument("action", type=click.Choice(["list", "pause", "resume", "forget"]), default="list")
@click.argument("name", default="")
@app_option
@json_option
def verb(
    action: Literal["list", "pause", "resume", "forget"], name: str, app: Path, as_json: bool
) -> int:
    """Say how every subscription of the running application is: what waits, what is dead, why.

    With ACTION and NAME: pause a subscription, whose events are kept meanwhile; let it resume;
    forget one that no feature has any more, with what is left of it.
    """
    if (action == "list") == bool(name):
        raise click.UsageError("expected no name, or an action and a name: pause orders.report.on")
    from ringfence.cli import client
    from ringfence.control_messages import SubscriptionRequest

    if action != "list":
        removed = client.do(app, SubscriptionRequest(action, name))
        word = {"pause": "is paused", "resume": "goes on"}.get(action)
        said = word or f"is forgotten, and {removed} deliveries with it"
        say_json({"removed": removed}) if as_json else say((name, "bold"), f" {said}")
        return 0
    found = client.subscriptions(app)
    if as_json:
        say_json({"subscriptions": found})
        return 0
    width = max((len(one.name) for one in found), default=0)
    for one in found:
        _row(one, width)
    if not found:
        say("no feature subscribes to an event")
    return 0


def _row(one: SubscriptionStatus, width: int) -> None:
    behind = ""
    if one.waiting and one.oldest_at is not None:
        lag_s = max(0.0, (datetime.now(UTC) - one.oldest_at).total_seconds())
        behind = f", the oldest for {duration(lag_s)}"
    say(
        f"{one.name:<{width}}  ",
        (one.state, _TONES.get(one.state, "bad")),
        f"  {one.pattern}  ",
        (f"{one.delivered} delivered, {one.failed} failed, {one.waiting} waiting{behind}", "dim"),
        (f"  {one.dead} dead" if one.dead else "", "bad"),
        (f"  {one.dropped} dropped" if one.dropped else "", "warn"),
        f"  {one.reason}" if one.reason else "",
    )
