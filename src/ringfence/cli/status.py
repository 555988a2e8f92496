"""`ringfence status`: how a running application is, and why."""

from pathlib import Path

import click

from ringfence.cli.options import app_argument, json_option
from ringfence.cli.terminal import Tone, say, say_json
from ringfence.report import Status

_TONES: dict[str, Tone] = {
    "ready": "good",
    "serving": "good",
    "healthy": "good",
    "degraded": "warn",
    "starting": "warn",
    "stopping": "warn",
    "probing": "warn",
}


@click.command("status")
@app_argument
@json_option
def verb(app: Path, as_json: bool) -> int:
    """Say how the running application in the folder APP is: features, tools, and reasons."""
    from ringfence.cli import client

    found = client.status(app)
    if as_json:
        say_json(found)
    else:
        _show(found)
    return 0


def _show(found: Status) -> None:
    about = f"  process {found.pid}, ringfence {found.version}, up {_span(found.uptime_s)}"
    say((found.app, "bold"), " is ", _state(found.state), (about, "dim"))
    for reason in found.reasons:
        say(("  because ", "dim"), reason)
    for domain in found.domains:
        say()
        say((domain.name, "bold"))
        width = max((len(plugin.id) for plugin in domain.plugins), default=0)
        for plugin in domain.plugins:
            say(f"  {plugin.id:<{width}}  ", _state(plugin.state), *_reason(plugin.reason))
    say()
    say(("tools", "bold"))
    width = max((len(tool.instance) for tool in found.tools), default=0)
    for tool in found.tools:
        what = tool.driver if tool.tool == tool.instance else f"{tool.tool}, {tool.driver}"
        head = f"  {tool.instance:<{width}}  "
        say(head, _state(tool.state), (f"  {what}", "dim"), *_reason(tool.reason))


def _state(state: str) -> tuple[str, Tone]:
    return state, _TONES.get(state, "bad")


def _reason(reason: str) -> tuple[str, ...]:
    return (f"  {reason}",) if reason else ()


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
