"""`ringfence doctor`: machine, installation and application, looked at; what is wrong, what to do.

`verb` prints what the checks of the modules beside it say, area by area.
"""

from pathlib import Path

import click

from ringfence.cli.doctor.examination import Area, Line, State, examine
from ringfence.cli.options import app_argument, json_option
from ringfence.cli.terminal import Tone, say, say_json

_TONES: dict[State, Tone] = {"ok": "good", "warn": "warn", "bad": "bad"}


@click.command("doctor")
@app_argument
@json_option
def verb(app: Path, as_json: bool) -> int:
    """Examine this machine, the installation, and the application in the folder APP.

    Each line is ok, warn or bad, with what to do. The application may run or not; it is read and
    imported, and nothing is started or changed. Exits with 1 if something is bad.
    """
    from ringfence.cli.doctor import application, database, installation, machine, network

    checks = [
        *machine.checks(lambda: [app, *application.folders(app)]),
        *installation.checks(),
        *application.checks(app),
        *database.checks(app),
        *network.checks(app),
    ]
    areas = []
    for area in examine(checks):
        areas.append(area)
        if not as_json:
            _show(area)
    lines = [line for area in areas for line in area.lines]
    if as_json:
        say_json({"areas": areas}, indent=2)
    else:
        _sum(lines)
    return 1 if any(line.state == "bad" for line in lines) else 0


def _show(area: Area) -> None:
    say((area.name, "bold"))
    width = max((len(line.name) for line in area.lines), default=0)
    for line in area.lines:
        head = f"  {line.state:<4}"
        say((head, _TONES[line.state]), f"  {line.name:<{width}}  {line.told}")
        if line.fix:
            say(("        do: ", "dim"), line.fix)


def _sum(lines: list[Line]) -> None:
    counts = {state: sum(line.state == state for line in lines) for state in _TONES}
    say()
    if counts["bad"]:
        say((f"{counts['bad']} bad", "bad"), f", {counts['warn']} to be looked at")
    elif counts["warn"]:
        say((f"nothing is bad, {counts['warn']} to be looked at", "warn"))
    else:
        say(("all is well", "good"))
