"""`ringfence contracts`: compare what is declared with what was agreed on, and agree anew."""

from pathlib import Path

import click
from msgspec import Struct

from ringfence.cli.options import app_option, json_option
from ringfence.cli.progress import Waiting
from ringfence.cli.terminal import Tone, complain, say, say_json
from ringfence.locks import Change, Review, review

_TONES: dict[str, Tone] = {"new": "good", "compatible": "good"}


class Written(Struct, frozen=True):
    """What `contracts update` prints for programs."""

    written: list[str]
    changes: list[Change]


@click.group("contracts")
def verb() -> None:
    """Hold services to what was agreed on: a lock for each, in its domain's `contracts/`.

    Without locks there is nothing to hold to: begin with `ringfence contracts update`.
    """


@verb.command("check")
@click.option("--exact", is_flag=True, help="Exit with 1 as well if a lock is missing or behind.")
@app_option
@json_option
def check(exact: bool, app: Path, as_json: bool) -> int:
    """Classify each change since the last update, and name whom it concerns.

    Exits with 1 if a change breaks a consumer, or may: also one that this application does not
    have. Nothing is written.
    """
    found = _reviewed(app, as_json)
    if as_json:
        say_json({"changes": found.changes}, indent=2)
    else:
        _show(found)
    return 1 if found.is_breaking or (exact and found.changes) else 0


@verb.command("update")
@app_option
@json_option
def update(app: Path, as_json: bool) -> int:
    """Write the locks of what is declared now; the only command that does.

    What breaks a consumer is agreed to as well, and listed: look at it before you commit it.
    """
    found = _reviewed(app, as_json)
    written = found.write()
    unread = [change for change in found.changes if change.weight == "unread"]
    if as_json:
        say_json(Written(written, list(found.changes)), indent=2)
    else:
        for change in found.changes:
            _show_change(change)
        say(f"{len(written)} lock{'' if len(written) == 1 else 's'} written")
    if unread:
        complain("what cannot be read is locked as it was: see `ringfence check`.", plain=True)
    return 1 if unread else 0


def _reviewed(app: Path, as_json: bool) -> Review:
    from ringfence.app import survey

    with Waiting("reading the application", quiet=as_json), survey(app) as (manifest, _):
        return review(app, manifest)


def _show(found: Review) -> None:
    new = [change for change in found.changes if change.weight == "new"]
    for change in found.changes:
        if change not in new or found.is_breaking:
            _show_change(change)
    breaking = sum(change.weight not in ("new", "compatible") for change in found.changes)
    if breaking:
        say((f"{breaking} of {len(found.current)} contracts may break somebody", "bad"))
        say(("    fix: ", "dim"), "offer both for a time, or agree: ringfence contracts update")
    elif found.changes:
        said = f"{len(found.changes) - len(new)} changed compatibly, {len(new)} not locked yet"
        say((said, "good"), "; lock them by `ringfence contracts update`")
    else:
        say((f"{len(found.current)} contracts are as agreed on", "good"))


def _show_change(change: Change) -> None:
    say((change.name, "bold"), " ", (change.weight, _TONES.get(change.weight, "bad")))
    for line in change.what:
        say(f"    {line}")
    for one in change.affected:
        where = f"{one.plugin} ({one.file}:{one.line})"
        if one.by_name:
            say(("    calls it by name: ", "warn"), where)
        elif one.misfits:
            say(("    breaks ", "bad"), f"{where}: {'; '.join(one.misfits)}")
        else:
            say(("    still fits: ", "dim"), where)
