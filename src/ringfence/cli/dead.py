"""`ringfence dead`: dead letters, and what is done about them."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import click

from ringfence.cli.call import payload_of
from ringfence.cli.options import app_option, json_option
from ringfence.cli.terminal import say, say_json, say_text
from ringfence.report import LetterShown

_ERROR = 90  # characters that are shown of it in a list


@click.group("dead")
def verb() -> None:
    """List, mend, replay and drop dead letters: events that a subscription could not handle.

    A replay comes out of order: the events of its key have gone on meanwhile.
    """


def _filters(function: Callable[..., object]) -> Callable[..., object]:
    limit = click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
    topic = click.option("--topic", default="", help="Only events of this topic.")
    named = click.option("--subscription", default="", help="Only of this subscription.")
    return named(topic(limit(function)))


@verb.command("list")
@_filters
@app_option
@json_option
def listed(subscription: str, topic: str, limit: int, app: Path, as_json: bool) -> int:
    """List dead letters, the newest first."""
    found = _dead(app, subscription, topic, "", limit)
    if as_json:
        say_json({"dead": found})
        return 0
    for letter in found:
        error = letter.error.split("\n")[0]
        say(
            (f"{letter.died_at.astimezone():%m-%d %H:%M:%S}", "dim"),
            f"  {letter.id}  ",
            (letter.event.topic, "bold"),
            f" → {letter.subscription}  ",
            (error if len(error) <= _ERROR else error[: _ERROR - 1] + "…", "bad"),
            (f"  {letter.attempts} attempts", "dim"),
        )
    if not found:
        say("no dead letter")
    return 0


@verb.command("show")
@click.argument("wanted", metavar="ID")
@app_option
@json_option
def shown(wanted: str, app: Path, as_json: bool) -> int:
    """Show one dead letter: its error, its payload, and what led to it."""
    letter = _one(app, wanted)
    if as_json:
        say_json(letter)
        return 0
    say(("dead letter ", "dim"), (letter.id, "bold"), f"  of {letter.subscription}")
    say(
        f"  event     {' → '.join([*letter.hops, letter.event.topic])}"
        f"  version {letter.event.version}"
    )
    say(f"  key       {letter.event.key}" if letter.event.key else "  key       none")
    say(f"  given up  {letter.died_at:%Y-%m-%d %H:%M:%S} UTC, after {letter.attempts} attempts")
    say("  error     ", (letter.error, "bad"))
    say("  payload   ", letter.event.payload)
    say(("  what led to it: ringfence why ", "dim"), letter.id)
    return 0


@verb.command("edit")
@click.argument("wanted", metavar="ID")
@click.argument("values", nargs=-1, metavar="KEY=VALUE...", required=True)
@app_option
@json_option
def edited(wanted: str, values: tuple[str, ...], app: Path, as_json: bool) -> int:
    """Change fields of the payload of one dead letter; other subscriptions do not see it."""
    from ringfence.cli import client
    from ringfence.control_messages import EditRequest

    letter = _one(app, wanted)
    result = client.do(app, EditRequest(letter.id, payload_of(values)))
    if as_json:
        say_json({"payload": result})
    else:
        say(("changed; now: ringfence dead replay ", "dim"), letter.id)
    return 0


@verb.command("replay")
@click.argument("wanted", nargs=-1, metavar="[ID]...")
@_filters
@click.option("--all", "every", is_flag=True, help="All that the filters let through.")
@app_option
@json_option
def replayed(
    wanted: tuple[str, ...],
    subscription: str,
    topic: str,
    limit: int,
    every: bool,
    app: Path,
    as_json: bool,
) -> int:
    """Let dead letters run again, out of order: named ones, or with --all those of the filters."""
    return _act("replay", wanted, subscription, topic, limit, every, app, as_json)


@verb.command("drop")
@click.argument("wanted", nargs=-1, metavar="[ID]...")
@_filters
@click.option("--all", "every", is_flag=True, help="All that the filters let through.")
@app_option
@json_option
def dropped(
    wanted: tuple[str, ...],
    subscription: str,
    topic: str,
    limit: int,
    every: bool,
    app: Path,
    as_json: bool,
) -> int:
    """Count dead letters as done: they are never delivered."""
    return _act("drop", wanted, subscription, topic, limit, every, app, as_json)


def _act(
    action: Literal["replay", "drop"],
    wanted: tuple[str, ...],
    subscription: str,
    topic: str,
    limit: int,
    every: bool,
    app: Path,
    as_json: bool,
) -> int:
    if bool(wanted) == every:
        raise click.UsageError("expected the ids of dead letters, or --all with filters.")
    from ringfence.cli import client
    from ringfence.control_messages import LettersRequest

    if every:
        ids = [letter.id for letter in _dead(app, subscription, topic, "", limit)]
    else:
        ids = [_one(app, one).id for one in wanted]
    count = client.do(app, LettersRequest(action, ids)) if ids else 0
    if as_json:
        say_json({"count": count, "ids": ids})
    else:
        word = "runs again" if action == "replay" else "is dropped"
        say_text("\n".join([f"{one} {word}" for one in ids] or ["no dead letter is like that"]))
    return 0


def _one(app: Path, wanted: str) -> LetterShown:
    found = _dead(app, "", "", wanted, 2)
    if len(found) != 1:
        said = "no dead letter's id begins so" if not found else "several dead letters' ids do so"
        raise click.ClickException(f"{wanted}: {said}. `ringfence dead list` names them.")
    return found[0]


def _dead(app: Path, subscription: str, topic: str, wanted: str, limit: int) -> list[LetterShown]:
    from ringfence.cli import client
    from ringfence.control_messages import DeadRequest

    return client.dead(app, DeadRequest(subscription, topic, wanted[:64], limit))
